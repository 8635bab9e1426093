"""Reading text files and normalising text."""

import os
import re

import keras
import tensorflow as tf

from kapps._checked import checked
from kapps.data.errors import DataError
from kapps.data.text_files import read_text_file


@checked
def read_text(path: str | os.PathLike) -> str:
    r"""Returns the text of a file in UTF-8, or in UTF-16 with a byte order mark. Every line end becomes "\n".

    Raises:
        DataError: as for `kapps.data.text_files.read_text_file`; or the file holds only white space.
    """
    text = read_text_file(path)
    if not text.strip():
        raise DataError(f"{path} holds no text")
    return text


@checked
def keep_letters(text: str) -> str:
    """Returns text in lower case, with one space in place of all characters that are not letters from a to z.

    The chapters of https://d2l.ai on recurrent networks normalise text in this way.
    """
    return re.sub("[^A-Za-z]+", " ", text).lower()


@keras.saving.register_keras_serializable("kapps")
def keep_letters_in_graph(text):
    """Does what `keep_letters` does to string tensors, as `keras.layers.TextVectorization(standardize=...)`."""
    return tf.strings.lower(tf.strings.regex_replace(text, "[^A-Za-z]+", " "))
