"""The data of few_shot.py: classes of images, from folders or composed of the digits of kapps, and episodes of them."""

import dataclasses
import os
import pathlib
import zipfile

import numpy as np
import tensorflow as tf

from common.digit_rows import load_digits
from kapps import data

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
DIGIT_SIZE = 16
"""Height and width of the images that are composed of digits."""


@dataclasses.dataclass(frozen=True)
class Characters:
    """Classes of images in two sets without a common class.

    Args:
        train, test: for each class its images, float32 (images, size, size) in [0, 1], ink 1.
    """

    train: list
    test: list


def digit_pairs(images_of_class=20):
    """Returns characters of two digits: the ordered pairs of 10 digits, each turned by 0, 90, 180 and 270 degrees.

    The first digit is in the left half, the second in the right half, each at a random height. The pairs (a, b) whose
    a + b is divisible by 5 are the test's, 20 of 100; their images are of the split "test".
    """
    sets = {}
    for split in ("train", "test"):
        images, labels = load_digits(split)
        images = (images + 1) / 2
        random, classes = np.random.default_rng(0), []
        for a, b in np.ndindex(10, 10):
            if ((a + b) % 5 == 0) != (split == "test"):
                continue
            board = np.zeros((images_of_class, DIGIT_SIZE, DIGIT_SIZE), "float32")
            side = DIGIT_SIZE // 2
            for digit, left in ((a, 0), (b, side)):
                chosen = random.choice(np.flatnonzero(labels == digit), images_of_class)
                tops = random.integers(0, side + 1, images_of_class)
                for image, number, top in zip(board, chosen, tops, strict=True):
                    image[top : top + side, left : left + side] = images[number]
            classes.append(board)
        sets[split] = turn(classes)
    return Characters(**sets)


def turn(classes):
    """Returns the classes and, as classes of their own, the same turned by 90, 180 and 270 degrees."""
    return [np.rot90(images, k, axes=(1, 2)).copy() for images in classes for k in range(4)]


def read_characters(path, size, least):
    """Returns the characters of a directory or a .zip file in which each folder with images is a class.

    The test's classes are those of the last of several alphabets (folders of folders), otherwise the last fifth. Images
    are grey and of size x size; a white background becomes 0.

    Args:
        path: of the directory or the .zip file.
        size: height and width of the images in pixels.
        least: smallest number of images of a class; other folders are left out.

    Raises:
        DataError: if it has too few classes, or an image cannot be read.
    """
    folders = {}
    for name, content in image_files(path):
        folders.setdefault(os.path.dirname(name), []).append((name, content))
    folders = {name: files for name, files in sorted(folders.items()) if len(files) >= least}
    alphabets = sorted({os.path.dirname(name) for name in folders})
    if len(alphabets) > 1:
        held_out = {name for name in folders if os.path.dirname(name) == alphabets[-1]}
    else:
        held_out = set(list(folders)[-(len(folders) // 5) :]) if len(folders) > 4 else set()
    sets = {"train": [], "test": []}
    for folder, files in folders.items():
        images = np.stack([decode(name, content, size) for name, content in sorted(files)])
        sets["test" if folder in held_out else "train"].append(images)
    if not sets["train"] or not sets["test"]:
        raise data.DataError(
            f"{path} has {len(folders)} folders of {least} images or more; few-shot episodes need classes for the "
            "training and others for the test: pass a directory or a .zip file with more folders, or fewer --shots"
        )
    return Characters(turn(sets["train"]), turn(sets["test"]))


def image_files(path):
    """Yields the names, relative to the path, and the contents of all image files of a directory or a .zip file."""
    path = pathlib.Path(path)
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in SUFFIXES:
                yield file.relative_to(path).as_posix(), file.read_bytes()
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.lower().endswith(SUFFIXES) and not name.startswith("__MACOSX"):
                    yield name, archive.read(name)
    except (zipfile.BadZipFile, OSError) as error:
        raise data.DataError(
            f"{path} is not a directory or a .zip file of images: {error}"
        ) from None


def decode(name, content, size):
    """Returns a grey image (size, size) in [0, 1] whose background, the more frequent half of the range, is near 0."""
    try:
        image = tf.io.decode_image(content, channels=1, expand_animations=False)
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        raise data.DataError(f"{name} is not an image: {str(error).splitlines()[0]}") from None
    image = tf.image.resize(tf.cast(image, "float32") / 255, (size, size), method="area")[..., 0]
    image = image.numpy()
    return 1 - image if np.median(image) > 0.5 else image


def make_episodes(classes, ways, shots, random, count):
    """Returns episodes as `kapps.families.snail` reads them, and the class of each query.

    Args:
        classes: for each class its images, (images, size, size).
        ways, shots: N classes, K images of each before the query.
        random: a NumPy generator.
        count: number of episodes.

    Returns:
        float32 (count, N K + 1, size^2 + N), pixels and label of each step, the query's label zeros; int (count,).
    """
    steps, size = ways * shots + 1, classes[0].shape[1]
    episodes = np.zeros((count, steps, size * size + ways), "float32")
    queries = random.integers(0, ways, count)
    for episode, query in zip(episodes, queries, strict=True):
        chosen = random.choice(len(classes), ways, replace=False)
        order = random.permutation(ways * shots)
        for way, number in enumerate(chosen):
            images = classes[number]
            places = order[way * shots : (way + 1) * shots]
            picked = random.choice(len(images), shots + (way == query), replace=False)
            flat = images[picked].reshape(len(picked), -1)
            episode[places, : size * size] = flat[:shots]
            episode[places, size * size + way] = 1
            if way == query:
                episode[-1, : size * size] = flat[-1]
    return episodes, queries


def nearest_neighbour(episodes, ways):
    """Returns the classes of the queries by the nearest example in Euclidean distance of the pixels, int (count,)."""
    pixels, labels = episodes[..., :-ways], episodes[..., -ways:]
    distance = np.square(pixels[:, :-1] - pixels[:, -1:]).sum(axis=-1)
    nearest = distance.argmin(axis=1)
    return labels[np.arange(len(labels)), nearest].argmax(axis=-1)
