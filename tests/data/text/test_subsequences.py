"""Subsequences and streams of a corpus: d2l.ai's example, and every token in its place."""

import numpy as np
import pytest

from kapps.data import DataError, text

WELLS = "the time machine by h g wells"


@pytest.fixture
def corpus():
    """Tokens that are their own positions, from 1."""
    return np.arange(1, 107, dtype="int32")


def batches(dataset):
    return [tuple(part.numpy() for part in batch) for batch in dataset]


def join(data):
    """Returns each part of the batches, joined along time."""
    return [np.concatenate(part, axis=1) for part in zip(*data, strict=True)]


class TestCutSubsequences:
    def test_the_example_of_d2l(self):
        vocabulary = text.characters(WELLS)
        tokens, targets = text.cut_subsequences(vocabulary.encode(WELLS), 5, skip=2)
        subsequences = [vocabulary.decode(row) for row in tokens]
        assert subsequences == ["e tim", "e mac", "hine ", "by h ", "g wel"]
        next_characters = [vocabulary.decode(row) for row in targets]
        assert next_characters == [" time", " mach", "ine b", "y h g", " well"]

    @pytest.mark.parametrize("total, skip", [(11, 0), (10, 0), (12, 1), (11, 1)])
    def test_the_last_target_exists(self, total, skip):
        tokens, targets = text.cut_subsequences(np.arange(total), 5, skip=skip)
        assert len(tokens) == (total - skip - 1) // 5
        np.testing.assert_array_equal(targets, tokens + 1)

    def test_a_short_corpus_raises_an_error(self):
        with pytest.raises(DataError, match=r"5 tokens .* subsequence of 5"):
            text.cut_subsequences(np.arange(5), 5)


class TestSubsequenceDataset:
    def test_an_epoch_has_each_subsequence_once(self, corpus):
        steps = text.subsequence_steps_per_epoch(corpus, 7, 2)
        assert steps == 7
        data = batches(text.subsequence_dataset(corpus, 7, 2, seed=3).take(6 * steps))
        for tokens, targets in data:
            np.testing.assert_array_equal(targets, tokens + 1)
        skips = []
        for epoch in range(6):
            rows = np.concatenate([x for x, _ in data[epoch * steps : (epoch + 1) * steps]])
            starts = rows[:, 0]
            np.testing.assert_array_equal(rows, rows[:, :1] + np.arange(7))
            assert len(set(starts)) == len(rows), "a subsequence occurs twice"
            assert len({*starts % 7}) == 1, "subsequences overlap"
            assert sorted(starts) != starts.tolist()
            skips.append(starts[0] % 7)
        assert len(set(skips)) > 1

    def test_it_repeats_and_resumes(self, corpus):
        data = batches(text.subsequence_dataset(corpus, 7, 2, seed=3).take(20))
        resumed = batches(text.subsequence_dataset(corpus, 7, 2, seed=3, first_step=9).take(11))
        np.testing.assert_array_equal(data[9:], resumed)
        other = batches(text.subsequence_dataset(corpus, 7, 2, seed=4).take(20))
        assert not np.array_equal(data, other)

    def test_a_short_corpus_raises_an_error(self, corpus):
        with pytest.raises(DataError, match=r"106 tokens .* 200 tokens"):
            text.subsequence_dataset(corpus, 100, 1)


class TestStreamDataset:
    def test_a_row_continues_within_an_epoch(self, corpus):
        steps = text.stream_steps_per_epoch(corpus, 7, 3)
        assert steps == (106 - 7) // 3 // 7 == 4
        data = batches(text.stream_dataset(corpus, 7, 3, seed=1).take(5 * steps))
        skips = set()
        for epoch in range(5):
            tokens, targets = join(data[epoch * steps : (epoch + 1) * steps])
            np.testing.assert_array_equal(tokens, tokens[:, :1] + np.arange(7 * steps))
            np.testing.assert_array_equal(targets, tokens + 1)
            assert len(set(tokens.ravel())) == tokens.size, "a token occurs twice"
            skips.add(int(tokens[0, 0]) - 1)
        assert len(skips) > 1 and skips <= set(range(7))

    def test_it_resumes(self, corpus):
        data = batches(text.stream_dataset(corpus, 7, 3, seed=1).take(11))
        resumed = batches(text.stream_dataset(corpus, 7, 3, seed=1, first_step=6).take(5))
        np.testing.assert_array_equal(data[6:], resumed)

    def test_an_error_names_the_streams_or_the_workers(self, corpus):
        with pytest.raises(DataError, match="64 streams"):
            text.stream_dataset(corpus, 6, 64)
        with pytest.raises(DataError, match=r"batch_size=4 .* 3 workers"):
            text.stream_dataset(corpus, 6, 4, shard=(0, 3))


@pytest.mark.parametrize("make_dataset", [text.stream_dataset, text.subsequence_dataset])
def test_the_shards_of_a_batch_make_up_the_batch_of_a_single_worker(corpus, make_dataset):
    single = batches(make_dataset(corpus, 7, 4).take(6))
    workers = [batches(make_dataset(corpus, 7, 4, shard=(i, 2)).take(6)) for i in (0, 1)]
    for batch, *shards in zip(single, *workers, strict=True):
        np.testing.assert_array_equal(batch, np.concatenate(shards, axis=1))


class TestEvalStreamDataset:
    @pytest.mark.parametrize(
        "total, skip, rows", [(106, 0, 3), (105, 3, 4), (99, 0, 1), (50, 0, 7)]
    )
    def test_every_target_occurs_once(self, corpus, total, skip, rows):
        data = batches(text.eval_stream_dataset(corpus[:total], 6, rows, skip=skip))
        assert all(part.shape == (rows, 6) for batch in data for part in batch)
        tokens, targets, weights = join(data)
        np.testing.assert_array_equal(tokens[weights == 1], corpus[skip : total - 1])
        np.testing.assert_array_equal(targets[weights == 1], corpus[skip + 1 : total])
        assert not tokens[weights == 0].any() and not targets[weights == 0].any()

    def test_without_a_remainder_all_batches_are_full(self, corpus):
        data = batches(text.eval_stream_dataset(corpus, 6, 4, skip=2, remainder=False))
        assert len(data) == (106 - 2 - 1) // 4 // 6
        tokens, targets = join(data)
        starts = 3 + 25 * np.arange(4)
        np.testing.assert_array_equal(tokens, starts[:, None] + np.arange(24))
        np.testing.assert_array_equal(targets, tokens + 1)

    def test_the_number_of_batches_is_static(self, corpus):
        assert len(text.eval_stream_dataset(corpus, 6, 3)) == 6

    def test_a_short_corpus_raises_an_error(self, corpus):
        with pytest.raises(DataError, match="64 streams"):
            text.eval_stream_dataset(corpus, 6, 64, remainder=False)
