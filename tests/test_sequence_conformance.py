"""Networks on sequences: padding, causality, steps, files, precision, training and export, over the covering set.

As tests/test_conformance.py does for images. Without `--all` the builders are small.
"""

import gc
import pathlib

import covering
import graphs
import keras
import models
import numpy as np
import pytest
from members import assert_close

from kapps import cards
from kapps.generation import step_models

LICENCE = pathlib.Path(__file__).parents[1] / "LICENSE"
SENTENCES = models.REFERENCE / "pairs.tsv"
"""Articles 1, 3, 4 and 6 of the Universal Declaration of Human Rights, in English and German."""
LENGTH = 12

LOAD = """
import sys
import numpy as np, keras
import kapps
(folder,) = sys.argv[1:]
with np.load(f"{folder}/inputs.npz") as file:
    inputs = [file[key] for key in sorted(file.files)]
inputs = inputs[0] if len(inputs) == 1 else inputs
model = keras.saving.load_model(f"{folder}/model.keras", safe_mode=True)
np.save(f"{folder}/model.npy", keras.ops.convert_to_numpy(model(inputs, training=False)))
"""


@pytest.fixture(scope="module")
def card(sequence_name):
    """The builder's card."""
    yield cards.card(sequence_name)
    gc.collect()


@pytest.fixture(scope="module")
def builder(sequence_name, request):
    """The small builder, or with `--all` the published one."""
    whole = request.config.getoption("--all")
    return graphs.builder(sequence_name) if whole else covering.member(sequence_name)


@pytest.fixture(scope="module")
def corpus():
    """Real text: tokens int32 [time], the vocabulary's size, and sentences in two languages, int32 [4, LENGTH] each."""
    text = LICENCE.read_text(encoding="utf-8")
    pairs = [line.split("\t") for line in SENTENCES.read_text(encoding="utf-8").splitlines()]
    sentences = [line[:LENGTH] for language in zip(*pairs, strict=True) for line in language]
    characters, tokens = np.unique(list(text + "".join(sentences)), return_inverse=True)
    tokens = tokens.astype("int32") + 1  # 0 is padding
    translations = list(tokens[len(text) :].reshape(2, 4, LENGTH))
    return tokens[500 : len(text)], len(characters) + 1, translations


@pytest.fixture(scope="module")
def frames():
    """Digits that move to the right, float32 [4, 20, 16, 16, 1]."""
    with np.load(models.REFERENCE / "digits64.npz") as file:
        images = file["images"][:4]
    images = images.reshape(4, *images.shape[1:3], -1)[..., 0].astype("float32")
    images = np.pad(images / images.max(), ((0, 0), (0, 8), (0, 8)))[:, :16, :16]
    return np.stack([np.roll(images, t, axis=2) for t in range(20)], axis=1)[..., None]


@pytest.fixture(scope="module")
def options(card, corpus):
    """Arguments that the tests build with."""
    logits = {} if card.kind == "frames" else {"classifier_activation": None}
    return {**logits, "vocabulary": corpus[1]} if card.vocabulary else logits


@pytest.fixture(scope="module")
def model(builder, options):
    """A small model that ends in logits. Tests read it and do not change it."""
    keras.utils.set_random_seed(3)
    return builder(**options)


@pytest.fixture(scope="module")
def inputs(card, model, corpus, frames):
    """A batch of 4 real examples: an array, or a list of arrays for several inputs."""
    tokens, _, translations = corpus
    shape = model.inputs[0].shape[1:]
    steps = shape[0] or LENGTH
    # Pixels in order from the digit's first row. None is 0, which is padding.
    if card.kind == "sequence":
        pixels = np.resize(frames[:, 3, 1:], (4, steps * shape[-1])) + 0.1
        pixels = pixels.reshape(4, steps, shape[-1]).astype("float32")
    if len(model.inputs) == 2:
        # Indices of the source's steps, if it is not a text.
        return [pixels, translations[1] % 7 + 1] if card.kind == "sequence" else translations
    if card.kind == "tokens" and len(shape) == 2:
        return tokens[: 4 * steps * shape[1]].reshape(4, steps, shape[1])
    if card.kind == "tokens":
        return np.stack([tokens[LENGTH * i :][:steps] for i in range(4)])
    if card.kind == "frames":
        return resize(frames[:, :steps], shape[1:])
    return pixels


