"""Zip archives, which `.keras` files and PyTorch's files are: what they declare, and their checksums."""

import os
import pathlib
import struct
import zipfile

from kapps.weights._messages import printable

SPARE = 2**24
"""Bytes that a file may unpack to in addition to four times its size."""
LARGEST_DIRECTORY = 2**22
"""Bytes of the list of an archive's parts: 40,000 parts."""
READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
END, END64, PLACE64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
"""First bytes of the end of an archive, of the longer end of a large one, and of the place of the latter."""


def check_zip_file(path: pathlib.Path) -> None:
    """Checks the declared sizes and the checksums of an archive.

    Raises:
        ValueError: with the reason, without the file's name.
    """
    size = path.stat().st_size
    _check_directory(path, size)
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        names = [part.filename for part in parts]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"it has two parts called {printable(twice)}")
        unpacked = sum(part.file_size for part in parts)
        if unpacked > 4 * size + SPARE:
            raise ValueError(f"its {size:,} bytes unpack to {unpacked:,} bytes")
        if sum(part.compress_size for part in parts) > size:
            raise ValueError("its parts overlap")
        for part in parts:
            _check_part(archive, part)


def _check_part(archive, part):
    """Reads a part, which compares its checksum."""
    name = printable(part.filename)
    if part.compress_type not in READABLE or part.flag_bits & 1:
        raise ValueError(f"{name} is encrypted, or compressed by another method than deflate")
    try:
        with archive.open(part) as file:
            while file.read(2**20):
                pass
    except Exception as error:  # corrupt compressed data may raise any error
        raise ValueError(f"the checksum of {name} is wrong") from error


def _check_directory(path, size):
    """Raises ValueError for a list of parts that takes long to read. Zip files end in the list and its size."""
    with open(path, "rb") as file:
        file.seek(-min(size, 2**16 + 22 + 20), os.SEEK_END)
        ending = file.read()
        place = ending.rfind(END)
        if place < 0 or len(ending) < place + 22:
            raise ValueError("it has no list of parts at its end")
        (directory,) = struct.unpack("<I", ending[place + 12 : place + 16])
        if place >= 20 and ending[place - 20 : place - 16] == PLACE64:
            file.seek(min(size, struct.unpack("<Q", ending[place - 12 : place - 4])[0]))
            end = file.read(56)
            if len(end) == 56 and end[:4] == END64:
                (directory,) = struct.unpack("<Q", end[40:48])
    if directory > LARGEST_DIRECTORY:
        raise ValueError(f"the list of its parts has {directory:,} bytes")


def data_offset(path: pathlib.Path, part: zipfile.ZipInfo) -> int:
    """Returns the place in an archive of the first byte of a part that is not compressed."""
    with open(path, "rb") as file:
        file.seek(part.header_offset + 26)
        return part.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
