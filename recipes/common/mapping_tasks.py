"""The tasks of mappings.py: data, network, loss, and scores next to baselines."""

import collections
import dataclasses
import pathlib
import string
from collections.abc import Callable

import keras
import numpy as np

import kapps
from common import number_words
from common.digit_rows import COLUMNS, ROWS, load_digits, make_digit_rows
from kapps import families
from kapps.data import sequence, text, text_files
from kapps.generation import text_generation

DTW = {  # accuracy of 1-nearest-neighbour classification with dynamic time warping, without a window
    "JapaneseVowels": (0.949, "arXiv:1811.00075"),
    "GunPoint": (0.907, "arXiv:1810.07758"),
    "ItalyPowerDemand": (0.950, "arXiv:1810.07758"),
    "ArrowHead": (0.703, "arXiv:1810.07758"),
}
PAD, START, END = "", "<start>", "<end>"
WORDS = (PAD, START, END, *number_words.ONES, *number_words.TENS, "hundred", "thousand", "and")


@dataclasses.dataclass
class Task:
    """One mapping: data, network and scores.

    Args:
        description: the data, in words.
        model: the Keras model.
        loss: the loss, as `compile` takes it.
        train, test: (inputs, targets), as `fit` takes them.
        score: function of the model that returns {name: score} on the test inputs.
        baselines: {name: score} of chance and of publications.
    """

    description: str
    model: object
    loss: str
    train: tuple
    test: tuple
    score: Callable
    baselines: dict


def many_to_one(path, units, cell, random):
    """Classifies the series of a .ts file; the file with _TEST in its name holds the test split."""
    del random
    if not path:
        raise ValueError("many_to_one reads series: pass --data=.../JapaneseVowels_TRAIN.ts")
    path = pathlib.Path(path)
    if "_TRAIN" not in path.name:
        raise ValueError(f"--data={path}: pass the training file, such as GunPoint_TRAIN.ts")
    train_series, test_series = (
        sequence.read_series(path.with_name(path.name.replace("_TRAIN", split)))
        for split in ("_TRAIN", "_TEST")
    )
    for what, values in (
        ("classes", [series.class_names for series in (train_series, test_series)]),
        ("dimensions", [series.values[0].shape[1] for series in (train_series, test_series)]),
    ):
        if values[0] != values[1]:
            raise ValueError(
                f"{test_series.name} has the {what} {values[1]}, and {train_series.name} {values[0]}: they must be "
                "equal"
            )
    train, test = train_series.standardise(), test_series.standardise(train_series)
    classes = len(train.class_names)
    name = path.name.partition("_")[0]
    model = families.sequence_classifier(
        units=units, cell=cell, merge="concat", dropout=0.3, input_shape=(None, train.values[0].shape[1]),
        classes=classes,
    )  # fmt: skip
    baselines = {
        "accuracy of the most common class": np.bincount(test.labels).max() / len(test.labels)
    }
    if name in DTW:
        accuracy, source = DTW[name]
        baselines[f"accuracy of 1-nearest-neighbour with dynamic time warping, {source}"] = accuracy
    x = test.pad()
    return Task(
        f"{name}: {len(train.labels)} training and {len(test.labels)} test series, {classes} classes", model,
        "sparse_categorical_crossentropy", (train.pad(), train.labels), (x, test.labels),
        lambda model: {"accuracy": (predict_classes(model, x) == test.labels).mean()}, baselines,
    )  # fmt: skip


def predict_classes(model, x):
    """Returns the most likely class of each sequence or of each step."""
    return model.predict(x, verbose=0).argmax(axis=-1)