def resize(frames, shape):
    """Returns frames of a height, width and number of channels, by repeating and cropping."""
    height, width, channels = shape
    rows, columns = (-(-size // 16) for size in (height, width))
    larger = frames.repeat(rows, axis=2).repeat(columns, axis=3)[:, :, :height, :width]
    return larger.repeat(channels, axis=-1)


def targets_and_loss(card, model, inputs, frames):
    """Returns targets for the four examples, and the loss of the model's kind of output."""
    rng, shape = np.random.default_rng(0), model.output_shape
    if any(layer.name == "head_padding" for layer in model.layers):  # temporal classification
        return rng.integers(1, shape[-1], (4, 3)), keras.losses.CTC()
    if len(shape) == 5:
        return resize(frames[:, 10 : 10 + shape[1]], shape[2:]), "binary_crossentropy"
    if generates(card, model):
        targets = np.roll(as_list(inputs)[-1], -1, axis=1)  # the next token
    else:
        steps = () if len(shape) == 2 else (shape[1] or LENGTH,)
        if shape[-1] == 1:
            return rng.uniform(0, 1, (4, *steps, 1)), "mse"
        targets = rng.integers(1, shape[-1], (4, *steps))
    return targets, keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def generates(card, model):
    """Returns whether a model predicts a token, or an index of the source, at each token."""
    is_pointer = card.kind == "sequence" and len(model.inputs) == 2
    return (card.kind == "tokens" or is_pointer) and len(model.output.shape) == 3


def is_causal(card, model):
    """Returns whether no prediction may depend on a later step: it is one per step, and no layer reads backwards."""
    if generates(card, model):
        return True
    backwards = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Bidirectional) or getattr(layer, "go_backwards", False)
    ]
    return len(model.output.shape) == 3 and model.inputs[0].shape[1] is None and not backwards


def has_masks(card, model):
    """Returns whether layers tell padding from real steps."""
    masks = [getattr(layer.output, "_keras_mask", None) for layer in model.layers]
    return generates(card, model) or any(mask is not None for mask in masks)


def as_list(inputs):
    """Returns the inputs as a list of arrays."""
    return inputs if isinstance(inputs, list) else [inputs]


def with_structure(inputs, arrays):
    """Returns a list of arrays as `inputs` are: one array, or a list."""
    return arrays if isinstance(inputs, list) else arrays[0]


def run(model, inputs):
    """Returns the predictions as a NumPy array."""
    return keras.ops.convert_to_numpy(model(inputs, training=False))


def count_steps(row):
    """Returns the number of steps that are not padding, of tokens [time] or vectors [time, features]."""
    return np.count_nonzero(row.any(-1) if row.ndim > 1 else row)


@pytest.mark.one_per_head(others="long")
def test_predictions_are_float32_in_mixed_precision(builder, options, inputs):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = builder(**options)
        predictions = run(model, inputs)
    finally:
        keras.config.set_dtype_policy(before)
    assert str(predictions.dtype) == "float32"
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"
    assert np.isfinite(predictions).all() and np.ptp(predictions) > 0


def test_masked_padding_equals_a_shorter_sequence(card, model, inputs):
    if not has_masks(card, model):
        pytest.skip("has no masks")
    lengths = [LENGTH, 7, 3, 1]
    padded = [array.copy() for array in as_list(inputs)]
    is_fixed = [x.shape[1] is not None for x in model.inputs]  # annotation vectors of an image
    for i, array in enumerate(padded):  # source and target of an example have different lengths
        reverse = i + 1 < len(padded)
        for row, length in zip(array, lengths[::-1] if reverse else lengths, strict=True):
            row[len(row) if is_fixed[i] else length :] = 0
    batch = run(model, with_structure(inputs, padded))
    longer = [
        array if fixed else np.concatenate([array, np.zeros_like(array[:, :5])], axis=1)
        for array, fixed in zip(padded, is_fixed, strict=True)
    ]
    longer_batch = run(model, with_structure(inputs, longer))
    for i in range(len(lengths)):
        trimmed = [array[i : i + 1, : count_steps(array[i])] for array in padded]
        expected = run(model, with_structure(inputs, trimmed))[0]
        real = tuple(
            slice(size) for size in expected.shape
        )  # a pointer has as many classes as steps
        assert_close(batch[i][real], expected, within=1e-5)
        assert_close(longer_batch[i][real], expected, within=1e-5)


