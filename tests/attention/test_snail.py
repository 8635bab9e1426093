"""SNAIL against its listings in NumPy; sizes, causality, single steps, and export of one step with its state."""

import math

import keras
import numpy as np
import pytest

import kapps
from kapps import generation
from kapps.families import snail
from kapps.generation import step_models

SMALL = dict(
    classes=3, ways=2, shots=2, filters=4, attention=((3, 2), (4, 3), (5, 2)), input_shape=(None, 6)
)  # fmt: skip
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2, 9, 6)).astype("float32")


def array(x):
    return keras.ops.convert_to_numpy(x)


def build(**options):
    model = snail(classifier_activation=None, **{**SMALL, **options})
    random = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.5, variable.shape))
    return model


@pytest.fixture(scope="module")
def model():
    return build(every_step=True)


def causal_conv(x, kernel, bias, dilation):
    """A causal convolution with two taps: x_{t-d} and x_t."""
    before = np.concatenate([np.zeros((dilation, x.shape[1])), x])[: len(x)]
    return before @ kernel[0] + x @ kernel[1] + bias


def paper(model, x, steps, first):
    """The blocks of the paper's listings for one sequence (time, features)."""
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    x = x.astype("float64")
    for i in (1, 2, 3):
        w_q, w_k, w_v, b_q, b_k, b_v = (w[0] for w in weights[f"attention{i}"])
        query, keys, values = x @ w_q + b_q, x @ w_k + b_k, x @ w_v + b_v
        logits = query @ keys.T / math.sqrt(w_k.shape[1])
        logits[np.triu_indices(len(x), 1)] = -np.inf
        probs = np.exp(logits - logits.max(axis=1, keepdims=True))
        x = np.concatenate([x, probs / probs.sum(axis=1, keepdims=True) @ values], axis=1)
        for j in range(1, math.ceil(math.log2(steps)) + 1) if i < 3 else ():
            dilation = first * 2 ** (j - 1)
            xf = causal_conv(x, *weights[f"tc{i}_block{j}_xf"], dilation)
            xg = causal_conv(x, *weights[f"tc{i}_block{j}_xg"], dilation)
            x = np.concatenate([x, np.tanh(xf) / (1 + np.exp(-xg))], axis=1)
    kernel, bias = weights["head_logits"]
    return x @ kernel + bias


@pytest.mark.parametrize("first", [1, 2])
def test_blocks_are_the_papers(first):
    model = build(every_step=True, first_dilation=first)
    for row, x in zip(array(model(X)), X, strict=True):
        np.testing.assert_allclose(row, paper(model, x, 2 * 2 + 1, first), atol=1e-4)


def test_parameters_are_those_of_the_second_implementation():
    """Omniglot, N = 5, K = 1: the channels grow from 64 + 5 by each read and each dense block."""
    channels, count = 64 + 5, 9 * 64 + 64 + 3 * (9 * 64 * 64 + 64) + 4 * 2 * 64
    assert count == 111_936
    for key, value in ((64, 32), (256, 128), (512, 256)):
        count += 2 * (channels + 1) * key + (channels + 1) * value
        channels += value
        for _ in range(3 if key < 512 else 0):
            count += 2 * (2 * channels + 1) * 128
            channels += 128
    count += (channels + 1) * 5
    assert count == kapps.snail_omniglot_5way_1shot.card.params == 3_209_342


def test_no_step_depends_on_a_later_one(model):
    before = array(model(X))
    later = np.tri(9)[:8, :, None] == 0  # row t - 1: the steps from t
    after = array(model(X[0] + later.astype("float32")))
    for t in range(1, 9):
        np.testing.assert_allclose(after[t - 1, :t], before[0, :t], rtol=1e-5, atol=1e-5)
        assert np.abs(after[t - 1, t:] - before[0, t:]).max(axis=-1).min() > 1e-3


def test_dilations_from_2_see_an_odd_offset_through_attention_only():
    """Keys of zeros give equal weights to all steps; values of zeros leave the convolutions."""
    for first, is_seen in ((1, True), (2, False)):
        model = build(every_step=True, first_dilation=first)
        for i in (1, 2, 3):
            layer = model.get_layer(f"attention{i}")
            layer.set_weights([0 * w for w in layer.get_weights()])
        changed = X.copy()
        changed[:, 4] += 1
        difference = np.abs(array(model(changed)) - array(model(X))).max(axis=(0, 2))
        assert (difference[5] > 1e-4) == is_seen and difference[6] > 1e-4


def test_single_steps_with_their_state_equal_the_whole_sequence(model):
    step = generation.step_model(model)
    states, steps = step_models.initial_states(step, 2, length=5), []
    for t in range(5):
        inputs = {"sequence": X[:, t : t + 1], **states}
        outputs = step(keras.tree.map_structure(keras.ops.convert_to_tensor, inputs))
        states = {name: outputs[name] for name in states}
        steps.append(array(outputs["logits"])[:, 0])
    np.testing.assert_allclose(np.stack(steps, axis=1), array(model(X))[:, :5], atol=1e-4)


@pytest.mark.parametrize("embedding", ["omniglot", "mini_imagenet"])
def test_each_step_is_an_image_and_its_label(embedding):
    image, ways = (16, 16, 1), 2
    options = dict(ways=ways, classes=ways, shots=1, filters=4, image=image, embedding_filters=2)
    x = RANDOM.uniform(size=(2, 3, 16 * 16 + ways)).astype("float32")
    with_images = snail(embedding=embedding, input_shape=x.shape[1:], **options)
    assert with_images.get_layer("embedding_and_label").output.shape[2] in (2 + ways, 12 + ways)
    y = array(with_images(x, training=False))
    x[:, -1, -1] += 1  # the label of the query is read too
    assert y.shape == (2, ways) and np.abs(array(with_images(x, training=False)) - y).max() > 1e-6
    with pytest.raises(ValueError, match="number of steps"):
        snail(embedding=embedding, input_shape=(None, 258), **options)
    with pytest.raises(ValueError, match="number of steps"):
        snail(embedding=embedding, input_shape=(3, 256), **options)


def test_another_embedding_is_an_error_that_names_those_there_are():
    with pytest.raises(ValueError, match="omniglot"):
        snail(embedding="resnet", input_shape=(6, 789))


@pytest.mark.long
@pytest.mark.tensorflow
def test_the_file_of_one_step_equals_the_whole_sequence(model, tmp_path):
    from kapps import export
    from kapps.export.runtime.tflite_step_model import TFLiteStepModel

    step = generation.step_model(model, batch=1, length=9)
    export.tflite(step, tmp_path / "step.tflite", verbose=0)
    file, steps = TFLiteStepModel(tmp_path / "step.tflite"), []
    states = step_models.initial_states(file, 1)
    for t in range(X.shape[1]):
        outputs = file({"sequence": X[:1, t : t + 1], **states})
        states = {name: outputs[name] for name in states}
        steps.append(outputs["logits"][:, 0])
    np.testing.assert_allclose(np.stack(steps, axis=1), array(model(X[:1])), atol=1e-4)