def label_steps(path, units, cell, random, segment=None):
    """Labels each column of a row of digits with its digit, or each segment of `segment` columns."""
    reject_data(path)
    repeat = 1 if segment else COLUMNS

    def make(split, count):
        x, row_labels = make_digit_rows(split, count, random)
        y = np.zeros((count, 6 * repeat), "int32")
        mask = np.zeros(y.shape, bool)
        for row, labels in enumerate(row_labels):
            y[row, : len(labels) * repeat] = np.repeat(labels, repeat)
            mask[row, : len(labels) * repeat] = True
        return x, y, mask

    (x, y, _), (test, targets, mask) = make("train", 1500), make("validation", 300)
    model = families.sequence_labeller(
        units=units, cell=cell, segment=segment, input_shape=(None, ROWS), classes=10
    )
    counts = np.bincount(targets[mask])
    return Task(
        "rows of three to six digits, 1,500 for training and 300 for testing; one label per "
        + ("digit" if segment else "column"),
        model, "sparse_categorical_crossentropy", (x, y), (test, targets),
        lambda model: {"accuracy": (predict_classes(model, test) == targets)[mask].mean()},
        {"accuracy of the most common label": counts.max() / counts.sum()},
    )  # fmt: skip


def label_segments(path, units, cell, random):
    return label_steps(path, units, cell, random, segment=COLUMNS)


def temporal_classification(path, units, cell, random):
    """Classifies rows of digits with gaps: the targets are the digits in order, without their positions (CTC)."""
    reject_data(path)

    def make(split, count):
        x, row_labels = make_digit_rows(split, count, random, gap=4)
        y = np.zeros((count, 6), "int32")
        for row, labels in zip(y, row_labels, strict=True):
            row[: len(labels)] = labels + 1  # 0 is the padding
        return x, y

    train, (test, targets) = make("train", 1500), make("validation", 300)
    model = families.ctc(
        units=units, cell=cell, input_shape=(None, ROWS), classes=11, classifier_activation=None
    )

    def score(model):
        logits = model.predict(test, verbose=0)
        decoded = {
            "best path": kapps.ctc_labels(logits),
            "20 beams": kapps.ctc_labels(logits, beams=20),
        }
        errors = {
            f"label error rate, {method}": kapps.label_error_rate(labels, targets)
            for method, labels in decoded.items()
        }
        best = np.pad(decoded["20 beams"], ((0, 0), (0, 6)))[:, :6]
        return errors | {"row accuracy": (best == targets).all(axis=1).mean()}

    return Task(
        "rows of three to six digits with gaps, without positions: 1,500 for training, 300 for testing",
        model, "ctc", train, (test, targets), score, {"label error rate of the empty labelling": 1.0},
    )  # fmt: skip


def one_to_many(path, units, cell, random):
    """Spells the name of a digit, letter by letter, from its image; 0 marks the end of the name."""
    del random
    reject_data(path)
    names = np.zeros((10, 6), "int32")
    for row, name in zip(names, number_words.ONES, strict=False):
        row[: len(name)] = [1 + string.ascii_lowercase.index(letter) for letter in name]
    (x, y), (test, targets) = (
        (images.reshape(-1, 1, ROWS * COLUMNS), names[labels])
        for images, labels in (load_digits("train"), load_digits("validation"))
    )
    model = families.sequence_generator(
        steps=6, units=units, cell=cell, input_shape=(1, ROWS * COLUMNS), classes=27
    )
    common = collections.Counter(map(tuple, targets.tolist())).most_common(1)[0][1]

    def score(model):
        correct = predict_classes(model, test) == targets
        return {"letter accuracy": correct.mean(), "name accuracy": correct.all(axis=1).mean()}

    return Task(
        f"images of digits and their names: {len(x):,} for training, {len(test)} for testing", model,
        "sparse_categorical_crossentropy", (x, y), (test, targets), score,
        {"name accuracy of the most common name": common / len(targets)},
    )  # fmt: skip


