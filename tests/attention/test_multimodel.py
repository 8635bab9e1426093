"""MultiModel: its parameters, blocks and modality nets in NumPy, causality, decoding, and tasks with shared layers."""

import keras
import numpy as np
import pytest

import kapps
from kapps import generation
from kapps.attention import multimodel
from kapps.generation import step_models

D, HEADS, WORDS, EXPERTS, HIDDEN = 8, 2, 13, 3, 5
SMALL = dict(
    vocabulary=WORDS, d_model=D, heads=HEADS, experts=EXPERTS, k=2, hidden=HIDDEN, encoder_blocks=2, mixer_blocks=1,
    decoder_blocks=1, classifier_activation=None,
)  # fmt: skip
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.integers(1, WORDS, (2, 7)).astype("int32")
TARGET = RANDOM.integers(1, WORDS, (2, 9)).astype("int32")
SOURCE[0, 4:] = 0
IMAGES = RANDOM.random((2, 18, 13, 1)).astype("float32")
WIDTHS = (3, 4, 6)


def array(x):
    return keras.ops.convert_to_numpy(x)


def run(model, *inputs):
    return array(model(list(inputs) if len(inputs) > 1 else inputs[0], training=False))


def randomise(model):
    random = np.random.default_rng(2)
    for variable in model.weights:
        if "float" in variable.dtype:
            scale = 1.0 if variable.name == "gamma" else 0.0
            variable.assign(random.normal(scale, 0.5, variable.shape))


@pytest.fixture(scope="module")
def model():
    """A small network of texts with random weights."""
    model = kapps.families.multimodel(**SMALL)
    randomise(model)
    return model


@pytest.fixture(scope="module")
def captions(model):
    """A network of images that shares layers with the network of texts."""
    captions = multimodel.image_to_text(model, IMAGES.shape[1:], WIDTHS)
    randomise(captions)
    return captions


@pytest.fixture(scope="module")
def classes(model):
    """A network of images and classes that shares the encoder with the network of texts."""
    classes = multimodel.image_to_class(
        model, IMAGES.shape[1:], 3, WIDTHS, class_widths=(4, 6, 5), activation=None
    )
    randomise(classes)
    return classes


def test_parameters_are_the_formula(model, captions, classes):
    def separable(k, n, m):
        return k * n + n * m + m

    def block(d):
        return 2 * separable(3, d, d) + 2 * separable(15, d, d) + 4 * 2 * d

    def attention(d):
        return 2 * block(d) + 8 * (d * d + d) + 2 * d

    def count(d, experts, hidden, blocks, vocabulary):
        *_, decoder = blocks
        mixture = 2 * d * experts + 2 * experts * d * hidden + 2 * d
        body = sum(blocks) * block(d) + (1 + decoder) * attention(d) + 2 * mixture
        return body + 2 * vocabulary * d

    assert kapps.card("multimodel_tiny").params == count(128, 10, 512, (2, 1, 2), 8192)
    assert kapps.card("multimodel_base").params == count(512, 30, 2048, (6, 2, 4), 8192)
    texts = count(D, EXPERTS, HIDDEN, (2, 1, 1), WORDS)
    assert model.count_params() == texts

    def step(k, n, m):
        return separable(k * k, n, m) + 2 * m

    def image_block(n, m):
        return step(3, n, m) + step(3, m, m) + step(1, n, m)

    net = step(3, 1, 3) + step(3, 3, 4) + image_block(4, 6) + image_block(6, D)
    assert captions.count_params() == texts + net
    encoder = 2 * block(D) + 2 * D * EXPERTS + 2 * EXPERTS * D * HIDDEN + 2 * D
    exits = step(3, D, 4) + step(3, 4, 4) + step(3, D, 4) + step(3, 4, 6) + step(3, 6, 5) + 6 * 3
    assert classes.count_params() == net + encoder + exits


