"""`train_dataset` and `eval_dataset`, compared with Pillow and with themselves."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kapps.data
from kapps.cards import IMAGENET, Preprocessing
from kapps.data.image import decode_image

UNSCALED = Preprocessing(
    size=(32, 32), crop=1.0, scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
)
TINY = Preprocessing(size=(8, 8), crop=1.0, mean=(0.5,), std=(0.5,))


def two_classes(make, count=24, **size):
    """Returns a source of different JPEG files in two classes."""
    return make.folder(
        {
            f"{'ab'[i % 2]}/{i:02d}.jpg": make.encoded(
                make.photograph(seed=i, **size), "JPEG", quality=95
            )
            for i in range(count)
        }
    )


def take(dataset, count):
    return [(images.numpy(), labels.numpy()) for images, labels in dataset.take(count)]


def equal(first, second):
    return all(
        np.array_equal(a, b)
        for x, y in zip(first, second, strict=True)
        for a, b in zip(x, y, strict=True)
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "height, width",
    [
        (401, 257),
        (90, 120),
        *(pytest.param(*x, marks=pytest.mark.long) for x in ((300, 400), (224, 224))),
    ],
)
def test_evaluation_resizes_and_crops_as_torchvision(make, interpolation, height, width):
    # torchvision: Resize(256) resizes the shorter side to 256 and rounds the longer down; CenterCrop(224) rounds its
    # offset.
    source = make.folder({"a/x.png": make.encoded(make.photograph(height, width), "PNG")})
    preprocessing = Preprocessing(interpolation=interpolation)
    (batch, labels), *rest = kapps.data.eval_dataset(source, preprocessing, 4, classes=1)
    assert not rest and batch.shape == (1, 224, 224, 3) and labels.numpy().tolist() == [[1.0]]
    short = min(height, width)
    resized = (256 * width // short, 256 * height // short)
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    expected = make.photograph(height, width).resize(resized, filters[interpolation])
    left, top = round((resized[0] - 224) / 2), round((resized[1] - 224) / 2)
    expected = np.asarray(expected.crop((left, top, left + 224, top + 224)), np.float32)
    pixels = (batch[0].numpy() * IMAGENET.std + IMAGENET.mean) * 255
    # Pillow rounds to integers between its two steps, so pixels may differ by one or two.
    assert np.abs(pixels - expected).mean() < 0.5 and np.abs(pixels - expected).max() < 2.5


def test_evaluation_keeps_the_proportions_of_an_image(make):
    image = make.photograph(100, 200)
    source = make.folder({"a/x.png": make.encoded(image, "PNG")})
    oblong = Preprocessing(size=(50, 80), crop=1.0, scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    ((batch, _),) = kapps.data.eval_dataset(source, oblong, 1, classes=1)
    expected = np.asarray(
        image.resize((100, 50), Image.Resampling.BILINEAR).crop((10, 0, 90, 50)), np.float32
    )
    assert np.abs(batch[0].numpy() - expected).mean() < 0.5


def test_evaluation_has_every_image_once_in_order(make):
    source = two_classes(make, 11, height=20, width=20)
    dataset = kapps.data.eval_dataset(source, UNSCALED, 4, classes=2)
    first, second = take(dataset, -1), take(dataset, -1)
    assert [len(images) for images, _ in first] == [4, 4, 3] and equal(first, second)
    assert np.concatenate([y for _, y in first]).argmax(1).tolist() == list(source.labels)


def test_images_of_the_right_size_keep_their_pixels():
    from sklearn.datasets import load_digits

    source = kapps.data.open_source("digits", split="validation")
    ((batch, labels),) = kapps.data.eval_dataset(source, TINY, 360, classes=10, channels=1)
    digits = load_digits()
    np.testing.assert_allclose(
        batch[..., 0] * 0.5 + 0.5, np.round(digits.images[1437:] * 255 / 16) / 255, atol=1e-6
    )
    np.testing.assert_array_equal(labels.numpy().argmax(1), digits.target[1437:])


OPTIONS = [
    pytest.param({}, marks=pytest.mark.long),
    {"augmentation": "cifar", "mixup": 0.2, "cutmix": 1.0, "label_smoothing": 0.1},
    pytest.param({"cache_bytes": 0, "mixup": 0.4}, marks=pytest.mark.long),
    pytest.param({"randaugment": True}, marks=pytest.mark.long),
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_training_repeats_exactly(make, options):
    source = two_classes(make, height=40, width=50)

    def run(seed):
        dataset = kapps.data.train_dataset(source, UNSCALED, 10, classes=2, seed=seed, **options)
        return take(dataset, 4)

    first = run(3)
    tf.random.set_seed(77)  # has no effect
    assert equal(first, run(3)) and not equal(first, run(4))
    assert all(x.shape == (10, 32, 32, 3) and y.shape == (10, 2) for x, y in first)
    assert all(x.dtype == y.dtype == np.float32 for x, y in first)
    np.testing.assert_allclose(np.concatenate([y for _, y in first]).sum(1), 1, rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("undecodable", [0, 2])
@pytest.mark.parametrize("options", OPTIONS[:3], ids=str)
def test_a_resumed_run_has_the_batches_of_an_uninterrupted_one(make, options, undecodable):
    files = {
        f"{class_name}/{i}.jpg": make.encoded(make.photograph(40, 50), "JPEG")
        for i in range(13)
        for class_name in "ab"
    }
    for name in list(files)[5 : 5 + undecodable]:
        files[name] = b"not an image"
    source = make.folder(files)
    skipped = kapps.data.SkippedImages()

    def run(first_step=0):
        dataset = kapps.data.train_dataset(
            source,
            UNSCALED,
            10,
            classes=2,
            seed=3,
            skipped=skipped,
            first_step=first_step,
            **options,
        )
        return take(dataset, 8 - first_step)

    batches = run()  # an epoch has 2.6 batches, or 2.4 without two images
    assert len(skipped.names) == undecodable
    for step in (1, 2, 3, 7):
        assert equal(batches[step:], run(step)), step


@pytest.mark.long
@pytest.mark.parametrize("first_step", [3, pytest.param(0, marks=pytest.mark.long)])
def test_the_shards_of_a_batch_make_up_the_batch_of_a_single_worker(make, first_step):
    source = two_classes(make, 26, height=40, width=50)

    def run(shard):
        dataset = kapps.data.train_dataset(
            source, UNSCALED, 12, classes=2, seed=3, first_step=first_step, shard=shard
        )
        return take(dataset, 5)

    single, *workers = (run(shard) for shard in [(0, 1), (0, 3), (1, 3), (2, 3)])
    for batch, *parts in zip(single, *workers, strict=True):
        assert [len(images) for images, _ in parts] == [4, 4, 4]
        for expected, shards in zip(batch, zip(*parts, strict=True), strict=True):
            np.testing.assert_array_equal(np.concatenate(shards), expected)


def test_the_batch_size_must_be_divisible_by_the_number_of_workers(make):
    with pytest.raises(kapps.data.DataError) as error:
        kapps.data.train_dataset(two_classes(make), UNSCALED, 10, classes=2, shard=(0, 3))
    assert "batch_size=10" in str(error.value) and "3 workers" in str(error.value)


@pytest.mark.parametrize("cache_bytes", [0, pytest.param(2**30, marks=pytest.mark.long)])
def test_each_epoch_has_every_image_once_in_another_order(cache_bytes):
    source = kapps.data.open_source("digits")
    dataset = kapps.data.train_dataset(
        source, TINY, 479, classes=10, channels=1, augmentation="none", flip=False,
        cache_bytes=cache_bytes,
    )  # fmt: skip
    batches = [x.numpy().reshape(479, -1) for x, _ in dataset.take(6)]
    epochs = np.concatenate(batches[:3]), np.concatenate(batches[3:])
    assert not np.array_equal(*epochs)
    rows = [np.sort(epoch.view("V256").ravel()).tolist() for epoch in epochs]
    evaluation = np.concatenate(
        [
            x.numpy().reshape(len(x), -1)
            for x, _ in kapps.data.eval_dataset(source, TINY, 500, classes=10, channels=1)
        ]
    )
    assert rows[0] == rows[1] == np.sort(evaluation.view("V256").ravel()).tolist()


def test_random_crops_have_the_requested_area_and_are_mirrored(make):
    # Red encodes the column of a pixel and green its row.
    ramp = np.zeros((200, 200, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(200)[None, :], np.arange(200)[:, None]
    jpeg = make.encoded(Image.fromarray(ramp), "JPEG", quality=100, subsampling=0)
    source = make.folder({"a/x.jpg": jpeg, "b/x.jpg": jpeg})
    dataset = kapps.data.train_dataset(
        source, UNSCALED, 64, classes=2, crop_area=(0.25, 0.5), flip=True
    )
    ((batch, _),) = take(dataset, 1)
    widths = np.ptp(batch[..., 0].mean(axis=1), axis=1) / 200
    heights = np.ptp(batch[..., 1].mean(axis=2), axis=1) / 200
    area = widths * heights * (32 / 31) ** 2
    assert area.min() > 0.2 and area.max() < 0.56 and area.max() - area.min() > 0.1
    mirrored = batch[:, 16, 0, 0] > batch[:, 16, -1, 0]
    assert 15 < mirrored.sum() < 49
    assert (batch[:, 0, 16, 1] < batch[:, -1, 16, 1]).all()
    assert len({tuple(row) for row in batch[:, 0, 0].tolist()}) > 50


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_a_crop_of_the_whole_image_is_the_resized_image(make, image_format):
    # The JPEG is 8 times the requested size, so that libjpeg decodes it at an eighth.
    image = make.photograph(256, 256)
    encoded = make.encoded(image, image_format)
    source = make.folder({"a/x.any.png": encoded, "b/x.any.png": encoded})
    dataset = kapps.data.train_dataset(
        source,
        UNSCALED,
        1,
        classes=2,
        crop_area=(0.999, 1.0),
        crop_ratio=(0.999, 1.001),
        flip=False,
    )
    ((batch, _),) = take(dataset, 1)
    expected = np.asarray(image.resize((32, 32), Image.Resampling.BOX), np.float32)
    assert np.abs(batch[0] - expected).mean() < 4


@pytest.mark.parametrize(
    "options, words",
    [
        ({"classes": 9}, ["10 classes", "classes=10"]),
        ({"augmentation": "heavy"}, ["'heavy'", "imagenet, cifar, none"]),
        ({"label_smoothing": 1.0}, ["label_smoothing=1.0"]),
        ({"channels": 2}, ["channels=2", "1 or 3"]),
        ({"channels": 1, "randaugment": True}, ["RandAugment", "3 channels"]),
        ({"batch_size": 0}, ["batch_size=0"]),
    ],
    ids=str,
)
def test_an_error_names_the_option_and_what_is_allowed(options, words):
    arguments = {"batch_size": 8, "classes": 10, "channels": 1} | options
    with pytest.raises(kapps.data.DataError) as error:
        kapps.data.train_dataset(kapps.data.open_source("digits"), TINY, **arguments)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


def test_an_epoch_has_at_least_one_batch():
    source = kapps.data.open_source("digits")
    assert kapps.data.steps_per_epoch(source, 500) == 2
    with pytest.raises(kapps.data.DataError, match="batch_size=1438"):
        kapps.data.steps_per_epoch(source, 1438)


@pytest.mark.long
def test_take_images_returns_the_first_images():
    source = kapps.data.open_source("digits", split="test")
    dataset = kapps.data.eval_dataset(source, TINY, 7, classes=10, channels=1)
    first = kapps.data.take_images(dataset, 10)
    assert first.shape == (10, 8, 8, 1)
    np.testing.assert_array_equal(first[:7], next(iter(dataset))[0])
    assert len(kapps.data.take_images(dataset, 1000)) == source.examples


@pytest.mark.parametrize("height, width", [(375, 500), (613, 237)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 0},
        {"subsampling": 2, "progressive": True},
        *(pytest.param({"subsampling": x}, marks=pytest.mark.long) for x in (1, 2)),
        {"mode": "L"},
        pytest.param({"mode": "CMYK"}, marks=pytest.mark.long),
        {"orientation": 6},
    ],
    ids=str,
)
def test_the_decoded_region_gives_the_pixels_of_the_whole_image(
    make, height, width, interpolation, options
):
    options = dict(options)
    photograph = make.photograph(height, width, mode=options.pop("mode", "RGB"))
    orientation = options.pop("orientation", 1)
    encoded = tf.constant(make.encoded(photograph, "JPEG", quality=90, **options))
    preprocessing = Preprocessing(size=(96, 80), interpolation=interpolation)
    turn = tf.constant(orientation, tf.int64)
    image = decode_image.decode_format("JPEG", encoded, turn, 3)
    expected = decode_image.resize_and_crop(image, preprocessing)
    pixels = decode_image.decode_centre("JPEG", encoded, turn, preprocessing, 3)
    assert np.abs(pixels - expected).max() < 0.05
