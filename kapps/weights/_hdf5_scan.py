"""Checks that an HDF5 file is complete, not larger than it declares, and refers to nothing outside.

HDF5 can refer to other files, name one object several times, declare values that are not in the file and compress
values to almost nothing. The HDF5 library has no protection from that, and corrupt files can crash it or keep it
busy for ever. So `_hdf5_files.check_hdf5_file` runs this file as a program in a process of its own, under limits,
before the library opens a file in the user's process. It imports nothing of kapps, so that it starts fast. It
prints the reason for which a file is not read, or nothing.
"""

import math
import os
import sys

import h5py

SPARE = 2**24
"""Bytes that a file may unpack to in addition to four times its size."""
MOST_OBJECTS = 20_000
"""Groups and arrays: more than a file of the largest network has, with the optimizer's state."""
MOST_CHUNKS = 2**14
SECONDS, BYTES_PER_SECOND = 2.0, 2e8
"""Computing time, in addition for the file's bytes."""
SMALL_BYTES_PER_SECOND, MOST_SECONDS = 1e6, 40.0
"""Computing time for groups and arrays, and its limit: 24 MB with the most of them take 8 seconds on a slow machine."""
MEMORY = 2**27
"""Bytes of memory in addition to three times the file's."""
DEEPEST = 32
"""Groups within each other."""
DTYPES = (
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
)  # fmt: skip
FILTERS = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_LZF,
}
"""Of compressed values. Others are loaded as plug-ins, which are code."""


def check_objects(path: str) -> None:
    """Checks that all of a file is in the file itself, once, and as large as it is declared.

    Raises:
        ValueError: with the reason, without the file's name; any other error for a corrupt file.
    """
    size = os.path.getsize(path)
    total = 0
    with h5py.File(path, "r") as file:
        objects = {h5py.h5o.get_info(file.id).addr}
        groups = [(file, 0)]
        while groups:
            group, depth = groups.pop()
            _check_attributes(group, _printable(group.name))
            for name in group:
                place = _printable(f"{group.name.rstrip('/')}/{name}")
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ValueError(f"{place} is a link to another place")
                item = group[name]
                address = h5py.h5o.get_info(item.id).addr
                if address in objects:
                    raise ValueError(f"{place} is a second link to another place of the file")
                objects.add(address)
                if len(objects) > MOST_OBJECTS or depth > DEEPEST:
                    raise ValueError(
                        f"it has more than {MOST_OBJECTS:,} groups and arrays, or {DEEPEST} levels of groups"
                    )
                if isinstance(item, h5py.Group):
                    groups.append((item, depth + 1))
                elif isinstance(item, h5py.Dataset):
                    _check_attributes(item, place)
                    total += _check_dataset(item, place, size)
                else:
                    raise ValueError(f"{place} is not an array")
                if total > 4 * size + SPARE:
                    raise ValueError(f"its {size:,} bytes declare {total:,} bytes of values")
                if isinstance(item, h5py.Dataset):
                    item[()]


def _check_dataset(item, place, file_size):
    """Returns the bytes of an array, after a check of what it declares."""
    if item.external or item.is_virtual:
        raise ValueError(f"the values of {place} are in another file")
    if item.dtype.names or item.dtype.subdtype or item.dtype.name not in DTYPES:
        raise ValueError(f"{place} does not hold numbers")
    if item.dtype.byteorder == ">" or (
        item.dtype.kind == "f"
        and not item.id.get_type().equal(h5py.h5t.py_create(item.dtype, logical=False))
    ):
        raise ValueError(f"{place} does not hold little-endian IEEE numbers")
    values, size = math.prod(item.shape or ()), item.dtype.itemsize
    if values * size > 4 * file_size + SPARE:
        raise ValueError(
            f"{place}: it declares {values:,} values, and the file has {file_size:,} bytes"
        )
    stored = item.id.get_storage_size()
    if item.chunks is None:
        if stored != values * size:
            raise ValueError(f"{place}: it declares {values:,} values, which are not in the file")
        return values * size
    chunks = math.prod(-(-n // m) for n, m in zip(item.shape, item.chunks, strict=True))
    if chunks > MOST_CHUNKS or math.prod(item.chunks) * size > 4 * values * size + 2**20:
        raise ValueError(f"{place}: its values are in chunks of {item.chunks}")
    if item.id.get_num_chunks() != chunks:
        raise ValueError(f"{place}: it declares {values:,} values, which are not in the file")
    filters = item.id.get_create_plist()
    if not {filters.get_filter(i)[0] for i in range(filters.get_nfilters())} <= FILTERS:
        raise ValueError(f"{place}: its values are compressed by an unknown method")
    return values * size


def _check_attributes(item, place):
    """Reads the attributes of a group or array."""
    for count, name in enumerate(item.attrs):
        if count > MOST_OBJECTS:
            raise ValueError(f"{place} has more than {MOST_OBJECTS:,} attributes")
        item.attrs[name]


def _printable(name):
    """Returns a name as far as an error shows it."""
    return ascii(name)[1:-1][:80]


def allowed_seconds(file_size):
    """Returns the computing time that a file of a size has."""
    of_objects = min(file_size / SMALL_BYTES_PER_SECOND, MOST_SECONDS)
    return SECONDS + of_objects + file_size / BYTES_PER_SECOND


def limit(file_size):
    """Limits the time and memory of this process, where the system can: a process over a limit is ended."""
    try:
        import resource
        import signal
    except ImportError:  # Windows
        return
    signal.setitimer(signal.ITIMER_PROF, allowed_seconds(file_size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + 3 * file_size + MEMORY,) * 2)


def main(path):
    """Prints one line if a file is not to be read."""
    limit(os.path.getsize(path))
    try:
        check_objects(path)
    except Exception as error:  # the library raises any error for a corrupt file
        lines = str(error).strip().splitlines() or [type(error).__name__]
        corrupt = "" if type(error) is ValueError else "it is incomplete or corrupt: "
        print(corrupt + ascii(lines[0])[1:-1][:300])


if __name__ == "__main__":
    main(sys.argv[1])
