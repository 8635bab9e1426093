"""Runs `recipes/serving_client.py` in a process that has imported what it needs; see `kapps/export/_worker.py`.

A job is {"arguments": flags and files, "directory"}; its result {"code", "stdout", "stderr", "seconds"}.
"""

import contextlib
import io
import pathlib
import sys
import time

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"


def prepare():
    """Imports the client with both protocols."""
    sys.path[:0] = [str(RECIPES), str(RECIPES.parent)]
    import common.environment  # noqa: F401

    import grpc  # noqa: F401
    import serving_client  # noqa: F401
    from tensorflow_serving.apis import prediction_service_pb2_grpc  # noqa: F401


def run(job):
    """Runs the client with the arguments of a job."""
    import serving_client
    from absl import flags

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    start = time.monotonic()
    flags.FLAGS.unparse_flags()
    for name in ("model", "version", "protocol", "server", "timeout"):
        flags.FLAGS[name].unparse()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            files = serving_client.parse_flags(["serving_client.py", *job["arguments"]])
            serving_client.run(files)
            code = 0
        except SystemExit as end:
            code = 0 if end.code is None else end.code
            if isinstance(code, str):
                print(code, file=sys.stderr)
                code = 1
        except BaseException:
            import traceback

            traceback.print_exc()
            code = 1
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(errors="replace"))
    return {
        "code": code,
        "stdout": texts[0],
        "stderr": texts[1],
        "seconds": time.monotonic() - start,
    }
