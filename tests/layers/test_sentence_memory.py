"""The parts of memory networks: position encodings, times, embeddings of sentences and hops, as loops in NumPy."""

import keras
import numpy as np
import pytest

from kapps.layers import MemoryHop, SentenceEmbedding, SentenceTimes, SplitQuestion
from kapps.layers.sentence_memory import word_weights

RANDOM = np.random.default_rng(0)
STORY = np.array(
    [[[0, 0, 0], [4, 1, 0], [0, 0, 0], [2, 3, 1]], [[1, 2, 3], [4, 4, 0], [3, 0, 0], [1, 0, 0]]],
    "int32",
)


def array(x):
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize("encoding", ["paper", "code", "bag"])
def test_word_weights_are_the_formulas(encoding):
    weights = word_weights(encoding, 4, 5)
    for j in range(1, 5):
        for k in range(1, 6):
            expected = {
                "paper": (1 - j / 4) - (k / 5) * (1 - 2 * j / 4),
                "code": 1 + 4 * (k - 3) * (j - 2.5) / 20,
                "bag": 1,
            }
            assert weights[j - 1, k - 1] == pytest.approx(expected[encoding])


def test_the_two_published_encodings_differ():
    """The corner of the first word and dimension is 0 in the paper with J = d = 2 ... and 1.5 in the code."""
    assert word_weights("paper", 2, 2)[0, 0] == pytest.approx(0.5)
    assert word_weights("code", 2, 2)[0, 0] == pytest.approx(1.25)


def test_times_count_back_and_skip_padding():
    times = array(SentenceTimes(3)(STORY))
    np.testing.assert_array_equal(times, [[0, 2, 0, 1], [0, 3, 2, 1]])


def test_noise_gives_older_sentences_later_times_in_training_only():
    story = np.ones((500, 8, 2), "int32")
    layer = SentenceTimes(100, noise=0.25, seed=1)
    np.testing.assert_array_equal(array(layer(story))[0], np.arange(8, 0, -1))
    times = array(layer(story, training=True))
    steps = -np.diff(times, axis=1)
    assert set(np.unique(steps)) == {1, 2}
    assert times[:, 0].mean() == pytest.approx(8 * 1.25, rel=0.05)


@pytest.mark.parametrize("time", ["vector", "word"])
@pytest.mark.parametrize("encoding", ["paper", "code", "bag"])
def test_sentences_are_sums_of_words(time, encoding):
    layer = SentenceEmbedding(5, 4, 3, encoding, time)
    times = np.array([[0, 2, 0, 1], [0, 3, 2, 1]], "int32")
    vectors = array(layer(STORY, times))
    matrix, time_vectors = map(array, (layer.embeddings, layer.time_vectors))
    weights = word_weights(encoding, 3 + (time == "word"), 4)
    for index in np.ndindex(2, 4):
        expected = np.zeros(4)
        if times[index]:
            for j, word in enumerate(STORY[index]):
                expected += weights[j] * matrix[word] * (word > 0)
            vector = time_vectors[times[index] - 1]
            expected += vector * weights[3] if time == "word" else vector
        np.testing.assert_allclose(vectors[index], expected, atol=1e-6)
    x = RANDOM.normal(size=(2, 4)).astype("float32")
    np.testing.assert_allclose(array(layer(x, reverse=True)), x @ matrix.T, atol=1e-6)


@pytest.mark.parametrize("projects", [False, True])
@pytest.mark.parametrize("linear", [False, True])
def test_a_hop_is_its_equations(projects, linear):
    layer = MemoryHop(projects, linear)
    u, times = RANDOM.normal(size=(2, 4)), np.array([[0, 2, 1], [0, 0, 0]], "int32")
    m, c = RANDOM.normal(size=(2, 2, 3, 4))
    output, p = layer(
        *(x.astype("float32") for x in (u, m, c)), times, return_attention_scores=True
    )
    output, p = array(output), array(p)
    scores = np.array([m[0, i] @ u[0] for i in (1, 2)])
    expected = scores if linear else np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(p[0], [0, *expected], rtol=1e-4)
    kernel = array(layer.kernel) if projects else np.eye(4)
    np.testing.assert_allclose(output[0], u[0] @ kernel + expected @ c[0, 1:], rtol=1e-4)
    np.testing.assert_allclose(output[1], u[1] @ kernel, rtol=1e-4)


def test_the_question_is_the_last_sentence():
    story, question = (array(x) for x in SplitQuestion()(STORY))
    np.testing.assert_array_equal(story, STORY[:, :3])
    np.testing.assert_array_equal(question, STORY[:, 3])


@pytest.mark.parametrize("options", [{"encoding": "Code"}, {"time": "words"}])
def test_wrong_options_are_errors(options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        SentenceEmbedding(5, 4, 3, **options)
    with pytest.raises(ValueError, match="noise"):
        SentenceTimes(3, noise=1.0)
