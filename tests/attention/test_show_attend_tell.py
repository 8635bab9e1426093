"""Show, attend and tell: its equations in NumPy, the gradient of hard attention, decoding, a CNN, export."""

import itertools
import re

import keras
import numpy as np
import pytest

import kapps
from kapps import generation
from kapps.families import show_attend_tell
from kapps.generation import text_generation
from kapps.layers import AttentionReward

VOCABULARY, UNITS, EMBEDDING, PLACES, WIDTH = 7, 5, 4, 6, 3
SMALL = dict(
    vocabulary=VOCABULARY, units=UNITS, embedding=EMBEDDING, input_shape=(PLACES, WIDTH), dropout=0.0
)  # fmt: skip
RANDOM = np.random.default_rng(0)
ANNOTATIONS = RANDOM.normal(0, 1, (3, PLACES, WIDTH)).astype("float32")
START, END = 5, 6
TARGET = np.array([[START, 2, 3, 4], [START, 1, 4, 0], [START, 3, 0, 0]], "int32")
LABELS = np.array([[2, 3, 4, END], [1, 4, END, 0], [3, END, 0, 0]], "int32")


def array(x):
    return keras.ops.convert_to_numpy(x)


def build(**options):
    """A small model of random weights large enough that its outputs differ."""
    model = show_attend_tell(**{**SMALL, **options})
    random = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.7, variable.shape))
    return model


