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
with np.load(f"{folder}/given.npz") as file:
    given = [file[key] for key in sorted(file.files)]
given = given[0] if len(given) == 1 else given
model = keras.saving.load_model(f"{folder}/model.keras", safe_mode=True)
np.save(f"{folder}/model.npy", keras.ops.convert_to_numpy(model(given, training=False)))
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
def numbers():
    """Real text, int32 [time], how many tokens there are, and sentences in two languages, int32 [4, LENGTH] each."""
    text = LICENCE.read_text()
    pairs = [line.split("\t") for line in SENTENCES.read_text(encoding="utf-8").splitlines()]
    sentences = [line[:LENGTH] for language in zip(*pairs, strict=True) for line in language]
    found, tokens = np.unique(list(text + "".join(sentences)), return_inverse=True)
    tokens = tokens.astype("int32") + 1  # 0 is padding
    return tokens[500 : len(text)], len(found) + 1, list(tokens[len(text) :].reshape(2, 4, LENGTH))


@pytest.fixture(scope="module")
def options(card, numbers):
    """The sizes that the tests build with."""
    found = {} if card.kind == "frames" else {"classifier_activation": None}
    return {**found, "vocabulary": numbers[1]} if card.vocabulary else found


@pytest.fixture(scope="module")
def model(builder, options):
    """A small model that tests read and leave as it is, ending in logits."""
    keras.utils.set_random_seed(3)
    return builder(**options)


@pytest.fixture(scope="module")
def given(card, model, numbers, frames):
    """What goes in, a batch of 4; of several inputs a list."""
    return example(card, model, numbers, frames)


@pytest.fixture(scope="module")
def frames():
    """Digits that move to the right, float32 [4, 20, 16, 16, 1]."""
    with np.load(pathlib.Path(__file__).parent / "reference" / "digits64.npz") as file:
        images = next(file[key] for key in file.files if file[key].ndim > 2)[:4]
    images = images.reshape(4, *images.shape[1:3], -1)[..., 0].astype("float32")
    images = np.pad(images / images.max(), ((0, 0), (0, 8), (0, 8)))[:, :16, :16]
    return np.stack([np.roll(images, t, axis=2) for t in range(20)], axis=1)[..., None]


def example(card, model, numbers, frames):
    """Returns real text, pixels in order or frames, as a network takes them."""
    tokens, _, sentences = numbers
    if len(model.inputs) == 2:
        return sentences
    found = []
    for each in model.inputs:
        steps = each.shape[1] or LENGTH
        if card.kind == "tokens":
            found.append(np.stack([tokens[LENGTH * j :][:steps] for j in range(4)]))
        elif card.kind == "frames":
            found.append(resized(frames[:, :steps], each.shape[2:]))
        else:
            # Pixels from the digit's first row on; none is 0, which is padding.
            pixels = np.resize(frames[:, 3, 1:], (4, steps * each.shape[-1])) + 0.1
            found.append(pixels.reshape(4, steps, each.shape[-1]).astype("float32"))
    return found[0] if len(found) == 1 else found


