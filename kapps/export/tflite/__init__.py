"""LiteRT (TFLite) files for phones and browsers: static shapes, builtin operations, any of five precisions."""

import csv
import functools
import math
import os
import pathlib
import re
import tempfile
from collections.abc import Sequence

import keras
import numpy as np

from kapps._files import flush, sync
from kapps.cards import Preprocessing, nearest
from kapps.export import _float32 as rebuilding
from kapps.export import _inputs as inputs
from kapps.export import inference_model as network
from kapps.export._paths import folder_for, local
from kapps.export.tflite import _converter as converter
from kapps.export.tflite import _metadata as metadata

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16")
CALIBRATED = ("int8", "int16")
"""Those that need images: the ranges of all activations are fixed by what they reach."""

_HEAVY = (3, 4, 9, 67)  # CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, TRANSPOSE_CONV

# Variables left in a .tflite file mean that weights are missing: it converts, and answers NaN.
_REFUSED = ("CUSTOM", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")


def tflite(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    preprocessing: Preprocessing | None = None,
    precision: str = "float32",
    calibration: np.ndarray | dict[str, np.ndarray] | None = None,
    class_names: Sequence[str] | None = None,
    batch_size: int = 1,
    length: int | None = None,
    vocabulary: Sequence[str] | None = None,
    float_operations: Sequence[str] = (),
) -> pathlib.Path:
    """Writes `model` as a LiteRT (TFLite) file: static shapes, builtin operations.

    The model is rebuilt in float32, traced with training off, and its batch norms are folded; names
    as in `saved_model`. Input and output are float32 in every precision, but for tokens, which are int32.

    Args:
        model: a functional or sequential model of such inputs as `saved_model` takes, under any precision
            policy; images of known size.
        path: a local path ending in ".tflite"; a file there is replaced once the new one is whole.
        preprocessing: where given, `image` is raw pixels in [0, 255], at the size the model takes.
        precision: "float32"; "float16" weights, half the size; "dynamic", int8 weights and float32
            activations, a quarter; "int8", both, a quarter and the fastest; "int16", int8 weights and
            int16 activations, for what int8 costs too much accuracy, slow on most CPUs.
        calibration: for int8 and int16, images [n, height, width, channels] as the file takes
            them, a hundred or more from the evaluation pipeline, of all classes; of a model of several inputs, a
            dictionary of such arrays.
        class_names: a name for each class, without line ends. They, the input's range and its
            colours are in the file's metadata, for MediaPipe and Android's tools.
        batch_size: images or sequences a call, at least 1; phones want 1.
        length: steps of a sequence, where the model leaves them open; shorter ones are padded on the right.
        vocabulary: of a model of tokens, the token of each number; it is in the file's metadata.
        float_operations: for int8, the operations that stay in float32, by LiteRT's names: "BATCH_MATMUL", "SOFTMAX".

    Returns:
        `path`.

    Raises:
        ValueError: for a model that cannot be exported or needs operations that LiteRT lacks, a
            path that cannot be written, options that do not go together, or a converter that crashes.
    """
    path = local(path)
    if path.suffix != ".tflite" or path.is_dir():
        raise ValueError(f"{path} is not a path of a .tflite file")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size is a whole number from 1, not {batch_size!r}")
    exported = network.serving(model, preprocessing, whole=precision in CALIBRATED)
    what = _closed(exported, length, vocabulary)
    class_names = network.class_names(exported, class_names)
    images = _calibration(exported, what, precision, calibration, batch_size)
    if float_operations and precision != "int8":
        raise ValueError(f"precision={precision!r} takes no float_operations; int8 does")
    with folder_for(path.parent) as aside:
        written = aside / path.name
        floats = list(float_operations)
        _convert(exported, what, written, precision, images, batch_size, floats=floats)
        refused = [name for name in operations(written) if name.startswith(_REFUSED)]
        if refused:
            raise ValueError(f"{model.name} converts to LiteRT only with {', '.join(refused)}")
        content = metadata.add(
            written.read_bytes(), model.name, preprocessing, class_names, vocabulary
        )
        written.write_bytes(content)
        flush(written)
        os.replace(written, path)
        sync(path.parent)
    return path


def _closed(exported, length, vocabulary) -> inputs.Taken | inputs.Several:
    """Returns what the file takes, every size a number."""
    what = inputs.taken(exported)
    if vocabulary is not None and what.name != inputs.TOKENS:
        raise ValueError(f"{exported.name} takes {what.name}, and a vocabulary is of tokens")
    if what.name == inputs.IMAGE:
        if length is not None:
            raise ValueError(f"{exported.name} takes images, which have no length")
        if None in what.shape:
            raise ValueError(
                f"{exported.name} takes {what.shape}; a LiteRT file needs a fixed size, "
                "so build the model with input_shape=(height, width, channels)"
            )
        return what
    if length is not None and (not isinstance(length, int) or length < 1):
        raise ValueError(f"length is a whole number from 1, not {length!r}")
    if (None in what.shape) == (length is None):
        raise ValueError(
            f"{exported.name} takes {what.shape}; a LiteRT file needs a fixed length, "
            + ("so give length=" if length is None else f"and that is no length={length}")
        )
    return what.closed(length)


def _convert(
    exported, what, written, precision, images, batch_size, *, debug=False, floats=()
) -> None:
    """Hands a network, through a SavedModel of static shapes, to the converter's process."""
    network.refuse_random(exported, batch_size)
    folder = written.parent
    network.write(
        {"serving_default": (functools.partial(exported, training=False), what.spec(batch_size))},
        folder / "static",
    )
    if images is not None:
        several = images if isinstance(images, dict) else {what.name: images}
        np.savez(folder / "calibration.npz", **several)
    job = {
        "saved_model": str(folder / "static"),
        "path": str(written),
        "precision": precision,
        "calibration": str(folder / "calibration.npz"),
        "debug": debug,
        "floats": list(floats),
    }
    try:
        converter.run(job)
    except ValueError as error:
        raise ValueError(f"{exported.name} does not convert to LiteRT: {error}") from error


def _calibration(exported, what, precision, images, batch_size) -> np.ndarray | None:
    """Returns the images that settle the ranges of activations, where the precision wants any."""
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}.{nearest(str(precision), PRECISIONS)}"
        )
    if precision not in CALIBRATED:
        if images is not None:
            raise ValueError(
                f"precision={precision!r} takes no calibration; {' and '.join(CALIBRATED)} do"
            )
        return None
    if images is None:
        raise ValueError(
            f"precision={precision!r} needs calibration: a hundred images or more, as the file takes them"
        )
    if batch_size != 1:
        raise ValueError(f"precision={precision!r} is for batch_size=1, not {batch_size}")
    looped = [name for name, layer in rebuilding.layers(exported).items() if loops(layer)]
    if looped:
        raise ValueError(
            f"precision={precision!r}: the converter measures no ranges inside a recurrent layer's loop "
            f"({looped[0]}); float32, float16 and dynamic do, and so does unroll=True"
        )
    images = keras.tree.map_structure(np.asarray, images)
    if not what.fits(images):
        given = keras.tree.map_structure(lambda array: list(array.shape), images)
        raise ValueError(f"calibration is {given}, and {exported.name} takes {what}")
    return what.typed(images)


