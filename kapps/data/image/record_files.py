"""TFRecord files: compression, and the lengths of their records, checked before anything is read.

A record is its length (uint64), the checksum of the length, the content, and the checksum of the content. The file may
be compressed by GZIP or ZLIB as a whole, whatever its name is.
"""

import dataclasses
import functools
import io
import os
import struct
import zlib
from typing import BinaryIO

import numpy as np
import tensorflow as tf

from kapps.data.errors import DataError

MAX_RECORD_BYTES = 2**28
"""Largest size of a record."""
_HEADER = struct.Struct("<QI")  # length, and its checksum
_CRC = 4  # bytes of the checksum after the content of a record
_GZIP = b"\x1f\x8b"
_CHUNK = 2**18
_ADVICE = "write or download it again"


@dataclasses.dataclass(frozen=True)
class RecordFile:
    """A TFRecord file whose records have valid lengths.

    Args:
        path: path of the file.
        compression: "", "GZIP" or "ZLIB", as `tf.data.TFRecordDataset` takes it.
        records: number of records.
        bytes: size of the records after decompression.
    """

    path: str
    compression: str
    records: int
    bytes: int

    def dataset(self) -> tf.data.Dataset:
        """Returns a dataset of the serialized records, string []."""
        return tf.data.TFRecordDataset(self.path, self.compression)


def inspect_records(path: str | os.PathLike) -> RecordFile:
    """Returns the compression and the number of records of a TFRecord file.

    Only the lengths of the records and their checksums are read, unless the file is compressed.

    Raises:
        DataError: the file cannot be opened, is not a TFRecord file, is truncated, or has a record whose length is
            corrupt or more than `MAX_RECORD_BYTES`. The message names the record.
    """
    path = os.fspath(path)
    try:
        status = os.stat(path)
        return _inspect(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise DataError(f"shard {path} cannot be read: {error.strerror or error}") from None


def record_places(path: str | os.PathLike) -> np.ndarray:
    """Returns where the content of each record of an uncompressed TFRecord file is, int64 [records, 2].

    Returns:
        (first byte, number of bytes) of each record.
    """
    places, position = [], 0
    with open(path, "rb") as file:
        while header := file.read(_HEADER.size):
            length = _HEADER.unpack(header)[0]
            places.append((position + _HEADER.size, length))
            position += _HEADER.size + length + _CRC
            file.seek(position)
    return np.array(places, np.int64).reshape(-1, 2)


@functools.lru_cache(maxsize=4096)
def _inspect(path: str, size: int, modified: int) -> RecordFile:  # noqa: ARG001  # keys of the cache
    with open(path, "rb") as file:
        compression = _compression(file.read(_HEADER.size))
        file.seek(0)
        if compression is None:
            raise DataError(
                f"shard {path} cannot be read: it is truncated or not a TFRecord file; {_ADVICE}"
            )
        stream = io.BufferedReader(_Inflater(file), _CHUNK) if compression else file
        try:
            records, position = _count(path, stream, None if compression else size)
        except EOFError:
            raise DataError(
                f"shard {path} cannot be read: it is compressed ({compression}) and truncated; {_ADVICE}"
            ) from None
        except zlib.error as error:
            raise DataError(
                f"shard {path} cannot be read: it is compressed ({compression}) and corrupt ({error});"
                f" {_ADVICE}"
            ) from None
    return RecordFile(path, compression, records, position)


def _compression(start: bytes) -> str | None:
    """Returns the compression of a file by its first bytes, or `None` if it is not a TFRecord file."""
    if not start:
        return ""
    if len(start) == _HEADER.size and _is_length(start):
        return ""
    if start.startswith(_GZIP):
        return "GZIP"
    is_zlib = len(start) > 1 and start[0] & 15 == 8 and int.from_bytes(start[:2], "big") % 31 == 0
    return "ZLIB" if is_zlib else None


def _count(path: str, stream: BinaryIO, size: int | None) -> tuple[int, int]:
    """Returns the number of records and their bytes.

    Args:
        path: of the file, for errors.
        stream: the records. Its bytes are skipped by `seek` if `size` is known, and else read.
        size: number of bytes.
    """
    count = position = 0
    while header := stream.read(_HEADER.size):
        problem = None
        if len(header) < _HEADER.size:
            problem = "the file is truncated"
        elif not _is_length(header):
            problem = "its length is corrupt" if count else "the file is not a TFRecord file"
        else:
            length = _HEADER.unpack(header)[0]
            position += _HEADER.size + length + _CRC
            if size is not None and position > size:
                problem = f"it has {length:,} bytes and the file is truncated"
            elif length > MAX_RECORD_BYTES:
                problem = f"it has {length:,} bytes, and kapps reads at most {MAX_RECORD_BYTES:,}"
            elif size is not None:
                stream.seek(position)
            elif not _skip(stream, length + _CRC):
                problem = f"it has {length:,} bytes and the file is truncated"
        if problem:
            raise DataError(f"shard {path} cannot be read: record {count:,}: {problem}; {_ADVICE}")
        count += 1
    return count, position


def _skip(stream: BinaryIO, count: int) -> bool:
    """Reads `count` bytes. Returns whether the stream has as many."""
    while count:
        content = stream.read(min(count, _CHUNK))
        if not content:
            return False
        count -= len(content)
    return True


class _Inflater(io.RawIOBase):
    """Decompresses a file of GZIP or ZLIB piece by piece.

    Raises:
        EOFError: the file is truncated.
        zlib.error: the file is corrupt, or has other bytes at its end.
    """

    def __init__(self, file: BinaryIO):
        super().__init__()
        self._file = file
        self._new_member(b"")

    def readable(self):
        return True

    def readinto(self, buffer):
        while True:
            if self._decompressor.eof:
                rest = self._decompressor.unused_data or self._file.read(_CHUNK)
                if not rest:
                    return 0
                if not rest.startswith(_GZIP):
                    raise zlib.error("other bytes follow its end")
                self._new_member(rest)
            compressed = self._decompressor.unconsumed_tail or self._rest or self._file.read(_CHUNK)
            self._rest = b""
            content = self._decompressor.decompress(compressed, len(buffer))
            if content:
                buffer[: len(content)] = content
                return len(content)
            if not compressed and not self._decompressor.eof:
                raise EOFError

    def _new_member(self, rest: bytes):
        """Starts a compressed part. A GZIP file may have several."""
        self._rest = rest
        self._decompressor = zlib.decompressobj(zlib.MAX_WBITS + 32)  # GZIP or ZLIB, by its start


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC_TABLE = _crc_table()  # CRC-32C, the checksum of TFRecord files


def _is_length(header: bytes) -> bool:
    """Returns whether the checksum of a length is right."""
    crc = 0xFFFFFFFF
    for byte in header[:8]:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return masked == int.from_bytes(header[8:], "little")
