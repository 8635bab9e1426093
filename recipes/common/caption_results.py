"""Data, captions, scores, plots and exported files of captions.py."""

import pathlib
import re

import numpy as np
import tensorflow as tf

import kapps
from common import translation_corpus
from kapps import _files, export, visualize
from kapps.data import captions
from kapps.data.captions.caption_words import split_words
from kapps.data.captions.digit_boards import cell_of
from kapps.generation import text_generation

FILE_LENGTH = 32
"""Maximum tokens of a caption in the exported files."""
COMPARED, PLOTTED = 20, 4
"""Number of images that exported files are compared with the model on, and of those of the plot."""


def open_split(flags, split, scenes):
    """Returns the captioned images of a split, of the recipe's flags; without data, the digit boards.

    Args:
        flags: the recipe's flags.
        split: name of the split.
        scenes: number of digit boards.
    """
    if flags.dataset:
        return captions.load_tfds_captions(flags.dataset, split, flags.data_dir)
    if flags.data_dir:
        return captions.open_captions(flags.data_dir, split)
    return captions.make_digit_boards(split, scenes)


def write_captions(translator, batches, words, count, longest):
    """Returns the captions of the first images, and the images as the model reads them.

    Args:
        translator: the result of `kapps.generation.translator`.
        batches: the `kapps.data.captions.CaptionBatches` of the images.
        words: the `kapps.data.captions.CaptionWords` of the model.
        count: number of images; None for all.
        longest: largest number of words of a caption.
    """
    texts, inputs = [], []
    for images in batches.image_dataset().as_numpy_iterator():
        if count is not None and len(texts) >= count:
            break
        # Full batches: each new shape compiles the loop again.
        padded = np.resize(images, (batches.batch_size, *images.shape[1:]))
        tokens = text_generation.translate(
            translator, padded, start=words.start, end=words.end, steps=longest
        )
        texts += [words.decode(row) for row in tokens[: len(images)]]
        inputs.append(images)
    return texts[:count], np.concatenate(inputs)[:count]


def compute_scores(texts, source):
    """Returns [(name, value, signature)]: BLEU of sacreBLEU, and the percentage of captions that equal a reference.

    Case and punctuation are left out, of the references too.

    Args:
        texts: the captions of the first images.
        source: the `kapps.data.captions.CaptionedImages` with the references.
    """
    rows = [[" ".join(split_words(text)) for text in row] for row in source.captions[: len(texts)]]
    most = max(map(len, rows))
    streams = [[row[i] if i < len(row) else None for row in rows] for i in range(most)]
    ((name, bleu, signature), _) = translation_corpus.compute_bleu(texts, *streams)
    equal = np.mean([text in row for text, row in zip(texts, rows, strict=True)])
    return [(name, bleu, signature), ("equal to a reference (%)", 100 * equal, "")]


def attention_maps(model, words, images, texts, grid):
    """Returns the attention weights of captions, a list of float32 (words and end, rows, columns).

    Args:
        model: the model of the recipe.
        words: the `kapps.data.captions.CaptionWords`.
        images: as the model reads them, float32 [n, height, width, channels].
        texts: n captions.
        grid: height and width of the feature map.
    """
    rows = [[words.start, *words.encode(text)] for text in texts]
    target = np.zeros((len(rows), max(map(len, rows))), "int32")
    for row, tokens in zip(target, rows, strict=True):
        row[: len(tokens)] = tokens
    weights = []
    for start in range(0, len(rows), 64):
        part = slice(start, start + 64)
        by_layer = kapps.attention_weights(model, [images[part], target[part]], cross_only=True)
        weights += list(next(iter(by_layer.values())))
    return [
        values[: len(row)].reshape(-1, *grid) for values, row in zip(weights, rows, strict=True)
    ]


def pointing(maps, texts, source):
    """Returns the percentage of digits of correct captions whose largest weight lies in a cell that shows the digit.

    Args:
        maps: as `attention_maps` returns them.
        texts: the captions.
        source: the `kapps.data.captions.DigitBoards`.
    """
    hits = []
    for values, text, reference, cells in zip(
        maps, texts, source.captions, source.cells, strict=False
    ):
        for weights, inside in zip(values, cells, strict=False):
            if text in reference and inside:
                hits.append(cell_of(int(weights.argmax()), values.shape[1:]) in inside)
    return 100 * float(np.mean(hits)) if hits else 0.0