class Equations:
    """The blocks of the paper in NumPy, for one example without padding."""

    def __init__(self, model):
        self.w = {v.path: array(v).astype("float64") for v in model.weights}

    def norm(self, x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * self.w[f"{name}/gamma"] + self.w[f"{name}/beta"]

    def timing(self, x):
        positions, i = np.arange(len(x))[:, None], np.arange(D) // 2
        angles = positions / 10000 ** (2 * i / D)
        return x + np.where(np.arange(D) % 2, np.cos(angles), np.sin(angles))

    def step(self, x, name, causal, dilation=1):
        """LN(SepConv(ReLU(x))) along time."""
        x, depthwise = np.maximum(x, 0), self.w[f"{name}/depthwise_kernel"][..., 0]
        y = np.zeros_like(x)
        before = (len(depthwise) - 1) * dilation // (1 if causal else 2)
        for t in range(len(x)):
            for i, weights in enumerate(depthwise):
                if 0 <= t + i * dilation - before < len(x):
                    y[t] += weights * x[t + i * dilation - before]
        y = y @ self.w[f"{name}/pointwise_kernel"][0] + self.w[f"{name}/bias"]
        return self.norm(y, f"{name}_norm")

    def block(self, x, name, causal=True):
        hidden1 = self.step(x, f"{name}_conv1", causal)
        hidden2 = x + self.step(hidden1, f"{name}_conv2", causal)
        hidden3 = self.step(hidden2, f"{name}_conv3", causal)
        return x + self.step(hidden3, f"{name}_conv4", causal, dilation=4)

    def attend(self, x, memory, name, causal=False):
        y = self.w[f"{name}/attention_output/bias"]
        for head in range(HEADS):
            q, k, v = (
                inputs @ self.w[f"{name}/{part}/kernel"][:, head]
                + self.w[f"{name}/{part}/bias"][head]
                for part, inputs in (("query", x), ("key", memory), ("value", memory))
            )
            scores = q @ k.T / np.sqrt(q.shape[-1])
            if causal:
                scores[np.triu_indices(len(x), 1)] = -np.inf
            a = np.exp(scores - scores.max(axis=-1, keepdims=True))
            a /= a.sum(axis=-1, keepdims=True)
            y = y + a @ v @ self.w[f"{name}/attention_output/kernel"][head]
        return y

    def attention_block(self, x, memory, name):
        x = self.block(self.block(self.timing(x), f"{name}_mix1"), f"{name}_mix2")
        y = self.attend(x, x, f"{name}_attention", causal=True)
        return self.norm(x + y + self.attend(y, memory, f"{name}_cross"), f"{name}_norm")

    def mixture(self, x, name):
        """The two experts with the largest gates, of all three."""
        scores, y = x @ self.w[f"{name}/gate"], np.zeros_like(x)
        for t, row in enumerate(scores):
            first, second = np.argsort(-row)[:2]
            g = 1 / (1 + np.exp(row[second] - row[first]))
            for i, gate in ((first, g), (second, 1 - g)):
                hidden = np.maximum(x[t] @ self.w[f"{name}/kernel1"][i], 0)
                y[t] += gate * hidden @ self.w[f"{name}/kernel2"][i]
        return self.norm(x + y, f"{name}_norm")

    def encode(self, x):
        x = self.block(self.timing(x), "encoder1", causal=False)
        return self.block(self.mixture(x, "encoder_experts"), "encoder2", causal=False)

    def decode(self, target, memory):
        x = self.attention_block(self.w["embedding/embeddings"][target], memory, "mixer")
        x = self.block(self.block(x, "mixer_block1"), "decoder1_block")
        x = self.mixture(self.attention_block(x, memory, "decoder1"), "decoder_experts")
        return x @ self.w["head_logits/kernel"]

    def image_step(self, x, name, strides=1):
        """LN(SepConv(ReLU(x))) of a map, with as many zeros on both sides, or one more after it."""
        depthwise = self.w[f"{name}/depthwise_kernel"][..., 0]
        y = windows(np.maximum(x, 0), len(depthwise), strides, 0)
        y = np.einsum("hwijc,ijc->hwc", y, depthwise) @ self.w[f"{name}/pointwise_kernel"][0, 0]
        return self.norm(y + self.w[f"{name}/bias"], f"{name}_norm")

    def image(self, x):
        x = self.image_step(self.image_step(x, "image_conv1", 2), "image_conv2")
        for name in ("image_block1", "image_block2"):
            y = self.image_step(self.image_step(x, f"{name}_conv1"), f"{name}_conv2")
            y = windows(y, 3, 2, -np.inf).max(axis=(2, 3))
            x = y + self.image_step(x, f"{name}_shortcut", 2)
        return x

    def classify(self, x):
        y = self.image_step(self.image_step(x, "class_conv1"), "class_conv2")
        y = windows(y, 3, 2, -np.inf).max(axis=(2, 3)) + self.image_step(x, "class_shortcut", 2)
        y = self.image_step(self.image_step(y, "class_conv3"), "class_conv4")
        y = np.maximum(y, 0).mean(axis=(0, 1))
        return y @ self.w["class_logits/kernel"] + self.w["class_logits/bias"]


def windows(x, size, strides, value):
    """Returns (height', width', size, size, channels) of a map with the padding that TensorFlow calls "same"."""
    padding = []
    for length in x.shape[:2]:
        total = max((-(-length // strides) - 1) * strides + size - length, 0)
        padding.append((total // 2, total - total // 2))
    x = np.pad(x, (*padding, (0, 0)), constant_values=value)
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1))
    return view[::strides, ::strides].transpose(0, 1, 3, 4, 2)


def test_logits_of_texts_are_the_equations(model):
    blocks = Equations(model)
    result = run(model, SOURCE, TARGET)
    for source, target, logits in zip(SOURCE, TARGET, result, strict=True):
        memory = blocks.encode(blocks.w["embedding/embeddings"][source[source > 0]])
        np.testing.assert_allclose(logits, blocks.decode(target, memory), rtol=1e-4, atol=1e-3)
    assert np.ptp(result) > 3


def test_logits_of_images_are_the_equations(captions, classes):
    blocks = Equations(captions)
    texts = run(captions, IMAGES, TARGET)
    for image, target, logits in zip(IMAGES, TARGET, texts, strict=True):
        memory = blocks.encode(blocks.image(image.astype("float64")).reshape(-1, D))
        assert len(memory) == 3 * 2
        np.testing.assert_allclose(logits, blocks.decode(target, memory), rtol=1e-4, atol=1e-3)
    blocks = Equations(classes)
    for image, logits in zip(IMAGES, run(classes, IMAGES), strict=True):
        memory = blocks.encode(blocks.image(image.astype("float64")).reshape(-1, D))
        expected = blocks.classify(memory.reshape(3, 2, D))
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-3)


def test_padding_changes_no_logit_and_no_step_depends_on_a_later_one(model):
    result = run(model, SOURCE, TARGET)
    longer = run(model, *(np.pad(x, ((0, 0), (0, 4))) for x in (SOURCE, TARGET)))
    np.testing.assert_allclose(longer[:, :9], result, rtol=1e-4, atol=1e-4)
    changed = TARGET.copy()
    changed[:, 6:] = 1 + changed[:, 6:] % (WORDS - 1)
    after = run(model, SOURCE, changed)
    np.testing.assert_allclose(after[:, :6], result[:, :6], rtol=1e-4, atol=1e-4)
    assert np.abs(after[:, 6:] - result[:, 6:]).max() > 0.1


@pytest.mark.parametrize("task", ["captions", pytest.param("model", marks=pytest.mark.long)])
def test_single_steps_keep_windows_and_caches_and_equal_the_whole_pass(task, request):
    model = request.getfixturevalue(task)
    x, (source, target) = {"model": SOURCE, "captions": IMAGES}[task], model.inputs
    encoder, step = generation.encoder_and_step(model)
    states, logits = step_models.initial_states(step, 2, length=5), []
    sizes = {key: x.shape[1:] for key, x in states.items() if key.startswith("decoder1_mix1")}
    reaches = {"conv1": 2, "conv2": 2, "conv3": 14, "conv4": 56}
    assert sizes == {f"decoder1_mix1_{key}_window": (n, D) for key, n in reaches.items()}
    assert states["decoder1_attention_keys"].shape == (2, 5, HEADS, D // HEADS)
    inputs = {**states, **encoder({source.name: keras.ops.convert_to_tensor(x)}, training=False)}
    for column in TARGET.T[:5]:
        step_inputs = {target.name: column[:, None], **inputs}
        step_inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, step_inputs)
        outputs = step(step_inputs, training=False)
        inputs.update({name: outputs[name] for name in states})
        logits.append(array(outputs["logits"])[:, 0])
    expected = run(model, x, TARGET[:, :5])
    np.testing.assert_allclose(np.stack(logits, axis=1), expected, rtol=1e-4, atol=1e-4)


def test_tasks_share_their_layers(model, captions, classes):
    both = keras.Model([*model.inputs, *captions.inputs], [model.output, captions.output])
    names = {layer.name for layer in model.layers}
    own = {layer.name for layer in captions.layers} - names
    assert all(name.startswith("image") for name in own)
    assert both.count_params() == captions.count_params()
    encoder = model.get_layer("encoder1_conv1")
    assert encoder is classes.get_layer("encoder1_conv1") is captions.get_layer("encoder1_conv1")
    inputs = [SOURCE, TARGET, IMAGES, TARGET]
    expected = run(model, *inputs[:2]), run(captions, *inputs[2:])
    for y, of_task in zip(both(inputs, training=False), expected, strict=True):
        np.testing.assert_allclose(array(y), of_task, rtol=1e-5, atol=1e-5)
    both(inputs, training=True)
    assert len(both.losses) == 4  # of two mixtures for each task
    assert all(array(loss) > 0 for loss in both.losses)


@pytest.mark.long
def test_a_file_of_a_task_is_the_task(captions, tmp_path):
    captions.save(tmp_path / "captions.keras")
    loaded = keras.saving.load_model(tmp_path / "captions.keras")
    np.testing.assert_allclose(
        run(loaded, IMAGES, TARGET), run(captions, IMAGES, TARGET), rtol=1e-5, atol=1e-5
    )
