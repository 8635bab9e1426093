"""The tasks of mappings.py: what is read, the network, its loss, and how right it is beside what chance has."""

import collections
import dataclasses
import pathlib
import string
from collections.abc import Callable

import keras
import numpy as np

from common import environment  # noqa: F401  # before TensorFlow
from kapps import data
from kapps.data import sequence, text
from kapps.data.image import decode_image
from kapps.generation import ctc_decoding, text_generation
from kapps.recurrent import (
    ctc,
    embedding_classifier,
    encoder_decoder,
    sequence_classifier,
    sequence_generator,
    sequence_labeller,
)

DTW = {  # accuracies of the nearest series by dynamic time warping, with its window open
    "JapaneseVowels": (0.949, "arXiv:1811.00075"),
    "GunPoint": (0.907, "arXiv:1810.07758"),
    "ItalyPowerDemand": (0.950, "arXiv:1810.07758"),
    "ArrowHead": (0.703, "arXiv:1810.07758"),
}
COLUMNS, ROWS = 8, 8
"""Of a digit that ships with kapps."""
# fmt: off
ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on
PAD, START, END = "", "<start>", "<end>"
WORDS = (PAD, START, END, *ONES, *TENS, "hundred", "thousand", "and")


@dataclasses.dataclass
class Task:
    """What one mapping is tried on.

    Args:
        about: what is read, in words.
        model: built.
        loss: as `compile` takes it.
        train, test: (inputs, answers), as `fit` takes them.
        score: function of the model that returns {what: how much} on the test inputs.
        beside: {what: how much} of chance and of publications.
    """

    about: str
    model: object
    loss: str
    train: tuple
    test: tuple
    score: Callable
    beside: dict


def many_to_one(path, units, cell, draw):
    """A .ts file and its neighbour to test on: series, each of one class."""
    del draw
    if not path:
        raise ValueError("many_to_one reads series: give --data=.../JapaneseVowels_TRAIN.ts")
    path = pathlib.Path(path)
    if "_TRAIN" not in path.name:
        raise ValueError(f"--data is the file to train on, such as GunPoint_TRAIN.ts, not {path}")
    raw, other = (
        sequence.read_series(path.with_name(path.name.replace("_TRAIN", each)))
        for each in ("_TRAIN", "_TEST")
    )
    train, test = raw.standardised(), other.standardised(raw)
    classes = len(train.class_names)
    name = path.name.partition("_")[0]
    model = sequence_classifier.sequence_classifier(
        units=units, cell=cell, merge="concat", dropout=0.3, input_shape=(None, train.values[0].shape[1]),
        classes=classes,
    )  # fmt: skip
    beside = {"accuracy of the commonest class": np.bincount(test.labels).max() / len(test.labels)}
    if name in DTW:
        accuracy, source = DTW[name]
        beside[f"accuracy of the nearest series by dynamic time warping, {source}"] = accuracy
    x = test.padded()
    return Task(
        f"{name}: {len(train.labels)} series to train on, {len(test.labels)} others, {classes} classes", model,
        "sparse_categorical_crossentropy", (train.padded(), train.labels), (x, test.labels),
        lambda model: {"accuracy": (answers(model, x) == test.labels).mean()}, beside,
    )  # fmt: skip


def answers(model, x):
    """Returns the likeliest class, of each sequence or of each step."""
    return model.predict(x, verbose=0).argmax(axis=-1)


def digits(split):
    """Returns images [n, 8, 8] from -1 to 1, so that no column is zeros, and their numbers, of those with kapps."""
    source = data.open_source("digits", None, split)
    pairs = [(decode_image.decode(encoded, 1), label) for _, encoded, label in source.images()]
    images = np.array([image.numpy()[..., 0] for image, _ in pairs], "float32")
    return images / 127.5 - 1, np.array([int(label) for _, label in pairs])


def written_rows(split, count, draw, gap=0):
    """Returns rows of three to six digits, columns as steps and padded by zeros, and the digits of each."""
    images, numbers = digits(split)
    rows, said = [], []
    for _ in range(count):
        chosen = draw.integers(0, len(numbers), draw.integers(3, 7))
        parts = []
        for each in chosen:
            parts += [images[each].T, np.full((draw.integers(0, gap + 1), ROWS), -1, "float32")]
        rows.append(np.concatenate(parts))
        said.append(numbers[chosen])
    steps = 6 * (COLUMNS + gap)
    values = np.zeros((count, steps, ROWS), "float32")
    for row, value in zip(rows, values, strict=True):
        value[: len(row)] = row
    return values, said


