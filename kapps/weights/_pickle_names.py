"""The functions and classes that the pickle of a checkpoint may name.

None of them is imported or called. Those that make tensors are carried out by `_pickle_reader.py`; the others stand for
values without content.
"""

import dataclasses

from kapps.weights._messages import printable

STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
TENSORS = ("_rebuild_tensor", "_rebuild_tensor_v2")
"""Functions in `torch._utils` of a storage, an offset, a size and strides; the first before PyTorch 0.4."""
PARAMETERS = ("_rebuild_parameter", "_rebuild_parameter_with_state")
DICTIONARIES = ("OrderedDict", "defaultdict", "Counter")
IGNORED_NAMES = {
    "argparse.Namespace", "types.SimpleNamespace", "copyreg._reconstructor", "copy_reg._reconstructor",
    "builtins.dict", "builtins.list", "builtins.set", "builtins.object", "builtins.int", "builtins.float",
    "builtins.str", "builtins.bool", "builtins.slice", "builtins.complex", "builtins.bytearray",
    "__builtin__.dict", "__builtin__.list", "__builtin__.set", "__builtin__.object", "__builtin__.int",
    "__builtin__.float", "__builtin__.str", "__builtin__.unicode", "__builtin__.bool", "__builtin__.long",
    "collections.deque", "pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath",
    "datetime.datetime", "datetime.timedelta", "datetime.date", "_codecs.encode", "uuid.UUID", "decimal.Decimal",
    "torch.device", "torch.Size", "torch._utils._rebuild_device_tensor_from_numpy",
    "numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.scalar", "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar", "numpy._core.multiarray._reconstruct",
}  # fmt: skip
"""Names of values that trainers keep next to the weights."""
IGNORED_PACKAGES = (
    "pytorch_lightning", "lightning", "lightning_fabric", "omegaconf", "yacs", "mmengine", "mmcv", "timm",
    "ml_collections", "fvcore", "torch.optim", "torch.amp", "torch.cuda.amp", "numpy.dtypes", "numpy.random",
)  # fmt: skip
"""Packages whose classes trainers keep next to the weights: settings, callbacks, schedules."""
DTYPES = ("float", "int", "uint", "bfloat", "complex", "bool", "long", "half", "double")
"""First letters of PyTorch's types, such as `torch.float32`, which a pickle names as it does functions."""


class UnsafePickleError(ValueError):
    """A pickle names something other than dictionaries, tensors and trainers' settings."""

    def __init__(self, name: str):
        super().__init__(
            f"its pickle names {printable(name)}, which is not a tensor and could run any code; "
            "save the model's state_dict() on its own"
        )


@dataclasses.dataclass(frozen=True)
class Name:
    """A function or class that a pickle names."""

    module: str
    name: str

    def __str__(self):
        return f"{self.module}.{self.name}"


def find_name(module: str, name: str) -> Name:
    """Returns a name that a pickle may have, and raises `UnsafePickleError` for another."""
    full = f"{module}.{name}"
    if not (
        full in IGNORED_NAMES
        or (module == "collections" and name in DICTIONARIES)
        or (module == "torch._utils" and name in (*TENSORS, *PARAMETERS))
        or (module == "torch" and (name in STORAGES or name.startswith(DTYPES)))
        or (module == "torch.storage" and name in STORAGES)
        or any(f"{module}.".startswith(f"{package}.") for package in IGNORED_PACKAGES)
    ):
        raise UnsafePickleError(full)
    return Name(module, name)
