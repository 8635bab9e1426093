"""Datasets of TFDS with masks."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from kapps import data
from kapps.data import segmentation
from kapps.preprocessing import Preprocessing

MASKS = np.random.default_rng(0).integers(1, 4, (6, 8, 10, 1)).astype(np.uint8)
PIXELS = Preprocessing(size=(8, 10), crop=1.0)


class KappsMasks(tfds.core.GeneratorBasedBuilder):
    """A dataset with the features of oxford_iiit_pet, that is prepared without a network."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(num_classes=2),
            "segmentation_mask": tfds.features.Image(shape=(None, None, 1), use_colormap=True),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 4), "test": self._generate_examples(4, 6)}

    def _generate_examples(self, first, last):
        for index in range(first, last):
            image = MASKS[index].repeat(3, -1) * 60
            yield index, {"image": image, "label": 0, "segmentation_mask": MASKS[index]}


class KappsImages(KappsMasks):
    """The same without masks."""

    def _info(self):
        features = {"image": tfds.features.Image(shape=(None, None, 3))}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, first, last):
        yield 0, {"image": MASKS[0].repeat(3, -1)}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """The directory where TFDS prepared `KappsMasks`, and a file of the classes."""
    folder = tmp_path_factory.mktemp("tfds")
    text = "name,value\nanimal,1\nbackground,2\nborder,3\n"
    (folder / "trimap.csv").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.long
def test_masks_of_a_dataset_by_name_and_by_directory(directory):
    classes = directory / "trimap.csv"
    for void, names in ((255, ("animal", "background", "border")), (3, ("animal", "background"))):
        source = segmentation.open_masks(
            "kapps_masks", directory, "validation", classes=classes, void=void
        )
        assert (source.kind, source.examples, source.split) == ("tfds", 2, "test")
        assert source.class_names == names
        ((images, labels),) = segmentation.eval_dataset(source, PIXELS, 2)
        # TFDS writes the examples of a split in an order of its own: each image shows its own mask.
        shown = np.rint((images[..., 0] * PIXELS.std[0] + PIXELS.mean[0]) * 255 / 60) - 1
        expected = np.where(shown == 2, 255, shown) if void == 3 else shown
        np.testing.assert_array_equal(labels, expected)
    prepared = directory / "kapps_masks" / "1.0.0"
    assert segmentation.open_masks(None, prepared, classes=classes).examples == 4


def test_a_dataset_without_masks_raises(directory):
    with pytest.raises(data.DataError, match="kapps needs an image and a mask"):
        segmentation.open_masks("kapps_images", directory, classes=3)
