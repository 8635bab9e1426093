"""Images that cannot be decoded, and shards that cannot be read."""

import types

import numpy as np
import pytest
import tensorflow as tf

import kapps.data
from kapps.cards import Preprocessing

UNSCALED = Preprocessing(
    size=(32, 32), crop=1.0, scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
)
CORRUPT = ["train/a/03.jpg", "train/b/07.png", "train/b/08.jpg"]


@pytest.fixture
def source(make):
    """Eleven images. Three cannot be decoded."""
    images = {
        f"{'ab'[i > 4]}/{i:02d}.jpg": make.encoded(make.photograph(40, 50, i), "JPEG")
        for i in range(10)
    }
    jpeg = make.encoded(make.photograph(40, 50), "JPEG")
    contents = [b"not an image", b"\x89PNG\r\n\x1a\ncorrupt", jpeg[: len(jpeg) // 2]]
    return make.folder(
        images | {name.removeprefix("train/"): c for name, c in zip(CORRUPT, contents, strict=True)}
    )


@pytest.mark.parametrize(
    "make_dataset, sizes",
    [(kapps.data.train_dataset, [4] * 12), (kapps.data.eval_dataset, [4, 4])],
    ids=["train", "eval"],
)
def test_corrupt_images_are_skipped_and_counted_once(source, make_dataset, sizes):
    skipped = kapps.data.SkippedImages()
    assert source.examples == 11
    dataset = make_dataset(source, UNSCALED, 4, classes=2, skipped=skipped)
    assert [images.shape[0] for images, _ in dataset.take(12)] == sizes
    assert sorted(skipped.names) == CORRUPT
    assert skipped.summary().startswith("3 of 11 train images")
    assert all(name in skipped.summary() for name in CORRUPT)


@pytest.mark.long
def test_a_run_with_skipped_images_repeats_exactly(source):
    runs = [
        [x.numpy() for x, _ in kapps.data.train_dataset(source, UNSCALED, 4, classes=2).take(6)]
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*runs)


@pytest.mark.parametrize(
    "make_dataset",
    [kapps.data.train_dataset, pytest.param(kapps.data.eval_dataset, marks=pytest.mark.long)],
)
def test_strict_raises_an_error_that_names_the_image(source, make_dataset):
    dataset = make_dataset(source, UNSCALED, 4, classes=2, strict=True)
    with pytest.raises(kapps.data.DataError) as error, kapps.data.explain_errors(source):
        for _ in dataset.take(9):
            pass
    assert any(name in str(error.value) for name in CORRUPT)
    assert "\n" not in str(error.value)


@pytest.mark.long
def test_a_dataset_without_a_decodable_image_raises_an_error(make):
    source = make.folder({f"{'ab'[i % 2]}/{i}.jpg": b"not an image" for i in range(20)})
    with (
        pytest.raises(kapps.data.DataError, match="none of the 20 images"),
        kapps.data.explain_errors(source),
    ):
        next(iter(kapps.data.train_dataset(source, UNSCALED, 4, classes=2)))


@pytest.mark.long
def test_images_are_counted_by_split_and_a_resumed_run_keeps_the_others(make):
    """The images 0 to 2 of the class "a" are corrupt in the validation split only; their names are good in train."""
    jpeg = [make.encoded(make.photograph(40, 50, i), "JPEG") for i in range(12)]
    images = {f"{'ab'[i % 2]}/{i // 2}.jpg": jpeg[i] for i in range(12)}
    train = make.folder(images)
    bad = {f"a/{i}.jpg": b"not an image" for i in range(3)}
    validation = make.folder(images | bad, "val")
    skipped = kapps.data.SkippedImages()
    options = {"classes": 2, "skipped": skipped}
    list(kapps.data.eval_dataset(validation, UNSCALED, 4, **options))
    unmirrored = kapps.data.AUGMENTATIONS["none"]
    dataset = kapps.data.train_dataset(train, UNSCALED, 2, first_step=1, **unmirrored, **options)
    seen = {image.numpy().tobytes() for batch, _ in dataset.take(18) for image in batch}
    assert len(seen) == 12 and skipped.names_of("train") == []
    summary = skipped.summary()
    assert "3 of 12 val images" in summary and "0 of 12 train images" in summary
    assert "val/a/0.jpg (not an image" in summary
    record = skipped.record_images()
    assert record["training"]["images"] == 12 and not record["training"]["undecodable"]
    assert sorted(record["evaluation"]["undecodable"]) == [f"val/{name}" for name in bad]
    restored = kapps.data.SkippedImages()
    restored.restore(skipped.state())
    assert restored.names == skipped.names


@pytest.mark.long
def test_each_split_without_a_decodable_image_raises_an_error(make):
    """The training images would else be searched forever: the images of the other split are good."""
    good = make.encoded(make.photograph(40, 50), "JPEG")
    train = make.folder({f"{'ab'[i % 2]}/{i}.jpg": b"II*\0 a TIFF" for i in range(12)})
    validation = make.folder({f"{'ab'[i % 2]}/{i}.jpg": good for i in range(12)}, "val")
    skipped = kapps.data.SkippedImages()
    list(kapps.data.eval_dataset(validation, UNSCALED, 4, classes=2, skipped=skipped))
    dataset = kapps.data.train_dataset(train, UNSCALED, 4, classes=2, skipped=skipped)
    with pytest.raises(kapps.data.DataError) as error, kapps.data.explain_errors(train):
        next(iter(dataset))
    message = str(error.value)
    assert "none of the 12 images" in message and "split train" in message and "(TIFF)" in message


def test_the_summary_names_ten_images_at_most():
    skipped = kapps.data.SkippedImages()
    skipped.add_source(types.SimpleNamespace(split="train", examples=1437, record=dict), "training")
    assert skipped.summary().startswith("0 of 1,437 train images")
    skipped.record("train", {f"{i}.jpg": "TIFF" for i in range(12)})
    assert skipped.summary().endswith("9.jpg (TIFF) and 2 more")


def write_shards(directory, count=30):
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    kapps.data.write_tfrecords(images, np.arange(count) % 3, "abc", directory, "train", shards=3)
    return directory / "train-00001-of-00003.tfrecord"


@pytest.mark.parametrize(
    "make_dataset",
    [kapps.data.train_dataset, pytest.param(kapps.data.eval_dataset, marks=pytest.mark.long)],
)
def test_an_error_names_the_shard_that_became_corrupt(tmp_path, make_dataset):
    shard = write_shards(tmp_path)
    content = bytearray(shard.read_bytes())
    content[content.index(b"IDAT", len(content) // 2) + 9] ^= 255  # a record keeps its length
    shard.write_bytes(content)
    source = kapps.data.open_source(None, tmp_path)
    dataset = make_dataset(source, UNSCALED, 4, classes=3)
    with pytest.raises(kapps.data.DataError) as error, kapps.data.explain_errors(source):
        for _ in dataset.take(99):
            pass
    assert str(shard) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.long
def test_an_error_names_the_record_whose_label_is_out_of_range(tmp_path):
    write_shards(tmp_path)
    (tmp_path / "labels.txt").write_text("a\nb\n", encoding="utf-8")
    source = kapps.data.open_source(None, tmp_path)
    with pytest.raises(kapps.data.DataError) as error, kapps.data.explain_errors(source):
        next(iter(kapps.data.eval_dataset(source, UNSCALED, 99, classes=2)))
    assert "of train-0000" in str(error.value)
    assert "0..1" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:`shuffle=True`")
def test_data_that_is_deleted_in_a_training_is_one_line(make, capfd):
    import shutil

    import keras

    jpeg = make.encoded(make.photograph(40, 50), "JPEG")
    source = make.folder({f"{'ab'[i % 2]}/{i:03d}.jpg": jpeg for i in range(600)})
    dataset = kapps.data.train_dataset(source, UNSCALED, 2, classes=2, cache_bytes=0)
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    model.compile("sgd", "mse", jit_compile=False)

    class Delete(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                shutil.rmtree(source.root)

    with pytest.raises(kapps.data.DataError) as error, kapps.data.explain_errors(source):
        model.fit(dataset, steps_per_epoch=900, verbose=0, callbacks=[Delete()])
    message = str(error.value)
    assert "\n" not in message and ".jpg" in message and source.root in message
    assert "No such file" in message and "restore" in message
    assert "AutoGraph" not in capfd.readouterr().err


def test_other_errors_are_raised_unchanged():
    with pytest.raises(tf.errors.ResourceExhaustedError), kapps.data.explain_errors():
        raise tf.errors.ResourceExhaustedError(None, None, "memory")
