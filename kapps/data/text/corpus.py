"""Reading text files and normalising text."""

import os
import pathlib
import re

import keras
import tensorflow as tf

from kapps.data.errors import DataError


def read_text(path: str | os.PathLike) -> str:
    """Returns the text of a UTF-8 file, without a byte order mark.

    Raises:
        DataError: the file does not exist, is not UTF-8, or holds only white space.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise DataError(f"there is no text file {path}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 (byte {error.start:,}): convert it, for example with iconv -t utf-8"
        ) from None
    if not text.strip():
        raise DataError(f"{path} holds no text")
    return text


def keep_letters(text: str) -> str:
    """Returns text in lower case, with one space in place of all characters that are not letters from a to z.

    The chapters of https://d2l.ai on recurrent networks normalise text in this way.
    """
    return re.sub("[^A-Za-z]+", " ", text).lower()


@keras.saving.register_keras_serializable("kapps")
def keep_letters_in_graph(text):
    """Does what `keep_letters` does to string tensors, as `keras.layers.TextVectorization(standardize=...)`."""
    return tf.strings.lower(tf.strings.regex_replace(text, "[^A-Za-z]+", " "))
