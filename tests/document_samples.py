"""Small files and arrays that the code blocks of the documents need, made in the current folder."""

import csv
import gzip
import pathlib

import numpy as np
from PIL import Image

import kapps

TEXT = '"The Time Traveller," he said, "is one of those men who are too clever to be believed."\n'
PAIRS = (
    ("a dog runs on the beach .", "ein hund rennt am strand ."),
    ("two men are talking .", "zwei männer unterhalten sich ."),
    ("a girl in a red dress dances .", "ein mädchen in einem roten kleid tanzt ."),
)


def make_pixels(count, size, channels=3, seed=0):
    """Returns random images, (count, size, size, channels), float32 in [0, 255]."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 255, (count, size, size, channels)).astype("float32")


def make_images(*paths, size=64):
    """Writes a random image to each path."""
    for seed, path in enumerate(paths):
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_pixels(1, size, seed=seed)[0].astype("uint8")).save(path)


def make_class_folders(folder, classes, training=4, validation=2):
    """Writes random images into class folders of the splits train and validation."""
    for split, count in {"train": training, "validation": validation}.items():
        for name in classes:
            make_images(*(f"{folder}/{split}/{name}/{i}.png" for i in range(count)))


def make_masks(folder, count=4, size=64, classes=11):
    """Writes images with masks of numbers, and the file of their classes, `<folder>.csv`."""
    rng = np.random.default_rng(0)
    make_images(*(f"{folder}/train/images/{i}.png" for i in range(count)), size=size)
    pathlib.Path(folder, "train", "masks").mkdir()
    for i in range(count):
        mask = rng.integers(0, classes + 1, (size, size), "uint8")
        Image.fromarray(mask).save(f"{folder}/train/masks/{i}.png")
    with open(f"{folder}.csv", "w", newline="", encoding="utf-8") as file:
        rows = [(f"class{i}", i, 20 * i, 0, 0) for i in range(classes)]
        csv.writer(file).writerows([("name", "value", "r", "g", "b"), *rows])


def make_text(path, lines=100):
    """Writes a text of the same line, many times."""
    pathlib.Path(path).write_text(TEXT * lines, encoding="utf-8")


def make_parallel_files(source, target, times=20):
    """Writes sentence pairs to two compressed files."""
    for path, side in ((source, 0), (target, 1)):
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.writelines(f"{pair[side]}\n" for pair in PAIRS * times)


def make_weights(checkpoint):
    """Returns the path of initial weights of a builder, in place of a download of pretrained ones."""
    path = pathlib.Path(f"{checkpoint.name}.weights.h5")
    if not path.exists():
        getattr(kapps, checkpoint.name)().save_weights(path)
    return path
