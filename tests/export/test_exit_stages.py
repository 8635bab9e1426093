"""The stages of a network with several exits compute what the network computes, each layer once."""

import keras
import numpy as np
import pytest

import kapps
from kapps import export
from kapps.export.tflite import file_precision

OPTIONS = {
    "depths": (2, 1, 1), "factors": (1, 2), "growth_rate": 2, "filters": 4, "input_shape": (8, 8, 3),
}  # fmt: skip
"""Two scales in the first two layers; the last exit reads one scale only."""


@pytest.fixture(scope="module")
def model(randomise):
    keras.utils.set_random_seed(1)
    network = kapps.families.msdnet_cifar(**OPTIONS, exits=False)
    randomise(network)  # its moving statistics
    whole = kapps.families.msdnet_cifar(**OPTIONS)
    for layer in network.layers:
        whole.get_layer(layer.name).set_weights(layer.get_weights())
    return whole


def pixels(count):
    """Returns random images in [0, 255], float32."""
    values = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3))
    return values.repeat(2, axis=1).repeat(2, axis=2).astype("float32")


def normalised(images):
    preprocessing = kapps.card("msdnet_budget5_cifar").preprocessing
    mean, std = preprocessing.channels(3)
    return ((images * preprocessing.scale - mean) / std).astype("float32")


@pytest.mark.long
def test_stages_run_one_after_the_other(model):
    images = normalised(pixels(3))
    expected = model(images, training=False)
    stages = export.exit_stages(model)
    assert [sorted(stage.output) for stage in stages] == [
        ["predictions", "state1", "state2"],
        ["predictions", "state1"],
        ["predictions"],
    ]
    values = images
    for stage, scores in zip(stages, expected, strict=True):
        outputs = stage(values, training=False)
        np.testing.assert_allclose(outputs.pop("predictions"), scores, rtol=1e-5, atol=1e-5)
        values = outputs
    kernels = [layer.name for stage in stages for layer in stage.layers if hasattr(layer, "kernel")]
    assert sorted(kernels) == sorted(x.name for x in model.layers if hasattr(x, "kernel"))
    costs = np.cumsum([kapps.profile(stage).macs for stage in stages])
    assert tuple(costs) == kapps.analysis.exit_costs(model)


def test_a_tensor_that_a_later_stage_reads_is_passed_on():
    image = keras.Input((4,), name="image")
    layers = [keras.layers.Dense(3, activation="relu", name=f"dense{i}") for i in range(3)]
    x = layers[0](image)
    y = layers[1](keras.layers.Activation("tanh", name="curve")(x))
    z = layers[2](keras.layers.Concatenate(name="all")([x, y, image]))
    outputs = [
        keras.layers.Activation("softmax", name=name)(value)
        for name, value in [("exit1_predictions", x), ("exit2_predictions", y), ("predictions", z)]
    ]
    model = keras.Model(image, outputs)
    values = images = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    for stage, expected in zip(
        export.exit_stages(model), model(images, training=False), strict=True
    ):
        values = stage(values, training=False)
        np.testing.assert_allclose(values.pop("predictions"), expected, atol=1e-6)


def test_a_network_with_one_exit_raises(tmp_path):
    model = kapps.lenet5()
    for function in (export.exit_stages, lambda x: export.tflite_exits(x, tmp_path)):
        with pytest.raises(ValueError, match="lenet5 has no output called exit1_p") as caught:
            function(model)
        assert "\n" not in str(caught.value)


@pytest.mark.long
def test_files_run_one_after_the_other(model, tmp_path):
    images = pixels(6)
    expected = model(normalised(images), training=False)
    export.tflite_exits(model, tmp_path, verbose=0)
    assert sorted(x.name for x in tmp_path.iterdir()) == [f"exit{i}.tflite" for i in (1, 2, 3)]
    exits = export.load_tflite_exits(tmp_path)
    for scores, reference in zip(exits.predictions(images), expected, strict=True):
        np.testing.assert_allclose(scores, reference, atol=1e-4)
    confidence = np.array([np.max(x, axis=-1) for x in expected])
    thresholds = [*np.median(confidence[:2], axis=1), -np.inf]
    scores, numbers = exits.classify(images, thresholds)
    reference = 1 + np.argmax(confidence >= np.array(thresholds)[:, None] - 1e-6, axis=0)
    assert numbers.tolist() == reference.tolist() and {1, 3} <= set(reference)
    chosen = np.stack(expected)[reference - 1, np.arange(6)]
    np.testing.assert_allclose(scores, chosen, atol=1e-4)
    with pytest.raises(ValueError, match="are 2, and there are 3 exits"):
        exits.classify(images, [0.5, 0.5])
    smaller = kapps.families.msdnet_cifar(**OPTIONS, stop_at=2)
    with pytest.raises(ValueError, match=r"more than 2 exits: delete .*exit3\.tflite"):
        export.tflite_exits(smaller, tmp_path, verbose=0)
    with pytest.raises(ValueError, match=r"there is no file .*exit1\.tflite"):
        export.load_tflite_exits(tmp_path / "nothing")


@pytest.mark.long
def test_int8_files(model, tmp_path):
    images = pixels(120)
    expected = model(normalised(images[:8]), training=False)
    export.tflite_exits(model, tmp_path, precision="int8", calibration=images, verbose=0)
    assert {file_precision(tmp_path / f"exit{i}.tflite") for i in (1, 2, 3)} == {"int8"}
    exits = export.load_tflite_exits(tmp_path)
    for scores, reference in zip(exits.predictions(images[:8]), expected, strict=True):
        assert np.abs(scores - reference).max() < 0.15


@pytest.mark.long
def test_files_of_all_exits_have_labels_of_the_predictions(model, tmp_path):
    names = [f"class {i}" for i in range(10)]
    options = {"class_names": names, "verbose": 0}
    saved = export.saved_model(model, tmp_path / "saved", **options)
    for path in (saved, export.tflite(model, tmp_path / "all.tflite", **options)):
        report = export.verify(model, path, pixels(8), verbose=0)
        assert report.failure() is None and report.top1_agreement == 1
    outputs = export.runtime.run(saved, pixels(2))
    chosen = outputs["predictions"].argmax(-1)
    assert outputs["classes"][:, 0].tolist() == chosen.tolist()
    labels = [f"class {i}" for i in chosen]
    assert outputs["labels"][:, 0].tolist() == labels
