"""The pointer network against its equations in NumPy; decoding against all possible answers; export of one step."""

import itertools
import re

import keras
import numpy as np
import pytest

import kapps
from kapps import generation
from kapps.families import pointer_network
from kapps.generation import pointing
from kapps.layers import PointedInputs, PointerScores

UNITS = 6
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.uniform(0.1, 1, (3, 5, 2)).astype("float32")
SOURCE[1, 3:] = 0  # three points and padding
TARGET = np.array([[0, 5, 1, 2], [0, 3, 1, 0], [0, 1, 1, 4]], "int32")


def array(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture(scope="module")
def model():
    model = pointer_network(units=UNITS)
    random = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(random.normal(0, 0.9, variable.shape))
    return model


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(xs, h, c, kernel, recurrent, bias):
    """The states h and c after each step, with Keras's order of the gates i, f, g, o."""
    states = []
    for x in xs:
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append((h, c))
    return states


def paper(model, points, indices):
    """p(C_i | C_1 .. C_i-1, P) of one set of points, by the equations of the paper, section 2.3."""
    weights = {
        layer.name: {w.name: array(w).astype("float64") for w in layer.weights}
        for layer in model.layers
    }
    encoder, decoder, scores = (weights[k] for k in ("encoder1", "decoder1", "head_logits"))
    zeros = np.zeros(UNITS)
    states = lstm(points, zeros, zeros, *encoder.values())
    e = [scores["end_symbol"], *(h for h, _ in states)]
    symbols = [weights["decoder_inputs"]["start_symbol"], *points]
    d = lstm([symbols[i] for i in indices], *states[-1], *decoder.values())
    w1, w2, v = scores["memory_kernel"], scores["query_kernel"], scores["v"][:, 0]
    u = np.array([[v @ np.tanh(w1.T @ e_j + w2.T @ d_i) for e_j in e] for d_i, _ in d])
    exp = np.exp(u - u.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def test_predictions_are_the_papers(model):
    predictions = array(model([SOURCE, TARGET], training=False))
    for row, points, indices in zip(predictions, SOURCE, TARGET, strict=True):
        points = points[points.any(axis=-1)].astype("float64")
        expected = paper(model, points, indices)
        np.testing.assert_allclose(row[:, : len(points) + 1], expected, rtol=1e-5, atol=1e-5)
        assert not row[:, len(points) + 1 :].any()  # padding


def test_parameters_are_those_of_two_lstms_and_the_scores():
    h, inputs = 512, 2
    lstms, scores = 2 * 4 * (h * (inputs + h) + h), 2 * h * h + h
    assert lstms + scores == 2_634_240  # without symbols
    assert kapps.pointer_network.card.params == lstms + scores + inputs + h


def answers(steps, n):
    """All answers of a set of n inputs: indices to the first end, at most `steps` of them."""
    for length in range(steps):
        for answer in itertools.product(range(1, n + 1), repeat=length):
            yield [*answer, 0]
    for answer in itertools.product(range(1, n + 1), repeat=steps):
        yield list(answer)


def log_p(model, points, answer):
    p = paper(model, points, [0, *answer[:-1]])
    return np.log([p[i, j] for i, j in enumerate(answer)]).sum()


def eager(model, **options):
    loop = pointing.pointing_loop(model, **options)
    loop.compile(run_eagerly=True)  # tracing takes longer than these few steps
    return loop


def test_decoding_finds_the_answers_of_an_exhaustive_search(model):
    points = SOURCE[1:2, :3]
    wide = generation.point(eager(model, beam=40), points, steps=3)
    greedy = generation.point(eager(model), points, steps=3)
    exact = points[0].astype("float64")
    best = max(answers(3, 3), key=lambda answer: log_p(model, exact, answer))
    assert wide[0].tolist() == best + [0] * (3 - len(best))
    expected = []
    while len(expected) < 3 and (not expected or expected[-1]):
        expected.append(int(paper(model, exact, [0, *expected])[-1].argmax()))
    assert greedy[0].tolist() == expected + [0] * (3 - len(expected))


def test_tours_have_each_input_once_and_the_beam_finds_the_most_likely(model):
    points = SOURCE[[0, 2], :4]
    for tours in (
        generation.point(eager(model, tour=True), points, tour=True),
        generation.point(eager(model, tour=True, beam=24), points, tour=True),
    ):
        assert np.sort(tours, axis=1).tolist() == [[1, 2, 3, 4]] * 2
    # The end is never chosen, and a city once: p among the cities that are left.
    for row, xy in zip(tours.tolist(), points.astype("float64"), strict=True):
        scores = {}
        for tour in itertools.permutations(range(1, 5)):
            p = paper(model, xy, [0, *tour[:-1]])
            left = [[c for c in range(1, 5) if c not in tour[:i]] for i in range(4)]
            scores[tour] = sum(np.log(p[i, c] / p[i, left[i]].sum()) for i, c in enumerate(tour))
        assert tuple(row) == max(scores, key=scores.get)


def test_errors_name_what_is_allowed(model):
    for source, options, words in (
        (SOURCE[0], {}, "(5, 2)"),
        (SOURCE, {"steps": 0}, "steps=0"),
        (SOURCE, {"tour": True}, "padding"),
        (SOURCE, {"tour": 1}, "tour"),
    ):
        with pytest.raises((ValueError, TypeError), match=re.escape(words)):
            generation.point(model, source, **options)


def test_layers_are_saved_and_declare_their_costs(tmp_path):
    inputs = [keras.Input((4, 2)), keras.Input((3,), dtype="int32"), keras.Input((3, 5))]
    y = PointedInputs()(inputs[1], inputs[0])
    u = PointerScores(units=7)(inputs[2], inputs[0])
    model = keras.Model(inputs, [y, u])
    model.save(tmp_path / "pointers.keras")
    loaded = keras.saving.load_model(tmp_path / "pointers.keras", safe_mode=True)
    values = [SOURCE[:1, :4], TARGET[:1, 1:], RANDOM.normal(size=(1, 3, 5)).astype("float32")]
    for ours, theirs in zip(model(values), loaded(values), strict=True):
        np.testing.assert_array_equal(array(ours), array(theirs))
    assert [tuple(x.shape) for x in model.outputs] == [(None, 3, 2), (None, 3, 5)]
    macs = kapps.profile(model, [(4, 2), (3,), (3, 5)]).macs
    assert (
        macs == 5 * 2 * 7 + 3 * 5 * 7 + 3 * 5 * 7
    )  # W_1 of five items, W_2 of three states, v of each pair


@pytest.mark.long
@pytest.mark.tensorflow
def test_files_of_the_encoder_and_of_one_step_point_as_the_model(model, tmp_path):
    from kapps import export

    export.tflite_encoder_and_step(model, tmp_path, source_length=5, length=6, verbose=0)
    files = export.load_tflite_encoder_and_step(tmp_path)
    assert {"target", "decoder1_h", "head_logits_keys"} <= set(files.step.input)
    for row in SOURCE:
        expected = generation.point(eager(model), row[None])
        np.testing.assert_array_equal(generation.point(files, row[None]), expected)
