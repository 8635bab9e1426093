"""Datasets that TFDS prepared, by name and by directory."""

import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

import kapps.data

GREY = np.arange(10 * 64, dtype=np.uint8).reshape(10, 8, 8)


class KappsSquares(tfds.core.GeneratorBasedBuilder):
    """A dataset of ten images that is prepared without a network."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(8, 8, 1)),
            "label": tfds.features.ClassLabel(names=["x", "y"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 6), "test": self._generate_examples(6, 10)}

    def _generate_examples(self, first, last):
        for index in range(first, last):
            yield index, {"image": GREY[index][..., None], "label": index % 2}


class KappsNumbers(KappsSquares):
    """A dataset without images."""

    def _info(self):
        features = {"image": tfds.features.Tensor(shape=(), dtype=np.int64)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, first, last):
        yield 0, {"image": 1}


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """The directory where TFDS prepared `KappsSquares`."""
    directory = tmp_path_factory.mktemp("tfds")
    kapps.data.open_source("kapps_squares", directory)
    return directory


def test_a_dataset_by_name(squares, decoded_images):
    source = kapps.data.open_source("kapps_squares", squares)
    assert (source.kind, source.examples, source.class_names) == ("tfds", 6, ("x", "y"))
    assert decoded_images(source) == sorted((GREY[i].tobytes(), i % 2) for i in range(6))
    validation = kapps.data.open_source("kapps_squares:1.0.0", squares, "validation")
    assert validation.split == "test" and validation.examples == 4


def test_a_prepared_directory_and_a_slice_of_a_split(squares, decoded_images):
    prepared = squares / "kapps_squares/1.0.0"
    by_name = kapps.data.open_source("kapps_squares", squares)
    assert decoded_images(kapps.data.open_source(None, prepared)) == decoded_images(by_name)
    part = kapps.data.open_source(None, prepared, "train[2:5]")
    assert part.examples == 3 and len(decoded_images(part)) == 3


def test_an_error_names_the_split_or_the_missing_shard(squares, tmp_path, open_error):
    prepared = squares / "kapps_squares/1.0.0"
    message = open_error(None, prepared, "extra")
    assert "'extra'" in message and "train, test" in message
    shutil.copytree(prepared, tmp_path / "copy")
    shard = next((tmp_path / "copy").glob("*train*tfrecord*"))
    shard.unlink()
    assert shard.name in open_error(None, tmp_path / "copy")


def test_an_error_names_the_nearest_dataset_or_the_features(tmp_path, open_error):
    message = open_error("kapps_squars", tmp_path)
    assert "'kapps_squars'" in message and "kapps_squares" in message
    message = open_error("kapps_numbers", tmp_path)
    assert "kapps_numbers" in message and '"image"' in message and '"label"' in message
