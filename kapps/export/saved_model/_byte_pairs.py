"""Byte-pair encoding as TensorFlow operations, so that a SavedModel takes and returns text without Python code.

The encoding is in the graph because a server runs nothing else: neither the library `tokenizers`, which
`kapps.data.text` uses, nor TensorFlow Text is part of TensorFlow Serving's default build.

[1] Sennrich 2016, arXiv:1508.07909    [2] Radford 2019, "Language models are unsupervised multitask learners", 2.2

Text is split into words by the pattern of [2], and each word into bytes. Then the pair of adjacent tokens that was
learned first is merged, the leftmost occurrence first, until no learned pair is left.
"""

import json

import numpy as np
import tensorflow as tf

from kapps.data.text import RESERVED, SubwordVocabulary

SPACE = r"\s\x{0B}\x{85}\p{Z}"
"""White space as in Unicode; RE2's own \\s is that of ASCII."""
CUT = "\x1f"
"""The separator of words inside the graph: a control character, which is removed from the text first."""
# The pattern of [2], except its last but one alternative, white space followed by nothing: RE2 has no lookahead.
# Instead, the last of several spaces before a word is separated from the others first.
LAST_SPACE = rf"([{SPACE}]+)([{SPACE}][^{SPACE}])"
WORD = rf"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+| ?\p{{N}}+| ?[^{SPACE}\p{{L}}\p{{N}}{CUT}]+|[{SPACE}]+"
NOT_LEARNED = 2**31 - 1
"""The rank of a pair that was not learned."""


class BytePairs(tf.Module):
    """A `SubwordVocabulary` as builtin operations of TensorFlow.

    Args:
        subwords: as `kapps.data.text.subwords` returns them.

    Raises:
        ValueError: for subwords with other settings of the library `tokenizers`.
    """

    def __init__(self, subwords: SubwordVocabulary):
        super().__init__()
        content = json.loads(subwords.to_json())
        pre_tokenizer = content["pre_tokenizer"] or {}
        is_byte_level = (
            pre_tokenizer.get("type") == "ByteLevel" and not pre_tokenizer["add_prefix_space"]
        )
        if not is_byte_level or content["normalizer"] or content["post_processor"]:
            raise ValueError(
                "the graph supports only byte-level subwords without a prefix space, normalizer and post-processor, as "
                "kapps.data.text.subwords learns them"
            )
        numbers = content["model"]["vocab"]
        letters = byte_letters()
        self.size = subwords.size
        self.byte_numbers = np.array([numbers[letter] for letter in letters], "int64")
        merges = [
            pair.split(" ") if isinstance(pair, str) else pair
            for pair in content["model"]["merges"]
        ]
        self.merged = np.array([numbers[left + right] for left, right in merges] or [0], "int64")
        keys = [numbers[left] * len(numbers) + numbers[right] for left, right in merges] or [-1]
        self.ranks = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(keys, np.arange(len(keys)), tf.int64, tf.int64),
            NOT_LEARNED,
        )
        self.count = len(numbers)
        letter_bytes = {letter: bytes([i]) for i, letter in enumerate(letters)}
        names = sorted(numbers, key=numbers.get)
        # Reserved tokens, and tokens beyond the vocabulary such as a start and an end, are empty text.
        self.texts = [b""] * len(RESERVED)
        self.texts += [b"".join(letter_bytes[letter] for letter in name) for name in names]

    def encode(self, text: tf.Tensor) -> tf.Tensor:
        """Returns the tokens, int32 [batch, time], of text, string [batch], padded on the right with 0.

        There is at least one time step.
        """
        text = tf.strings.regex_replace(text, CUT, "")
        text = tf.strings.regex_replace(text, LAST_SPACE, rf"\1{CUT}\2")
        text = tf.strings.regex_replace(text, f"({WORD})", rf"\1{CUT}")
        words = tf.strings.split(text, CUT)
        words = tf.ragged.boolean_mask(words, tf.strings.length(words) > 0)
        tokens, lengths = self.encode_words(words.values)
        row_lengths = tf.math.segment_sum(lengths, words.value_rowids())
        empty_rows = tf.cast(words.nrows(), tf.int32) - tf.shape(row_lengths)[0]
        row_lengths = tf.pad(row_lengths, [[0, empty_rows]])
        rows = tf.RaggedTensor.from_row_lengths(tokens, row_lengths).to_tensor(0)
        missing = tf.maximum(0, 1 - tf.shape(rows)[1])
        return tf.cast(tf.pad(rows, [[0, 0], [0, missing]]), tf.int32)

    def encode_words(self, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the concatenated tokens of words, int64, and the number of tokens of each, int64 [words]."""
        all_bytes = tf.io.decode_raw(tf.strings.reduce_join(words), tf.uint8)
        tokens = tf.RaggedTensor.from_row_lengths(
            tf.gather(self.byte_numbers, tf.cast(all_bytes, tf.int32)), tf.strings.length(words)
        ).to_tensor(-1)

        def merge(tokens, _):
            next_tokens = tf.pad(tokens[:, 1:], [[0, 0], [0, 1]], constant_values=-1)
            is_pair = (tokens >= 0) & (next_tokens >= 0)
            ranks = self.ranks.lookup(tf.where(is_pair, tokens * self.count + next_tokens, -2))
            first_rank = tf.reduce_min(ranks, axis=1, keepdims=True)
            has_pair = first_rank < NOT_LEARNED
            positions = tf.range(tf.shape(tokens, tf.int64)[1])[None]
            candidates = tf.where((ranks == first_rank) & has_pair, positions, NOT_LEARNED)
            position = tf.reduce_min(candidates, axis=1, keepdims=True)
            merged = tf.gather(self.merged, tf.minimum(first_rank, len(self.merged) - 1))
            shifted = tf.where(positions == position, merged, next_tokens)
            return tf.where(positions < position, tokens, shifted), tf.reduce_any(has_pair)

        tokens, _ = tf.while_loop(
            lambda _, has_pair: has_pair, merge, (tokens, tf.size(tokens) > 0),
            shape_invariants=(tf.TensorShape([None, None]), tf.TensorShape([])),
        )  # fmt: skip
        is_token = tokens >= 0
        lengths = tf.reduce_sum(tf.cast(is_token, tf.int64), axis=1)
        return tokens[is_token] + len(RESERVED), lengths

    def decode(self, tokens: tf.Tensor) -> tf.Tensor:
        """Returns the text, string [batch], of tokens, int [batch, time]; bytes that are not UTF-8 become U+FFFD."""
        tokens = tf.where(tokens < len(self.texts), tokens, 0)
        text = tf.strings.reduce_join(tf.gather(tf.constant(self.texts), tokens), axis=-1)
        return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")


def byte_letters() -> list[str]:
    """Returns the letter for each byte [2]: the byte's own character if it is visible, else one from U+0100."""
    visible = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    invisible = [byte for byte in range(256) if byte not in visible]
    letters = {byte: chr(byte) for byte in visible}
    letters |= {byte: chr(256 + i) for i, byte in enumerate(invisible)}
    return [letters[byte] for byte in range(256)]
