"""Vocabularies of two languages: start and end, shared or separate, saved and loaded."""

import numpy as np
import pytest

from kapps.data import DataError, translation


def test_start_and_end_follow_the_subwords(vocabularies):
    assert (vocabularies.start, vocabularies.end) == (
        vocabularies.target.size, vocabularies.target.size + 1,
    )  # fmt: skip
    assert vocabularies.vocabulary == vocabularies.source_vocabulary == vocabularies.end + 1


def test_a_target_is_decoded_up_to_its_end(vocabularies):
    words = vocabularies.target.encode(" zwei Kätzchen ")
    row = [vocabularies.start, *words, vocabularies.end, 0, 0]
    assert vocabularies.decode_target(row) == "zwei Kätzchen"
    assert vocabularies.decode_target(row[1:3]) == vocabularies.target.decode(row[1:3]).strip()
    texts = vocabularies.token_texts(row, target=True)
    assert (texts[0], texts[-3:]) == ("<s>", ["</s>", "", ""])
    assert "".join(texts[1:-3]) == " zwei Kätzchen "


def test_shared_and_separate_vocabularies_are_saved_and_loaded(tmp_path, sentences, vocabularies):
    separate = translation.learn_vocabularies(*sentences, size=290, joint=False)
    assert vocabularies.joint and not separate.joint
    assert len(separate.source.encode("one two")) < len(separate.target.encode("one two"))
    for pair in (vocabularies, separate):
        pair.save(tmp_path / "vocabulary.json")
        loaded = translation.VocabularyPair.load(tmp_path / "vocabulary.json")
        assert loaded == pair and loaded.joint == pair.joint
        expected = pair.encode_sources(["grey cats"])
        np.testing.assert_array_equal(loaded.encode_sources(["grey cats"]), expected)


@pytest.mark.parametrize("content", ["{}", "not JSON", "", "[1]", '["{}"]', "[" * 9999, "[]"])
def test_an_error_names_the_file_without_vocabularies(tmp_path, content):
    (tmp_path / "wrong.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"wrong\.json"):
        translation.VocabularyPair.load(tmp_path / "wrong.json")


def test_sources_are_padded_on_the_right(vocabularies):
    texts = ["grey cats sleep", "", "one"]
    rows = vocabularies.encode_sources(texts)
    assert (rows[1] == 0).all()
    for row, text in zip(rows, texts, strict=True):
        assert vocabularies.source.decode(row) == text
        assert (row[np.count_nonzero(row) :] == 0).all()
    assert vocabularies.encode_sources(["one two three"], max_length=1).shape == (1, 1)


def test_empty_and_long_pairs_are_counted(vocabularies):
    sources, targets = ["one", "", "two", "grey " * 30], ["eins", "zwei", "", "grau"]
    pairs = vocabularies.encode(sources, targets, max_length=10)
    assert (pairs.pairs, pairs.empty, pairs.long) == (1, 2, 1)
    truncated = vocabularies.encode(sources, targets, max_length=10, truncate=True)
    assert (truncated.pairs, truncated.empty, truncated.long) == (2, 2, 1)
    assert truncated.lengths[0].max() == 10
    with pytest.raises(DataError, match=r"1 are empty.*max_length=100"):
        vocabularies.encode([""], ["eins"])