def unevenness(maps):
    """Returns the mean of (1 - sum_t alpha_t)^2 over places and captions, which the penalty makes smaller."""
    return float(np.mean([np.mean((1 - values.sum(axis=0)) ** 2) for values in maps]))


def write_table(path, source, texts):
    """Writes the name, the caption and the references of each image to a file, separated by tabs."""
    rows = zip(source.names, texts, source.captions, strict=False)
    with _files.write_atomically(path) as temporary:
        lines = (
            "\t".join(re.sub(r"[\t\n\r]", " ", text) for text in (name, caption, *references))
            for name, caption, references in rows
        )
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def raw_pixels(images, preprocessing):
    """Returns images as the model reads them as pixels in [0, 255], float32, red first."""
    mean, std = preprocessing.channels(images.shape[-1])
    pixels = (preprocessing.ordered(images) * std + mean) / preprocessing.scale
    return np.clip(pixels, 0, 255).astype("float32")


def plot(path, preprocessing, images, texts, maps):
    """Plots the first images with the attention of each word."""
    pixels = raw_pixels(images[:PLOTTED], preprocessing) / 255
    split = [text.split() for text in texts[:PLOTTED]]
    words = [row[: len(values)] for row, values in zip(split, maps, strict=False)]
    shown = [values[: len(row)] for row, values in zip(words, maps, strict=False)]
    visualize.plot_caption(pixels, words, shown, path)


def export_saved_model(model, words, images, preprocessing, directory, texts, *, steps, beam):
    """Writes a SavedModel, which captions image files. Returns the row of a table.

    Args:
        model: the model of the recipe.
        words: the `kapps.data.captions.CaptionWords`.
        images: as the model reads them, float32 [n, height, width, channels].
        preprocessing: of the images.
        directory: the SavedModel is in a folder in it.
        texts: the captions of the images.
        steps: largest number of words of a caption.
        beam: beam width.
    """
    path = export.saved_model(
        model, directory, tokenizer=words, preprocessing=preprocessing, new_tokens=steps, beam=beam
    )
    pixels = np.rint(raw_pixels(images[:COMPARED], preprocessing)).astype("uint8")
    files = tf.constant([tf.io.encode_png(image).numpy() for image in pixels])
    caption = export.runtime.load_saved_model(path).signatures["caption"]
    exported = caption(image_bytes=files)["text"].numpy()
    equal = [text.decode() == own for text, own in zip(exported, texts, strict=False)]
    return str(path), "float32", size_of(path), f"{np.mean(equal):.0%}"


def size_of(folder):
    """Returns the size of all files of a folder, such as "1.2 MB"."""
    return (
        f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()) / 1e6:.1f} MB"
    )


def export_files(model, words, images, preprocessing, directory, precisions):
    """Writes `encoder.tflite`, `step.tflite` and `words.json` for each precision. Returns the rows of a table.

    The encoder's file has the preprocessing and reads pixels in [0, 255].

    Args:
        model: the model of the recipe.
        words: the `kapps.data.captions.CaptionWords`.
        images: some images as the model reads them.
        preprocessing: of the images.
        directory: the folders of the files are in it.
        precisions: of the files.
    """
    rows, images = [], images[:COMPARED]
    pixels = raw_pixels(images, preprocessing)
    options = dict(
        start=words.start, end=words.end, steps=FILE_LENGTH - 1, beam=1, never=(1, words.start)
    )
    expected = text_generation.translate(model, images, **options)
    for precision in precisions:
        folder = pathlib.Path(directory, f"{model.name}_{precision}")
        export.tflite_encoder_and_step(model, folder, length=FILE_LENGTH, precision=precision)
        words.save(folder / "words.json")
        files = export.load_tflite_encoder_and_step(folder)
        equal = text_generation.translate(files, pixels, **options) == expected
        rows.append((str(folder), precision, size_of(folder), f"{equal.all(axis=1).mean():.0%}"))
    return rows
