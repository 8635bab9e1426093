"""The end-to-end memory network: its equations in NumPy, the formula of its parameters, linear start and bAbI."""

import keras
import module_files
import numpy as np
import pytest

import kapps

RANDOM = np.random.default_rng(0)
TEXT = RANDOM.integers(0, 7, (3, 5, 3)).astype("int32")
TEXT[0, :2], TEXT[:, 2:, 0] = 0, 1  # padding first, no other empty sentence


@pytest.fixture(scope="module")
def stories():
    return module_files.load("recipes/common/stories.py")


def array(x):
    return keras.ops.convert_to_numpy(x)


def build(**options):
    keras.utils.set_random_seed(0)
    sizes = dict(
        vocabulary=7, embedding=4, memories=4, hops=2, encoding="bag", input_shape=(None, 3)
    )
    model = kapps.families.memory_network(**{**sizes, **options}, classifier_activation=None)
    for weight in model.weights:
        weight.assign(RANDOM.normal(size=weight.shape))
    return model


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def vectors(layer, text):
    """The sentences of a story as bags of words with their times."""
    words, times = array(layer.embeddings), array(layer.time_vectors)
    sentences = [row for row in text[:-1] if row.any()]
    return np.array(
        [
            sum(words[word] for word in row if word) + times[len(sentences) - i - 1]
            for i, row in enumerate(sentences)
        ]
    )


def test_logits_are_the_equations_with_adjacent_tying():
    model = build()
    a, b, c = (model.get_layer(f"embedding{k}") for k in range(1, 4))
    logits = array(model(TEXT))
    for number, text in enumerate(TEXT):
        u = sum(array(a.embeddings)[word] for word in text[-1] if word)
        for keys, values in ((a, b), (b, c)):
            p = softmax(vectors(keys, text) @ u)
            u = u + p @ vectors(values, text)
        np.testing.assert_allclose(logits[number], array(c.embeddings) @ u, rtol=1e-3, atol=1e-4)


def test_logits_are_the_equations_with_layer_wise_tying():
    model = build(tying="layer_wise")
    question, m, c = (
        model.get_layer(f"{name}_embedding") for name in ("question", "memory", "output")
    )
    logits = array(model(TEXT))
    for number, text in enumerate(TEXT):
        u = sum(array(question.embeddings)[word] for word in text[-1] if word)
        for _ in range(2):
            p = softmax(vectors(m, text) @ u)
            u = u @ array(model.get_layer("hop").kernel) + p @ vectors(c, text)
        expected = u @ array(model.get_layer("head_logits").kernel)
        np.testing.assert_allclose(logits[number], expected, rtol=1e-3, atol=1e-4)


def test_parameters_are_the_formulas():
    v, t, d = 20, 10, 20
    for hops in (1, 2, 3):
        assert kapps.card(f"memory_network_{hops}hop").params == (hops + 1) * (v + t) * d
    layer_wise = 2 * (v + t) * d + 2 * v * d + d * d
    assert kapps.card("memory_network_layer_wise").params == layer_wise


def test_padding_and_old_sentences_change_nothing():
    model = build(memories=3)
    story = RANDOM.integers(1, 7, (2, 4, 3)).astype("int32")
    expected = array(model(story))
    empty = np.zeros_like(story[:, :1])
    for padded in (
        [empty, story],
        [story[:, :2], empty, story[:, 2:]],
        [story[:, :3], empty, story[:, 3:]],
        [RANDOM.integers(1, 7, (2, 1, 3)).astype("int32"), story],
    ):
        np.testing.assert_allclose(
            array(model(np.concatenate(padded, axis=1))), expected, atol=1e-5
        )


def test_linear_start_has_the_same_weights_and_no_softmax():
    start, model = build(linear=True), build()
    assert [w.path for w in start.weights] == [w.path for w in model.weights]
    model.set_weights(start.get_weights())
    weights = kapps.attention_weights(start, TEXT)
    assert list(weights) == ["hop1", "hop2"]
    assert not np.allclose(weights["hop1"].sum(axis=-1), 1)
    weights = kapps.attention_weights(model, TEXT)
    np.testing.assert_allclose(weights["hop2"].sum(axis=-1), 1, rtol=1e-5)
    assert (weights["hop1"][0, :2] == 0).all()


def test_another_tying_is_an_error():
    with pytest.raises(ValueError, match="tying"):
        build(tying="layerwise")


@pytest.mark.long
@pytest.mark.tensorflow
def test_files_agree_with_the_model(tmp_path):
    from kapps import export

    model = build(encoding="code")
    path = export.saved_model(model, tmp_path / "served")
    assert export.verify(model, path, TEXT).failure() is None
    path = export.tflite(model, tmp_path / "model.tflite", length=5)
    assert export.verify(model, path, TEXT).failure() is None


@pytest.mark.long
def test_generated_stories_are_learned(stories):
    """1,000 questions like those of task 1 of bAbI; chance is 1 of 6 places."""
    keras.utils.set_random_seed(0)
    questions = stories.parse(stories.generate(np.random.default_rng(0), 1500))
    vocabulary = stories.make_vocabulary(questions)
    x, y = stories.encode(questions, vocabulary, 10, 6)
    loss = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    start = kapps.families.memory_network(linear=True)
    model = kapps.families.memory_network()
    for network, epochs in ((start, 15), (model, 25)):
        network.compile(
            keras.optimizers.SGD(0.005, global_clipnorm=40.0), loss, metrics=["accuracy"]
        )
        network.fit(x[:1000], y[:1000], batch_size=32, epochs=epochs, verbose=0)
        model.set_weights(network.get_weights())
    assert model.evaluate(x[1000:], y[1000:], verbose=0)[1] > 0.9
    last = kapps.attention_weights(model, x[1000:])["hop3"]
    right = last.argmax(axis=-1) == stories.supports(questions[1000:], 10)
    assert right.mean() > 0.9
