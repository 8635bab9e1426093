"""Loading weights files: all formats, incomplete and corrupt files, and malicious ones."""

import json
import pickle
import re
import zipfile

import h5py
import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import kapps
from kapps import _keras_compat
from kapps.weights import _torch_files, to_torch
from kapps.weights.names import densenet, googlenet_bn, resnet_cifar

SMALL = {"input_shape": (8, 8, 3), "classes": 5}


def network(**options):
    """Returns the smallest ResNet for CIFAR, with one block at each level."""
    return kapps.families.resnet_cifar(n=1, **options)


@pytest.fixture
def model(randomise):
    """A small network with random values."""
    return randomise(network(**SMALL))


def error_message(path, **changes):
    """Returns the one-line error for a weights file."""
    with pytest.raises(ValueError) as caught:
        network(weights=path, **{**SMALL, **changes})
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def assert_loads(model, path):
    loaded = network(weights=path, **SMALL)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def model10(randomise):
    """A small network with the number of classes of its family's pretrained weights."""
    return randomise(network(input_shape=(8, 8, 3)))


SUFFIXES = [".weights.h5", ".keras", ".safetensors"]


def save(model, folder, suffix):
    """Returns the path of a new file with the model's weights."""
    path = folder / f"{model.count_params()}{suffix}"
    if suffix == ".weights.h5":
        model.save_weights(path)
    elif suffix == ".keras":
        model.save(path)
    else:
        save_file(state_dict(model), path)
    return path


def state_dict(model):
    state = to_torch(model, resnet_cifar.akamaster)
    return {key: np.ascontiguousarray(value) for key, value in state.items()}


