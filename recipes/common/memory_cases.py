"""The tasks of memory_tasks.py: data, networks, measures and images. A task is a function of the recipe's flags.

[1] Graves 2014, arXiv:1410.5401, sections 4.1 to 4.3
[2] Sukhbaatar 2015, arXiv:1503.08895, table 1
"""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np

import kapps
from common import stories as _stories
from kapps.generation import step_models

MEMORIES = 10
"""Sentences of a story that the network can read."""
WORDS = 6
"""Words of the longest sentence."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A task, and the networks that are compared on it.

    Args:
        title: name of the task, with its size.
        networks: {name: function that returns the networks to train one after the other}. Each starts from the weights
            of the one before it.
        make_batch: function of a NumPy generator and a number of sequences; returns inputs, targets, and weights or
            None.
        loss: name of the Keras loss.
        measure: name of the measure.
        evaluate: function of the trained network; returns the measure and the text of the last column.
        chance: measure of a guess.
        paper: {network: the paper's figure}.
        steps: of the training.
        image: function of the trained network that returns attention weights, (rows, columns), and the names of the
            columns and of the rows; None for a network without them.
    """

    title: str
    networks: dict[str, Callable]
    make_batch: Callable
    loss: str
    measure: str
    evaluate: Callable
    chance: float
    paper: dict
    steps: int
    image: Callable


def copy_batch(bits, length, random, size, fixed=False):
    """Returns sequences of bits and a flag, after which the bits are to be written [1, 4.1].

    Args:
        bits: number of bits of a step.
        length: largest number of steps; all sequences of a batch have the same.
        random: a NumPy generator.
        size: number of sequences.
        fixed: whether the number of steps is `length`.

    Returns:
        x (size, 2 steps + 1, bits + 1), y (size, 2 steps + 1, bits) and the weights of the steps, 1 for those to write.
    """
    steps = length if fixed else int(random.integers(1, length, endpoint=True))
    x = np.zeros((size, 2 * steps + 1, bits + 1), "float32")
    x[:, :steps, :bits], x[:, steps, bits] = random.integers(0, 2, (size, steps, bits)), 1
    return x, *written(x[:, :steps, :bits], 2 * steps + 1)


def repeat_batch(bits, length, repeats, random, size, fixed=False):
    """Returns sequences of bits, which are to be written several times, and then an end marker [1, 4.2].

    The flag after the sequence is 1, and next to it the number of repetitions divided by `repeats`.
    """
    steps, count = length, repeats
    if not fixed:
        steps = int(random.integers(1, length, endpoint=True))
        count = int(random.integers(1, repeats, endpoint=True))
    total = steps * (count + 1) + 2
    x = np.zeros((size, total, bits + 2), "float32")
    sequence = random.integers(0, 2, (size, steps, bits))
    x[:, :steps, :bits], x[:, steps, bits], x[:, steps, bits + 1] = sequence, 1, count / repeats
    answer = np.zeros((size, steps * count + 1, bits + 1), "float32")
    answer[:, :-1, :bits], answer[:, -1, bits] = np.tile(sequence, (1, count, 1)), 1
    return x, *written(answer, total)


def recall_batch(bits, items, random, size, fixed=False, steps=2):
    """Returns lists of items, then one of them; the item after it is to be written [1, 4.3].

    A flag comes before each item of `steps` steps, and another one before and after the query.
    """
    count = items if fixed else int(random.integers(2, items, endpoint=True))
    total = count * (steps + 1) + 2 * steps + 2
    x = np.zeros((size, total, bits + 2), "float32")
    values = random.integers(0, 2, (size, count, steps, bits))
    for item in range(count):
        first = item * (steps + 1)
        x[:, first, bits] = 1
        x[:, first + 1 : first + 1 + steps, :bits] = values[:, item]
    query, rows = random.integers(0, count - 1, size), np.arange(size)
    first = count * (steps + 1)
    x[:, first, bits + 1] = x[:, first + steps + 1, bits + 1] = 1
    x[:, first + 1 : first + 1 + steps, :bits] = values[rows, query]
    return x, *written(values[rows, query + 1], total)


def written(answer, total):
    """Returns targets of `total` steps that end in the answer, and the weights of the steps."""
    size, steps, width = answer.shape
    y, weights = np.zeros((size, total, width), "float32"), np.zeros((size, total), "float32")
    y[:, -steps:], weights[:, -steps:] = answer, 1
    return y, weights


def lstm_network(units, features, classes):
    """Returns the network that the Turing machine is compared with: one LSTM [1]."""
    x = keras.Input((None, features), name="sequence")
    h = keras.layers.LSTM(units, return_sequences=True, name="layer1")(x)
    return keras.Model(x, kapps.heads.multi_label(h, classes, "softmax"), name="lstm")


def wrong_bits(model, batch):
    """Returns the wrong bits of a sequence, the mean over a batch."""
    x, y, weights = batch
    wrong = (model.predict(x, verbose=0) > 0.5) != (y > 0.5)
    return float((wrong * weights[..., None]).sum() / len(x))


def head_weights(model, x):
    """Returns the weights of the read head over time, (rows of the memory, steps), from steps with explicit state."""
    if not any(layer.name == "machine" for layer in model.layers):
        return None
    cell = model.get_layer("machine").cell
    first = keras.ops.convert_to_numpy(cell.first_values()[1])
    step = step_models.step_model(model, batch=1)
    states, weights = step_models.initial_states(step, 1), []
    for t in range(x.shape[1]):
        outputs = step({"sequence": x[:1, t : t + 1], **states}, training=False)
        states = {name: keras.ops.convert_to_numpy(outputs[name]) for name in states}
        weights.append(states["machine_weights"][0] + first)
    return np.clip(np.array(weights)[:, : cell.rows].T, 0, 1)


