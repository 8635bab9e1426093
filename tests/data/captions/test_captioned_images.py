"""Captioned images: digit boards and their grammar, folders, TFDS, words, batches."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from kapps import data
from kapps.data import DataError, captions
from kapps.data.captions import digit_boards
from kapps.preprocessing import Preprocessing

GREY = Preprocessing(size=(48, 48), crop=1.0, mean=(0.5,), std=(0.5,))
GRAMMAR = re.compile(
    r"(two|three|four) (small|large) (\w+s)"
    r"|a (small|large) (\w+) (above|left of) a (small|large) (\w+)"
    r"|a (small|large) (\w+) in the (middle|(top|middle|bottom) (left|middle|right))"
)


@pytest.fixture(scope="module")
def boards():
    return captions.make_digit_boards("train", 120)


def test_captions_are_of_the_grammar_and_say_what_the_scenes_show(boards):
    words, counts, singles = set(), set(), 0
    for image, (caption,), cells in zip(boards.images, boards.captions, boards.cells, strict=True):
        assert GRAMMAR.fullmatch(caption), caption
        split = caption.split()
        assert len(split) == len(cells)
        words |= set(split)
        named = [cell for inside in cells for cell in inside]
        # Light pixels are in the cells that the caption names, and in no other.
        tiles = image[..., 0].reshape(3, 16, 3, 16).max(axis=(1, 3)).reshape(-1)
        assert sorted(named) == np.flatnonzero(tiles > 100).tolist()
        if split[0] in digit_boards.COUNTS:
            counts.add(len(named))
            assert len(named) == 2 + digit_boards.COUNTS.index(split[0])
        elif "in" in split:
            singles += 1
            place = " ".join(split[split.index("the") + 1 :])
            assert named == [digit_boards.PLACES.index(place)]
        else:
            (y1, x1), (y2, x2) = (divmod(cell, 3) for cell in named)
            assert (x1 == x2 and y1 < y2) if "above" in split else (y1 == y2 and x1 < x2)
    assert counts == {2, 3, 4} and singles
    assert {"above", "left", *digit_boards.SIZES} <= words


def test_sizes_of_digits_are_those_of_the_caption(boards):
    for image, (caption,) in zip(boards.images, boards.captions, strict=True):
        if " in the " in caption:
            rows = np.flatnonzero((image[..., 0] > 60).any(axis=1))
            assert (np.ptp(rows) < 8) == ("small" in caption), caption


def test_scenes_depend_on_the_split_and_their_number(boards):
    again = captions.make_digit_boards("train", 5)
    np.testing.assert_array_equal(again.images, boards.images[:5])
    assert again.captions == boards.captions[:5]
    other = captions.make_digit_boards("validation", 5)
    assert other.captions != again.captions and other.identity() != again.identity()
    for arguments, word in ((("training set", 3), "training set"), (("train", 0), "scenes=0")):
        with pytest.raises(DataError, match=word):
            captions.make_digit_boards(*arguments)


def test_places_of_a_feature_map_lie_in_cells():
    assert [digit_boards.cell_of(i, (3, 3)) for i in range(9)] == list(range(9))
    grid = np.array([digit_boards.cell_of(i, (6, 6)) for i in range(36)]).reshape(6, 6)
    np.testing.assert_array_equal(grid, np.kron(np.arange(9).reshape(3, 3), np.ones((2, 2), int)))


def test_words_have_tokens_for_start_and_end(tmp_path):
    words = captions.learn_words(["A dog.", "a dog's BALL, a cat"], min_count=1)
    assert words.vocabulary.tokens[0] == "a"
    tokens = words.encode("A bird, a cat!")
    assert tokens.tolist()[1] == 1  # unknown
    row = [words.start, *words.encode("a dog's ball"), words.end, 0, 0]
    assert words.decode(np.array(row)) == "a dog's ball"
    assert (words.start, words.end, words.size) == (7, 8, 9)  # after five words
    words.save(tmp_path / "words.json")
    assert captions.CaptionWords.load(tmp_path / "words.json") == words
    assert captions.learn_words(["a a b c"], size=6).size == 6
    (tmp_path / "other.json").write_text('{"a": 1}', encoding="utf-8")
    with pytest.raises(DataError, match=r"other\.json"):
        captions.CaptionWords.load(tmp_path / "other.json")


def read(dataset):
    return [tf.nest.map_structure(lambda x: x.numpy(), batch) for batch in dataset]


def test_batches_shift_the_words_and_have_every_caption_once(boards):
    words = captions.learn_words([text for _, text in boards.pairs])
    batches = captions.CaptionBatches(boards, words, GREY, 50, channels=1)
    assert batches.steps_per_epoch == 2
    texts = []
    for (images, target), labels, weights in read(batches.eval_dataset()):
        for image, row, label, weight in zip(images, target, labels, weights, strict=True):
            text = words.decode(label)
            expected = boards.images[len(texts)] / 127.5 - 1
            np.testing.assert_allclose(image, expected, rtol=1e-5, atol=1e-5)
            count = len(text.split())
            assert row[0] == words.start and words.decode(row) == text
            np.testing.assert_array_equal(row[1 : count + 1], label[:count])
            assert label[count] == words.end and weight.sum() == count + 1
            assert not row[count + 1 :].any()
            texts.append(text)
    assert texts == [caption for (caption,) in boards.captions]
    assert sum(map(len, read(batches.image_dataset()))) == 120


def test_training_resumes_at_any_step_and_workers_share_batches(boards):
    words = captions.learn_words([text for _, text in boards.pairs])
    batches = captions.CaptionBatches(boards, words, GREY, 40, channels=3)
    steps = read(batches.train_dataset(seed=3).take(7))
    epochs = [np.concatenate([labels for _, labels, _ in steps[i : i + 3]]) for i in (0, 3)]
    # 120 captions in 3 batches: both epochs have each once, in another order.
    assert sorted(map(tuple, epochs[0])) == sorted(map(tuple, epochs[1]))
    assert (epochs[0] != epochs[1]).any()
    resumed = read(batches.train_dataset(seed=3, first_step=4).take(3))
    parts = [read(batches.train_dataset(seed=3, shard=(i, 2)).take(1))[0] for i in range(2)]
    for ours, theirs in zip(steps[4:], resumed, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, ours, theirs)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), steps[0][1])
    assert steps[0][0][0].shape == (40, 48, 48, 3)
    with pytest.raises(DataError, match="3 workers"):
        batches.train_dataset(shard=(0, 3))
    with pytest.raises(DataError, match="200"):
        captions.CaptionBatches(boards, words, GREY, 200)


@pytest.fixture
def folder(tmp_path):
    """Ten images of one colour each, in images/."""
    (tmp_path / "images").mkdir()
    for number in range(10):
        image = np.full((20, 30, 3), 25 * number, np.uint8)
        tf.io.write_file(str(tmp_path / f"images/{number}.png"), tf.io.encode_png(image))
    return tmp_path


def write(folder, name, lines):
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.long
def test_a_folder_has_several_captions_of_an_image_and_splits(folder):
    lines = ["file_name,split,caption"]
    lines += [
        f'{i}.png,{"val" if i > 7 else "train"},"image {i}, the {n}."'
        for i in range(10)
        for n in (1, 2)
    ]
    write(folder, "captions.csv", lines)
    train, test = (captions.open_captions(folder, split) for split in ("train", "validation"))
    assert train.names == tuple(f"{i}.png" for i in range(8)) and test.split == "val"
    assert test.captions[0] == ("image 8, the 1.", "image 8, the 2.")
    assert len(test.pairs) == 4 and train.identity() != test.identity()
    words = captions.learn_words([text for _, text in train.pairs])
    small = Preprocessing(size=(8, 8), crop=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    batches = captions.CaptionBatches(test, words, small, 4)
    ((images, _), _, _), = read(batches.eval_dataset())  # fmt: skip
    assert images.shape == (4, 8, 8, 3)
    np.testing.assert_allclose(images[:, 0, 0, 0] * 255, [200, 200, 225, 225], rtol=0, atol=0.6)


def test_flickr8k_files_and_held_out_images(folder):
    write(
        folder,
        "captions.txt",
        [f"{i}.png#{n}\tA child , number {i} ." for i in range(10) for n in range(2)],
    )
    sides = [captions.open_captions(folder, split) for split in ("train", "validation")]
    assert sorted(sides[0].names + sides[1].names) == [f"{i}.png" for i in range(10)]
    assert sides[0].captions[0][0].startswith("A child , number")
    write(
        folder,
        "captions.csv",
        ["image,caption", "0.png,A child, number 0, and commas", "1.png,other"],
    )
    one = captions.open_captions(folder, "train")
    texts = dict(zip(one.names, one.captions, strict=True))
    other = captions.open_captions(folder, "validation") if len(one.names) < 2 else one
    texts |= dict(zip(other.names, other.captions, strict=True))
    assert set(texts) == {"0.png", "1.png"}


def test_folders_of_splits(folder):
    for split in ("train", "test"):
        (folder / split).mkdir()
        (folder / "images" / f"{len(split)}.png").rename(folder / split / "a.png")
        write(folder / split, "captions.tsv", [f"a.png\tof {split}"])
    assert captions.open_captions(folder, "validation").captions == (("of test",),)


@pytest.mark.parametrize(
    "lines, words",
    [
        (["image,caption", "0.png,"], ["line 2", "no caption"]),
        ([",text"], ["line 1", "no image"]),
        (["0.png,a", "", "12.png,a"], ["line 3", "12.png"]),
        (["../0.png,a"], ["../0.png"]),
        (["0.png,train,a", "x"], ["line 2"]),
        (None, ["captions.csv"]),
        ([f"{i}.png,a" for i in range(10)], ["'training set'", "train, validation"]),
    ],
)
def test_errors_are_one_line_with_the_place(folder, lines, words):
    if lines is not None:
        write(folder, "captions.csv", lines)
    split = "training set" if "'training set'" in words else "train"
    with pytest.raises(DataError) as error:
        captions.open_captions(folder, split)
    assert all(word in str(error.value) for word in words), error.value
    assert "\n" not in str(error.value)


@pytest.mark.long
def test_an_image_that_cannot_be_decoded_is_named(folder):
    write(folder, "captions.csv", ["image,caption,split"] + [f"{i}.png,a,train" for i in range(4)])
    path = next(folder.rglob("2.png"))
    path.write_bytes(path.read_bytes()[:60])
    images = captions.open_captions(folder)
    batches = captions.CaptionBatches(images, captions.learn_words(["a"]), GREY, 1)
    message = r"2\.png cannot be decoded \(corrupt or truncated PNG"
    with pytest.raises(DataError, match=message), data.explain_errors(images):
        list(batches.eval_dataset())


def test_there_is_a_folder_with_images(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        captions.open_captions(tmp_path / "missing")
    with pytest.raises(DataError, match="no images"):
        captions.CaptionedImages("none", "train", (), (), ())
    with pytest.raises(DataError, match=r"b\.png"):
        captions.CaptionedImages("x", "train", ("a", "b"), (("a",), ()), ("a.png", "b.png"))


@pytest.mark.long
def test_a_dataset_of_tfds_with_captions(tmp_path):
    import tensorflow_datasets as tfds

    class KappsCaptions(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "captions": tfds.features.Sequence({"text": tfds.features.Text()}),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(6), "test": self._generate_examples(2)}

        def _generate_examples(self, count):
            for number in range(count):
                texts = [{"text": f"ünter {number}"}, {"text": "second"}]
                yield (
                    number,
                    {"image": np.full((9, 9, 3), 40 * number, np.uint8), "captions": texts},
                )

    KappsCaptions(data_dir=tmp_path, file_format="tfrecord").download_and_prepare()
    source = captions.load_tfds_captions("kapps_captions", "train[:3]", tmp_path)
    assert len(source.images) == 3 and all(row[0][:5] == "ünter" for row in source.captions)
    assert all(row[1:] == ("second",) for row in source.captions)
    assert captions.load_tfds_captions("kapps_captions", "validation", tmp_path).split == "test"
    small = Preprocessing(size=(8, 8), crop=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    words = captions.learn_words([text for _, text in source.pairs])
    batches = captions.CaptionBatches(source, words, small, 3)
    (pixels,) = read(batches.image_dataset())
    numbers = [int(row[0].split()[1]) for row in source.captions]
    np.testing.assert_allclose(pixels[:, 0, 0, 0] * 255, np.array(numbers) * 40, rtol=0, atol=0.6)
    with pytest.raises(DataError, match="no split 'dev2'"):
        captions.load_tfds_captions("kapps_captions", "dev2", tmp_path)
    json.dumps(source.identity())