def test_only_the_arrays_of_a_keras_file_are_read(model, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    assert_loads(model, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = json.dumps({"module": "os", "class_name": "system"}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert_loads(model, path)  # the configuration, which names os.system, is not read


def test_safetensors_with_names_of_another_library(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(state_dict(model), path)
    assert_loads(model, path)
    state = state_dict(model)
    state["convolution1.weight"] = state.pop("conv1.weight")
    save_file(state, path)
    assert "it lacks conv1.weight" in error_message(path) and "akamaster" in error_message(path)
    path.write_bytes(path.read_bytes()[:1000])
    assert "does not hold this model's weights" in error_message(path)


def test_state_dict_with_an_extra_tensor_or_another_shape(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({**state_dict(model), "extra": np.zeros(3)}, path)
    assert "1 more tensors, such as extra" in error_message(path)
    state = state_dict(model)
    state["conv1.weight"] = state["conv1.weight"][:, :2].copy()
    save_file(state, path)
    assert "conv1.weight is (16, 2, 3, 3)" in error_message(path)


def flip_bit(path):
    """Flips a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def nothing_built(monkeypatch):
    """Fails the test if the network is built."""

    def body(*arguments, **options):
        pytest.fail("a network was built")

    monkeypatch.setattr(kapps.families.resnet_cifar.builder, "body", body)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".safetensors"])
def test_incomplete_file_raises_before_the_model_is_built(model, tmp_path, suffix, nothing_built):
    path = save(model, tmp_path, suffix)
    path.write_bytes(path.read_bytes()[:-5000])
    assert "does not hold this model's weights" in error_message(path)


def test_corrupt_archive_raises_before_the_model_is_built(model, tmp_path, nothing_built):
    path = save(model, tmp_path, ".keras")
    flip_bit(path)
    assert "the checksum of model.weights.h5 is wrong" in error_message(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_file_with_other_classes_loads_all_but_the_classifier(model10, tmp_path, suffix):
    path = save(model10, tmp_path, suffix)
    initial, loaded = (network(weights=weights, **SMALL) for weights in (None, path))
    for ours, fresh, theirs in zip(loaded.layers, initial.layers, model10.layers, strict=True):
        expected = (fresh if ours.name == "head_logits" else theirs).get_weights()
        for one, other in zip(ours.get_weights(), expected, strict=True):
            assert one.shape == other.shape
            if ours.name != "head_logits":
                np.testing.assert_array_equal(one, other)
    kernel = loaded.get_layer("head_logits").get_weights()[0]
    assert (
        0 < np.abs(kernel).max() < np.sqrt(6 / (64 + 5))
        and not np.isin(kernel, model10.get_layer("head_logits").get_weights()[0]).any()
    )
    assert "does not" in error_message(save(loaded, tmp_path, suffix), classes=7)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_file_with_a_classifier_loads_without_top(model10, tmp_path, suffix):
    path = save(model10, tmp_path, suffix)
    loaded = network(weights=path, include_top=False, input_shape=(8, 8, 3))
    body = [layer for layer in model10.layers if not layer.name.startswith("head_")]
    expected = [value for layer in body for value in layer.get_weights()]
    for ours, theirs in zip(loaded.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    headless = save(loaded, tmp_path, suffix)
    assert "does not hold this model's weights" in error_message(headless)  # the reverse


@pytest.mark.parametrize(
    "suffix", [SUFFIXES[0], *(pytest.param(x, marks=pytest.mark.long) for x in SUFFIXES[1:])]
)
@pytest.mark.parametrize("channels", [1, 4])
def test_grey_image_gives_equal_output_with_one_three_and_four_channels(
    model, tmp_path, suffix, channels
):
    path = save(model, tmp_path, suffix)
    other = network(weights=path, classes=5, input_shape=(8, 8, channels))
    grey = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    expected, output = (
        network.predict(np.repeat(grey, network.input_shape[-1], axis=-1), verbose=0)
        for network in (model, other)
    )
    assert np.ptp(expected, axis=0).max() > 0.01
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-6)
    kernel, adapted = (x.get_layer("stem_conv").get_weights()[0] for x in (model, other))
    if channels == 4:
        np.testing.assert_allclose(adapted[:, :, :3], 0.75 * kernel, rtol=1e-6)
        np.testing.assert_allclose(adapted[:, :, 3], kernel.sum(axis=2) / 4, atol=1e-6)
    else:
        np.testing.assert_allclose(adapted[:, :, 0], kernel.sum(axis=2), atol=1e-6)
    assert "does not" in error_message(path, input_shape=(8, 8, 2))


@pytest.mark.long
def test_auxiliary_classifiers_in_a_file_are_not_loaded(tmp_path):
    options = {"input_shape": (96, 96, 3), "classes": 2}
    with_auxiliary = kapps.googlenet_bn_3x3(auxiliary=True, **options)
    state = to_torch(with_auxiliary, googlenet_bn.torchvision)
    assert {"aux1.conv.conv.weight", "aux2.fc2.bias"} < set(state)
    path = tmp_path / "model.safetensors"
    save_file({key: np.ascontiguousarray(value) for key, value in state.items()}, path)
    with_auxiliary.save_weights(path.with_suffix(".weights.h5"))
    for file in tmp_path.iterdir():
        plain = kapps.googlenet_bn_3x3(weights=file, **options)
        for layer in (layer for layer in plain.layers if layer.weights):
            expected = with_auxiliary.get_layer(layer.name).get_weights()
            for ours, theirs in zip(layer.get_weights(), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_older_names_of_torchvisions_densenets(tmp_path):
    options = {"depths": (2, 1, 1, 1), "input_shape": (32, 32, 3), "classes": 3}
    model = kapps.families.densenet(**options)
    state = to_torch(model, densenet.torchvision)
    older = {
        re.sub(r"(norm|conv)([12])\.", r"\1.\2.", key): np.ascontiguousarray(value)
        for key, value in state.items()
    }
    assert "features.denseblock1.denselayer2.norm.2.weight" in older
    path = tmp_path / "model.safetensors"
    save_file(older, path)
    loaded = kapps.families.densenet(weights=path, **options)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_network_that_no_library_has(model, tmp_path):
    path = save(model, tmp_path, ".safetensors")
    with pytest.raises(ValueError, match="no names of other libraries"):
        kapps.families.densenet(depths=(2, 1), input_shape=(32, 32, 3), weights=path)


@pytest.mark.parametrize("link", ["external", "soft"])
def test_hdf5_with_a_link_raises(model, tmp_path, link):
    path, secret = tmp_path / "model.weights.h5", tmp_path / "secret.h5"
    model.save_weights(path)
    with h5py.File(secret, "w") as file:
        file["value"] = np.zeros(16)
    links = {"external": h5py.ExternalLink(str(secret), "value"), "soft": h5py.SoftLink("/layers")}
    with h5py.File(path, "a") as file:
        file["layers/away"] = links[link]
    assert "/layers/away is a link to another place" in error_message(path)


def test_hdf5_with_values_in_another_file_raises(model, tmp_path):
    path, secret = tmp_path / "model.weights.h5", tmp_path / "secret.bin"
    model.save_weights(path)
    secret.write_bytes(bytes(64))
    with h5py.File(path, "a") as file:
        file.create_dataset("layers/away", (16,), "float32", external=[(str(secret), 0, 64)])
    assert "in another file" in error_message(path)


def test_hdf5_with_too_large_a_declared_size_raises(model, tmp_path):
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "a") as file:  # declared but not written, so the file stays small
        file.create_dataset("layers/bomb", (2**40,), "float32", chunks=(2**20,))
    assert path.stat().st_size < 4_000_000
    assert "it declares 1,099,5" in error_message(path)


def test_keras_file_that_unpacks_to_too_large_a_size_raises(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(2**26))
    assert path.stat().st_size < 2**18
    assert "67,108,864 bytes" in error_message(path)


def test_files_that_are_not_weights_raise(model, tmp_path):
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    path.write_bytes(path.read_bytes()[:-5000])
    assert "does not hold this model's weights" in error_message(path)
    path.with_suffix(".keras").write_bytes(b"no archive")
    assert "does not hold this model's weights" in error_message(path.with_suffix(".keras"))


@pytest.mark.parametrize("name", ["model.pkl", "model.hdf5", "model", "model.onnx"])
def test_other_files_raise_whatever_their_suffix(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps("anything"))
    assert ".safetensors" in error_message(path)


class Evil:
    """Runs code when its pickle is loaded."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('it ran')",))


@pytest.mark.peers
@pytest.mark.parametrize("archive", [True, False])
def test_every_tensor_type_is_read_as_by_pytorch(tmp_path, archive):
    import torch

    read = _torch_files.read_archive if archive else _torch_files.read_sequence
    path = tmp_path / "model.pth"
    base = torch.arange(24).reshape(2, 3, 4)
    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16)
    state = {
        f"{kind}": base.to(kind) / 7 if kind.is_floating_point else base.to(kind) for kind in kinds
    }
    state |= {"byte": base.byte(), "char": base.char(), "bool": base % 2 == 0, "scalar": base.sum()}
    state |= {"turned": base.float().permute(2, 0, 1), "part": base.float()[1:, :, ::2]}
    state |= {"parameter": torch.nn.Parameter(base.float()), "empty": torch.zeros(0, 3)}
    torch.save(state, path, _use_new_zipfile_serialization=archive)
    arrays = read(path)
    assert set(arrays) == set(state)
    for key, tensor in torch.load(path, weights_only=True).items():
        expected = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
        values = arrays[key].read()
        np.testing.assert_array_equal(values, expected.numpy())
        assert values.dtype == expected.numpy().dtype and arrays[key].shape == values.shape
        assert arrays[key].dtype == str(tensor.dtype).removeprefix("torch.")
    module = torch.nn.BatchNorm2d(3).state_dict()  # an OrderedDict with attributes
    torch.save(module, path, _use_new_zipfile_serialization=archive)
    assert list(read(path)) == list(module)


@pytest.mark.peers
def test_pytorch_file_with_other_classes(model10, tmp_path):
    import torch

    path = tmp_path / "model.pth"
    torch.save(
        {key: torch.from_numpy(x).bfloat16() for key, x in state_dict(model10).items()}, path
    )
    loaded = network(weights=path, **SMALL)
    for layer in loaded.layers[:-3]:
        if layer.weights:  # the name of the first layer tells where the weights are from
            expected = model10.get_layer(layer.name).get_weights()
            for ours, theirs in zip(layer.get_weights(), expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=2**-8)
    flip_bit(path)
    assert "is wrong" in error_message(path)


@pytest.fixture(scope="module")
def xception(tmp_path_factory):
    """Xception of Keras Applications, and its files with and without a classifier."""
    folder = tmp_path_factory.mktemp("xception")
    network = keras.applications.Xception(weights=None)
    network.save(folder / "top.h5")
    keras.Model(network.input, network.get_layer("block14_sepconv2_act").output).save(
        folder / "no_top.h5"
    )
    return network, folder


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_file_of_keras_applications(xception):
    network, folder = xception
    shape = (71, 71, 3)
    whole = kapps.xception(weights=folder / "top.h5", input_shape=shape)
    kernel = network.get_layer("block4_sepconv1").get_weights()[1]
    np.testing.assert_array_equal(whole.get_layer("level4_block1_conv1").get_weights()[0], kernel)
    head = network.get_layer("predictions").get_weights()[0]
    np.testing.assert_array_equal(whole.get_layer("head_logits").get_weights()[0], head)
    for file, options in (("top.h5", {"classes": 5}), ("no_top.h5", {"include_top": False})):
        other = kapps.xception(weights=folder / file, input_shape=shape, **options)
        np.testing.assert_array_equal(
            other.get_layer("level4_block1_conv1").get_weights()[0], kernel
        )
    grey = kapps.xception(weights=folder / "top.h5", include_top=False, input_shape=(71, 71, 1))
    first = network.get_layer("block1_conv1").get_weights()[0].sum(axis=2, keepdims=True)
    np.testing.assert_allclose(grey.get_layer("stem_conv1").get_weights()[0], first, atol=1e-6)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_other_h5_files_raise(xception, model, tmp_path):
    _, folder = xception
    with pytest.raises(ValueError, match=r"does not hold .*the weights lack predictions"):
        kapps.xception(weights=folder / "no_top.h5", input_shape=(71, 71, 3))
    with pytest.raises(ValueError, match="no network that is the same as resnet_cifar"):
        network(weights=folder / "top.h5", **SMALL)
    path = tmp_path / "model.h5"
    path.write_bytes(b"no HDF5")
    assert "does not hold this model's weights" in error_message(path)
    model.save_weights(tmp_path / "model.weights.h5")
    (tmp_path / "model.weights.h5").rename(path)
    with pytest.raises(ValueError, match="does not hold this model's weights"):
        kapps.xception(weights=path, input_shape=(71, 71, 3))


@pytest.mark.peers
def test_pytorch_file_and_a_malicious_pickle(model, tmp_path):
    import torch

    path = tmp_path / "model.pth"
    state = {f"module.{key}": torch.from_numpy(x) for key, x in state_dict(model).items()}
    torch.save({"state_dict": state}, path)
    assert_loads(model, path)
    torch.save({"state_dict": {"conv1.weight": Evil()}}, path)
    assert "could run any code" in error_message(path)
    torch.save(Evil(), path, _use_new_zipfile_serialization=False)
    assert "__builtin__.exec" in error_message(path)
    torch.save([1, 2], path)
    assert "does not hold a state dict" in error_message(path)


def test_what_a_file_does_not_hold_has_the_initial_values_of_its_seed(tmp_path):
    """Variables get values after loading: those of the file, and else those that the builder has without a file."""
    keras.utils.set_random_seed(0)
    kapps.resnet20_cifar().save_weights(tmp_path / "ten.weights.h5")
    keras.utils.set_random_seed(1)
    expected = kapps.resnet20_cifar(classes=7).get_layer("head_logits").get_weights()
    keras.utils.set_random_seed(1)
    model = kapps.resnet20_cifar(classes=7, weights=tmp_path / "ten.weights.h5")
    for array, value in zip(model.get_layer("head_logits").get_weights(), expected, strict=True):
        np.testing.assert_array_equal(array, value)
    assert all(np.isfinite(x).all() for x in model.get_weights())


@pytest.mark.peers
@pytest.mark.parametrize("name", ["squeezenet1_1", "second"])
def test_pytorch_has_the_values_of_a_file_as_parameters(tmp_path, name):
    """Also in a network with dropout, whose generator of seeds has integers."""
    import torch

    options = {"input_shape": (64, 64, 3), "classes": 10}
    whole = kapps.squeezenet1_1(**options)
    whole.save_weights(tmp_path / "net.weights.h5")
    model = kapps.squeezenet1_1(weights=tmp_path / "net.weights.h5", name=name, **options)
    assert isinstance(model, torch.nn.Module)
    parameters = dict(model.named_parameters())
    assert {id(v.value) for v in model.trainable_variables} <= {id(p) for p in parameters.values()}
    for variable, value in zip(model.variables, whole.variables, strict=True):
        if "seed" not in variable.path:
            np.testing.assert_array_equal(variable.numpy(), value.numpy())


def test_values_that_layers_assign_when_they_are_built_are_kept():
    with _keras_compat.without_values() as variables:
        x = keras.Input((6, 3))
        model = keras.Model(x, kapps.layers.WeightNormConv1D(4, 3)(x))
    assert len(variables) == len(model.variables) and variables[0]._value is None
    _keras_compat.give_values(variables)
    layer = model.layers[-1]
    kernel, gain = (keras.ops.convert_to_numpy(x) for x in (layer.kernel, layer.gain))
    lengths = np.sqrt((kernel**2).sum(axis=(0, 1)))
    np.testing.assert_allclose(gain.ravel(), lengths.ravel(), rtol=1e-5)


@pytest.mark.tensorflow
def test_weights_load_inside_the_scope_of_a_strategy(tmp_path):
    import tensorflow as tf

    whole = kapps.resnet20_cifar()
    whole.save_weights(tmp_path / "net.weights.h5")
    with tf.distribute.MirroredStrategy(["cpu:0"]).scope():
        model = kapps.resnet20_cifar(weights=tmp_path / "net.weights.h5")
    for array, value in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(array, value)