def sequence_task(title, options, make_batch, features, classes, longer, steps):
    """Returns a task of bits: the Turing machine and an LSTM.

    Args:
        title: of the task.
        options: the recipe's flags.
        make_batch: function of a generator, a number of sequences and `fixed`.
        features, classes: widths of the inputs and targets.
        longer: as `make_batch`, of sequences that are longer than in training.
        steps: of the training.
    """
    test = make_batch(np.random.default_rng([options.seed, 2]), options.test, fixed=True)
    beyond = longer(np.random.default_rng([options.seed, 3]), options.test, fixed=True)

    def evaluate(model):
        count = beyond[1][0, beyond[2][0] > 0].size
        detail = f"{wrong_bits(model, beyond):.3g} of {count} bits at {beyond[0].shape[1]} steps"
        return wrong_bits(model, test), detail

    def image(model):
        weights = head_weights(model, test[0])
        if weights is None:
            return None
        return (
            weights,
            [str(t + 1) for t in range(weights.shape[1])],
            [str(i) for i in range(len(weights))],
        )

    machine = functools.partial(
        kapps.families.ntm, units=options.units, rows=options.rows, width=options.width,
        input_shape=(None, features), classes=classes,
    )  # fmt: skip
    return Task(
        title=title,
        networks={
            "lstm": lambda: [lstm_network(2 * options.units, features, classes)],
            "ntm": lambda: [machine()],
        },
        make_batch=make_batch,
        loss="binary_crossentropy",
        measure="wrong bits",
        evaluate=evaluate,
        chance=test[1][0, test[2][0] > 0].size / 2,
        paper={},
        steps=steps,
        image=image,
    )


def copy(options):
    make, longer = (
        functools.partial(copy_batch, options.bits, length)
        for length in (options.length, 2 * options.length)
    )
    title = f"copy, {options.length} steps"
    return sequence_task(title, options, make, options.bits + 1, options.bits, longer, 1500)


def repeat_copy(options):
    length, repeats = max(1, options.length // 3), 3
    make = functools.partial(repeat_batch, options.bits, length, repeats)
    longer = functools.partial(repeat_batch, options.bits, 2 * length, repeats)
    title = f"repeat copy, {repeats} times {length} steps"
    return sequence_task(title, options, make, options.bits + 2, options.bits + 1, longer, 1500)


def recall(options):
    items = max(2, options.length // 2)
    make, longer = (
        functools.partial(recall_batch, options.bits, count) for count in (items, 2 * items)
    )
    title = f"associative recall, {items} items"
    return sequence_task(title, options, make, options.bits + 2, options.bits, longer, 1500)


def read_stories(options):
    """Returns questions to train on and to test, and whether they are those of bAbI."""
    if options.data is None:
        text = _stories.generate(np.random.default_rng([options.seed, 4]), 1000 + options.test)
        questions = _stories.parse(text)
        return questions[:1000], questions[1000:]
    return tuple(
        _stories.parse(path.read_text(encoding="utf-8"))[:1000]
        for path in _stories.files(options.data)
    )


def stories(options):
    train, test = read_stories(options)
    vocabulary = _stories.make_vocabulary(train + test)
    words = max(WORDS, *(len(s) for q in train + test for s in (*q.sentences, q.words)))
    encode = functools.partial(
        _stories.encode, vocabulary=vocabulary, sentences=MEMORIES, words=words
    )
    (x, y), (x_test, y_test) = encode(train), encode(test)

    def make_batch(random, size, fixed=False):
        del fixed
        rows = random.integers(0, len(x), size)
        return x[rows], y[rows], None

    def evaluate(model):
        right = model.predict(x_test, verbose=0).argmax(axis=-1) == y_test
        *_, last = kapps.attention_weights(model, x_test).values()
        is_support = last.argmax(axis=-1) == _stories.supports(test, MEMORIES)
        return 100 * right.mean(), f"{100 * is_support.mean():.3g} % of supporting sentences"

    def image(model):
        number = next(i for i, q in enumerate(test) if len(q.sentences) == MEMORIES)
        weights = kapps.attention_weights(model, x_test[number : number + 1])
        rows = np.concatenate(list(weights.values()))
        columns = [" ".join(s) for s in test[number].sentences]
        question = f"{' '.join(test[number].words)}: {test[number].answer}"
        return rows, columns, [*list(weights)[:-1], f"{list(weights)[-1]} ({question})"]

    make = functools.partial(
        kapps.families.memory_network, vocabulary=len(vocabulary) + 1, memories=MEMORIES,
        input_shape=(None, words),
    )  # fmt: skip
    return Task(
        title="stories with one supporting sentence",
        networks={
            "1 hop": lambda: [make(hops=1)],
            "3 hops": lambda: [make(hops=3)],
            "3 hops, linear start": lambda: [make(hops=3, linear=True), make(hops=3)],
        },
        make_batch=make_batch,
        loss="sparse_categorical_crossentropy",
        measure="accuracy (%)",
        evaluate=evaluate,
        chance=100 / len({q.answer for q in train}),
        paper={"3 hops, linear start": 99.9},
        steps=2000,
        image=image,
    )


TASKS = {"copy": copy, "repeat_copy": repeat_copy, "recall": recall, "stories": stories}
