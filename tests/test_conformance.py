"""Networks on images: sizes, files, precision, training and export, over the covering set of small builders.

`tests/covering.py` chooses the builders. `-m changed` runs the smallest builder of each family that changed, small;
`--all` runs every builder at its published size. The tests run on every backend of Keras; those that need TensorFlow
are marked.
"""

import gc

import covering
import graphs
import keras
import members
import numpy as np
import pytest
from members import assert_close

import kapps
from kapps import cards

SEED = 3
LOAD = """
import sys
import numpy as np, keras
name, folder, tests, whole = sys.argv[1:]

def predict(model, file):
    images = np.load(f"{folder}/images.npy")
    np.save(f"{folder}/{file}.npy", keras.ops.convert_to_numpy(model(images, training=False)))

sys.modules["kapps"] = None  # importing it fails, as where it is not installed
predict(keras.saving.load_model(f"{folder}/portable.keras", safe_mode=True), "portable")
del sys.modules["kapps"]

import kapps
sys.path.append(tests)
import covering, graphs, members
model = keras.saving.load_model(f"{folder}/model.keras", safe_mode=True)
predict(model, "model")
builder = members.with_one_exit(graphs.builder(name)) if whole else covering.member(name)
options = dict(input_shape=model.input_shape[1:], classes=10, classifier_activation=None)
predict(builder(weights=f"{folder}/model.weights.h5", **options), "weights")
"""


@pytest.fixture(scope="module")
def card(builder_name):
    """The builder's card."""
    yield cards.card(builder_name)
    gc.collect()  # models refer to themselves, and their weights would stay in memory


@pytest.fixture(scope="module")
def builder(builder_name, request):
    """The small builder, or with `--all` the published one."""
    whole = request.config.getoption("--all")
    if whole:
        return members.with_one_exit(graphs.builder(builder_name))
    return covering.member(builder_name)


@pytest.fixture(scope="module")
def size(card):
    """A small height and width, uneven at every level."""
    return card.minimum + 13


@pytest.fixture(scope="module")
def model(builder, size, randomise):
    """A small model that ends in logits. Tests read it and do not change it."""
    keras.utils.set_random_seed(SEED)
    shape = (size, size, 3)
    return randomise(builder(input_shape=shape, classes=10, classifier_activation=None))


