"""Sentences in two languages: nothing is lost between files and batches, padded, resumed or shared."""

import gzip
import os
import pathlib
import random

import numpy as np
import pytest

from kapps.data import DataError, translation
from kapps.data.translation import TokenBatches

WORDS = {
    "one": "eins",
    "two": "zwei",
    "three": "drei",
    "grey": "grau",
    "cats": "Kätzchen",
    "sleep": "schlafen",
}


@pytest.fixture(scope="module")
def sentences():
    """Pairs of 1 to 12 words, of which each target is the source's translation word by word."""
    draw = random.Random(0)
    chosen = [draw.choices(list(WORDS), k=draw.randint(1, 12)) for _ in range(300)]
    return [" ".join(each) for each in chosen], [
        " ".join(WORDS[w] for w in each) for each in chosen
    ]


@pytest.fixture(scope="module")
def tokens(sentences):
    return translation.learn_vocabularies(*sentences, size=290)


@pytest.fixture(scope="module")
def encoded(sentences, tokens):
    return tokens.encode(*sentences)


@pytest.fixture(scope="module")
def plan(encoded):
    return TokenBatches(encoded, 300, ranges=(3, 2), multiple=2)


def taken(batches, count):
    return [(*map(np.asarray, x), y.numpy(), w.numpy()) for x, y, w in batches.take(count)]


def told(tokens, batches):
    """Returns the pairs that batches hold, by rows that weigh something."""
    return [
        (tokens.source.decode(source), tokens.decode_target(labels))
        for x, _, y, w in batches
        for source, labels, weights in zip(x, y, w, strict=True)
        if weights.any()
    ]


class TestReading:
    def test_plain_and_compressed(self, tmp_path):
        # U+2028 and U+0085 end a line for str.splitlines, and not for who counts lines.
        (tmp_path / "a.en").write_bytes("\ufeffone two \r\n\nthree\u2028four\u0085\n".encode())
        (tmp_path / "a.de.gz").write_bytes(gzip.compress(b"eins zwei\nleer\ndrei"))
        found = translation.read_sentences(tmp_path / "a.en", tmp_path / "a.de.gz")
        assert found == (["one two", "", "three\u2028four"], ["eins zwei", "leer", "drei"])

    def test_refusals_are_one_line(self, tmp_path):
        for name, content in (
            ("two", b"a\nb\n"), ("three", b"a\nb\nc\n"), ("latin", b"\xc4pfel\n"), ("no.gz", b"plain"), ("none", b""),
            ("cut.gz", gzip.compress(b"a line\n" * 99)[:-12]),
        ):  # fmt: skip
            (tmp_path / name).write_bytes(content)
        for name, message in (
            ("three", "has 2 lines and .*three 3"), ("latin", "not UTF-8"), ("no.gz", "cannot be read"),
            ("missing", "no file"), ("cut.gz", "cannot be read"),
        ):  # fmt: skip
            with pytest.raises(DataError, match=message) as refused:
                translation.read_sentences(tmp_path / "two", tmp_path / name)
            assert "\n" not in str(refused.value)
        with pytest.raises(DataError, match="no line"):
            translation.read_sentences(tmp_path / "none", tmp_path / "none")

    def test_a_data_set_of_tfds(self, tmp_path, sentences):
        import tensorflow_datasets as tfds

        class KappsPairs(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                features = tfds.features.Translation(languages=("de", "en"))
                return tfds.core.DatasetInfo(builder=self, features=features)

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples()}

            def _generate_examples(self):
                for number, (en, de) in enumerate(zip(*sentences, strict=True)):
                    yield number, {"en": en, "de": de}

        KappsPairs(data_dir=tmp_path, file_format="tfrecord").download_and_prepare()
        found = translation.load_tfds_sentences("kapps_pairs", ("en", "de"), data_dir=tmp_path)
        assert sorted(zip(*found, strict=True)) == sorted(zip(*sentences, strict=True))
        assert len(translation.load_tfds_sentences("kapps_pairs", ("de", "en"), "train[:10]", tmp_path)[0]) == 10
        with pytest.raises(DataError, match="no language 'fr': it has de, en"):
            translation.load_tfds_sentences("kapps_pairs", ("en", "fr"), data_dir=tmp_path)
        with pytest.raises(DataError, match="no split 'test'"):
            translation.load_tfds_sentences("kapps_pairs", ("en", "de"), "test", data_dir=tmp_path)