def loops(layer) -> bool:
    """Whether a layer, or the one in it, becomes a loop of the file."""
    if isinstance(layer, keras.layers.Bidirectional):
        layer = layer.forward_layer
    return isinstance(layer, keras.layers.RNN) and not layer.unroll


def losses(
    model: keras.Model,
    calibration: np.ndarray,
    *,
    preprocessing: Preprocessing | None = None,
    precision: str = "int8",
) -> list[tuple[str, float]]:
    """Returns what each operation loses by quantisation, the worst first.

    Args:
        model: as for `tflite`.
        calibration: as for `tflite`; its images are also what is measured on.
        preprocessing: as for `tflite`.
        precision: "int8" or "int16".

    Returns:
        [(the layer's name; root mean square error of its output, its inputs being right, in steps of
        its quantisation)]. Rounding alone is 0.29.
    """
    if precision not in CALIBRATED:
        raise ValueError(f"precision={precision!r}: only {' and '.join(CALIBRATED)} are measured")
    exported = network.serving(model, preprocessing, whole=True)
    what = _closed(exported, None, None)
    images = _calibration(exported, what, precision, calibration, 1)
    with tempfile.TemporaryDirectory() as folder:
        written = pathlib.Path(folder, "losses.csv")
        _convert(exported, what, written, precision, images, 1, debug=True)
        with open(written, newline="") as file:
            rows = [
                (row["tensor_name"], float(row["mean_squared_error"]), float(row["scale"]))
                for row in csv.DictReader(file)
            ]
    layers = rebuilding.layers(exported)
    found = {}
    for name, error, scale in rows:
        parts = (re.sub(r"_\d+$", "", part) for part in reversed(name.split(";")[0].split("/")))
        layer = next((part for part in parts if part in layers), name)
        if scale > 0:
            found[layer] = max(found.get(layer, 0.0), math.sqrt(error) / scale)
    return sorted(found.items(), key=lambda pair: -pair[1])


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


def precision(path: str | os.PathLike) -> str:
    """Returns which of `PRECISIONS` a .tflite file is in, by the tensors of its heavy operations."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(pathlib.Path(path).read_bytes(), 0)
    kinds = {value: name for name, value in vars(schema.TensorType).items()}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    pairs, held = set(), set()
    for graph in model.subgraphs:
        held |= {kinds[tensor.type] for tensor in graph.tensors}
        for operation in graph.operators or ():
            if codes[operation.opcodeIndex] in _HEAVY:
                first, second = (graph.tensors[i] for i in operation.inputs[:2])
                pairs.add((kinds[first.type], kinds[second.type]))
    found = {kind for pair in pairs for kind in pair}
    if "INT16" in found:
        return "int16"
    if ("INT8", "INT8") in pairs:
        return "int8"
    if "INT8" in found:
        return "dynamic"
    return "float16" if "FLOAT16" in held else "float32"