@pytest.fixture
def set_policy():
    """Sets a precision policy for one test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def run(model, images):
    """Returns the predictions as a NumPy array."""
    return keras.ops.convert_to_numpy(model(images, training=False))


def body_names(model):
    """Returns the names of the layers before the head."""
    names = [layer.name for layer in model.layers]
    return [name for name in names if not name.startswith(("head_", "predictions"))]


@pytest.mark.one_per_head(others="changed")
def test_shapes_with_and_without_the_top(builder, model, size):
    assert model.output_shape == (None, 10)
    shape = (size, size, 3)
    features = graphs.build(builder, input_shape=shape, include_top=False)
    height, width, channels = features.output_shape[1:]
    assert height == width < size and channels > 3
    pooled = graphs.build(builder, input_shape=shape, include_top=False, pooling="max")
    assert pooled.output_shape == (None, channels)
    assert body_names(pooled) == body_names(features) == body_names(model)


@pytest.mark.one_per_head(others="changed")
def test_levels_are_those_of_the_loaded_model(model):
    levels = kapps.pyramid_outputs(model)
    loaded = graphs.build(keras.Model.from_config, config=model.get_config())
    assert {level: x.shape for level, x in kapps.pyramid_outputs(loaded).items()} == {
        level: x.shape for level, x in levels.items()
    }


@pytest.mark.one_per_head(others="long")
def test_any_size(builder, card, model, size, digits):
    options = {"classes": 10, "classifier_activation": None}
    if not card.any_size:
        options = {"include_top": False, "pooling": "avg"}
        model = builder(input_shape=(size, size, 3), **options)
    free = builder(input_shape=(None, None, 3), **options)
    assert body_names(free) == body_names(model)
    free.set_weights(model.get_weights())
    images, _ = digits(size)
    assert_close(run(free, images[:2]), run(model, images[:2]))
    assert run(free, digits(card.minimum)[0][:2]).shape == (2, model.output_shape[-1])


@pytest.mark.one_per_head(others="changed")
def test_four_channels_at_the_smallest_size(builder, card, digits, randomise):
    channels = 4  # training has 1, the other tests have 3
    shape = (card.minimum, card.minimum, channels)
    model = randomise(builder(input_shape=shape, classes=7, classifier_activation=None))
    first, second, third = run(model, digits(card.minimum, channels)[0][:3])
    assert first.shape == (7,) and np.isfinite(third).all()
    assert (
        np.abs(first - second).max() > 1e-3 * np.abs(first).max()
    )  # the logits depend on the image


@pytest.mark.one_per_head(others="long")
def test_predictions_are_float32_under_every_policy(builder, card, digits, set_policy, policy_name):
    set_policy(policy_name)
    model = builder(input_shape=(card.minimum, card.minimum, 3), classes=10)
    compute_dtype = keras.DTypePolicy(policy_name).compute_dtype
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert {layer.compute_dtype for layer in convolutions} == {compute_dtype}
    logits = [layer for layer in model.layers if layer.name in ("head_logits", "predictions")]
    assert [layer.compute_dtype for layer in logits] == ["float32", "float32"]
    predictions = run(model, digits(card.minimum)[0][:8])
    assert model.output.dtype == "float32" and predictions.dtype == np.float32
    np.testing.assert_allclose(predictions.sum(axis=-1), 1, rtol=1e-5, atol=1e-5)


@pytest.mark.one_per_head(others="changed")
def test_training_lowers_the_loss_on_real_images(builder, card, digits, request):
    size = max(card.minimum, 32)
    model = builder(input_shape=(size, size, 1), classes=10)
    # Tracing a training step takes longer than some steps.
    eager = keras.backend.backend() == "tensorflow" and not request.config.getoption("--all")
    images, labels = digits(size, channels=1)
    model.compile(
        keras.optimizers.Adam(3e-4),
        "sparse_categorical_crossentropy",
        run_eagerly=eager,
        jit_compile=keras.backend.backend() == "jax",  # TensorFlow's compiler takes minutes
    )
    losses = []
    while len(losses) < 100 and not (losses and losses[-1] < 0.85 * losses[0]):
        losses.append(model.train_on_batch(images[:4], labels[:4]))
    assert np.isfinite(losses).all() and losses[-1] < 0.85 * losses[0]


@pytest.mark.one_per_head(others="changed")
def test_files_load_in_a_new_process(model, card, size, digits, tmp_path, forked, request):
    images = digits(size)[0][:4]
    expected = run(model, images)
    np.save(tmp_path / "images.npy", images)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    kapps.to_keras_layers(model).save(tmp_path / "portable.keras")
    whole = request.config.getoption("--all")
    forked(LOAD, card.name, tmp_path, covering.FOLDER, "whole" if whole else "")
    assert_close(np.load(tmp_path / "model.npy"), expected, within=1e-5)
    assert_close(np.load(tmp_path / "weights.npy"), expected, within=1e-5)
    assert_close(np.load(tmp_path / "portable.npy"), expected, within=1e-5)


@pytest.mark.one_per_head(others="changed")
def test_portable_models_have_only_keras_layers(builder, model, size, digits):
    shape = (size, size, 3)
    portable = builder(input_shape=shape, classes=10, classifier_activation=None, portable=True)
    assert all(type(layer).__module__.startswith("keras.") for layer in portable.layers)
    assert body_names(portable) == body_names(model)
    for layer in model.layers:
        weights = getattr(layer, "keras_weights", layer.get_weights)
        portable.get_layer(layer.name).set_weights(weights())
    images = digits(size)[0][:4]
    assert_close(run(portable, images), run(model, images), within=1e-5)


@pytest.mark.long
@pytest.mark.one_per_head
def test_two_models_in_one_graph(builder, model, size, digits, tmp_path):
    shape = (size, size, 3)
    image = keras.Input(shape)
    options = dict(input_shape=shape, classes=10, classifier_activation=None)
    parts = [model, builder(**options, name="second")]
    graph = keras.Model(image, keras.layers.Average()([part(image) for part in parts]))
    images = digits(size)[0][:4]
    mean = (run(parts[0], images) + run(parts[1], images)) / 2
    assert_close(run(graph, images), mean, within=1e-5)
    assert len(graph.trainable_variables) == 2 * len(model.trainable_variables)
    graph.save(tmp_path / "both.keras")
    loaded = keras.saving.load_model(tmp_path / "both.keras", safe_mode=True)
    assert {model.name, "second"} < {layer.name for layer in loaded.layers}
    assert_close(run(loaded, images), mean, within=1e-5)


@pytest.mark.one_per_head
def test_input_tensor(builder, model, size, digits):
    image = keras.Input((size, size, 3), name="pixels")
    scaled = keras.layers.Rescaling(2.0, name="twice")(image)
    with_input = builder(input_tensor=scaled, classes=10, classifier_activation=None)
    assert [x.name for x in with_input.inputs] == ["pixels"]
    assert body_names(with_input)[:2] == ["pixels", "twice"]
    assert body_names(with_input)[2:] == body_names(model)[1:]
    with_input.set_weights(model.get_weights())
    images = digits(size)[0][:2]
    assert_close(run(with_input, images), run(model, 2 * images))


@pytest.mark.one_per_head
def test_a_seed_fixes_the_weights(builder, model, size):
    options = dict(input_shape=(size, size, 3), classes=10, classifier_activation=None)
    for seed, same in [(SEED, True), (SEED + 1, False)]:
        keras.utils.set_random_seed(seed)
        pairs = zip(kernels(builder(**options)), kernels(model), strict=True)
        assert {np.array_equal(a, b) for a, b in pairs} == {same}


def kernels(model):
    """Returns the variables that are sampled, and that no fixture changes."""
    return [keras.ops.convert_to_numpy(x) for x in model.trainable_variables if "kernel" in x.name]


@pytest.mark.tensorflow
@pytest.mark.one_per_head(others="changed")
def test_a_saved_model_agrees_with_the_model(model, size, digits, tmp_path):
    from kapps import export

    report = export.verify(model, export.saved_model(model, tmp_path), digits(size)[0][:8])
    assert report.failure() is None and report.top1_agreement == 1


@pytest.mark.tensorflow
@pytest.mark.one_per_head(others="long")
def test_a_tflite_file_agrees_with_the_model(model, size, digits, tmp_path):
    from kapps import export

    path = export.tflite(model, tmp_path / "model.tflite")
    report = export.verify(model, path, digits(size)[0][:8])
    assert report.failure() is None and report.top1_agreement == 1
    undelegated = set(export.runtime.undelegated_operations(tmp_path / "model.tflite"))
    assert undelegated <= set(allowed_outside_the_delegate(model))


def allowed_outside_the_delegate(model):
    """Yields the operations that LiteRT's CPU delegate does not run, by the layers that they come from."""
    for layer in model.layers:
        if isinstance(
            layer, keras.layers.UpSampling2D
        ):  # a map smaller than the dense layer's grid
            yield "TILE"
        if getattr(layer, "pool_size", None) == (1, 1):  # every second pixel
            maximum = isinstance(layer, keras.layers.MaxPooling2D)
            yield "MAX_POOL_2D" if maximum else "AVERAGE_POOL_2D"
        if getattr(layer, "binary_input", False):
            yield "SIGN"
        if isinstance(layer, keras.layers.Concatenate) and len(layer.input) > 5:
            yield "CONCATENATION"
        if max(getattr(layer, "dilation_rate", (1,))) > 1:  # two that read the same map
            yield from ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")
