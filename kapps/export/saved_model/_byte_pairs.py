"""Byte pairs in a TensorFlow graph: what `kapps.data.text.subwords` does by the library `tokenizers`, without it.

[1] Sennrich 2016, arXiv:1508.07909    [2] Radford 2019, "Language models are unsupervised multitask learners", 2.2

Text is split into words by the pattern of [2], each word into bytes, and of the pairs beside each other in a word the
one that was learned first is merged, the leftmost where it stands twice, until none is left that was learned.
"""

import json

import numpy as np
import tensorflow as tf

from kapps.data.text import RESERVED, SubwordVocabulary

SPACE = r"\s\x{0B}\x{85}\p{Z}"
"""White space as Unicode has it; RE2's own \\s is ASCII's."""
CUT = "\x1f"
"""Stands between words inside the graph: a control character that texts have not, and that is dropped from them."""
# The pattern of [2] but for its last part but one, white space that nothing else follows: RE2 does not look ahead. So
# the last of several spaces before a word is cut from the others first.
LAST_SPACE = rf"([{SPACE}]+)([{SPACE}][^{SPACE}])"
WORD = rf"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+| ?\p{{N}}+| ?[^{SPACE}\p{{L}}\p{{N}}{CUT}]+|[{SPACE}]+"
NEVER = 2**31 - 1
"""The rank of a pair that was not learned."""


class BytePairs(tf.Module):
    """`SubwordVocabulary` as operations of a graph, builtin ones alone.

    Args:
        subwords: as `kapps.data.text.subwords` learned them.

    Raises:
        ValueError: where the library's settings are others than that function's.
    """

    def __init__(self, subwords: SubwordVocabulary):
        super().__init__()
        content = json.loads(subwords.to_json())
        before = content["pre_tokenizer"] or {}
        plain = before.get("type") == "ByteLevel" and not before["add_prefix_space"]
        if not plain or content["normalizer"] or content["post_processor"]:
            raise ValueError(
                "a graph holds byte pairs of whole words alone, as kapps.data.text.subwords learns them"
            )
        numbers = content["model"]["vocab"]
        letters = alphabet()
        self.size = subwords.size
        self.of_byte = np.array([numbers[letter] for letter in letters], "int64")
        pairs = [
            pair.split(" ") if isinstance(pair, str) else pair
            for pair in content["model"]["merges"]
        ]
        self.merged = np.array([numbers[left + right] for left, right in pairs] or [0], "int64")
        keys = [numbers[left] * len(numbers) + numbers[right] for left, right in pairs] or [-1]
        self.ranks = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(keys, np.arange(len(keys)), tf.int64, tf.int64),
            NEVER,
        )
        self.count = len(numbers)
        byte = {letter: bytes([i]) for i, letter in enumerate(letters)}
        named = sorted(numbers, key=numbers.get)
        # Reserved numbers, and those beyond the vocabulary such as a start and an end, are no text.
        self.texts = [b""] * len(RESERVED) + [b"".join(byte[x] for x in name) for name in named]

    def encode(self, text: tf.Tensor) -> tf.Tensor:
        """Returns the tokens, int32 [batch, time], time from 1, of text, string [batch], padded on the right with 0."""
        text = tf.strings.regex_replace(text, CUT, "")
        text = tf.strings.regex_replace(text, LAST_SPACE, rf"\1{CUT}\2")
        text = tf.strings.regex_replace(text, f"({WORD})", rf"\1{CUT}")
        words = tf.strings.split(text, CUT)
        words = tf.ragged.boolean_mask(words, tf.strings.length(words) > 0)
        held, lengths = self.pairs(words.values)
        rows = tf.math.segment_sum(lengths, words.value_rowids())
        rows = tf.pad(rows, [[0, tf.cast(words.nrows(), tf.int32) - tf.shape(rows)[0]]])
        found = tf.RaggedTensor.from_row_lengths(held, rows).to_tensor(0)
        more = tf.maximum(0, 1 - tf.shape(found)[1])
        return tf.cast(tf.pad(found, [[0, 0], [0, more]]), tf.int32)

    def pairs(self, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the tokens of words, one after the other, int64, and how many each has, int64 [words]."""
        every = tf.io.decode_raw(tf.strings.reduce_join(words), tf.uint8)
        tokens = tf.RaggedTensor.from_row_lengths(
            tf.gather(self.of_byte, tf.cast(every, tf.int32)), tf.strings.length(words)
        ).to_tensor(-1)

        def merge(tokens, _):
            after = tf.pad(tokens[:, 1:], [[0, 0], [0, 1]], constant_values=-1)
            keys = tf.where((tokens >= 0) & (after >= 0), tokens * self.count + after, -2)
            ranks = self.ranks.lookup(keys)
            least = tf.reduce_min(ranks, axis=1, keepdims=True)
            places = tf.range(tf.shape(tokens, tf.int64)[1])[None]
            here = tf.where((ranks == least) & (least < NEVER), places, NEVER)
            at = tf.reduce_min(here, axis=1, keepdims=True)
            both = tf.gather(self.merged, tf.minimum(least, len(self.merged) - 1))
            return tf.where(
                places < at, tokens, tf.where(places == at, both, after)
            ), tf.reduce_any(least < NEVER)

        tokens, _ = tf.while_loop(
            lambda _, more: more, merge, (tokens, tf.size(tokens) > 0),
            shape_invariants=(tf.TensorShape([None, None]), tf.TensorShape([])),
        )  # fmt: skip
        real = tokens >= 0
        return tokens[real] + len(RESERVED), tf.reduce_sum(tf.cast(real, tf.int64), axis=1)

    def decode(self, tokens: tf.Tensor) -> tf.Tensor:
        """Returns the text, string [batch], of tokens, int [batch, time]; bytes that are no UTF-8 become U+FFFD."""
        known = tf.where(tokens < len(self.texts), tokens, 0)
        found = tf.strings.reduce_join(tf.gather(tf.constant(self.texts), known), axis=-1)
        return tf.strings.unicode_transcode(found, "UTF-8", "UTF-8", errors="replace")


def alphabet() -> list[str]:
    """Returns the letter that stands for each byte [2]: itself where it can be seen, else one from U+0100 on."""
    seen = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = [byte for byte in range(256) if byte not in seen]
    letters = {byte: chr(byte) for byte in seen}
    letters |= {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]