@pytest.fixture(scope="module")
def model():
    """A soft model that ends in probabilities. Tests do not change it."""
    return build()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def paper(model, a, words, depth=2):
    """P(y_t | ...) and alpha_t of one caption, by the equations of [1] with the layers of [2], in float64."""
    w = {layer.name: [array(v).astype("float64") for v in layer.weights] for layer in model.layers}
    cell = model.get_layer("decoder").cell
    attention = {
        v.name: array(v).astype("float64") for v in [*cell.attention.weights, *cell.weights]
    }
    lstm = [array(v).astype("float64") for v in cell.cells[0].weights]
    a = a.astype("float64")
    x = a.mean(axis=0)
    for number in range(1, depth):
        x = np.maximum(x @ w[f"init{number}"][0] + w[f"init{number}"][1], 0)
    h, c = (np.tanh(x @ w[f"decoder_state{i}"][0] + w[f"decoder_state{i}"][1]) for i in range(2))
    p = a @ attention["kernel1"] + attention["bias1"]
    for number in range(2, depth + 1):
        p = np.tanh(p @ attention[f"kernel{number}"] + attention[f"bias{number}"])
    probabilities, alphas = [], []
    for t, word in enumerate(words):
        y = w["decoder_embedding"][0][word] if t else np.zeros(EMBEDDING)
        e = np.tanh(p + h @ attention["query_kernel"]) @ attention["v"][:, 0] + attention["bias"]
        alpha = softmax(e)
        beta = sigmoid(h @ attention["gate_kernel"][:, 0] + attention["gate_bias"])
        z = beta * (alpha @ a)
        i, f, g, o = np.split(np.concatenate([y, z]) @ lstm[0] + h @ lstm[1] + lstm[2], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        x = np.tanh(
            y + h @ w["output_h"][0] + w["output_h"][1] + z @ w["output_z"][0] + w["output_z"][1]
        )
        probabilities.append(softmax(x @ w["head_logits"][0] + w["head_logits"][1]))
        alphas.append(alpha)
    return np.array(probabilities), np.array(alphas)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_probabilities_and_attention_are_the_equations(depth):
    model = build(attention_layers=depth, init_layers=depth)
    predictions = array(model([ANNOTATIONS, TARGET], training=False))
    weights = kapps.attention_weights(model, [ANNOTATIONS, TARGET], cross_only=True)["decoder"]
    for number, (a, words) in enumerate(zip(ANNOTATIONS, TARGET, strict=True)):
        words = words[words > 0]
        expected, alpha = paper(model, a, words, depth)
        np.testing.assert_allclose(
            predictions[number, : len(words)], expected, rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(weights[number, : len(words)], alpha, rtol=1e-4, atol=1e-5)
        assert not weights[number, len(words) :].any()


def test_parameters_are_those_of_the_authors_code():
    words, m, n, d = 10_000, 512, 1800, 512  # evaluate_coco.py: n_words, dim_word, dim, ctx_dim
    lstm = 4 * n * (m + n + d + 1)  # decoder_W, U, Wc, b
    attention = (
        2 * (d * d + d) + n * d + d + 1
    )  # Wc_att and W_att_1 with biases, Wd_att, U_att, c_tt
    selector = n + 1
    first_states = d * d + d + 2 * n * (d + 1)  # ff_init_1, ff_state, ff_memory
    output = m * (n + 1) + m * (d + 1) + words * (m + 1)  # ff_logit_lstm, ff_logit_ctx, ff_logit
    total = words * m + lstm + attention + selector + first_states + output
    assert total == 35_333_450
    assert kapps.show_attend_tell.card.params == kapps.show_attend_tell_hard.card.params == total


def train_losses(model):
    """Returns the output in training and the sum of the added losses."""
    tensors = [keras.ops.convert_to_tensor(x) for x in (ANNOTATIONS, TARGET)]
    outputs = array(model(tensors, training=True))
    return outputs, sum(float(array(loss)) for loss in model.losses)


def test_the_penalty_is_doubly_stochastic_and_of_words_only(model):
    expected = 0.0
    for a, words in zip(ANNOTATIONS, TARGET, strict=True):
        alpha = paper(model, a, words[words > 0])[1]
        expected += ((1 - alpha.sum(axis=0)) ** 2).sum()
    _, added = train_losses(model)
    assert added == pytest.approx(expected / np.count_nonzero(TARGET), rel=1e-4)
    model([ANNOTATIONS, TARGET], training=False)
    assert not model.losses
    assert train_losses(build(penalty=0.0))[1] == 0


def hard_steps(model, images):
    """Returns (alpha, context, log_p) of the first word in training, of images (batch, places, width)."""
    decoder = model.get_layer("decoder")
    parts = [decoder.input[0], decoder.input[1], *decoder.input[2:]]
    inner = keras.Model(model.input, keras.tree.flatten(parts))
    y, memory, *states = inner([images, np.full((len(images), 1), START, "int32")], training=False)
    _, z, log_p, alpha = decoder(
        y, memory, initial_state=states, return_attention_scores=True, training=True
    )
    cell = decoder.cell
    beta = sigmoid(array(states[0]) @ array(cell.gate_kernel) + array(cell.gate_bias))
    return array(alpha)[:, 0], array(z)[:, 0] / beta, array(log_p)[:, 0, 0]


def test_hard_attention_samples_places_with_the_probabilities_of_alpha():
    keras.utils.set_random_seed(1)
    model = build(attention="hard", penalty=0.0, entropy=0.0)
    alpha = paper(model, ANNOTATIONS[0], TARGET[0][:1])[1][0]
    counts, sampled, batches = np.zeros(PLACES), 0, 14
    for _ in range(batches):
        weights, context, log_p = hard_steps(model, np.repeat(ANNOTATIONS[:1], 800, axis=0))
        np.testing.assert_allclose(weights[0], alpha, rtol=1e-4, atol=1e-5)
        if not log_p.any():  # the mean under alpha
            np.testing.assert_allclose(context[0], alpha @ ANNOTATIONS[0], rtol=1e-3, atol=1e-4)
            continue
        distances = np.abs(context[:, None] - ANNOTATIONS[0]).max(axis=-1)
        places = distances.argmin(axis=1)
        assert distances.min(axis=1).max() < 1e-4
        np.testing.assert_allclose(log_p, np.log(alpha)[places], rtol=1e-3, atol=1e-4)
        counts += np.bincount(places, minlength=PLACES)
        sampled += 1
    assert 1 <= sampled < batches  # each with a probability of one half
    np.testing.assert_allclose(counts / counts.sum(), alpha, rtol=0, atol=0.04)


def test_the_reward_is_the_cost_minus_a_baseline_of_sampled_places():
    """L_r and b by their formulas, from the log-probabilities and the logits."""
    layer = AttentionReward(0.3)
    logits = RANDOM.normal(0, 1, (3, 4, VOCABULARY)).astype("float32")
    log_p = RANDOM.normal(-1, 0.2, (3, 4, 1)).astype("float32")
    baseline = 0.0
    for _ in range(2):
        tensors = map(keras.ops.convert_to_tensor, (logits, TARGET, log_p))
        output = layer(*tensors, training=True)
        np.testing.assert_array_equal(array(output), logits)
        costs, sums = [], []
        for row, words, places in zip(logits, TARGET, log_p, strict=True):
            count = np.count_nonzero(words)
            p = softmax(row.astype("float64"))
            costs.append(-np.mean([np.log(p[t, words[t + 1]]) for t in range(count - 1)]))
            sums.append(places[:count].sum())
        expected = 0.3 * np.sum((np.array(costs) - baseline) * sums) / np.count_nonzero(TARGET)
        assert float(array(layer.losses[-1])) == pytest.approx(expected, rel=1e-4)
        baseline = 0.9 * baseline + 0.1 * np.mean(costs)
        assert float(array(layer.baseline)) == pytest.approx(baseline, rel=1e-5)
        layer._clear_losses()


def captions(steps):
    """All captions: words to the first end, at most `steps` tokens."""
    words = range(1, VOCABULARY - 2)
    for length in range(steps):
        for caption in itertools.product(words, repeat=length):
            yield [*caption, END]
    for caption in itertools.product(words, repeat=steps):
        yield list(caption)


def eager(model, **options):
    translator = text_generation.translator(model, end=END, never=(START,), **options)
    translator.loop.compile(run_eagerly=True)  # tracing takes longer than these few steps
    return translator


def test_beam_search_finds_the_caption_of_an_exhaustive_search(model):
    wide = eager(model, beam=20, length_penalty=0.0)
    best_of_beam = generation.translate(wide, ANNOTATIONS[:1], start=START, end=END, steps=3)
    greedy = generation.translate(
        eager(model, beam=None), ANNOTATIONS[:1], start=START, end=END, steps=3
    )
    scores = {}
    for caption in captions(3):
        p = paper(model, ANNOTATIONS[0], [START, *caption[:-1]])[0]
        allowed = [t for t in range(1, VOCABULARY) if t != START]
        # The start is never chosen; log P is that of the model, which gives it some probability.
        assert set(caption) <= set(allowed)
        scores[tuple(caption)] = sum(np.log(p[i, word]) for i, word in enumerate(caption))
    best = [word for word in max(scores, key=scores.get) if word != END]
    assert [word for word in best_of_beam[0].tolist() if word] == best
    expected = []
    while len(expected) < 3 and END not in expected:
        p = paper(model, ANNOTATIONS[0], [START, *expected])[0][-1]
        expected.append(max((t for t in range(1, VOCABULARY) if t != START), key=p.__getitem__))
    expected = [word for word in expected if word != END]
    assert [word for word in greedy[0].tolist() if word] == expected


def test_any_network_with_a_feature_map_is_the_encoder():
    """Captions of images are those of the feature map's vectors, one for each place."""
    cnn = kapps.families.resnet(depths=(1, 1), include_top=False, input_shape=(32, 32, 3))
    places = keras.layers.Reshape((-1, cnn.output.shape[-1]), name="annotations")(cnn.output)
    target = keras.Input((None,), dtype="int32", name="target")
    options = {key: value for key, value in SMALL.items() if key != "input_shape"}
    whole = show_attend_tell(input_tensor=[places, target], **options)
    assert [x.name for x in whole.inputs] == ["image", "target"]
    part = show_attend_tell(input_shape=places.shape[1:], **options)
    for layer in part.layers:
        if layer.weights:
            whole.get_layer(layer.name).set_weights(layer.get_weights())
    images = RANDOM.uniform(0, 1, (2, 32, 32, 3)).astype("float32")
    annotations = array(keras.Model(cnn.input, places)(images, training=False))
    expected = array(part([annotations, TARGET[:2]], training=False))
    np.testing.assert_allclose(
        array(whole([images, TARGET[:2]], training=False)), expected, rtol=1e-4, atol=1e-5
    )
    tokens = [
        generation.translate(eager(net, beam=2), x, start=START, end=END, steps=3)
        for net, x in ((whole, images), (part, annotations))
    ]
    np.testing.assert_array_equal(*tokens)


def test_errors_name_what_is_allowed(model):
    for source, words in (
        (ANNOTATIONS[0], "[batch, 6, 3]"),
        (ANNOTATIONS[:, :5], "[3, 5, 3]"),
        ([["a"]], "the encoder takes numbers"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            generation.translate(model, source, start=START, end=END)
    with pytest.raises(ValueError, match="soft, hard"):
        show_attend_tell(attention="sof", **SMALL)


@pytest.mark.long
@pytest.mark.tensorflow
def test_training_learns_and_reports_the_added_losses():
    for attention in ("soft", "hard"):
        keras.utils.set_random_seed(0)
        model = kapps.training.separate_added_losses(show_attend_tell(attention=attention, **SMALL))
        model.compile(
            keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy", jit_compile=False
        )
        history = model.fit([ANNOTATIONS, TARGET], LABELS, epochs=40, verbose=0).history
        assert history["loss"][-1] < 0.5 * history["loss"][0]
        assert np.isfinite(history["added_loss"]).all()


@pytest.mark.long
@pytest.mark.tensorflow
def test_files_of_the_encoder_and_of_one_step_write_the_models_captions(tmp_path):
    from kapps import export

    for attention in ("soft", "hard"):
        model = build(attention=attention)
        export.tflite_encoder_and_step(model, tmp_path / attention, length=6, verbose=0)
        files = export.load_tflite_encoder_and_step(tmp_path / attention)
        assert [spec.shape for spec in files.encoder.input.values()] == [(1, PLACES, WIDTH)]
        for row in ANNOTATIONS:
            expected = generation.translate(eager(model), row[None], start=START, end=END, steps=5)
            tokens = generation.translate(
                files, row[None], start=START, end=END, steps=5, never=(START,)
            )
            np.testing.assert_array_equal(tokens, expected)
