"""The command `kapps visualize`: one HTML page of what is inside a model for an image or a text."""

import dataclasses
import functools
import os
import pathlib
import shutil
import sys
import time

from kapps import _commands, cards
from kapps._commands import UserError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
"""Image files of --images."""
MOST_IMAGES = 200
"""Largest number of images of --images that are read."""
OF_IMAGES = (
    "labels",
    "explained",
    "methods",
    "check",
    "units",
    "maximise",
    "images",
    "preprocessing",
)
OF_TEXTS = ("vocabulary", "target")


def visualize(options):
    """Returns the page of a model and an image or a text, and the exit status."""
    if options.html is None:
        raise UserError("no output: pass --html=FILE")
    if (options.image is None) == (options.text is None):
        raise UserError("pass an image file, or --text=TEXT for a model of texts")
    for name in OF_TEXTS if options.image is not None else OF_IMAGES:
        if getattr(options, name) is not None:
            kind = "a text" if name in OF_TEXTS else "an image"
            raise UserError(f"--{name.replace('explained', 'class')} is an option for {kind}")
    for path in filter(None, (options.image, options.images, options.vocabulary)):
        if not os.path.exists(path):
            raise UserError(f"there is no file {path}")
    start, notes = time.monotonic(), []
    report = _Progress(sys.stderr.isatty())
    report("loading the model")
    model = _load(options, notes)
    page = _image_page if options.image is not None else _text_page
    try:
        html = page(model, options, notes, report)
    finally:
        report.clear()
    if report.is_shown:
        seconds = time.monotonic() - start
        print(f"kapps visualize: {len(html) / 1e6:.1f} MB in {seconds:.1f} s", file=sys.stderr)
    return html, 0


@dataclasses.dataclass(frozen=True)
class _Progress:
    """Prints what is computed on one line of a terminal, which each call replaces."""

    is_shown: bool

    def __call__(self, text):
        if self.is_shown:
            self.clear()
            width = shutil.get_terminal_size().columns - 1
            print(f"kapps visualize: {text} ..."[:width], end="", file=sys.stderr, flush=True)

    def clear(self):
        if self.is_shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _load(options, notes):
    """Returns the model of a builder's name, a file or a folder with model.keras; the weights are in the notes."""
    path, weights = options.model, options.weights
    if os.path.isdir(path) and path not in cards.list_models():
        path = os.path.join(path, "model.keras")
        if not os.path.exists(path):
            raise UserError(f"{options.model} has no file model.keras, which the recipes leave")
    if _commands.is_model_file(path):
        if weights is not None:
            raise UserError(f"--weights={weights}: {path} has its own weights")
        notes.append(f"Model: {path}")
        return _commands.load_model(path)
    if weights is not None:
        notes.append(f"Weights: {weights}")
        return _commands.load_model(path, weights=weights)
    model = _commands.load_model(path)
    notes.append("Weights: random. The page shows the architecture, and nothing that was learnt.")
    print(
        f"kapps visualize: {path} has random weights: pass --weights=imagenet or --weights=FILE",
        file=sys.stderr,
    )
    return model


def _image_page(model, options, notes, report):
    import keras
    import numpy as np

    import kapps
    from kapps.predictions import IMAGENET_CLASSES, imagenet_classes

    if not isinstance(model.input_shape, tuple) or len(model.input_shape) != 4:
        raise UserError(
            f"{model.name} takes no images {model.input_shape}: pass --text=TEXT for a model of texts"
        )
    if options.preprocessing is None and not _has_preprocessing(model):
        raise UserError(
            f"{model.name} does not record the preprocessing of its images: pass --preprocessing=NAME, see --help"
        )
    preprocessing = _commands.print_preprocessing(model, options.preprocessing)
    names, classes = None, model.output_shape[-1] if isinstance(model.output_shape, tuple) else None
    if options.labels:
        names = _commands.read_labels(options.labels)
        if len(names) != classes:
            raise UserError(
                f"--labels={options.labels} has {len(names)} names, and {model.name} has {classes} classes"
            )
    elif classes == IMAGENET_CLASSES:
        names = [name for _, name in imagenet_classes()]
    *size, channels = model.input_shape[1:]
    read = functools.partial(_read, preprocessing=preprocessing, size=size, channels=channels)
    image = read(options.image)
    low, high = (
        kapps.preprocess(
            np.full((8, 8, channels), value, "uint8"), preprocessing, channels=channels
        )
        for value in (0, 255)
    )
    others = None
    if None not in size and tuple(size) != preprocessing.size:
        preprocessing = preprocessing.at(tuple(size))
    if options.images:
        report(f"reading {options.images}")
        files = _image_files(options.images)
        others = np.concatenate([read(path) for path in files[:MOST_IMAGES]])
        if len(files) > MOST_IMAGES:
            notes.append(
                f"Of the {len(files)} images of {options.images} the first {MOST_IMAGES} are used."
            )
            print(f"kapps visualize: {notes[-1]}", file=sys.stderr)
    low, high = low[0, 0, 0], high[0, 0, 0]  # of each channel
    notes += [
        f"Image: {os.path.basename(options.image)}, preprocessing: {preprocessing}",
        f"Keras {keras.__version__} on {keras.backend.backend()}",
    ]
    return kapps.visualize.image_page(
        model, image, draw=functools.partial(_draw, low=low, high=high, preprocessing=preprocessing),
        class_names=names, explained=_class_index(options.explained, names, classes),
        methods=_methods(options.methods), check=4 if options.check is None else options.check,
        units=16 if options.units is None else options.units, steps=options.maximise or 0,
        value_range=(float(low.mean()), float(high.mean())), others=others, notes=notes, report=report,
    )  # fmt: skip


