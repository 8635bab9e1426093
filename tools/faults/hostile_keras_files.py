"""Kinds of HDF5 and `.keras` files, and mutations of honest files, as `hostile_torch_files.py` has kinds of its own."""

import io
import json
import random
import struct
import zipfile

import h5py
import numpy as np
from hostile_torch_files import kind

WEIGHTS = "model.weights.h5"


def _edit(case, change):
    """Returns an HDF5 file after `change(file, its arrays)`."""
    path = case.folder / "edited.h5"
    path.write_bytes(case.honest[".weights.h5"].read_bytes())
    with h5py.File(path, "r+") as file:
        arrays = []
        file.visititems(
            lambda _, item: arrays.append(item.name) if isinstance(item, h5py.Dataset) else None
        )
        change(file, arrays)
    return path.read_bytes()


def _packed(case, content, *, compression=zipfile.ZIP_STORED, extra=()):
    """Returns a suffix and an HDF5 file, as it is or as the weights of a `.keras` file."""
    if case.rng.random() < 0.5:
        return case.rng.choice([".weights.h5", ".h5", ".hdf5", ""]), content
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in (("config.json", "{}"), *extra, (WEIGHTS, content)):
            archive.writestr(name, data)
    return case.rng.choice([".keras", ".zip", ""]), file.getvalue()


@kind("load")
def _honest_keras_files(case):
    suffix = case.rng.choice([".weights.h5", ".keras"])
    return case.rng.choice([suffix, ".h5", ".bin", ""]), case.honest[suffix].read_bytes()


@kind("load")
def _keras_file_with_another_configuration(case):
    """The configuration is not read: code, a network of gigabytes, names outside the folder."""
    lambda_ = {"class_name": "Lambda", "config": {"function": {"code": "4wEAAA=="}}}
    huge = {"class_name": "Dense", "config": {"units": 10**12}}
    configuration = case.rng.choice([lambda_, huge, {"module": "os", "class_name": "system"}])
    extra = [("../../outside.txt", "x"), ("/tmp/outside.txt", "x"), ("assets/a", "x")]
    _, content = ".h5", case.honest[".weights.h5"].read_bytes()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (("config.json", json.dumps(configuration)), *extra, (WEIGHTS, content)):
            archive.writestr(name, data)
    return ".keras", file.getvalue()


@kind("error")
def _hdf5_links(case):
    def change(file, arrays):
        target = case.rng.choice(["/", "/layers", arrays[0], f"/{arrays[1].split('/')[1]}"])
        place = case.rng.choice(["layers/away", "away", "layers/x/y"])
        links = [
            file[target], h5py.SoftLink(target), h5py.SoftLink("/nowhere"), h5py.ExternalLink("/etc/passwd", "/"),
            h5py.ExternalLink(str(case.honest[".weights.h5"]), "/layers"),
        ]  # fmt: skip
        file[place] = case.rng.choice(links)

    return _packed(case, _edit(case, change))


@kind("error")
def _hdf5_values_elsewhere(case):
    def change(file, arrays):
        name, shape = arrays[0], file[arrays[0]].shape
        del file[name]
        if case.rng.random() < 0.5:
            file.create_dataset(name, shape, "f4", external=[("/dev/zero", 0, 2**30)])
        else:
            layout = h5py.VirtualLayout(shape, "f4")
            layout[...] = h5py.VirtualSource(str(case.honest[".weights.h5"]), name, shape)
            file.create_virtual_dataset(name, layout)

    return _packed(case, _edit(case, change))


