"""Text to tokens and back, and a corpus to batches: the lectures' example, and nothing lost, in order."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from kapps.data import DataError, text

WELLS = "the time machine by h g wells"
POEM = "Zwei Äpfel,\r\n two  apples; 二つの林檎\n\n[UNK] and a tab\t."


@pytest.fixture
def corpus():
    """Tokens of which each says where it stands."""
    return np.arange(1, 107, dtype="int32")


def batches(data):
    return [tuple(part.numpy() for part in batch) for batch in data]


class TestVocabulary:
    def test_numbers_are_text_vectorizations(self):
        for vocabulary in (
            text.characters(POEM),
            text.words(POEM),
            text.characters(POEM, only_letters=True),
            text.words(POEM, size=6, only_letters=True),
        ):
            layer = vocabulary.text_vectorization()
            np.testing.assert_array_equal(layer([POEM])[0], vocabulary.encode(POEM))
            assert layer.get_vocabulary() == ["", "[UNK]", *vocabulary.tokens]
            assert layer.vocabulary_size() == vocabulary.size

    def test_characters_lose_nothing(self):
        vocabulary = text.characters(POEM)
        assert vocabulary.decode(vocabulary.encode(POEM)) == POEM
        assert vocabulary.decode([0, *vocabulary.encode("two"), 0]) == "two"
        assert vocabulary.encode("two€").tolist()[3:] == [text.UNKNOWN]

    def test_words_are_ordered_by_number(self):
        vocabulary = text.words("b c a c\tb c")
        assert vocabulary.tokens == ("c", "b", "a")
        assert vocabulary.encode("a z\n c").tolist() == [4, 1, 2]
        assert vocabulary.decode([4, 1, 2]) == "a [UNK] c"
        assert text.words("b c a c b c", min_count=2).tokens == ("c", "b")

    def test_letters_as_d2l_has_them(self):
        # https://d2l.ai/chapter_recurrent-neural-networks/text-sequence.html
        line = "The Time Traveller (for so it will be convenient...)"
        assert text.keep_letters(line) == "the time traveller for so it will be convenient "
        assert (
            text.characters("The quick brown fox jumps over the lazy dog.", only_letters=True).size
            == 29
        )

    def test_refusals(self, tmp_path):
        with pytest.raises(DataError, match="no text file"):
            text.read_text(tmp_path / "none.txt")
        (tmp_path / "latin.txt").write_bytes("Äpfel".encode("latin-1"))
        with pytest.raises(DataError, match="not UTF-8"):
            text.read_text(tmp_path / "latin.txt")
        (tmp_path / "empty.txt").write_text(" \n")
        with pytest.raises(DataError, match="holds no text"):
            text.read_text(tmp_path / "empty.txt")
        for made in (
            lambda: text.characters(""),
            lambda: text.words(" "),
            lambda: text.subwords(""),
        ):
            with pytest.raises(DataError):
                made()
        with pytest.raises(DataError, match="0..4"):
            text.words("a b c").decode([5])
        with pytest.raises(DataError, match="not a token of words"):
            text.Vocabulary("words", ("a b",))

    def test_read(self, tmp_path):
        (tmp_path / "poem.txt").write_bytes(b"\xef\xbb\xbf" + POEM.encode())
        assert text.read_text(tmp_path / "poem.txt") == POEM


class TestSubwords:
    def test_lose_nothing(self):
        pytest.importorskip("tokenizers")
        pairs = text.subwords("low lower lowest " * 9 + POEM, size=300)
        assert 258 < pairs.size <= 300
        for given in (POEM, WELLS, "[PAD]<s>\x00 ☃ "):
            numbers = pairs.encode(given)
            assert numbers.dtype == "int32" and numbers.min() >= 2 and numbers.max() < pairs.size
            assert pairs.decode(numbers) == given
        assert len(pairs.encode("low")) == 1 < len(pairs.encode("wol"))

    def test_refusals(self, monkeypatch):
        with pytest.raises(DataError, match="size=200"):
            text.subwords(POEM, size=200)
        monkeypatch.setitem(sys.modules, "tokenizers", None)
        with pytest.raises(DataError, match="pip install tokenizers"):
            text.subwords(POEM)


class TestShuffled:
    def test_the_lectures_example(self):
        vocabulary = text.characters(WELLS)
        x, y = text.cut_subsequences(vocabulary.encode(WELLS), 5, skip=2)
        said = [vocabulary.decode(row) for row in x]
        assert said == ["e tim", "e mac", "hine ", "by h ", "g wel"]
        assert [vocabulary.decode(row) for row in y] == [
            " time",
            " mach",
            "ine b",
            "y h g",
            " well",
        ]

    def test_the_last_target_exists(self):
        for total, skip in ((11, 0), (10, 0), (12, 1), (11, 1)):
            x, y = text.cut_subsequences(np.arange(total), 5, skip=skip)
            assert len(x) == (total - skip - 1) // 5
            np.testing.assert_array_equal(y, x + 1)

    def test_every_subsequence_once_an_epoch(self, corpus):
        count = text.subsequence_steps_per_epoch(corpus, 7, 2)
        assert count == 7
        data = batches(text.subsequence_dataset(corpus, 7, 2, seed=3).take(6 * count))
        skips = []
        for epoch in range(6):
            x = np.concatenate([x for x, _ in data[epoch * count : (epoch + 1) * count]])
            for x_, y_ in data:
                np.testing.assert_array_equal(y_, x_ + 1)
            np.testing.assert_array_equal(x, x[:, :1] + np.arange(7))
            assert len(set(x[:, 0])) == len(x), "each once"
            assert len({*x[:, 0] % 7}) == 1, "they do not overlap"
            assert sorted(x[:, 0]) != x[:, 0].tolist()
            skips.append(x[0, 0] % 7)
        assert len(set(skips)) > 1

    def test_repeats_and_resumes(self, corpus):
        data = batches(text.subsequence_dataset(corpus, 7, 2, seed=3).take(20))
        later = batches(text.subsequence_dataset(corpus, 7, 2, seed=3, first_step=9).take(11))
        np.testing.assert_array_equal(data[9:], later)
        other = batches(text.subsequence_dataset(corpus, 7, 2, seed=4).take(20))
        assert not np.array_equal(data, other)

    def test_refusal(self, corpus):
        with pytest.raises(DataError, match="do not fill a batch"):
            text.subsequence_dataset(corpus, 100, 1)
        with pytest.raises(DataError, match="no subsequence of 5"):
            text.cut_subsequences(np.arange(5), 5)


class TestStreams:
    @pytest.mark.parametrize(
        ("total", "skip", "rows"), [(106, 0, 3), (105, 3, 4), (99, 0, 1), (50, 0, 7)]
    )
    def test_nothing_is_lost(self, corpus, total, skip, rows):
        data = batches(text.eval_stream_dataset(corpus[:total], 6, rows, skip=skip))
        x, y, weights = (np.concatenate(part, axis=1) for part in zip(*data, strict=True))
        assert all(part.shape == (rows, 6) for batch in data for part in batch)
        np.testing.assert_array_equal(x[weights == 1], corpus[skip : total - 1])
        np.testing.assert_array_equal(y[weights == 1], corpus[skip + 1 : total])
        assert not x[weights == 0].any() and not y[weights == 0].any()

    def test_books_way(self, corpus):
        data = batches(text.eval_stream_dataset(corpus, 6, 4, skip=2, remainder=False))
        assert len(data) == (106 - 2 - 1) // 4 // 6
        x, y = (np.concatenate(part, axis=1) for part in zip(*data, strict=True))
        starts = 3 + 25 * np.arange(4)
        np.testing.assert_array_equal(x, starts[:, None] + np.arange(24))
        np.testing.assert_array_equal(y, x + 1)

    def test_length_is_known(self, corpus):
        assert len(text.eval_stream_dataset(corpus, 6, 3)) == 6

    def test_flowing_goes_on_within_an_epoch(self, corpus):
        count = text.stream_steps_per_epoch(corpus, 7, 3)
        assert count == (106 - 7) // 3 // 7 == 4
        data = batches(text.stream_dataset(corpus, 7, 3, seed=1).take(5 * count))
        skips = set()
        for epoch in range(5):
            mine = data[epoch * count : (epoch + 1) * count]
            x, y = (np.concatenate(part, axis=1) for part in zip(*mine, strict=True))
            np.testing.assert_array_equal(x, x[:, :1] + np.arange(7 * count))
            np.testing.assert_array_equal(y, x + 1)
            assert len(set(x.ravel())) == x.size, "every token once"
            skips.add(int(x[0, 0]) - 1)
        assert len(skips) > 1 and skips <= set(range(7))
        later = batches(text.stream_dataset(corpus, 7, 3, seed=1, first_step=6).take(5))
        np.testing.assert_array_equal(data[6:11], later)

    def test_workers_see_together_what_one_sees(self, corpus):
        for made in (text.stream_dataset, text.subsequence_dataset):
            whole = batches(made(corpus, 7, 4).take(6))
            parts = [batches(made(corpus, 7, 4, shard=(i, 2)).take(6)) for i in (0, 1)]
            for one, *shares in zip(whole, *parts, strict=True):
                np.testing.assert_array_equal(one, np.concatenate(shares, axis=1))

    def test_refusal(self, corpus):
        with pytest.raises(DataError, match="do not make 64 streams"):
            text.stream_dataset(corpus, 6, 64)
        with pytest.raises(DataError, match="not divisible by 3"):
            text.stream_dataset(corpus, 6, 4, shard=(0, 3))
        with pytest.raises(DataError, match="do not make 64 streams"):
            text.eval_stream_dataset(corpus, 6, 64, remainder=False)


class TestBucketed:
    @pytest.fixture
    def examples(self):
        draw = np.random.default_rng(0)
        return [draw.integers(1, 9, n) for n in draw.integers(1, 41, 200)]

    @pytest.mark.parametrize("seed", [None, 5])
    def test_all_are_there_within_the_budget(self, examples, seed):
        data = text.bucketed_dataset(examples, np.arange(200), 120, seed=seed)
        first = batches(data)
        found = {}
        for x, y in first:
            assert x.size <= 120
            found |= dict(zip(y, x, strict=True))
        assert len(found) == 200
        padding = 0
        for answer, row in found.items():
            given = examples[answer]
            np.testing.assert_array_equal(row[: len(given)], given)
            assert not row[len(given) :].any()
            padding += len(row) - len(given)
        assert padding < 0.15 * sum(map(len, examples))
        again = batches(data)
        same = all(np.array_equal(a[0], b[0]) for a, b in zip(first, again, strict=False))
        assert same is (seed is None)

    def test_targets_at_every_step(self, examples):
        data = text.bucketed_dataset(examples, [example + 1 for example in examples], 120)
        for x, y, weights in data:
            np.testing.assert_array_equal(weights, tf.cast(x > 0, tf.float32))
            np.testing.assert_array_equal(y, tf.where(x > 0, x + 1, 0))

    def test_refusals(self, examples):
        with pytest.raises(DataError, match="tokens=30"):
            text.bucketed_dataset(examples, np.arange(200), 30)
        with pytest.raises(DataError, match="200 examples and 3 targets"):
            text.bucketed_dataset(examples, np.arange(3), 30)
