"""Classifies images with TensorFlow Serving: the client for the server of `saved_models/serve.sh`.

    python recipes/serving_client.py --model=resnet50 daisy.jpg rose.png
    python recipes/serving_client.py --model=resnet50 --protocol=grpc --server=localhost:8500 daisy.jpg

The client sends JPEG or PNG files unchanged to the signature `serve_bytes`, which decodes, resizes and normalises
them as the evaluation does. The causes of two frequent errors of the server:

- "JSON Value: "..." Type: String is not of expected type: ...", or an image that cannot be decoded: in REST, bytes
  are base64 in an object, {"b64": "..."}; a plain string is text. In gRPC, bytes are sent unchanged.
- "... incompatible with the signature ... Actual shape ...": `serving_default` takes a batch (n, height, width, 3) of
  the size of the exported model, for one image too; `serve_bytes` takes n files of images of any size.

Source: tensorflow.org/tfx/serving/api_rest, and the messages of tensorflow-serving-api.
"""

import functools
import os
import pathlib
import re
import stat
import sys

from absl import app, flags
from common.serving_outputs import ResponseError, describe_row, printable
from common.serving_requests import RequestError, Server, request_grpc, request_rest

from kapps.training.flag_parsing import parse_or_exit
from kapps.training.flag_types import define_positive

MAX_IMAGE_BYTES, MAX_REQUEST_BYTES = 2**26, 2**28
ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+):(?P<port>[0-9]{1,5})", re.ASCII)

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "name of the model on the server", required=True)
flags.DEFINE_integer("version", None, "version of the model [the newest]", lower_bound=1)
flags.DEFINE_enum("protocol", "rest", ["rest", "grpc"], "protocol of the request")
flags.DEFINE_string("server", None, "host:port [localhost:8501; grpc localhost:8500]")
define_positive("timeout", 60, "seconds for the complete request", 86_400)


def read_server():
    """Returns the server of the flags; raises RequestError for an address that is not host:port."""
    address = FLAGS.server
    if address is None:
        address = {"rest": "localhost:8501", "grpc": "localhost:8500"}[FLAGS.protocol]
    match = ADDRESS.fullmatch(address)
    if match is None or not 1 <= int(match["port"]) < 2**16:
        raise RequestError(
            f"--server={address} is not host:port, such as localhost:8501 (no scheme, a port from 1 to 65535)"
        )
    if not FLAGS.model.strip():
        raise RequestError("--model= is empty: pass the name of a model on the server")
    host = match["host"]
    return Server(host, int(match["port"]), FLAGS.model, FLAGS.version, FLAGS.timeout)


def read_images(files):
    """Returns the contents of image files; raises RequestError for a file that cannot be sent."""
    if not files:
        raise RequestError("no images: give their files after the flags")
    images, total = [], 0
    for file in files:
        path = pathlib.Path(file)
        try:
            status = path.stat()
            size = status.st_size
            if stat.S_ISDIR(status.st_mode):
                raise RequestError(f"{file} is a directory: give image files")
            if not stat.S_ISREG(status.st_mode):
                raise RequestError(f"{file} is not a regular file")
            if size > MAX_IMAGE_BYTES:
                raise RequestError(f"{file} has {size:,} bytes; the limit is {MAX_IMAGE_BYTES:,}")
            total += size
            if total > MAX_REQUEST_BYTES:
                raise RequestError(
                    f"the images have more than {MAX_REQUEST_BYTES:,} bytes: send fewer in one request"
                )
            images.append(path.read_bytes())
        except FileNotFoundError as error:
            raise RequestError(f"there is no file {file}") from error
        except (OSError, ValueError) as error:  # ValueError: a name with NUL
            reason = getattr(error, "strerror", None) or error
            raise RequestError(f"{file} cannot be read: {reason}") from error
        if not images[-1]:
            raise RequestError(f"{file} is empty")
    return images


def main(arguments):
    files = arguments[1:]
    server = read_server()
    images = read_images(files)
    request = {"rest": request_rest, "grpc": request_grpc}[FLAGS.protocol]
    outputs = request(server, images)
    try:
        rows = [describe_row(outputs, row) for row in range(len(files))]
    except ResponseError as error:
        raise RequestError(f"{server} returned no predictions of images: {error}") from error
    for name, row in zip(files, rows, strict=True):
        print(f"{printable(name)}: {row}")
    if sys.stdout:
        sys.stdout.flush()


def run(arguments):
    """Runs `main`, and prints an error on one line."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.reconfigure(errors="backslashreplace")  # a label that the terminal cannot show
    try:
        main(arguments)
    except RequestError as error:
        sys.exit(f"serving_client.py: {printable(str(error))}")
    except KeyboardInterrupt:
        print("serving_client.py: interrupted", file=sys.stderr)
        sys.exit(130)
    except MemoryError:
        sys.exit("serving_client.py: not enough memory for the request or its response")
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes
        if not isinstance(error, BrokenPipeError):  # the reader of a pipe has closed it
            sys.exit(f"serving_client.py: cannot write the predictions: {error.strerror}")


parse_flags = functools.partial(parse_or_exit, arguments="images")

if __name__ == "__main__":
    app.run(run, flags_parser=parse_flags)