def each_step(path, units, cell, draw, segment=None):
    """Rows of digits: the digit that each column belongs to; or, with `segment`, that every eight belong to."""
    own_data(path)
    repeat = 1 if segment else COLUMNS

    def made(split, count):
        x, said = written_rows(split, count, draw)
        y = np.zeros((count, 6 * repeat), "int32")
        real = np.zeros(y.shape, bool)
        for row, labels in enumerate(said):
            y[row, : len(labels) * repeat] = np.repeat(labels, repeat)
            real[row, : len(labels) * repeat] = True
        return x, y, real

    (x, y, _), (test, right, real) = made("train", 1500), made("validation", 300)
    model = sequence_labeller.sequence_labeller(
        units=units, cell=cell, segment=segment, input_shape=(None, ROWS), classes=10
    )
    every = np.bincount(right[real])
    return Task(
        f"rows of three to six digits, 1,500 and 300 of other images; a label a {'digit' if segment else 'column'}",
        model, "sparse_categorical_crossentropy", (x, y), (test, right),
        lambda model: {"accuracy": (answers(model, test) == right)[real].mean()},
        {"accuracy of the commonest label": every.max() / every.sum()},
    )  # fmt: skip


def segments(path, units, cell, draw):
    return each_step(path, units, cell, draw, segment=COLUMNS)


def labels_alone(path, units, cell, draw):
    """Rows of digits with gaps between them, and which digits they are, but not where."""
    own_data(path)

    def made(split, count):
        x, said = written_rows(split, count, draw, gap=4)
        y = np.zeros((count, 6), "int32")
        for row, labels in zip(y, said, strict=True):
            row[: len(labels)] = labels + 1  # 0 is the blank
        return x, y

    train, (test, right) = made("train", 1500), made("validation", 300)
    model = ctc.ctc(
        units=units, cell=cell, input_shape=(None, ROWS), classes=11, classifier_activation=None
    )

    def score(model):
        logits = model.predict(test, verbose=0)
        found = {
            "best path": ctc_decoding.ctc_labels(logits),
            "20 beams": ctc_decoding.ctc_labels(logits, beams=20),
        }
        errors = {
            f"label error rate, {how}": ctc_decoding.label_error_rate(its, right)
            for how, its in found.items()
        }
        best = np.pad(found["20 beams"], ((0, 0), (0, 6)))[:, :6]
        return errors | {"whole rows right": (best == right).all(axis=1).mean()}

    return Task(
        "rows of three to six digits with gaps, and no places: 1,500 and 300 of other images",
        model, "ctc", train, (test, right), score, {"label error rate of saying nothing": 1.0},
    )  # fmt: skip


def one_to_many(path, units, cell, draw):
    """The image of a digit, and its name letter by letter; 0 says that the name has ended."""
    del draw
    own_data(path)
    names = np.zeros((10, 6), "int32")
    for row, name in zip(names, ONES, strict=False):
        row[: len(name)] = [1 + string.ascii_lowercase.index(letter) for letter in name]
    (x, y), (test, right) = (
        (images.reshape(-1, 1, ROWS * COLUMNS), names[numbers])
        for images, numbers in (digits("train"), digits("validation"))
    )
    model = sequence_generator.sequence_generator(
        steps=6, units=units, cell=cell, input_shape=(1, ROWS * COLUMNS), classes=27
    )
    common = collections.Counter(map(tuple, right.tolist())).most_common(1)[0][1]

    def score(model):
        same = answers(model, test) == right
        return {"letters right": same.mean(), "whole names right": same.all(axis=1).mean()}

    return Task(
        f"images of digits and their names: {len(x):,} and {len(test)} others", model,
        "sparse_categorical_crossentropy", (x, y), (test, right), score,
        {"the commonest name": common / len(right)},
    )  # fmt: skip


