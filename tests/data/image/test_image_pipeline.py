"""Decoding, evaluation and training pipelines, against Pillow and against themselves."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kapps.data
from kapps.cards import IMAGENET, Preprocessing
from kapps.data.image import decode_image

PLAIN = Preprocessing(size=(32, 32), crop=1.0, scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
TINY = Preprocessing(size=(8, 8), crop=1.0, mean=(0.5,), std=(0.5,))


def many(make, count=24, **size):
    content = {
        f"{'ab'[i % 2]}/{i:02d}.jpg": make.encoded(
            make.photograph(seed=i, **size), "JPEG", quality=95
        )
        for i in range(count)
    }
    return make.folder(content)


def taken(dataset, batches):
    return [(x.numpy(), y.numpy()) for x, y in dataset.take(batches)]


def same(first, second):
    return all(
        np.array_equal(a, b)
        for x, y in zip(first, second, strict=True)
        for a, b in zip(x, y, strict=True)
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "kind, mode",
    [
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "RGB"),
        ("PNG", "L"),
        ("PNG", "P"),
        ("PNG", "1"),
        ("PNG", "RGBA"),
        ("PNG", "LA"),
        ("BMP", "RGB"),
        ("GIF", "P"),
        ("WEBP", "RGB"),
    ],
)
def test_decodes_what_pillow_decodes(make, kind, mode, channels):
    content = make.encoded(make.photograph(mode=mode), kind)
    decoded = decode_image.decode(tf.constant(content), channels).numpy()
    expected = Image.open(io.BytesIO(content)).convert(
        "RGB" if channels == 3 else mode if mode in "L1" else "RGB"
    )
    expected = np.asarray(expected.convert("RGB" if channels == 3 else "L"))
    assert decoded.dtype == np.uint8 and decoded.shape == (120, 160, channels)
    difference = np.abs(decoded.astype(int) - expected.reshape(decoded.shape).astype(int))
    # CMYK: TensorFlow multiplies rounding differently. Grey of a palette: libpng weighs colours
    # otherwise.
    assert difference.mean() < 2.5 and difference.max() <= 12


def test_decodes_ycck_jpeg_and_16_bit_png(make):
    inverted = make.encoded(make.photograph(mode="CMYK"), "JPEG", quality=95)
    assert b"Adobe" in inverted  # which says that the inks are stored inverted
    colour = decode_image.decode(tf.constant(inverted)).numpy().astype(int)
    assert np.abs(colour - np.asarray(make.photograph()).astype(int)).mean() < 4
    grey = np.asarray(make.photograph(mode="L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    decoded = decode_image.decode(tf.constant(make.encoded(deep, "PNG")), 1).numpy()[..., 0]
    np.testing.assert_array_equal(decoded, grey)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("height, width", [(300, 400), (401, 257), (90, 120), (224, 224)])
def test_evaluation_resizes_and_crops_as_torchvision(make, interpolation, height, width):
    # torchvision: Resize(256) makes the shorter side 256 and floors the longer, CenterCrop(224)
    # rounds its offset.
    source = make.folder({"a/x.png": make.encoded(make.photograph(height, width), "PNG")})
    steps = Preprocessing(interpolation=interpolation)
    (batch, labels), *rest = kapps.data.eval_dataset(source, steps, 4, classes=1)
    assert not rest and batch.shape == (1, 224, 224, 3) and labels.numpy().tolist() == [[1.0]]
    short = min(height, width)
    resized = (256 * width // short, 256 * height // short)
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    expected = make.photograph(height, width).resize(resized, filters[interpolation])
    left, top = round((resized[0] - 224) / 2), round((resized[1] - 224) / 2)
    expected = np.asarray(expected.crop((left, top, left + 224, top + 224)), np.float32)
    pixels = (batch[0].numpy() * IMAGENET.std + IMAGENET.mean) * 255
    # Pillow rounds to whole grey levels between its two passes, so a level or two apart is equal.
    assert np.abs(pixels - expected).mean() < 0.5 and np.abs(pixels - expected).max() < 2.5


def test_evaluation_of_an_oblong_size_keeps_proportions(make):
    image = make.photograph(100, 200)
    source = make.folder({"a/x.png": make.encoded(image, "PNG")})
    steps = Preprocessing(size=(50, 80), crop=1.0, scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    ((batch, _),) = kapps.data.eval_dataset(source, steps, 1, classes=1)
    expected = np.asarray(
        image.resize((100, 50), Image.Resampling.BILINEAR).crop((10, 0, 90, 50)), np.float32
    )
    assert np.abs(batch[0].numpy() - expected).mean() < 0.5


def test_evaluation_is_finite_ordered_and_keeps_the_last_batch(make):
    source = many(make, 11, height=20, width=20)
    dataset = kapps.data.eval_dataset(source, PLAIN, 4, classes=2)
    first, second = taken(dataset, -1), taken(dataset, -1)
    assert [len(x) for x, _ in first] == [4, 4, 3] and same(first, second)
    assert np.concatenate([y for _, y in first]).argmax(1).tolist() == list(source.labels)


def test_a_pixel_of_the_size_asked_passes_unchanged():
    source = kapps.data.open_source("digits", split="validation")
    ((batch, labels),) = kapps.data.eval_dataset(source, TINY, 360, classes=10, channels=1)
    from sklearn.datasets import load_digits

    digits = load_digits()
    np.testing.assert_allclose(
        batch[..., 0] * 0.5 + 0.5, np.round(digits.images[1437:] * 255 / 16) / 255, atol=1e-6
    )
    np.testing.assert_array_equal(labels.numpy().argmax(1), digits.target[1437:])


OPTIONS = [
    {},
    {"augmentation": "cifar", "mixup": 0.2, "cutmix": 1.0, "label_smoothing": 0.1},
    {"cache_bytes": 0, "mixup": 0.4},
    {"randaugment": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_training_repeats_exactly(make, options):
    source = many(make, height=40, width=50)

    def run(seed):
        return taken(kapps.data.train_dataset(source, PLAIN, 10, classes=2, seed=seed, **options), 4)

    first = run(3)
    tf.random.set_seed(77)  # which settles nothing here
    assert same(first, run(3)) and not same(first, run(4))
    assert all(x.shape == (10, 32, 32, 3) and y.shape == (10, 2) for x, y in first)
    assert all(x.dtype == y.dtype == np.float32 for x, y in first)
    np.testing.assert_allclose(np.concatenate([y for _, y in first]).sum(1), 1, rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("damaged", [0, 2])
@pytest.mark.parametrize("options", OPTIONS[:3], ids=str)
def test_a_later_step_is_what_a_run_from_the_start_comes_to(make, options, damaged):
    files = {
        f"{c}/{i}.jpg": make.encoded(make.photograph(40, 50), "JPEG")
        for i in range(13)
        for c in "ab"
    }
    for name in list(files)[5 : 5 + damaged]:
        files[name] = b"no image"
    source = make.folder(files)

    def run(faults, **where):
        dataset = kapps.data.train_dataset(
            source, PLAIN, 10, classes=2, seed=3, skipped=faults, **where, **options
        )
        return taken(dataset, 8 - where.get("first_step", 0))

    faults = kapps.data.SkippedImages()
    whole = run(faults)  # an epoch is 2.6 batches, or 2.4 where two images are damaged
    assert len(faults.names) == damaged
    for step in (1, 2, 3, 7):
        assert same(whole[step:], run(faults, first_step=step)), step


@pytest.mark.parametrize("first_step", [0, 3])
def test_shards_are_together_what_one_worker_sees(make, first_step):
    source = many(make, 26, height=40, width=50)

    def run(**where):
        return taken(kapps.data.train_dataset(source, PLAIN, 12, classes=2, seed=3, **where), 5)

    whole = run(first_step=first_step)
    shards = [run(first_step=first_step, shard=(i, 3)) for i in range(3)]
    for batch, *parts in zip(whole, *shards, strict=True):
        assert [len(part[0]) for part in parts] == [4, 4, 4]
        for part, all_of_it in zip(zip(*parts, strict=True), batch, strict=True):
            np.testing.assert_array_equal(np.concatenate(part), all_of_it)


def test_a_batch_that_does_not_divide_among_workers_is_refused(make):
    with pytest.raises(kapps.data.DataError, match="batch_size=10 is not divisible by 3"):
        kapps.data.train_dataset(many(make), PLAIN, 10, classes=2, shard=(0, 3))


@pytest.mark.parametrize("cache_bytes", [0, 2**30])
def test_an_epoch_visits_every_image_once_in_an_order_of_its_own(cache_bytes):
    source = kapps.data.open_source("digits")
    dataset = kapps.data.train_dataset(
        source,
        TINY,
        479,
        classes=10,
        channels=1,
        augmentation="none",
        flip=False,
        cache_bytes=cache_bytes,
    )
    batches = [x.numpy().reshape(479, -1) for x, _ in dataset.take(6)]
    epochs = np.concatenate(batches[:3]), np.concatenate(batches[3:])
    assert not np.array_equal(*epochs)
    rows = [np.sort(epoch.view("V256").ravel()).tolist() for epoch in epochs]
    evaluated = [
        x.numpy().reshape(len(x), -1)
        for x, _ in kapps.data.eval_dataset(source, TINY, 500, classes=10, channels=1)
    ]
    assert rows[0] == rows[1] == np.sort(np.concatenate(evaluated).view("V256").ravel()).tolist()


def test_random_crops_stay_inside_and_differ(make):
    # An image whose red tells the column and whose green tells the row.
    ramp = np.zeros((200, 200, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(200)[None, :], np.arange(200)[:, None]
    source = make.folder(
        {"a/x.jpg": make.encoded(Image.fromarray(ramp), "JPEG", quality=100, subsampling=0)}
    )
    dataset = kapps.data.train_dataset(source, PLAIN, 64, classes=1, crop_area=(0.25, 0.5), flip=True)
    ((batch, _),) = taken(dataset, 1)
    spans = (
        np.stack([np.ptp(batch[..., c].mean(axis=axis), axis=1) for c, axis in ((0, 1), (1, 2))], 1)
        / 200
    )
    area = spans.prod(1) * (32 / 31) ** 2
    assert area.min() > 0.2 and area.max() < 0.56 and area.max() - area.min() > 0.1
    mirrored = batch[:, 16, 0, 0] > batch[:, 16, -1, 0]
    assert 15 < mirrored.sum() < 49
    assert (batch[:, 0, 16, 1] < batch[:, -1, 16, 1]).all()
    assert len({tuple(row) for row in batch[:, 0, 0].tolist()}) > 50


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_crop_of_the_whole_is_the_image(make, kind):
    # The JPEG is 8 times the size asked for, so that it is decoded at an eighth.
    image = make.photograph(256, 256)
    source = make.folder({"a/x.any.png": make.encoded(image, kind)})
    dataset = kapps.data.train_dataset(
        source, PLAIN, 1, classes=1, crop_area=(0.999, 1.0), crop_ratio=(0.999, 1.001), flip=False
    )
    ((batch, _),) = taken(dataset, 1)
    expected = np.asarray(image.resize((32, 32), Image.Resampling.BOX), np.float32)
    assert np.abs(batch[0] - expected).mean() < 4


@pytest.mark.parametrize(
    "options, says",
    [
        ({"classes": 9}, "digits has 10 classes and the model 9: build the model with classes=10"),
        ({"augmentation": "heavy"}, "choose one of imagenet, cifar, none"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"channels": 2}, "channels=2: choose 1 or 3"),
        ({"channels": 1, "randaugment": True}, "RandAugment needs 3 channels"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_refuses_options_in_one_line(options, says):
    arguments = {"batch_size": 8, "classes": 10, "channels": 1} | options
    with pytest.raises(kapps.data.DataError) as error:
        kapps.data.train_dataset(kapps.data.open_source("digits"), TINY, **arguments)
    assert says in str(error.value) and "\n" not in str(error.value)