def spell_numbers(path, units, cell, random):
    """Translates numbers below 10,000 from digits to words; a twentieth of them is the test split."""
    reject_data(path)
    numbers = random.permutation(10_000)
    source, target, labels = (np.zeros((10_000, steps), "int32") for steps in (4, 9, 9))
    for row, number in enumerate(numbers):
        digits = [1 + int(digit) for digit in str(number)]
        words = [WORDS.index(word) for word in number_words.spell_english(int(number))]
        source[row, : len(digits)] = digits
        target[row, : len(words) + 1] = [WORDS.index(START), *words]
        labels[row, : len(words) + 1] = [*words, WORDS.index(END)]
    model = families.encoder_decoder(
        vocabulary=len(WORDS), source_vocabulary=11, embedding=32, units=units, cell=cell
    )
    targets = np.where(labels[:500] == WORDS.index(END), 0, labels[:500])

    def score(model):
        translations = text_generation.translate(
            model, source[:500], start=WORDS.index(START), end=WORDS.index(END), steps=9, beam=None
        )
        for row in (0, 1):
            words = " ".join(WORDS[word] for word in translations[row] if word)
            print(f"  {numbers[row]}: {words}")
        return {"number accuracy": (translations == targets).all(axis=1).mean()}

    return Task(
        "numbers in digits and in words: 9,500 for training, 500 for testing", model, "sparse_categorical_crossentropy",
        ([source[500:], target[500:]], labels[500:]), ([source[:500], target[:500]], labels[:500]), score,
        {"number accuracy by chance": 1e-4},
    )  # fmt: skip


def classify_texts(path, units, cell, random):
    """Classifies lines with a label 0 or 1 and a text, such as rt-polarity; a random tenth is the test split."""
    del cell
    if not path:
        raise ValueError("embeddings reads labelled lines: pass --data=.../rt-polarity.all")
    lines = text_files.read_lines(path, fallback="latin-1")  # the encoding of rt-polarity.all
    pairs = [line.partition(" ")[::2] for line in lines if line]
    if not pairs:
        raise ValueError(f"{path} has no labelled line: pass a file such as rt-polarity.all")
    for number, line in enumerate(lines, start=1):
        label, _, words = line.partition(" ")
        if line and (label not in ("0", "1") or not words.strip()):
            raise ValueError(
                f"{path}, line {number:,}: {line[:40]!r} is not a label 0 or 1, a space and a text"
            )
    if len({label for label, _ in pairs}) < 2 or len(pairs) < 10:
        raise ValueError(
            f"{path} has {len(pairs)} texts of label {', '.join(sorted({label for label, _ in pairs}))}:"
            " pass ten or more, of both labels"
        )
    labels = np.array([int(label) for label, _ in pairs], "float32")
    is_test = np.zeros(len(pairs), bool)
    is_test[random.permutation(len(pairs))[: len(pairs) // 10]] = True
    train_texts = [line for (_, line), test in zip(pairs, is_test, strict=True) if not test]
    vocabulary = text.words("\n".join(train_texts), size=10_000)
    rows = [vocabulary.encode(line) for _, line in pairs]
    longest = max(range(len(rows)), key=lambda row: len(rows[row]))
    if len(rows[longest]) * len(rows) > sequence.timeseries.MAX_VALUES:
        raise ValueError(
            f"{path}: the text {pairs[longest][1][:40]!r} has {len(rows[longest]):,} words, and all {len(rows):,} "
            "texts are padded to its length: cut it"
        )
    x = keras.utils.pad_sequences(rows, padding="post")
    model = families.embedding_classifier(
        vocabulary=vocabulary.size,
        embedding=16,
        units=(units,),
        dropout=0.5,
        input_shape=x.shape[1:],
    )
    return Task(
        f"{(~is_test).sum():,} training and {is_test.sum():,} test texts of at most {x.shape[1]} words", model,
        "binary_crossentropy", (x[~is_test], labels[~is_test]), (x[is_test], labels[is_test]),
        lambda model: {"accuracy": ((model.predict(x[is_test], verbose=0)[:, 0] > 0.5) == labels[is_test]).mean()},
        {"accuracy of the more common label": max(labels[is_test].mean(), 1 - labels[is_test].mean()),
         "accuracy of a CNN with random word vectors, arXiv:1408.5882": 0.761},
    )  # fmt: skip


def reject_data(path):
    """Raises ValueError for --data, which tasks with generated data do not read."""
    if path:
        raise ValueError(
            f"--data={path}: this mapping generates its data and reads no file; remove the flag"
        )


TASKS = {
    "many_to_one": many_to_one, "one_to_many": one_to_many, "aligned": label_steps, "segments": label_segments,
    "temporal": temporal_classification, "unaligned": spell_numbers, "embeddings": classify_texts,
}  # fmt: skip
