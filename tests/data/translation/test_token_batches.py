"""Batches of pairs: every pair once, few shapes, a budget of tokens; resumed and divided among workers."""

import numpy as np
import pytest

from kapps.data import DataError, translation
from kapps.data.translation import TokenBatches


@pytest.fixture(scope="module")
def batches(pairs):
    return TokenBatches(pairs, 300, ranges=(3, 2), multiple=2)


def take(dataset, count):
    """Returns (source, target, labels, weights) of `count` batches; -1 for all."""
    return [(*map(np.asarray, x), y.numpy(), w.numpy()) for x, y, w in dataset.take(count)]


def decode(vocabularies, rows):
    """Returns the pairs of sentences in batches, from the rows that have a weight."""
    return [
        (vocabularies.source.decode(source), vocabularies.decode_target(label_row))
        for sources, _, labels, weights in rows
        for source, label_row, weight in zip(sources, labels, weights, strict=True)
        if weight.any()
    ]


@pytest.mark.long
def test_an_epoch_has_every_pair_once(sentences, vocabularies, batches):
    steps = batches.steps_per_epoch
    epochs = take(batches.train_dataset(seed=3), 2 * steps)
    first = decode(vocabularies, epochs[:steps])
    second = decode(vocabularies, epochs[steps:])
    evaluation = decode(vocabularies, take(batches.eval_dataset(), -1))
    expected = sorted(zip(*sentences, strict=True))
    assert sorted(first) == sorted(second) == sorted(evaluation) == expected
    assert first != second and first != evaluation


def test_batches_have_few_shapes_and_keep_to_the_budget(pairs, batches):
    rows = take(batches.eval_dataset(), -1)
    assert len({(source.shape, target.shape) for source, target, _, _ in rows}) <= 6
    assert len(rows) == batches.steps_per_epoch
    with_padding = without_padding = 0
    for sources, target, labels, weights in rows:
        assert sources.size + target.size <= 300 and len(sources) % 2 == 0
        assert target.shape == labels.shape == weights.shape
        with_padding += sources.size + target.size
        without_padding += np.count_nonzero(sources[weights.any(axis=1)]) + weights.sum()
    assert batches.tokens == without_padding == len(pairs.source) + len(pairs.target) + pairs.pairs
    assert batches.padding == pytest.approx(1 - without_padding / with_padding)
    assert batches.padding < 0.7 * TokenBatches(pairs, 300, ranges=(1, 1)).padding


def test_labels_are_the_target_one_position_later(vocabularies, batches):
    for _, targets, labels, weights in take(batches.train_dataset(), batches.steps_per_epoch):
        assert (targets[:, 0] == vocabularies.start).all()
        for target, label, weight in zip(targets, labels, weights, strict=True):
            n = np.count_nonzero(label)
            assert label[n - 1] == vocabularies.end and (label[n:] == 0).all()
            np.testing.assert_array_equal(target[1:n], label[: n - 1])
            assert (target[n:] == 0).all()
            assert weight[:n].all() == weight[:n].any() and not weight[n:].any()


def test_it_resumes(batches):
    steps = batches.steps_per_epoch
    uninterrupted = take(batches.train_dataset(seed=1), steps + 3)
    resumed = take(batches.train_dataset(seed=1, first_step=steps - 2), 5)
    for expected, batch in zip(uninterrupted[-5:], resumed, strict=True):
        for one, other in zip(expected, batch, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.long
def test_the_shards_of_a_batch_make_up_the_batch_of_a_single_worker(batches):
    single, *workers = (
        take(batches.train_dataset(shard=shard), 5) for shard in ((0, 1), (0, 2), (1, 2))
    )
    for batch, *shards in zip(single, *workers, strict=True):
        for value, *parts in zip(batch, *shards, strict=True):
            np.testing.assert_array_equal(value, np.concatenate(parts))


def test_an_error_names_the_budget_or_the_workers(pairs, batches):
    with pytest.raises(DataError, match=r"tokens=40 .* 4 rows"):
        TokenBatches(pairs, 40, multiple=4)
    with pytest.raises(DataError, match="multiple=7"):
        batches.train_dataset(shard=(0, 7))


def test_every_pair_of_multi30k_occurs_once(shared_data):
    folder = shared_data("multi30k")
    sentences = translation.read_sentences(folder / "val.en.gz", folder / "val.fr.gz")
    vocabularies = translation.learn_vocabularies(*sentences, size=3000)
    batches = TokenBatches(vocabularies.encode(*sentences), 4096)
    decoded = decode(vocabularies, take(batches.eval_dataset(), -1))
    assert sorted(decoded) == sorted(zip(*sentences, strict=True))
    assert len(decoded) == 1014