@kind("error")
def _hdf5_sizes(case):
    rng = case.rng

    def change(file, arrays):
        name, shape = arrays[0], file[arrays[0]].shape
        if rng.random() < 0.7:
            del file[name]
        else:
            name = "layers/more/vars/0"
        options = [
            {"shape": (2**rng.choice([30, 40, 60]),)}, {"shape": (2**40,), "chunks": (2**20,)},
            {"shape": shape, "maxshape": (None,) * len(shape), "chunks": (2**14,) + (1,) * (len(shape) - 1)},
            {"shape": (10**7, 64)}, {"shape": shape, "chunks": shape}, {"shape": ()}, {"shape": shape},
            {"data": np.zeros(2**27, "u1"), "chunks": (2**27,), "compression": "gzip", "dtype": "u1"},
            {"shape": (2**20,), "chunks": (1,)},
        ]  # fmt: skip
        chosen = rng.choice(options)
        file.create_dataset(name, **{"dtype": "f4", **chosen})

    return _packed(case, _edit(case, change))


@kind("error")
def _hdf5_types(case):
    rng = case.rng

    def change(file, arrays):
        name, values = arrays[0], file[arrays[0]][()]
        del file[name]
        text, compound = h5py.string_dtype(), np.dtype([("a", "f4"), ("b", "i4")])
        types = [
            "c8",
            "i8",
            "u1",
            "?",
            ">f4",
            "S5",
            text,
            compound,
            h5py.ref_dtype,
            h5py.vlen_dtype("f4"),
            "f16",
            "V8",
        ]
        dtype = rng.choice(types)
        if isinstance(dtype, str) and dtype in ("c8", "i8", "u1", "?", ">f4", "f16"):
            file.create_dataset(name, data=values.astype(dtype))
        else:
            file.create_dataset(name, values.shape, dtype)

    return _packed(case, _edit(case, change))


@kind("error")
def _hdf5_names(case):
    rng = case.rng

    def change(file, arrays):
        group = file[arrays[0]].parent
        value = rng.choice(
            [b"x" * 60_000, "a\nb", "\udc80", "", 3, np.zeros(5), h5py.Empty("f4"), "k" * 50_000]
        )
        choice = rng.randrange(5)
        if choice == 0:
            group.attrs["name"] = value
        elif choice == 1:
            file.move(arrays[0], f"{group.name}/{rng.choice(['x', '-1', '9' * 5000, '1e3', '²'])}")
        elif choice == 2:
            file["layers/extra/vars/0"] = np.zeros(3, "f4")
            file["layers/extra/vars"].attrs["name"] = rng.choice(
                [group.attrs["name"], "a\x1b[2J", "other"]
            )
        elif choice == 3:
            del file[arrays[rng.randrange(len(arrays))]]
        else:
            for i in range(30_000):
                file.create_group(f"more/{i}")

    return _packed(case, _edit(case, change))


@kind("error")
def _hdf5_not_finite(case):
    def change(file, arrays):
        name = case.rng.choice(arrays)
        values = file[name][()].astype("f8")
        values.flat[case.rng.randrange(values.size)] = case.rng.choice([np.nan, np.inf, 1e200])
        del file[name]
        file[name] = values

    return _packed(case, _edit(case, change))


@kind("load")
def _hdf5_other_floats(case):
    dtype = case.rng.choice(["f2", "f8"])
    options = case.rng.choice(
        [{}, {"compression": "gzip"}, {"shuffle": True, "compression": "gzip"}]
    )

    def change(file, arrays):
        for name in arrays:
            values = file[name][()].astype(dtype)
            del file[name]
            file.create_dataset(name, data=values, **options)

    return _packed(case, _edit(case, change))


@kind("error")
def _keras_applications(case):
    """Files in the layout of Keras 2, with names and classes of anything."""
    rng, path = case.rng, case.folder / "applications.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if rng.random() < 0.5 else file
        classes = rng.choice([10**6, 2**20, 3])
        dense = group.create_group("predictions")
        dense["kernel"] = np.zeros((1, classes), "f4")
        dense.attrs["weight_names"] = [b"kernel"] * rng.choice([1, 1000])
        layers = rng.choice(
            [
                [b"predictions"],
                [b"predictions"] * 1000,
                [b"nothing"],
                ["predictions"],
                [b"\xff"],
                [b""],
            ]
        )
        group.attrs["layer_names"] = layers
        if rng.random() < 0.2:
            group.attrs["layer_names"] = rng.choice([3, np.zeros(9), h5py.Empty("f4")])
    return rng.choice([".h5", ".keras", ".weights.h5"]), path.read_bytes()


