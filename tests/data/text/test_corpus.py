"""Reading text files and normalising text."""

import pytest
import tensorflow as tf

from kapps.data import DataError, text
from kapps.data.text.corpus import keep_letters_in_graph

POEM = "Zwei Äpfel,\r\n two  apples; 二つの林檎\n\n[UNK] and a tab\t."


def test_a_file_is_read_without_its_byte_order_mark_and_carriage_returns(tmp_path):
    (tmp_path / "poem.txt").write_bytes(b"\xef\xbb\xbf" + POEM.encode())
    assert text.read_text(tmp_path / "poem.txt") == POEM.replace("\r\n", "\n")


def test_an_error_names_the_file_and_the_reason(tmp_path):
    (tmp_path / "latin.txt").write_bytes("Äpfel".encode("latin-1"))
    (tmp_path / "empty.txt").write_text(" \n", encoding="utf-8")
    for name, words in (("none", "no file"), ("latin", "UTF-8"), ("empty", "no text")):
        with pytest.raises(DataError) as error:
            text.read_text(tmp_path / f"{name}.txt")
        assert f"{name}.txt" in str(error.value) and words in str(error.value)


def test_only_letters_are_kept_as_in_d2l():
    # https://d2l.ai/chapter_recurrent-neural-networks/text-sequence.html
    line = "The Time Traveller (for so it will be convenient...)"
    expected = "the time traveller for so it will be convenient "
    assert text.keep_letters(line) == expected
    assert keep_letters_in_graph(tf.constant(line)).numpy().decode() == expected
