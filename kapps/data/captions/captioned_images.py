"""Images with one or more captions each: in memory, or the paths of their files."""

import dataclasses
import os
import pathlib

import numpy as np
import tensorflow as tf

from kapps._checked import checked
from kapps.data import identity
from kapps.data.errors import DataError
from kapps.data.image import decode_image, undecodable
from kapps.data.image.splits import select_split
from kapps.data.tfds_builder import load_tfds_builder

MAX_BYTES = 2**33
"""Largest size of the images of a dataset of TFDS, which are held in memory as JPEG or PNG."""
IMAGE_FEATURES, CAPTION_FEATURES = ("image",), ("captions", "caption", "text", "sentences")
"""Names of the features of TFDS."""


@dataclasses.dataclass(frozen=True)
class CaptionedImages:
    """Images and their captions.

    Args:
        name: name of the dataset, for messages.
        split: name of the split.
        images: uint8 [n, height, width, channels], or a tuple of n paths (str) or of n encoded images (bytes).
        captions: a tuple of captions for each image, at least one.
        names: name of each image.

    Raises:
        DataError: there are no images, or an image has no caption.
    """

    name: str
    split: str
    images: np.ndarray | tuple = dataclasses.field(repr=False)
    captions: tuple[tuple[str, ...], ...] = dataclasses.field(repr=False)
    names: tuple[str, ...] = dataclasses.field(repr=False)

    def __post_init__(self):
        if not len(self.images):
            raise DataError(f"{self.name} has no images with captions in split {self.split!r}")
        sizes = {len(self.images), len(self.captions), len(self.names)}
        if len(sizes) > 1:
            raise DataError(
                f"{self.name}: {len(self.images):,} images, {len(self.captions):,} lists of captions and"
                f" {len(self.names):,} names: pass as many of each"
            )
        for name, captions in zip(self.names, self.captions, strict=True):
            if not captions or not all(caption.strip() for caption in captions):
                raise DataError(f"{self.name}: {name} has no caption, or an empty one")

    @property
    def pairs(self) -> list[tuple[int, str]]:
        """The number of the image and the text of every caption."""
        return [(i, text) for i, captions in enumerate(self.captions) for text in captions]

    def identity(self) -> dict:
        """Returns the identity of the images and captions, for `kapps.training.Run`."""
        lines = {
            "captions": [f"{name}\t{text}" for name, row in self._rows() for text in row],
            "images": [str(size) for size in self._sizes()],
        }
        return identity.lines_identity(lines)

    def find_problem(self) -> str | None:
        """Returns which image cannot be decoded, or `None` if there is none. All images are decoded."""
        encoded = () if isinstance(self.images, np.ndarray) else self.images
        for name, image in zip(self.names, encoded, strict=False):
            content = pathlib.Path(image).read_bytes() if isinstance(image, str) else image
            try:
                decode_image.decode_graph(3)(content)
            except tf.errors.InvalidArgumentError:
                reason = undecodable.why_undecodable(content)
                return f"{self.name}: {name} cannot be decoded ({reason}): replace it, or leave its captions out"
        return None

    def _rows(self):
        return zip(self.names, self.captions, strict=True)

    def _sizes(self):
        """Returns the values of each image: the sum of its pixels, or the bytes of its file."""
        if isinstance(self.images, np.ndarray):
            return self.images.reshape(len(self.images), -1).sum(axis=1, dtype="int64").tolist()
        is_path = isinstance(self.images[0], str)
        return [os.path.getsize(image) if is_path else len(image) for image in self.images]


@checked
def load_tfds_captions(
    name: str, split: str = "train", data_dir: str | os.PathLike | None = None
) -> CaptionedImages:
    """Returns the images and captions of a dataset of TFDS, such as "coco_captions". Its images are held in memory.

    Args:
        name: name in TFDS. The dataset is downloaded and prepared if necessary.
        split: a split of TFDS, such as "train[:10%]".
        data_dir: directory where TFDS keeps its datasets. `None` is TFDS's default.

    Raises:
        DataError: the dataset cannot be read, has no images or no captions, lacks the split, or is larger than
            `MAX_BYTES`.
    """
    import tensorflow_datasets as tfds  # slow to import, and only these datasets need it

    builder = load_tfds_builder(name, data_dir)
    features = builder.info.features or {}
    image = next((key for key in IMAGE_FEATURES if key in features), None)
    captions = next((key for key in CAPTION_FEATURES if key in features), None)
    if image is None or captions is None:
        raise DataError(
            f"{name} has features {', '.join(features) or 'none'}: kapps needs an image and captions"
        )
    split_name, bracket, section = split.partition("[")
    split = select_split(split_name, builder.info.splits, name) + bracket + section
    try:
        info = builder.info.splits[split]
    except ValueError as error:
        raise DataError(f"{name} has no split {split!r}: {str(error).splitlines()[0]}") from None
    if (info.num_bytes or 0) > MAX_BYTES:
        raise DataError(
            f"split {split!r} of {name} has {info.num_bytes / 2**30:.1f} GiB, and kapps holds at most"
            f" {MAX_BYTES / 2**30:.0f} in memory: pass a part of it, such as {split_name}[:10%]"
        )
    dataset = builder.as_dataset(
        split=split, shuffle_files=False, decoders={image: tfds.decode.SkipDecoding()}
    )
    images, texts = [], []
    for example in dataset.as_numpy_iterator():
        images.append(example[image])
        texts.append(_texts(example[captions]))
    names = tuple(f"{split} {number:,}" for number in range(len(images)))
    return CaptionedImages(name, split, tuple(images), tuple(texts), names)


def _texts(feature):
    """Returns the captions of a feature: one text, several, or a dictionary with "text" or "raw"."""
    if isinstance(feature, dict):
        feature = next(
            (feature[key] for key in ("text", "raw", "caption") if key in feature),
            next(iter(feature.values())),
        )
    values = np.atleast_1d(np.asarray(feature, object))
    return tuple(value.decode("utf-8").strip() for value in values if value.strip())
