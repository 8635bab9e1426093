"""`train_dataset` and `eval_dataset` of images with masks: both are processed alike, and runs repeat and resume."""

import numpy as np
import pytest
from PIL import Image

from kapps import data
from kapps.data import segmentation
from kapps.data.segmentation.digit_scenes import make_scene
from kapps.preprocessing import Preprocessing

PIXELS = Preprocessing(size=(32, 40), crop=1.0, scale=1.0, mean=(100.0,) * 3, std=(1.0,) * 3)


@pytest.fixture
def write_pairs(make, tmp_path):
    """`write_pairs(count)` writes images of two colours whose masks are 1 where an image is light."""

    def write_pairs(count, size=(50, 60), changes=()):
        for number in range(count):
            mask = np.zeros(size, np.uint8)
            y, x = np.random.default_rng(number).integers(0, 20, 2)
            mask[y : y + 25, x : x + 30] = 1
            image = np.repeat(np.where(mask == 1, 220, 30).astype(np.uint8)[..., None], 3, -1)
            files = {
                "images": make.encoded(Image.fromarray(image), "PNG"),
                "masks": make.encoded(Image.fromarray(mask), "PNG"),
            }
            for folder, content in (files | dict(changes).get(number, {})).items():
                path = tmp_path / "train" / folder / f"{number:02d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        return segmentation.open_masks(None, tmp_path, classes=2)

    return write_pairs


def take(dataset, count=-1):
    return [(images.numpy(), labels.numpy()) for images, labels in dataset.take(count)]


def equal(first, second):
    return all(
        np.array_equal(a, b)
        for x, y in zip(first, second, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_image_and_mask_have_the_same_scale_crop_and_mirroring(write_pairs):
    dataset = segmentation.train_dataset(
        write_pairs(12), PIXELS, 4, scale_range=(0.5, 2.0), flip=True
    )
    wrong = voids = 0
    for images, labels in take(dataset, 6):
        assert images.shape == (4, 32, 40, 3) and images.dtype == np.float32
        assert labels.shape == (4, 32, 40) and labels.dtype == np.int32
        assert set(np.unique(labels)) <= {0, 1, 255}
        pixels = images + 100  # pixels in [0, 255]
        assert np.all(images[labels == 255] == 0)  # the mean of the preprocessing
        light = pixels[..., 0] > 125
        wrong += np.sum((light != (labels == 1)) & (labels != 255))
        voids += np.sum(labels == 255)
    # Only pixels on the border between the two colours may differ: bilinear and nearest are half a pixel apart.
    assert wrong < 0.02 * 6 * 4 * 32 * 40
    assert voids > 0


@pytest.mark.long
def test_colours_change_the_image_only(write_pairs):
    source = write_pairs(6)
    options = {"scale_range": (1.0, 1.0), "flip": False}
    plain, coloured = (
        take(segmentation.train_dataset(source, PIXELS, 6, colours=x, **options), 1)[0]
        for x in (0.0, 0.5)
    )
    np.testing.assert_array_equal(plain[1], coloured[1])
    assert np.abs(plain[0] - coloured[0]).mean() > 1


def test_evaluation_resizes_the_mask_to_the_nearest_pixels(write_pairs):
    source = write_pairs(5, size=(64, 80))
    batches = take(segmentation.eval_dataset(source, PIXELS, 2))
    assert [len(images) for images, _ in batches] == [2, 2, 1]
    for number, label_map in enumerate(np.concatenate([labels for _, labels in batches])):
        y, x = np.random.default_rng(number).integers(0, 20, 2)
        mask = np.zeros((64, 80), np.uint8)
        mask[y : y + 25, x : x + 30] = 1
        np.testing.assert_array_equal(label_map, mask[1::2, 1::2])


@pytest.mark.long
def test_a_training_repeats_and_resumes(write_pairs):
    source = write_pairs(10)

    def run(**options):
        dataset = segmentation.train_dataset(source, PIXELS, 4, seed=3, colours=0.2, **options)
        return take(dataset, 6 - options.get("first_step", 0))

    first = run()
    assert equal(first, run()) and equal(first[4:], run(first_step=4))
    parts = [run(shard=(i, 2)) for i in range(2)]
    together = [
        tuple(np.concatenate(arrays) for arrays in zip(*batches, strict=True))
        for batches in zip(*parts, strict=True)
    ]
    assert equal(first, together)


@pytest.mark.long
def test_masks_that_do_not_fit_are_skipped_by_name(make, write_pairs):
    small = make.encoded(Image.fromarray(np.zeros((5, 5), np.uint8)), "PNG")
    source = write_pairs(4, changes={1: {"masks": small}, 2: {"masks": b"rubbish"}})
    skipped = data.SkippedImages()
    batches = take(segmentation.eval_dataset(source, PIXELS, 4, skipped=skipped))
    assert [len(images) for images, _ in batches] == [2]
    assert "train/images/01.png (its mask has 5 x 5 pixels" in skipped.summary()
    assert "train/images/02.png (its mask: not an image" in skipped.summary()
    with pytest.raises(data.DataError, match=r"01\.png"), data.explain_errors(source):
        take(segmentation.eval_dataset(source, PIXELS, 4, strict=True))


@pytest.mark.long
def test_a_value_that_is_no_class_stops_the_run(make, write_pairs):
    wrong = make.encoded(Image.fromarray(np.full((50, 60), 7, np.uint8)), "PNG")
    source = write_pairs(3, changes={1: {"masks": wrong}})
    for read in (
        lambda: take(segmentation.eval_dataset(source, PIXELS, 3)),
        lambda: segmentation.count_class_pixels(source),
    ):
        with pytest.raises(data.DataError) as error, data.explain_errors(source):
            read()
        assert "01.png" in str(error.value) and "value 7" in str(error.value)
        assert "\n" not in str(error.value)


def test_counted_pixels(write_pairs):
    pixels, total = segmentation.count_class_pixels(write_pairs(4))
    assert pixels.tolist() == [4 * (50 * 60 - 25 * 30), 4 * 25 * 30]
    assert total.tolist() == [4 * 50 * 60] * 2


def test_wrong_arguments_raise(write_pairs):
    source = write_pairs(4)
    for options in ({"colours": 1.5}, {"scale_range": (2.0, 1.0)}, {"channels": 2}):
        with pytest.raises(data.DataError):
            segmentation.train_dataset(source, PIXELS, 2, **options)
    with pytest.raises(data.DataError):
        segmentation.train_dataset(source, PIXELS, 3, shard=(0, 2))


def test_scenes_depend_on_their_number_and_have_all_kinds_of_pixels():
    digits = np.zeros((2, 8, 8))
    digits[:, 2:6, 2:6] = 1
    image, mask = make_scene(digits, np.array([3, 7]), 0, 5)
    again = make_scene(digits, np.array([3, 7]), 0, 5)
    assert np.array_equal(image, again[0]) and np.array_equal(mask, again[1])
    assert not np.array_equal(image, make_scene(digits, np.array([3, 7]), 0, 6)[0])
    assert image.shape == (64, 64, 3) and image.dtype == mask.dtype == np.uint8
    values = set(np.unique(mask).tolist())
    assert {0, 255} < values <= {0, 4, 8, 255}
