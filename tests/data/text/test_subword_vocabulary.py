"""Vocabularies of byte pairs."""

import sys

import pytest

from kapps.data import DataError, text

TEXT = "low lower lowest " * 9 + "Zwei Äpfel, two apples; 二つの林檎"


def test_every_text_is_decoded_exactly():
    pytest.importorskip("tokenizers")
    vocabulary = text.subwords(TEXT, size=300)
    assert 258 < vocabulary.size <= 300
    for line in (TEXT, "the time machine by h g wells", "[PAD]<s>\x00 ☃ "):
        tokens = vocabulary.encode(line)
        assert tokens.dtype == "int32" and tokens.min() >= 2 and tokens.max() < vocabulary.size
        assert vocabulary.decode(tokens) == line
    assert len(vocabulary.encode("low")) == 1 < len(vocabulary.encode("wol"))


def test_an_error_names_the_size_or_the_missing_library(monkeypatch):
    with pytest.raises(DataError, match=r"size=200.*258"):
        text.subwords(TEXT, size=200)
    with pytest.raises(DataError, match="empty"):
        text.subwords("")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(DataError, match="pip install tokenizers"):
        text.subwords(TEXT)