def resized(frames, shape):
    """Returns frames of a height and width, each pixel as often as it goes."""
    height, width, channels = shape
    rows, columns = (size // 16 + (size % 16 > 0) for size in (height, width))
    larger = frames.repeat(rows, axis=2).repeat(columns, axis=3)[:, :, :height, :width]
    return larger.repeat(channels, axis=-1)


def answers(model, frames):
    """Returns what a network is to say of those four inputs, and the loss of it."""
    draw, shape = np.random.default_rng(0), model.output_shape
    if any(layer.name == "head_padding" for layer in model.layers):  # temporal classification
        return draw.integers(1, shape[-1], (4, 3)), keras.losses.CTC()
    if len(shape) == 5:
        return resized(frames[:, 10 : 10 + shape[1]], shape[2:]), "binary_crossentropy"
    steps = () if len(shape) == 2 else (shape[1] or LENGTH,)
    if shape[-1] == 1:
        return draw.uniform(0, 1, (4, *steps, 1)), "mse"
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return draw.integers(1, shape[-1], (4, *steps)), loss


def as_list(given):
    """Returns what goes in as a list of one array or several."""
    return given if isinstance(given, list) else [given]


def like(given, arrays):
    """Returns arrays as `given` has its own: alone, or in a list."""
    return arrays if isinstance(given, list) else arrays[0]


def run(model, given):
    """Returns the answers as NumPy has them."""
    return keras.ops.convert_to_numpy(model(given, training=False))


def generates(card, model):
    """Returns whether a model predicts a token at each token, so that it can generate a text."""
    return card.kind == "tokens" and len(model.output.shape) == 3


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


def test_predictions_are_float32_in_mixed_precision(builder, options, given):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = builder(**options)
        found = run(model, given)
    finally:
        keras.config.set_dtype_policy(before)
    assert "float32" == str(found.dtype) == keras.backend.standardize_dtype(model.output.dtype)
    assert np.isfinite(found).all() and np.ptp(found) > 0


def test_masked_padding_equals_a_shorter_sequence(card, model, given):
    if not has_masks(card, model):
        pytest.skip("has no masks")
    lengths = [LENGTH, 7, 3, 1]
    padded = [each.copy() for each in as_list(given)]
    for i, each in enumerate(padded):  # sources in another order, so that each pair has two lengths
        for row, n in zip(each, lengths[::-1] if i + 1 < len(padded) else lengths, strict=True):
            row[n:] = 0
    together = run(model, like(given, padded))
    more = [np.concatenate([each, np.zeros_like(each[:, :5])], axis=1) for each in padded]
    longer = run(model, like(given, more))
    for i in range(len(lengths)):
        trimmed = [
            each[i : i + 1, : np.count_nonzero(each[i].any(-1) if each.ndim > 2 else each[i])]
            for each in padded
        ]
        alone = run(model, like(given, trimmed))[0]
        steps = slice(None) if alone.ndim == 1 else slice(len(alone))
        assert_close(together[i][steps], alone, within=1e-5)
        assert_close(longer[i][steps], alone, within=1e-5)


def test_no_prediction_depends_on_a_later_step(card, model, given):
    if not is_causal(card, model):
        pytest.skip("is not causal")
    *source, last = as_list(given)
    changed = last.copy()
    changed[:, 7:] = last[:, ::-1][:, 7:]
    assert (changed[:, 7:] != last[:, 7:]).any()
    before, after = run(model, given), run(model, like(given, [*source, changed]))
    assert_close(after[:, :7], before[:, :7], within=1e-5)
    assert np.abs(after[:, 7:] - before[:, 7:]).max() > 1e-4


def test_single_steps_with_states_equal_the_whole_sequence(card, model, given):
    if not generates(card, model):
        pytest.skip("does not generate tokens")
    *source, target = as_list(given)
    if source:  # the first source of full length, others padded
        source = [each.copy() for each in source]
        source[0][1:, 5:] = 0
        encoder, one = step_models.encoder_and_step(model, length=LENGTH)
        known = encoder({"source": keras.ops.convert_to_tensor(source[0])}, training=False)
    else:
        one, known = step_models.step_model(model, length=LENGTH), {}
    states, found = {**step_models.initial_states(one, len(target)), **known}, []
    name, kept = step_models.token_input_name(one, known), step_models.state_names(one)
    for column in target.T:
        taken = {name: column[:, None], **states}
        answer = one(keras.tree.map_structure(keras.ops.convert_to_tensor, taken), training=False)
        found.append(keras.ops.convert_to_numpy(answer["logits"])[:, 0])
        states.update({key: answer[key] for key in kept})
    assert_close(np.stack(found, axis=1), run(model, like(given, [*source, target])), within=1e-5)


def test_training_lowers_the_loss_on_real_data(builder, card, options, given, frames):
    model = builder(**options)
    expected, loss = answers(model, frames)
    if card.kind == "tokens" and len(model.output_shape) == 3:
        expected = np.roll(as_list(given)[-1], -1, axis=1)  # the next character
    model.compile(keras.optimizers.Adam(3e-3), loss, jit_compile=False)
    losses = [float(model.train_on_batch(given, expected))]
    while len(losses) < 150 and losses[-1] >= 0.9 * losses[0]:
        losses.append(float(model.train_on_batch(given, expected)))
    assert np.isfinite(losses).all() and losses[-1] < 0.9 * losses[0]


def test_files_load_in_a_new_process(builder, options, model, given, tmp_path, forked):
    expected = run(model, given)
    np.savez(tmp_path / "given.npz", **{f"input{i}": each for i, each in enumerate(as_list(given))})
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    forked(LOAD, tmp_path)
    assert_close(np.load(tmp_path / "model.npy"), expected, within=1e-5)
    assert_close(
        run(builder(weights=tmp_path / "model.weights.h5", **options), given), expected, within=1e-5
    )


@pytest.mark.tensorflow
def test_exported_files_agree_with_the_model(card, model, given, tmp_path):
    from kapps import export

    names = [each.name for each in model.inputs]
    values = dict(zip(names, given, strict=True)) if isinstance(given, list) else given
    length = LENGTH if any(None in each.shape[1:] for each in model.inputs) else None
    for path in (
        export.saved_model(model, tmp_path / "served"),
        export.tflite(model, tmp_path / "model.tflite", length=length),
    ):
        report = export.verify(model, path, values)
        assert report.failure() is None and report.top1_agreement == 1
