"""The tasks of multi_task.py: the names of digits in images, and the words of numbers in digits."""

import dataclasses

import keras
import numpy as np

from common import digit_rows, number_words

PAD, END, NAME_IMAGE, SPELL_NUMBER = "", "<end>", "<name the digit>", "<spell the number>"
DIGITS = tuple("0123456789")
WORDS = (
    PAD, END, NAME_IMAGE, SPELL_NUMBER, *DIGITS, *number_words.ONES, *number_words.TENS, "hundred", "thousand", "and"
)  # fmt: skip
"""The tokens of both tasks; those between "<" and ">" are commands and the end of a text."""
NUMBERS, TEST_NUMBERS = 10_000, 500


@dataclasses.dataclass(frozen=True)
class Task:
    """One task: examples of inputs, of targets that start with the task's command, and of labels.

    Args:
        title: name of the task.
        train, test: (inputs, target, labels) each; the inputs are images float32 (n, 8, 8, 1) from 0 to 1 or tokens
            int32 (n, time), the others tokens int32 (n, time), 0 for padding.
        chance: accuracy of a text without reading the inputs, in %.
    """

    title: str
    train: tuple
    test: tuple
    chance: float


def make_texts(command, texts):
    """Returns the targets and the labels of lists of words, int32 (texts, steps)."""
    command, steps = WORDS.index(command), 1 + max(len(words) for words in texts)
    target, labels = (np.zeros((len(texts), steps), "int32") for _ in range(2))
    for row, words in enumerate(texts):
        tokens = [WORDS.index(word) for word in words]
        target[row, : len(words) + 1] = [command, *tokens]
        labels[row, : len(words) + 1] = [*tokens, WORDS.index(END)]
    return target, labels


def name_digits(random, count):
    """Returns the task of the names of handwritten digits.

    Args:
        random: a NumPy generator, which chooses the images of the training.
        count: number of images to train on; None for all.
    """
    splits = []
    for split in ("train", "test"):
        images, labels = digit_rows.load_digits(split)
        if split == "train":
            chosen = random.permutation(len(labels))[:count]
            images, labels = images[chosen], labels[chosen]
        images = (images[..., None] + 1) / 2
        splits.append(
            (images, *make_texts(NAME_IMAGE, [[number_words.ONES[label]] for label in labels]))
        )
    chance = 100 * np.bincount(labels).max() / len(labels)
    return Task("names of digits in images", *splits, float(chance))


def spell_numbers(random):
    """Returns the task of the English words of numbers below 10,000 in digits; 500 of them are the test split."""
    numbers = random.permutation(NUMBERS)
    source = np.zeros((NUMBERS, 4), "int32")
    for row, number in enumerate(numbers):
        digits = [WORDS.index(digit) for digit in str(number)]
        source[row, : len(digits)] = digits
    texts = make_texts(SPELL_NUMBER, [number_words.spell_english(int(n)) for n in numbers])
    arrays = source, *texts
    cut = NUMBERS - TEST_NUMBERS
    splits = [tuple(array[part] for array in arrays) for part in (slice(cut), slice(cut, None))]
    return Task("words of numbers", *splits, 100 / NUMBERS)


def make_tasks(seed, images):
    """Returns {name of a task: task}.

    Args:
        seed: seed of the choice of the examples.
        images: number of images to train on; None for all.
    """
    random = np.random.default_rng([seed, 2])
    return {"digits": name_digits(random, images), "numbers": spell_numbers(random)}


def sample_batch(tasks, random, size):
    """Returns the inputs and the labels of `size` examples of each task, for a network of all the tasks, and None."""
    inputs, labels = [], []
    for task in tasks:
        rows = random.integers(0, len(task.train[2]), size)
        x, target, y = (array[rows] for array in task.train)
        inputs += [x, target]
        labels.append(y)
    return inputs, labels if len(labels) > 1 else labels[0], None


def evaluate(model, tasks):
    """Returns (loss of a token, accuracy of whole texts in %) of each task on its test split.

    A text is correct if the most likely token is correct at each step, so that greedy decoding returns it.

    Args:
        model: a network of the inputs of all the tasks, with one output for each task.
        tasks: list of the tasks, with equally many or fewer examples than the first one.
    """
    results, count = [], max(len(task.test[2]) for task in tasks)
    rows = [np.arange(count) % len(task.test[2]) for task in tasks]
    inputs = [array[i] for task, i in zip(tasks, rows, strict=True) for array in task.test[:2]]
    outputs = model.predict(inputs, batch_size=100, verbose=0)
    for task, p in zip(tasks, outputs if len(tasks) > 1 else [outputs], strict=True):
        labels = task.test[2]
        p, is_token = p[: len(labels)], labels != WORDS.index(PAD)
        of_label = np.take_along_axis(p, labels[..., None], axis=-1)[..., 0]
        loss = -np.log(np.maximum(of_label[is_token], 1e-9)).mean()
        is_right = ((p.argmax(axis=-1) == labels) | ~is_token).all(axis=1)
        results.append((float(loss), 100 * float(is_right.mean())))
    return results


def join(networks):
    """Returns the network of all inputs of some networks, with one output for each."""
    if len(networks) == 1:
        return networks[0]
    outputs = [
        keras.layers.Identity(name=f"predictions{i}")(network.output)
        for i, network in enumerate(networks, start=1)
    ]
    return keras.Model([x for network in networks for x in network.inputs], outputs)
