"""The tasks of attention_tasks.py: data, networks and measures. A task is a function of the recipe's flags.

[1] Graves 2016, arXiv:1603.08983, section 3.1    [2] Kitaev 2020, arXiv:2001.04451, section 5
[3] Sukhbaatar 2019, arXiv:1905.07799
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from pydoc_data import topics

import keras
import numpy as np
from keras import ops

import kapps
from kapps import layers
from kapps.data import text
from kapps.layers import halting

TEST_ROUNDS = 8
"""Hash rounds of the Reformer in the test [2, table 2]."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A small task, and the networks that are compared on it.

    Args:
        title: name of the task, with its size.
        networks: {name: function that returns the network}.
        make_batch: function of a NumPy generator and a number of sequences; returns the same as `test`.
        test: inputs, targets, and weights or None.
        loss: name of the Keras loss.
        measure: name of the measure.
        evaluate: function of the name and the trained network; returns the measure, the text of the last column, and
            values to plot or None.
        chance: measure of the best constant prediction.
        paper: {network: the paper's figure}.
        steps, batch_size: of the training.
    """

    title: str
    networks: dict[str, Callable]
    make_batch: Callable
    test: tuple
    loss: str
    measure: str
    evaluate: Callable
    chance: float
    paper: dict
    steps: int
    batch_size: int


def test_generator(options):
    return np.random.default_rng([options.seed, 2])


def parity_batch(elements, random, size):
    """Returns vectors (size, 1, elements) of 0, 1 and -1, and whether an odd number of elements are 1 [1].

    At least one element is not 0.
    """
    count = random.integers(1, elements, (size, 1), endpoint=True)
    is_set = random.random((size, elements)).argsort(axis=1) < count
    x = np.where(is_set, random.choice([-1.0, 1.0], is_set.shape), 0.0).astype("float32")
    return x[:, None], ((x > 0).sum(axis=1) % 2)[:, None, None].astype("float32"), None


def pondering_network(elements, units, steps, ponder=None):
    """Returns a network with a recurrent layer that computes `steps` steps on one vector [1].

    Args:
        elements: of the vector.
        units: of the recurrent layer.
        steps: number of steps, with `ponder` the largest one.
        ponder: weight of the ponder cost of adaptive computation time; None for all steps.
    """
    x = keras.Input((1, elements), name="vector")
    cell, unit = keras.layers.SimpleRNNCell(units, name="cell"), layers.HaltingUnit(name="halting")
    h, states = ops.repeat(ops.zeros_like(x[..., :1]), units, axis=-1), []
    for n in range(steps):
        is_first = ops.full_like(x[..., :1], float(n == 0))
        h, _ = cell(ops.concatenate([x, is_first], axis=-1), [h])
        states.append(h)
    if ponder is not None:
        mixture = layers.AdaptiveComputationTime(
            ponder=ponder, mixture="accumulated", name="mixture"
        )
        h = mixture([*(unit(state) for state in states), *states])
    return keras.Model(x, keras.layers.Dense(1, activation="sigmoid", name="predictions")(h))


def parity(options):
    sizes = options.elements, options.units
    make_batch = functools.partial(parity_batch, options.elements)
    x, y, _ = test = make_batch(test_generator(options), options.test)

    def evaluate(name, model):
        detail = "1 step" if name == "one step" else f"{options.most_steps} steps"
        if name.startswith("act"):
            inputs = model.get_layer("mixture").input[: options.most_steps]
            p = np.concatenate(keras.Model(model.input, inputs).predict(x, verbose=0), axis=-1)
            _, count, _ = halting.halting_weights(ops.convert_to_tensor(p))
            detail = f"{float(ops.mean(count)):.3g} steps"
        right = (model.predict(x, verbose=0) > 0.5) == y
        return 100 * right.mean(), detail, None

    networks = {
        "one step": functools.partial(pondering_network, *sizes, 1),
        "fixed": functools.partial(pondering_network, *sizes, options.most_steps),
    } | {
        f"act {weight}": functools.partial(pondering_network, *sizes, options.most_steps, weight)
        for weight in (float(value) for value in options.ponder)
    }
    return Task(
        title=f"parity, {options.elements} elements",
        networks=networks,
        make_batch=make_batch,
        test=test,
        loss="binary_crossentropy",
        measure="accuracy (%)",
        evaluate=evaluate,
        chance=100 * max(y.mean(), 1 - y.mean()),
        paper={},
        steps=3000,
        batch_size=128,
    )


def duplication_batch(word, symbols, random, size):
    """Returns 0w0w, the next symbols, and weights of 1 for those of the second w [2]. Token 1 is the symbol 0."""
    w = random.integers(2, 2 + symbols, (size, word))
    x = np.tile(np.pad(w, ((0, 0), (1, 0)), constant_values=1), 2).astype("int32")
    y = np.pad(x[:, 1:], ((0, 0), (0, 1)), constant_values=1)
    weights = np.zeros(x.shape, "float32")
    weights[:, word + 1 : -1] = 1
    return x, y, weights


def reformer(length, symbols, *, chunk, rounds, layers=1, reversible=True):
    """Returns a Reformer with hashed attention, and a learned vector of each position."""
    return kapps.families.reformer(
        vocabulary=symbols + 2, kinds=("lsh",), chunk=chunk, rounds=rounds, layers=layers, d_model=128, ffn=256,
        heads=4, key_dim=32, positions=(1, length), position_widths=(32, 96), reversible=reversible,
    )  # fmt: skip


def duplication(options):
    length = 2 * (options.word + 1)
    make = functools.partial(reformer, length, options.symbols)
    networks = {"full": functools.partial(make, chunk=length, rounds=1)} | {
        f"LSH-{rounds}": functools.partial(make, chunk=options.chunk, rounds=int(rounds))
        for rounds in options.rounds
    }
    make_batch = functools.partial(duplication_batch, options.word, options.symbols)
    test = make_batch(test_generator(options), options.test)

    def evaluate(name, model):
        x, y, weights = test
        tested = model
        if name != "full":
            tested = make(chunk=options.chunk, rounds=TEST_ROUNDS)
            tested.set_weights(model.get_weights())
        right = tested.predict(x, batch_size=100, verbose=0).argmax(axis=-1) == y
        rounds = "all pairs" if name == "full" else f"{TEST_ROUNDS} rounds in the test"
        return 100 * right[weights > 0].mean(), rounds, None

    return Task(
        title=f"duplication, {options.word} symbols",
        networks=networks,
        make_batch=make_batch,
        test=test,
        loss="sparse_categorical_crossentropy",
        measure="accuracy of second w (%)",
        evaluate=evaluate,
        chance=100 / options.symbols,
        paper={"full": 100.0, "LSH-4": 99.9, "LSH-2": 98.1, "LSH-1": 95.0},
        steps=400,
        batch_size=32,
    )


def step_memory(kind, length, symbols):
    """Returns the parameters, the seconds and the peak memory in MB of a new process that trains for one step.

    Args:
        kind: "full" for a Transformer decoder, "ordinary" or "reversible" for a Reformer, of 4 layers each.
        length: number of steps of the sequence.
        symbols: number of symbols.
    """
    import resource
    import time

    if kind == "full":
        model = kapps.families.transformer_decoder(
            vocabulary=symbols + 2, layers=4, d_model=128, ffn=256, heads=4, dropout=0.0
        )
    else:
        is_reversible = kind == "reversible"
        model = reformer(length, symbols, chunk=64, rounds=1, layers=4, reversible=is_reversible)
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    x = np.random.default_rng(0).integers(2, symbols + 2, (1, length))
    start = time.monotonic()
    model.train_on_batch(x, x)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return model.count_params(), time.monotonic() - start, peak


@functools.cache
def read_characters(path, span):
    """Returns the vocabulary, the training characters and the test characters, the last tenth of the text."""
    content = text.read_text(path) if path else "".join(topics.topics.values())
    vocabulary = text.characters(content)
    tokens = vocabulary.encode(content)
    if len(tokens) < 20 * (span + 1):
        raise ValueError(
            f"--text={path}: {len(tokens):,} characters are too few for --span={span}; pass a longer text or a smaller "
            "--span"
        )
    cut = len(tokens) * 9 // 10
    return vocabulary, tokens[:cut], tokens[cut:]


def character_batch(tokens, span, random, size):
    """Returns `span` characters from random places of a text, and the next characters."""
    first = random.integers(0, len(tokens) - span, (size, 1))
    rows = tokens[first + np.arange(span + 1)].astype("int32")
    return rows[:, :-1], rows[:, 1:], None


def spans(options):
    vocabulary, train, held_out = read_characters(options.text, options.span)
    test = character_batch(held_out, options.span, test_generator(options), options.test)
    frequency = np.bincount(train, minlength=vocabulary.size) + 1
    make = functools.partial(
        kapps.families.adaptive_span_transformer,
        vocabulary=vocabulary.size, layers=3, d_model=64, ffn=256, heads=4, span=options.span,
        ramp=max(1, options.span // 8), initial_span=0.5,
    )  # fmt: skip

    def evaluate(_, model):
        learned = layers.learned_spans(model)
        bits = model.evaluate(*test[:2], batch_size=100, verbose=0) / math.log(2)
        mean = np.mean(list(learned.values()))
        learned = {key: value.tolist() for key, value in learned.items()}
        return bits, f"mean span {mean:.3g} of {options.span}", learned

    return Task(
        title="next character",
        networks={
            "no penalty": functools.partial(make, span_loss=0.0),
            "penalty": functools.partial(make, span_loss=options.span_loss),
        },
        make_batch=functools.partial(character_batch, train, options.span),
        test=test,
        loss="sparse_categorical_crossentropy",
        measure="bits per character",
        evaluate=evaluate,
        chance=-np.log2(frequency / frequency.sum())[test[1]].mean(),
        paper={},
        steps=300,
        batch_size=16,
    )


TASKS = {"parity": parity, "duplication": duplication, "spans": spans}