class TestTokens:
    def test_start_and_end_are_the_two_numbers_after_the_subwords(self, sentences, tokens):
        assert (tokens.start, tokens.end) == (tokens.target.size, tokens.target.size + 1)
        assert tokens.vocabulary == tokens.source_vocabulary == tokens.end + 1
        row = [tokens.start, *tokens.target.encode(" zwei Kätzchen "), tokens.end, 0, 0]
        assert tokens.decode_target(row) == "zwei Kätzchen"
        assert tokens.decode_target(row[1:3]) == tokens.target.decode(row[1:3]).strip()
        named = tokens.token_texts(row, target=True)
        assert (named[0], named[-3:]) == ("<s>", ["</s>", "", ""])
        assert "".join(named[1:-3]) == " zwei Kätzchen "

    def test_one_vocabulary_or_two(self, tmp_path, sentences, tokens):
        two = translation.learn_vocabularies(*sentences, size=290, joint=False)
        assert tokens.joint and not two.joint
        assert len(two.source.encode("one two")) < len(two.target.encode("one two"))
        for number, each in enumerate((tokens, two)):
            each.save(tmp_path / f"{number}.json")
            again = translation.VocabularyPair.load(tmp_path / f"{number}.json")
            assert again == each and again.joint == each.joint
            np.testing.assert_array_equal(again.encode_sources(["grey cats"]), each.encode_sources(["grey cats"]))
        for content in ("{}", "no JSON"):
            (tmp_path / "wrong.json").write_text(content)
            with pytest.raises(DataError, match=r"wrong\.json"):
                translation.VocabularyPair.load(tmp_path / "wrong.json")

    def test_rows_are_padded_on_the_right(self, tokens):
        rows = tokens.encode_sources(["grey cats sleep", "", "one"])
        assert (rows[1] == 0).all()
        for row, text in zip(rows, ["grey cats sleep", "", "one"], strict=True):
            assert tokens.source.decode(row) == text
            assert (row[np.count_nonzero(row) :] == 0).all()
        assert tokens.encode_sources(["one two three"], max_length=1).shape == (1, 1)

    def test_empty_and_long_pairs_are_counted(self, tokens):
        sources, targets = ["one", "", "two", "grey " * 30], ["eins", "zwei", "", "grau"]
        left = tokens.encode(sources, targets, max_length=10)
        assert (left.pairs, left.empty, left.long) == (1, 2, 1)
        cut = tokens.encode(sources, targets, max_length=10, truncate=True)
        assert (cut.pairs, cut.empty, cut.long) == (2, 2, 1)
        assert cut.lengths[0].max() == 10
        with pytest.raises(DataError, match="no pair is left of 1: 1 are empty"):
            tokens.encode([""], ["eins"])


class TestPaired:
    def test_an_epoch_has_every_pair_once(self, sentences, tokens, plan):
        expected = sorted(zip(*sentences, strict=True))
        first = told(tokens, taken(plan.train_dataset(seed=3), plan.steps_per_epoch))
        second = told(tokens, taken(plan.train_dataset(seed=3, first_step=plan.steps_per_epoch), plan.steps_per_epoch))
        held = told(tokens, taken(plan.eval_dataset(), -1))
        assert sorted(first) == sorted(second) == sorted(held) == expected
        assert first != second and first != held

    def test_batches_are_of_few_shapes_and_within_the_budget(self, encoded, plan):
        batches = taken(plan.eval_dataset(), -1)
        shapes = {(x.shape, target.shape) for x, target, _, _ in batches}
        assert len(shapes) <= 6 and len(batches) == plan.steps_per_epoch
        asked = real = 0
        for x, target, labels, weights in batches:
            assert x.size + target.size <= 300 and len(x) % 2 == 0
            assert target.shape == labels.shape == weights.shape
            asked += x.size + target.size
            real += sum(np.count_nonzero(row) for row, w in zip(x, weights, strict=True) if w.any())
            real += weights.sum()
        assert plan.tokens == real == len(encoded.source) + len(encoded.target) + encoded.pairs
        assert plan.padding == pytest.approx(1 - real / asked)
        whole = TokenBatches(encoded, 300, ranges=(1, 1))
        assert plan.padding < 0.7 * whole.padding

    def test_labels_are_the_target_one_later(self, tokens, plan):
        for _, target, labels, weights in taken(plan.train_dataset(), plan.steps_per_epoch):
            assert (target[:, 0] == tokens.start).all()
            for before, asked, weight in zip(target, labels, weights, strict=True):
                n = np.count_nonzero(asked)
                assert asked[n - 1] == tokens.end and (asked[n:] == 0).all()
                np.testing.assert_array_equal(before[1:n], asked[: n - 1])
                assert (before[n:] == 0).all()
                assert weight[:n].all() == weight[:n].any() and not weight[n:].any()

    def test_goes_on_where_it_was_stopped(self, plan):
        whole = taken(plan.train_dataset(seed=1), plan.steps_per_epoch + 3)
        rest = taken(plan.train_dataset(seed=1, first_step=plan.steps_per_epoch - 2), 5)
        for expected, found in zip(whole[-5:], rest, strict=True):
            for one, other in zip(expected, found, strict=True):
                np.testing.assert_array_equal(one, other)

    def test_shards_are_the_batch(self, plan):
        whole, *parts = (taken(plan.train_dataset(shard=shard), 5) for shard in ((0, 1), (0, 2), (1, 2)))
        for batch, one, other in zip(whole, *parts, strict=True):
            for value, *halves in zip(batch, one, other, strict=True):
                np.testing.assert_array_equal(value, np.concatenate(halves))

    def test_refusals(self, encoded, plan):
        with pytest.raises(DataError, match="too few: 4 rows of"):
            TokenBatches(encoded, 40, multiple=4)
        with pytest.raises(DataError, match="pass multiple=7"):
            plan.train_dataset(shard=(0, 7))


@pytest.mark.skipif("KAPPS_TEST_DATA" not in os.environ, reason="KAPPS_TEST_DATA names no folder")
def test_real_pairs_keep_every_word():
    folder = pathlib.Path(os.environ["KAPPS_TEST_DATA"]) / "multi30k"
    both = translation.read_sentences(folder / "val.en.gz", folder / "val.fr.gz")
    tokens = translation.learn_vocabularies(*both, size=3000)
    plan = TokenBatches(tokens.encode(*both), 4096)
    found = told(tokens, taken(plan.eval_dataset(), -1))
    assert sorted(found) == sorted(zip(*both, strict=True))
    assert len(found) == 1014
