"""Vocabularies of characters and words."""

import numpy as np
import pytest

from kapps.data import text

POEM = "Zwei Äpfel,\r\n two  apples; 二つの林檎\n\n[UNK] and a tab\t."


KINDS = ("characters", "words", "subwords")


@pytest.mark.parametrize(
    "vocabulary",
    [
        text.characters(POEM),
        text.words(POEM),
        text.characters(POEM, only_letters=True),
        text.words(POEM, size=6, only_letters=True),
    ],
    ids=["characters", "words", "letters", "frequent"],
)
def test_tokens_are_those_of_text_vectorization(vocabulary):
    layer = vocabulary.text_vectorization()
    np.testing.assert_array_equal(layer([POEM])[0], vocabulary.encode(POEM))
    assert layer.get_vocabulary() == ["", "[UNK]", *vocabulary.tokens]
    assert layer.vocabulary_size() == vocabulary.size


def test_characters_are_decoded_exactly():
    vocabulary = text.characters(POEM)
    assert vocabulary.decode(vocabulary.encode(POEM)) == POEM
    assert vocabulary.decode([0, *vocabulary.encode("two"), 0]) == "two"
    assert vocabulary.encode("two€").tolist()[3:] == [text.UNKNOWN]


def test_words_are_numbered_by_frequency():
    vocabulary = text.words("b c a c\tb c")
    assert vocabulary.tokens == ("c", "b", "a")
    assert vocabulary.encode("a z\n c").tolist() == [4, 1, 2]
    assert vocabulary.decode([4, 1, 2]) == "a [UNK] c"
    assert text.words("b c a c b c", min_count=2).tokens == ("c", "b")


def test_letters_and_the_space_make_27_characters():
    pangram = "The quick brown fox jumps over the lazy dog."
    assert text.characters(pangram, only_letters=True).size == 2 + 27


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: text.characters(""), "empty"),
        (lambda: text.words(" "), "min_count=1"),
        (lambda: text.words("a", size=2), "size=2"),
        (lambda: text.words("a b c").decode([5]), "0..4"),
        (lambda: text.Vocabulary("words", ("a b",)), "'a b'"),
        (lambda: text.Vocabulary("words", ("a", "[UNK]")), "'[UNK]'"),
        (lambda: text.Vocabulary("words", ("a", "b", "a")), "'a'"),
        (lambda: text.Vocabulary("bytes", ("a",)), "'bytes'"),
        *((lambda kind=kind: getattr(text, kind)("ab a\0"), "\\x00") for kind in KINDS),
        *((lambda kind=kind: getattr(text, kind)("ab\udcf6"), "\\udcf6") for kind in KINDS),
        (lambda: text.characters("ab").encode("\ud800"), "\\ud800"),
        (lambda: text.Vocabulary("words", ("a\0", "b")), "\\x00"),
        (lambda: text.Vocabulary("characters", ("\0", "b")), "\\x00"),
        (lambda: text.Vocabulary("words", ("\ud800", "b")), "\\ud800"),
    ],
)
def test_an_error_names_the_value(call, words):
    with pytest.raises(ValueError) as error:  # DataError, or an error of the argument
        call()
    assert words in str(error.value)
