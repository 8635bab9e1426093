"""Binary kernels of one bit a weight: sizes, outputs, and incomplete and hostile files."""

import json
import zipfile

import keras
import numpy as np
import pytest

import kapps
from kapps import export, training
from kapps.export.pack import pack
from kapps.layers import BinaryConv2D, PackedBinaryConv2D


def array(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture(scope="module")
def model(randomise):
    """A narrow XNOR-Net whose kernels take most of its memory."""
    image = x = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(32, 3, strides=2, name="first")(x)
    for i in range(2):
        x = keras.layers.BatchNormalization(name=f"norm{i}")(x)
        x = BinaryConv2D(
            96, 3, padding="same", use_bias=i == 1, binary_input=True, name=f"conv{i}"
        )(x)
    x = keras.layers.BatchNormalization(name="last_norm")(x)
    inner_input = keras.Input((96,))
    inner = keras.Model(inner_input, keras.layers.Dense(7, name="dense")(inner_input), name="inner")
    x = inner(keras.layers.GlobalAveragePooling2D()(x))
    return randomise(keras.Model(image, x, name="small"))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(4, 12, 12, 3)).astype("float32")


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """The .keras files of the model and of its packed copy."""
    folder = tmp_path_factory.mktemp("pack")
    model.save(folder / "float.keras")
    pack(model).save(folder / "packed.keras")
    return folder


def test_outputs_are_equal_and_kernels_have_two_values_a_filter(model, images, files):
    packed = training.load_model(files / "packed.keras")
    np.testing.assert_array_equal(array(packed(images)), array(model(images)))
    for name in ("conv0", "conv1"):
        layer = packed.get_layer(name)
        assert type(layer) is PackedBinaryConv2D and layer.bits.dtype == "uint8"
        kernel = array(layer.kernel)
        assert all(len(np.unique(kernel[..., f])) == 2 for f in range(96))
        assert not layer.trainable_weights


def test_a_file_of_packed_kernels_is_about_32_times_smaller(model, files):
    kernels = 9 * (32 + 96) * 96
    profile = kapps.profile(model)
    assert profile.binary_weights == kernels and profile.packed_bytes == kernels // 8 + 2 * 4 * 96
    saved = (files / "float.keras").stat().st_size - (files / "packed.keras").stat().st_size
    assert saved == pytest.approx(4 * kernels * 31 / 32, rel=0.05)
    with zipfile.ZipFile(files / "packed.keras") as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    assert sizes["model.weights.h5"] < 4 * kernels / 6  # HDF5 and the other layers included


def test_packing_again_and_models_without_binary_kernels(model, images):
    packed = pack(model)
    np.testing.assert_array_equal(array(pack(packed)(images)), array(packed(images)))
    with pytest.raises(ValueError, match="no binary kernel"):
        pack(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    with pytest.raises(ValueError, match="no graph to pack"):
        pack(keras.Sequential([BinaryConv2D(2, 1)]))


def changed(files, path, change):
    """Writes a copy of the packed file whose configuration is changed."""
    with zipfile.ZipFile(files / "packed.keras") as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                content = change(json.loads(content))
            target.writestr(name, content if isinstance(content, bytes) else json.dumps(content))


def with_filters(config):
    for layer in config["config"]["layers"]:
        if layer["name"] == "conv1":
            layer["config"]["filters"] = 10**6
    return config


def test_incomplete_and_hostile_files_are_one_line(files, tmp_path):
    content = (files / "packed.keras").read_bytes()
    paths = [tmp_path / f"{name}.keras" for name in ("cut", "flipped", "wide", "text")]
    paths[0].write_bytes(content[: len(content) // 2])
    middle = len(content) // 2
    paths[1].write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    changed(files, paths[2], with_filters)
    changed(files, paths[3], lambda config: b"[]")
    for path in paths:
        with pytest.raises(ValueError) as error:
            training.load_model(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.long
@pytest.mark.tensorflow
def test_a_saved_model_has_packed_kernels_and_agrees(model, images, tmp_path):
    path = export.saved_model(model, tmp_path, verbose=0)
    assert export.verify(model, path, images, verbose=0).failure() is None
    # The graph itself takes most of it.
    assert (path / "saved_model.pb").stat().st_size < 4 * 9 * (32 + 96) * 96 / 3


@pytest.mark.long
@pytest.mark.tensorflow
def test_a_tflite_file_of_a_packed_model_agrees(model, images, tmp_path):
    path = export.tflite(pack(model), tmp_path / "small.tflite", verbose=0)
    assert export.verify(model, path, images, verbose=0).failure() is None