@kind("error")
def _zip_bomb(case):
    rng, file = case.rng, io.BytesIO()
    name = rng.choice([WEIGHTS, "archive/data.pkl"])
    method = rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, bytes(2**26))
        if rng.random() < 0.5:
            for i in range(rng.choice([10, 50_000])):
                archive.writestr(zipfile.ZipInfo(f"archive/data/{i}"), b"")
    content = bytearray(file.getvalue())
    end = content.rfind(b"PK\x05\x06")
    central = struct.unpack("<I", content[end + 16 : end + 20])[0]
    change = rng.randrange(6)
    if change == 0:  # declares sizes that it does not have
        content[central + 24 : central + 28] = struct.pack("<I", rng.choice([0, 10, 2**32 - 2]))
    elif change == 1:
        content[central + 20 : central + 24] = struct.pack("<I", rng.choice([0, 10, 2**32 - 2]))
    elif change == 2:
        content[central + 42 : central + 46] = struct.pack("<I", rng.choice([5, 2**31]))
    elif change == 3:
        content[central + 10 : central + 12] = struct.pack("<H", rng.choice([0, 9, 14, 98, 99]))
    elif change == 4:
        content[central + 8] |= 1  # encrypted
    return rng.choice([".keras", ".pth", ".npz"]), bytes(content)


@kind("error")
def _overlapping_parts(case):
    """Two entries of the list of parts with one name or with the same bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(WEIGHTS, case.honest[".weights.h5"].read_bytes())
        if case.rng.random() < 0.5:
            twice = zipfile.ZipInfo("x")
            archive.filelist.append(archive.filelist[0])
        else:
            first = archive.filelist[0]
            for i in range(50):
                twice = zipfile.ZipInfo(f"other{i}")
                for field in ("file_size", "compress_size", "CRC", "header_offset"):
                    setattr(twice, field, getattr(first, field))
                archive.filelist.append(twice)
        archive._didModify = True
    return ".keras", file.getvalue()


@kind("error")
def _npz_file(case):
    file = io.BytesIO()
    np.savez(file, **{f"a{i}": array for i, array in enumerate(case.arrays.values())})
    return case.rng.choice([".npz", ".pth", ".keras"]), file.getvalue()


@kind("mutation")
def _mutated(case):
    """An honest file with flipped bits, or with bytes that are cut, inserted, swapped or set to zero."""
    rng, suffix = case.rng, case.rng.choice(list(case.honest))
    content = bytearray(case.honest[suffix].read_bytes())
    return suffix, mutate(content, rng)


def mutate(content: bytearray, rng: random.Random) -> bytes:
    """Returns a file with flipped bits, or with bytes that are cut, inserted, swapped or set to zero."""
    near = rng.choice(
        [len(content), 4096, 512]
    )  # half of all changes are in the first bytes, which are the structure
    first, length = rng.randrange(min(near, len(content))), rng.choice([1, 8, 100, 5000])
    if rng.random() < 0.3:
        first = len(content) - 1 - first
    change = rng.randrange(6)
    if change == 0:
        for _ in range(rng.choice([1, 1, 3, 20])):
            place = min(first + rng.randrange(200), len(content) - 1)
            content[place] ^= 1 << rng.randrange(8)
    elif change == 1:
        del content[first:]
    elif change == 2:
        content[first:first] = rng.choice([rng.randbytes, bytes])(length)
    elif change == 3:
        del content[first : first + length]
    elif change == 4:
        second = rng.randrange(len(content))
        one, two = content[first : first + length], content[second : second + length]
        size = min(len(one), len(two))
        content[first : first + size], content[second : second + size] = two[:size], one[:size]
    else:
        content[first : first + length] = bytes(min(length, len(content) - first))
    return bytes(content)