def _has_preprocessing(model):
    from kapps.model_preprocessing import has_preprocessing

    return has_preprocessing(model)


def _read(path, preprocessing, size, channels):
    """Returns an image file as the model takes it, (1, height, width, channels)."""
    import kapps

    return kapps.preprocess(path, preprocessing, size=size, channels=channels)


def _draw(images, low, high, preprocessing):
    """Returns preprocessed images as pixels, uint8 (..., height, width, 1 or 3)."""
    import numpy as np

    pixels = (np.asarray(images) - low) / (high - low)
    if pixels.shape[-1] not in (1, 3):
        pixels = pixels.mean(axis=-1, keepdims=True)
    return np.clip(255 * preprocessing.ordered(pixels) + 0.5, 0, 255).astype("uint8")


def _image_files(folder):
    """Returns the image files of a folder and of the folders in it."""
    root = pathlib.Path(folder)
    files = [root] if root.is_file() else sorted([*root.glob("*"), *root.glob("*/*")])
    images = [os.fspath(path) for path in files if path.suffix.lower() in SUFFIXES]
    if not images:
        raise UserError(f"--images={folder} has no image files ({', '.join(SUFFIXES)})")
    return images


def _methods(text):
    """Returns the methods of "gradient,Grad-CAM", all for None."""
    from kapps.visualize.page_of_image import METHODS

    if text is None:
        return METHODS
    by_name = {name.lower(): name for name in METHODS}
    return [by_name.get(name.strip().lower(), name.strip()) for name in text.split(",")]


def _class_index(text, names, classes):
    """Returns the index of a class that is passed by its number or name, None for None."""
    from kapps._names import nearest

    if text is None:
        return None
    if names is not None and text in names:
        return names.index(text)
    if text.isdecimal():
        if classes is not None and int(text) >= classes:
            raise UserError(f"--class={text}: the model has the classes 0 to {classes - 1}")
        return int(text)
    raise UserError(
        f"--class={text} is neither a number nor a name of a class.{nearest(text, names or ())}"
    )


def _text_page(model, options, notes, report):
    import keras
    import numpy as np

    import kapps
    from kapps._vocabulary_files import read_vocabularies

    source, target = read_vocabularies(_vocabulary_path(options))
    shapes = [tuple(x.shape) for x in model.inputs]
    if any(len(shape) != 2 for shape in shapes) or len(shapes) > 2:
        raise UserError(f"{model.name} takes {shapes}, not tokens (batch, time)")
    if (len(shapes) == 2) != (options.target is not None):
        kind = (
            "takes a source and a target: pass --target=TEXT too"
            if len(shapes) == 2
            else "takes one text"
        )
        raise UserError(f"{model.name} {kind}")
    rows, texts = [], []
    for text, vocabulary, shape in zip(
        (options.text, options.target), (source, target), shapes, strict=False
    ):
        tokens = np.asarray(vocabulary.encode(text), "int32")
        if not len(tokens):
            raise UserError(f"the text {text!r} has no tokens")
        length = shape[1]
        if length is not None and len(tokens) > length:
            raise UserError(f"the text has {len(tokens)} tokens, and {model.name} takes {length}")
        tokens = np.pad(tokens, (0, (length or len(tokens)) - len(tokens)))
        rows.append(tokens[None])
        texts.append([vocabulary.texts[token] for token in tokens])
    unknown = sum(int((row == 1).sum()) for row in rows)
    notes.append(f"{len(texts[0])} tokens{f', {unknown} of them unknown' if unknown else ''}")
    notes.append(f"Keras {keras.__version__} on {keras.backend.backend()}")
    return kapps.visualize.text_page(
        model, rows if len(rows) > 1 else rows[0], texts[0], targets=texts[1] if len(texts) > 1 else None,
        class_names=target.texts, notes=notes, report=report,
    )  # fmt: skip


def _vocabulary_path(options):
    if options.vocabulary is not None:
        return options.vocabulary
    folder = options.model if os.path.isdir(options.model) else os.path.dirname(options.model)
    path = os.path.join(folder, "vocabulary.json")
    if not os.path.exists(path):
        raise UserError(
            f"there is no {path}: pass --vocabulary=FILE, a vocabulary.json of a recipe"
        )
    return path