def spelled(number):
    """Returns an English number below a million in words."""
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            more = number % size
            rest = (["and"] if 0 < more < 100 else []) + spelled(more) if more else []
            return [*spelled(number // size), name, *rest]
    if number < 20:
        return [ONES[number]]
    return [TENS[number // 10 - 2], *(spelled(number % 10) if number % 10 else [])]


def unaligned(path, units, cell, draw):
    """Numbers below 10,000 in figures, and in words; a twentieth of them is never trained on."""
    own_data(path)
    numbers = draw.permutation(10_000)
    source, target, labels = (np.zeros((10_000, steps), "int32") for steps in (4, 9, 9))
    for row, number in enumerate(numbers):
        figures = [1 + int(figure) for figure in str(number)]
        words = [WORDS.index(word) for word in spelled(int(number))]
        source[row, : len(figures)] = figures
        target[row, : len(words) + 1] = [WORDS.index(START), *words]
        labels[row, : len(words) + 1] = [*words, WORDS.index(END)]
    model = encoder_decoder.encoder_decoder(
        vocabulary=len(WORDS), source_vocabulary=11, embedding=32, units=units, cell=cell
    )
    right = np.where(labels[:500] == WORDS.index(END), 0, labels[:500])

    def score(model):
        found = text_generation.translate(
            model, source[:500], start=WORDS.index(START), end=WORDS.index(END), steps=9, beam=None
        )
        for row in (0, 1):
            words = " ".join(WORDS[word] for word in found[row] if word)
            print(f"  {numbers[row]}: {words}")
        return {"whole numbers right": (found == right).all(axis=1).mean()}

    return Task(
        "numbers in figures and in words: 9,500 and 500 others", model, "sparse_categorical_crossentropy",
        ([source[500:], target[500:]], labels[500:]), ([source[:500], target[:500]], labels[:500]), score,
        {"whole numbers right by chance": 1e-4},
    )  # fmt: skip


def embeddings(path, units, cell, draw):
    """Lines of a label 0 or 1 and a text, such as rt-polarity's on films; a tenth, drawn, is held out."""
    del cell
    if not path:
        raise ValueError("embeddings reads labelled lines: give --data=.../rt-polarity.all")
    if not pathlib.Path(path).is_file():
        raise ValueError(f"there is no file {path}: give --data=.../rt-polarity.all")
    lines = pathlib.Path(path).read_text(encoding="latin-1").split("\n")
    pairs = [line.partition(" ")[::2] for line in lines if line.strip()]
    if not pairs or any(label not in ("0", "1") for label, _ in pairs):
        raise ValueError(f"{path}: each line is a label 0 or 1, a space and a text")
    labels = np.array([int(label) for label, _ in pairs], "float32")
    held = np.zeros(len(pairs), bool)
    held[draw.permutation(len(pairs))[: len(pairs) // 10]] = True
    trained = [line for (_, line), out in zip(pairs, held, strict=True) if not out]
    vocabulary = text.words("\n".join(trained), size=10_000)
    x = keras.utils.pad_sequences([vocabulary.encode(line) for _, line in pairs], padding="post")
    model = embedding_classifier.embedding_classifier(
        vocabulary=vocabulary.size,
        embedding=16,
        units=(units,),
        dropout=0.5,
        input_shape=x.shape[1:],
    )
    return Task(
        f"{(~held).sum():,} texts and {held.sum():,} others, of at most {x.shape[1]} words", model,
        "binary_crossentropy", (x[~held], labels[~held]), (x[held], labels[held]),
        lambda model: {"accuracy": ((model.predict(x[held], verbose=0)[:, 0] > 0.5) == labels[held]).mean()},
        {"accuracy of the commoner label": max(labels[held].mean(), 1 - labels[held].mean()),
         "accuracy of a convolution on words drawn at random, arXiv:1408.5882": 0.761},
    )  # fmt: skip


def own_data(path):
    """Refuses --data where the task makes its own."""
    if path:
        raise ValueError(
            f"this mapping makes its data from what ships with kapps: leave out --data={path}"
        )


TASKS = {
    "many_to_one": many_to_one, "one_to_many": one_to_many, "aligned": each_step, "segments": segments,
    "temporal": labels_alone, "unaligned": unaligned, "embeddings": embeddings,
}  # fmt: skip
