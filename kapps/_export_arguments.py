"""The arguments of the commands that write, verify and show exported files: `kapps export`, `verify` and `demo`."""

from kapps._arguments import integer, number, output_path, path

PREPROCESSING = (
    "of a .keras file that does not record it: imagenet, inception, cifar10, digits, caffe, tf, torch, unit, none, or "
    "a builder's name"
)
OUTPUT = "write to FILE, or to standard output"


def add_export(command):
    """Adds the arguments of `kapps export`."""
    command.add_argument(
        "model", type=path, metavar="MODEL", help="a builder's name or a .keras file"
    )
    command.add_argument(
        "directory", type=path, metavar="DIRECTORY",
        help="where to write <name>/<version>, and the .tflite files next to it",
    )  # fmt: skip
    command.add_argument(
        "--weights", type=path, help='of a builder: "imagenet" (downloaded once) or a weights file'
    )
    command.add_argument(
        "--tflite", action="append", default=[], metavar="PRECISION",
        help="also a .tflite file: float32, float16, dynamic, int8 or int16; may be repeated",
    )  # fmt: skip
    command.add_argument(
        "--tflite_in_saved_model",
        action="store_true",
        help="also model.tflite in the version, for TensorFlow Serving's --prefer_tflite_model",
    )
    command.add_argument("--labels", type=path, metavar="FILE", help="class names, one a line")
    command.add_argument("--preprocessing", metavar="NAME", help=PREPROCESSING)
    command.add_argument("--dataset", help="a TFDS name, or digits: the files are verified on it")
    command.add_argument(
        "--data_dir", type=path, help="class folders, TFRecord shards, or TFDS's data directory"
    )
    command.add_argument(
        "--images", type=integer(1, 10**6), default=256,
        help="number of images to verify on, and to calibrate int8 and int16 with [256]",
    )  # fmt: skip


def add_verify(command):
    """Adds the arguments of `kapps verify`."""
    command.add_argument("file", type=path, help="a SavedModel's directory or a .tflite file")
    command.add_argument(
        "--model", type=path, required=True, help="the .keras file that was exported"
    )
    command.add_argument("--dataset", help="a TFDS name, or digits")
    command.add_argument(
        "--data_dir", type=path, help="class folders, TFRecord shards, or TFDS's data directory"
    )
    command.add_argument("--inputs", type=path, metavar="FILE.npy", help="sequences or tokens")
    command.add_argument("--preprocessing", metavar="NAME", help=PREPROCESSING)
    command.add_argument(
        "--images", type=integer(1, 10**6), default=256, help="number of images [256]"
    )
    command.add_argument(
        "--difference", type=number(0, 1e6), help="largest difference allowed in float32 [1e-4]"
    )
    command.add_argument(
        "--agreement", type=number(0, 1), help="least top-1 agreement in other precisions [0.98]"
    )
    command.add_argument(
        "--json", type=output_path, nargs="?", const="-", metavar="FILE", help=OUTPUT
    )
    command.add_argument(
        "--trust",
        action="store_true",
        help="run a SavedModel that reads or writes files, and any file without limits",
    )


def add_demo(command):
    """Adds the arguments of `kapps demo`."""
    command.add_argument("file", type=path, help="a .tflite file")
    command.add_argument("--port", type=integer(0, 65535), default=0, help="port [any free port]")
    command.add_argument(
        "--trust", action="store_true", help="do not run the file once before it is served"
    )
