"""What the serving client makes of the answers of TensorFlow Serving, and of those of other servers."""

import json
import math
import pathlib
import random
import sys

import module_files
import pytest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools" / "faults"))
import _grpc_answers  # noqa: E402
import _rest_answers  # noqa: E402
import server_answers  # noqa: E402


@pytest.fixture(scope="module")
def outputs():
    return module_files.load("recipes/common/serving_outputs.py")


ROW = {"probabilities": [0.25, 0.75], "classes": [1, 0], "labels": ["green", "red"]}
WITHOUT_LABELS = {key: ROW[key] for key in ("probabilities", "classes")}
LOGITS = {"logits": [-1.5, 3.0], "classes": [1], "labels": ["green"]}


@pytest.mark.parametrize(
    "response, text",
    [
        ({"predictions": [ROW]}, "green 0.750, red 0.250"),
        ({"outputs": {key: [value] for key, value in ROW.items()}}, "green 0.750, red 0.250"),
        ({"predictions": [WITHOUT_LABELS]}, "class 1 0.750, class 0 0.250"),
        ({"predictions": [LOGITS]}, "green 3.000"),
        ({"predictions": [{"probabilities": [0.8]}]}, "{'probabilities': [0.8]}"),
        ({"predictions": [[0.8]]}, "[0.8]"),
        ({"predictions": [0.8]}, "0.8"),
        ({"outputs": [[0.8]]}, "[0.8]"),
        ({"predictions": [{"b64": "w7w="}]}, "ü"),
        ({"predictions": [{**ROW, "labels": [{"b64": "w7w="}, "b"]}]}, "ü 0.750, b 0.250"),
        ({"predictions": [{**ROW, "labels": ["\x1b[31m", "\u202ea\n"]}]},
         r"\x1b[31m 0.750, \u202ea\n 0.250"),
    ],
)  # fmt: skip
def test_formats_of_tensorflow_serving(response, text, outputs):
    body = json.dumps(response).encode()
    assert outputs.describe_row(outputs.read_json(body, 1), 0) == text


@pytest.mark.parametrize(
    "response, words",
    [
        ({"error": "a\nb"}, "a"),
        ({"predictions": [ROW, ROW]}, "2 rows for 1 images"),
        ({"predictions": []}, "0 rows"),
        ({"predictions": {}}, "no outputs"),
        ({"predictions": [{}]}, "no outputs"),
        ({"predictions": None}, "no rows"),
        ({"predictions": [None]}, "None in place of a number"),
        ({"predictions": [[]]}, "empty row"),
        ({"predictions": [[[1], [1, 2]]]}, "different shapes"),
        ({"predictions": [[1, "a"]]}, "different shapes"),
        ({"predictions": [[[[[[[[[[1]]]]]]]]]]}, "dimensions"),
        ({"predictions": [{"b64": "!"}]}, "base64"),
        ({"predictions": [math.nan]}, "not finite"),
        ({"predictions": [10**400]}, "not finite"),
        ({"predictions": [{**ROW, "probabilities": [2.0, 3.0]}]}, "outside"),
        ({"predictions": [{**ROW, "probabilities": "ab"}]}, "not lists of numbers"),
        ({"predictions": [{**ROW, "classes": [2, 0]}]}, "there are 2 classes"),
        ({"predictions": [{**ROW, "classes": [-1, 0]}]}, "there are 2 classes"),
        ({"predictions": [{**ROW, "classes": [True, False]}]}, "not lists of numbers"),
        ({"predictions": [{**ROW, "labels": ["a"]}]}, "2 classes and 1 labels"),
        ({"predictions": [{**ROW, "labels": [1, 2]}]}, "labels"),
        ({"outputs": {"a": [1], "b": [1, 2]}}, "2 rows for 1 images"),
        ({"models": []}, "no predictions but models"),
        ([], "no predictions but is []"),
        (None, "no predictions but is None"),
    ],
)
def test_other_responses_are_errors_of_one_line(response, words, outputs):
    body = json.dumps(response).encode()
    with pytest.raises(outputs.ResponseError) as error:
        outputs.describe_row(outputs.read_json(body, 1), 0)
    assert words in str(error.value) and str(error.value).isprintable()