def test_no_prediction_depends_on_a_later_step(card, model, inputs):
    if not is_causal(card, model):
        pytest.skip("is not causal")
    *source, last = as_list(inputs)
    changed = last.copy()
    changed[:, 7:] = last[:, ::-1][:, 7:]
    assert (changed[:, 7:] != last[:, 7:]).any()
    before = run(model, inputs)
    after = run(model, with_structure(inputs, [*source, changed]))
    assert_close(after[:, :7], before[:, :7], within=1e-5)
    assert np.abs(after[:, 7:] - before[:, 7:]).max() > 1e-4


def test_single_steps_with_states_equal_the_whole_sequence(card, model, inputs):
    if not generates(card, model):
        pytest.skip("does not generate tokens")
    *source, target = as_list(inputs)
    encoded = {}
    if source:  # the first source has its full length, the others are padded
        source = [array.copy() for array in source]
        source[0][1:, 5:] = 0
        encoder, step = step_models.encoder_and_step(model, length=LENGTH)
        encoded = encoder({"source": keras.ops.convert_to_tensor(source[0])}, training=False)
    else:
        step = step_models.step_model(model, length=LENGTH)
    states = {**step_models.initial_states(step, len(target)), **encoded}
    token_name, state_names = (
        step_models.token_input_name(step, encoded),
        step_models.state_names(step),
    )
    logits = []
    for column in target.T:
        step_inputs = {token_name: column[:, None], **states}
        step_inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, step_inputs)
        outputs = step(step_inputs, training=False)
        logits.append(keras.ops.convert_to_numpy(outputs["logits"])[:, 0])
        states.update({name: outputs[name] for name in state_names})
    expected = run(model, with_structure(inputs, [*source, target]))
    assert_close(np.stack(logits, axis=1), expected, within=1e-5)


@pytest.mark.one_per_head(others="changed")
def test_training_lowers_the_loss_on_real_data(builder, card, options, inputs, frames, request):
    model = builder(**options)
    targets, loss = targets_and_loss(card, model, inputs, frames)
    # Tracing a training step takes longer than some steps.
    eager = keras.backend.backend() == "tensorflow" and not request.config.getoption("--all")
    model.compile(keras.optimizers.Adam(3e-2), loss, jit_compile=False, run_eagerly=eager)
    losses = [float(model.train_on_batch(inputs, targets))]
    while len(losses) < 150 and losses[-1] >= 0.9 * losses[0]:
        losses.append(float(model.train_on_batch(inputs, targets)))
    assert np.isfinite(losses).all() and losses[-1] < 0.9 * losses[0]


@pytest.mark.one_per_head(others="changed")
def test_files_load_in_a_new_process(builder, options, model, inputs, tmp_path, forked):
    expected = run(model, inputs)
    arrays = {f"input{i}": array for i, array in enumerate(as_list(inputs))}
    np.savez(tmp_path / "inputs.npz", **arrays)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    forked(LOAD, tmp_path)
    assert_close(np.load(tmp_path / "model.npy"), expected, within=1e-5)
    with_weights = builder(weights=tmp_path / "model.weights.h5", **options)
    assert_close(run(with_weights, inputs), expected, within=1e-5)


@pytest.mark.tensorflow
@pytest.mark.one_per_head(others="changed")
def test_a_saved_model_agrees_with_the_model(model, inputs, tmp_path):
    from kapps import export

    path = export.saved_model(model, tmp_path / "served")
    report = export.verify(model, path, by_name(model, inputs))
    assert report.failure() is None and report.top1_agreement == 1


@pytest.mark.tensorflow
@pytest.mark.one_per_head(others="long")
def test_a_tflite_file_agrees_with_the_model(model, inputs, tmp_path):
    from kapps import export

    length = LENGTH if any(None in x.shape[1:] for x in model.inputs) else None
    path = export.tflite(model, tmp_path / "model.tflite", length=length)
    report = export.verify(model, path, by_name(model, inputs))
    assert report.failure() is None and report.top1_agreement == 1


def by_name(model, inputs):
    """Returns the arrays by the names of the inputs, or the array of the only input."""
    names = [x.name for x in model.inputs]
    return dict(zip(names, inputs, strict=True)) if isinstance(inputs, list) else inputs
