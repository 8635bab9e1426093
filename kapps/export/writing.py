"""Files written from a model through `keras.Model.export`: whole, or not at all."""

import contextlib
import os
import pathlib
import re
import shutil
import tempfile

import keras
import tensorflow as tf

from kapps.cards import Preprocessing
from kapps.export import network
from kapps.export.quiet import quiet

# Variables left in a .tflite file mean that weights are missing: it converts, and answers NaN.
_REFUSED = ("CUSTOM", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")


def saved_model(
    model: keras.Model,
    directory: str | os.PathLike,
    *,
    preprocessing: Preprocessing | None = None,
) -> pathlib.Path:
    """Writes `model` as a TensorFlow SavedModel, laid out for TensorFlow Serving.

    The model is rebuilt in float32 and traced with training off. The signature `serving_default`
    takes `image`, float32 [batch, height, width, channels] with any batch, and gives
    `probabilities` where the last layer ends in softmax or sigmoid, else `logits`; outputs that
    come in a dictionary keep its names, other several outputs have those of their layers.

    Args:
        model: a functional or sequential model of one such input, under any precision policy.
        directory: holds `<model.name>/<n>/`, n one above the highest there; made where missing.
        preprocessing: where given, `image` is raw pixels in [0, 255], at the size the model takes.

    Returns:
        The new `<directory>/<model.name>/<n>`: it appears whole or not at all, in place of none.

    Raises:
        ValueError: for a model that cannot be exported, or a directory that cannot be written.
    """
    exported = network.serving(model, preprocessing)
    signature = _signature(exported, batch=None)
    network.refuse_random(exported, signature)
    versions = _local(directory) / model.name
    with _beside(versions) as aside:
        written = aside / "version"
        with quiet():
            exported.export(
                str(written), "tf_saved_model", verbose=False, input_signature=[signature]
            )
        _flush(written)
        while True:
            path = versions / str(_next_version(versions))
            try:
                os.rename(written, path)
                break
            except OSError:
                # Another process may have taken the number since; any other fault is a fault.
                if not path.exists():
                    raise
        _sync(versions)
    return path


def litert(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    preprocessing: Preprocessing | None = None,
    batch_size: int = 1,
) -> pathlib.Path:
    """Writes `model` as a LiteRT (TFLite) file: float32, static shapes, builtin operations.

    The model is rebuilt in float32 and traced with training off; names as in `saved_model`.

    Args:
        model: a functional or sequential model of one input [batch, height, width, channels] of
            known size, under any precision policy.
        path: a local path ending in ".tflite"; a file there is replaced once the new one is whole.
        preprocessing: where given, `image` is raw pixels in [0, 255], at the size the model takes.
        batch_size: pictures a call, at least 1; phones want 1.

    Returns:
        `path`.

    Raises:
        ValueError: for a model that cannot be exported or needs operations that LiteRT lacks, or a
            path that cannot be written.
    """
    path = _local(path)
    if path.suffix != ".tflite" or path.is_dir():
        raise ValueError(f"{path} is not a path of a .tflite file")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size is a whole number from 1, not {batch_size!r}")
    exported = network.serving(model, preprocessing)
    if None in exported.input_shape[1:]:
        raise ValueError(
            f"{model.name} takes {exported.input_shape[1:]}; a LiteRT file needs a fixed size, "
            "so build the model with input_shape=(height, width, channels)"
        )
    signature = _signature(exported, batch=batch_size)
    network.refuse_random(exported, signature)
    with _beside(path.parent) as aside:
        written = aside / path.name
        try:
            with quiet():
                exported.export(
                    str(written),
                    "litert",
                    verbose=False,
                    input_signature=[signature],
                    # Keras lets TensorFlow's own operations in, and no stock interpreter runs them.
                    target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
                )
        except Exception as error:
            if type(error).__name__ != "ConverterError":
                raise
            raise ValueError(
                f"{model.name} does not convert to LiteRT: {_lacking(str(error))}"
            ) from error
        refused = [name for name in operations(written) if name.startswith(_REFUSED)]
        if refused:
            raise ValueError(f"{model.name} converts to LiteRT only with {', '.join(refused)}")
        _flush(written)
        os.replace(written, path)
        _sync(path.parent)
    return path


def operations(path: str | os.PathLike) -> list[str]:
    """Returns the sorted names of a .tflite file's operations, "CUSTOM:Name" if not built in."""
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    model = schema.Model.GetRootAs(pathlib.Path(path).read_bytes(), 0)
    found = set()
    for code in map(model.OperatorCodes, range(model.OperatorCodesLength())):
        # Old files hold the number in the deprecated field, a byte wide.
        name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        found.add(f"CUSTOM:{code.CustomCode().decode()}" if name == "CUSTOM" else name)
    return sorted(found)


def _signature(exported, batch):
    return tf.TensorSpec((batch, *exported.input_shape[1:]), tf.float32, name=network.IMAGE)


def _local(path) -> pathlib.Path:
    if "://" in os.fspath(path):
        raise ValueError(f"{path} is not a local path: write locally, then copy the whole")
    return pathlib.Path(path)


def _next_version(versions: pathlib.Path) -> int:
    return 1 + max((int(p.name) for p in versions.iterdir() if p.name.isdecimal()), default=0)


@contextlib.contextmanager
def _beside(folder: pathlib.Path):
    """Yields a new directory in `folder`, hence in its file system, which is gone afterwards.

    Directories that had to be made for it go too where nothing was moved into them.
    """
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    aside = None
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            aside = pathlib.Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
        except OSError as error:
            raise ValueError(f"{folder} cannot be written: {error.strerror}") from error
        yield aside
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
        for made in missing:
            with contextlib.suppress(OSError):
                made.rmdir()


def _flush(written: pathlib.Path) -> None:
    """Has the disk hold a file, or all below a directory, before a name points at it."""
    for path in [written, *written.rglob("*")]:
        _sync(path)


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lacking(message: str) -> str:
    """Returns the operations that a converter's many lines complain of, else their first line."""
    found = re.findall(r"TF (?:Select|Custom) ops: (.*)", message)
    found += re.findall(r"'tf\.(\w+)' op", message)
    names = sorted({name.strip() for line in found for name in line.split(",")})
    return f"no builtin operation for {', '.join(names)}" if names else message.splitlines()[0]