@pytest.mark.parametrize(
    "body",
    [b"", b"<html><title>Log in</title>", b"\xff", b"[" * 100_000, b"{", b"9" * 10_000, b"\0"],
)
def test_bodies_that_are_not_json(body, outputs):
    with pytest.raises(outputs.ResponseError, match="is not JSON") as error:
        outputs.read_json(body, 1)
    assert str(error.value).isprintable() and len(str(error.value)) < 400


def test_generated_responses(outputs):
    """The responses of tools/faults/server_answers.py."""
    for seed in range(300):
        generator, images = random.Random(seed), 1 + seed % 3
        body, text = _rest_answers.right(generator, images)
        columns = outputs.read_json(body, images)
        for row in range(images):
            line = outputs.describe_row(columns, row)
            assert text in line and line.isprintable()
        kind, body = _rest_answers.wrong(generator, images)
        with pytest.raises(outputs.ResponseError) as error:
            line = outputs.describe_row(outputs.read_json(body, images), images - 1)
            pytest.fail(f"{kind}: {line}")
        assert str(error.value).isprintable()


@pytest.mark.long
def test_every_way_of_a_wrong_response(tmp_path):
    """Connections that are cut, slow or endless, and responses that are not HTTP or not gRPC."""
    worker, _ = server_answers.load_worker()
    rest, current = server_answers.RestServer(), {}
    server, port = _grpc_answers.serve(current)
    image = tmp_path / "image.jpg"
    image.write_bytes(b"image")
    arguments = ["--model=m", "--timeout=1", str(image)]

    def fault(number, *flags):
        job = {"arguments": [f"--server=127.0.0.1:{number}", *flags, *arguments]}
        return server_answers.client_fault(worker.run(job, 20), 1, None)

    try:
        faults = {}
        for kind, answer in _rest_answers.transports(random.Random(0), 1).items():
            rest.answer = answer
            faults[kind] = fault(rest.port)
        error = _grpc_answers.fail(random.Random(0))
        for name, answer in [("late", _grpc_answers.late), ("error", error)]:
            current["answer"] = answer
            faults[name] = fault(port, "--protocol=grpc")
        rest.answer = lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        faults["REST to gRPC"] = fault(rest.port, "--protocol=grpc")
        faults["gRPC to REST"] = fault(port)
    finally:
        worker.close()
        server.stop(None)
    assert {kind: text for kind, text in faults.items() if text} == {}


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--server=http://localhost:8501"], "is not host:port"),
        (["--server=localhost"], "is not host:port"),
        (["--server=localhost:0"], "is not host:port"),
        (["--server=localhost:70000"], "is not host:port"),
        (["--server="], "is not host:port"),
        (["--server=unix:/tmp/x"], "is not host:port"),
        (["--server=a b:1"], "is not host:port"),
        (["--model="], "--model"),
        (["--timeout=nan"], "--timeout"),
        (["--timeout=0"], "--timeout"),
        (["--version=0"], "--version"),
        (["--protocol=http"], "--protocol"),
        (["--modle=x"], "--modle"),
    ],
)
def test_wrong_flags(flags, words, tmp_path, mistaken):
    image = tmp_path / "image.jpg"
    image.write_bytes(b"image")
    recipe = ROOT / "recipes" / "serving_client.py"
    model = [] if any("--model=" in flag for flag in flags) else ["--model=m"]
    assert words in mistaken(recipe, tmp_path, *model, *flags, str(image))


def test_files_that_cannot_be_sent(tmp_path, mistaken):
    recipe = ROOT / "recipes" / "serving_client.py"
    (tmp_path / "empty.jpg").touch()
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**40)
    for name, words in [
        ("none.jpg", "there is no file"),
        (".", "is a directory"),
        ("empty.jpg", "is empty"),
        ("huge.jpg", "the limit is"),
        ("/dev/zero", "is not a regular file"),
    ]:
        assert words in mistaken(recipe, tmp_path, "--model=m", str(tmp_path / name))
    assert "no images" in mistaken(recipe, tmp_path, "--model=m")
