"""Recognises the format of a weights file by its content, and checks the file before a model is built."""

import contextlib
import pathlib
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator

from kapps.weights import _hdf5_files, _safetensors_files, _torch_files, _zip_files
from kapps.weights._messages import as_value_errors

HDF5, KERAS, SAFETENSORS, ARCHIVE, SEQUENCE = (
    "an HDF5 file",
    "a .keras file",
    "a .safetensors file",
    "a PyTorch file",
    "a PyTorch file before version 1.6",
)
STATE_DICTS = {
    SAFETENSORS: _safetensors_files.read_arrays,
    ARCHIVE: _torch_files.read_archive,
    SEQUENCE: _torch_files.read_sequence,
}
"""Functions that return the content of a file with a state dict, whose tensors are not read yet."""
WEIGHTS = "model.weights.h5"
"""Name of the weights in a `.keras` file, which is a zip archive."""
READABLE = (
    "readable are .weights.h5, .keras, .h5, .safetensors and PyTorch's files with a state dict"
)
LARGEST = 2**33
"""Bytes of a file: more than a checkpoint of the largest network has."""

OTHERS = {
    b"\x80": "a pickle, but not of PyTorch",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"BZh": "a bzip2 archive: unpack it first",
    b"\xfd7zXZ": "an xz archive: unpack it first",
    b"\x93NUMPY": "a NumPy array",
    b"<": "an HTML or XML page: the download has failed",
    b"version https://git-lfs": "a pointer of Git LFS: download the file itself",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"{": "a JSON file",
}
"""First bytes of other files that are passed as weights by mistake."""


def recognise(path: pathlib.Path) -> str:
    """Returns the format of a file, by its content.

    Raises:
        ValueError: for any other file, with what it is.
    """
    with open(path, "rb") as file:
        start = file.read(512)
        size = path.stat().st_size
    if not start:
        raise ValueError("it is empty")
    if size > LARGEST:
        raise ValueError(f"it has {size:,} bytes, and a weights file at most {LARGEST:,}")
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return HDF5
    if start.startswith(b"PK"):
        return _recognise_archive(path)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < size:
        return SAFETENSORS
    if _torch_files.MAGIC.to_bytes(10, "little") in start[:40]:
        return SEQUENCE
    what = next((what for first, what in OTHERS.items() if start.startswith(first)), None)
    if start[4:8] == b"TFL3":
        what = "a .tflite model"
    elif what is None and tarfile.is_tarfile(path):
        what = "a tar archive, as PyTorch before 0.1.10 wrote: unpack it, or save it again with PyTorch"
    raise ValueError(f"it is {what or 'corrupt or of an unknown format'}; {READABLE}")


def _recognise_archive(path):
    _zip_files.check_zip_file(path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if WEIGHTS in names:
        return KERAS
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return ARCHIVE
    if any(name.endswith(".npy") for name in names):
        raise ValueError(f"it is an .npz file of NumPy; {READABLE}")
    raise ValueError(f"it is a zip archive without {WEIGHTS} or data.pkl; {READABLE}")


def check_file(path: pathlib.Path) -> str:
    """Returns the format of a file, after a check of its structure, its declared sizes and its checksums.

    Zip archives (`.keras` and PyTorch's files) have a checksum of each part. HDF5 and `.safetensors` declare only their
    lengths.

    Raises:
        ValueError: with the reason, without the file's name.
    """
    with as_value_errors():
        kind = recognise(path)
        if kind in STATE_DICTS:
            STATE_DICTS[kind](path)
        else:
            with hdf5_path(path, kind) as extracted:
                _hdf5_files.check_hdf5_file(extracted)
    return kind


@contextlib.contextmanager
def hdf5_path(path: pathlib.Path, kind: str) -> Iterator[pathlib.Path]:
    """Yields the path of the HDF5 file, which is a part of a `.keras` file."""
    if kind != KERAS:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
        yield pathlib.Path(archive.extract(WEIGHTS, folder))
