"""The parts of end-to-end memory networks: sentences as vectors, their times, and hops over them.

[1] Sukhbaatar 2015, arXiv:1503.08895
[2] their code, https://github.com/facebook/MemNN
"""

import math

import keras
import numpy as np
from keras import ops

from kapps._checked import check_argument
from kapps._values import is_integer, is_number, short
from kapps.layers.multi_head_attention import masked_softmax, scores_dtype

ENCODINGS = ("code", "paper", "bag")
TIMES = ("vector", "word")


def word_weights(encoding, words, width):
    """Returns l, the weight of word j of J in dimension k of d, float32 (J, d); j and k count from 1.

    - "paper": (1 - j/J) - (k/d) (1 - 2j/J) [1, 4.1];
    - "code": 1 + 4 (k - (d + 1)/2) (j - (J + 1)/2) / (d J) [2];
    - "bag": 1, a bag of words.
    """
    j, k = np.arange(1, words + 1)[:, None], np.arange(1, width + 1)[None]
    if encoding == "paper":
        weights = (1 - j / words) - (k / width) * (1 - 2 * j / words)
    elif encoding == "code":
        weights = 1 + 4 * (k - (width + 1) / 2) * (j - (words + 1) / 2) / (width * words)
    else:
        weights = np.ones((words, width))
    return weights.astype("float32")


@keras.saving.register_keras_serializable("kapps")
class SplitQuestion(keras.layers.Layer):
    """Splits a text into its story and its question, the last sentence.

    Input: (batch, sentences + 1, words). Output: (batch, sentences, words) and (batch, words).
    """

    def call(self, inputs):
        return inputs[:, :-1], inputs[:, -1]

    def compute_output_shape(self, input_shape):
        batch, sentences, words = input_shape
        return (batch, None if sentences is None else sentences - 1, words), (batch, words)

    def profile_cost(self, input_shapes, output_shapes):
        """Nothing is computed (see `kapps.analysis.register_cost`)."""
        del input_shapes, output_shapes
        return {}


@keras.saving.register_keras_serializable("kapps")
class SentenceTimes(keras.layers.Layer):
    """The time of each sentence of a story, counted back from the question: the newest has 1 [1, 4.1].

    Input: tokens, int32 (batch, sentences, words). Output: int32 (batch, sentences). A sentence of padding only (token
    0) has the time 0 and does not count; so has a sentence that is older than `memories`.

    Args:
        memories: T, the largest time.
        noise: training counts empty sentences at random places, this fraction of the story's sentences on average
            ("random noise" [1]): all older sentences have a later time.
        seed: seed of the random places.
    """

    def __init__(self, memories, noise=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not is_integer(memories, 1, 2**24):
            raise ValueError(f"{self.name}: memories={short(memories)} is not a positive integer")
        if not is_number(noise) or not 0 <= noise < 1:
            raise ValueError(f"{self.name}: noise={short(noise)} is not a fraction in [0, 1)")
        self.memories, self.noise, self.seed = memories, noise, seed
        self.generator = keras.random.SeedGenerator(seed) if noise else None

    def call(self, inputs, training=False):
        is_real = ops.any(ops.not_equal(inputs, 0), axis=-1)
        count = ops.cast(is_real, "int32")
        if training and self.generator is not None:
            empty = keras.random.uniform(ops.shape(count), seed=self.generator) < self.noise
            count = count * (1 + ops.cast(empty, "int32"))
        times = ops.flip(ops.cumsum(ops.flip(count, axis=1), axis=1), axis=1)
        return ops.where(ops.logical_and(is_real, times <= self.memories), times, 0)

    def compute_output_spec(self, inputs, training=False):
        del training
        return keras.KerasTensor(inputs.shape[:-1], "int32")

    def get_config(self):
        options = ("memories", "noise", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def profile_cost(self, input_shapes, output_shapes):
        """A comparison of each token, and a sum for each sentence."""
        return {"elementwise": math.prod(input_shapes[0]), "additions": math.prod(output_shapes[0])}


@keras.saving.register_keras_serializable("kapps")
class SentenceEmbedding(keras.layers.Layer):
    """Embeds sentences: m_i = sum_j l_j * A x_ij + T_A(i), with one matrix A and one vector T_A for each time [1, 4.1].

    Call: `layer(tokens)` with int32 (batch, ..., words) returns (batch, ..., width); `layer(tokens, times)` adds the
    vectors of `SentenceTimes`; `layer(x, reverse=True)` returns the logits A x of each token, (batch, ..., vocabulary),
    float32. The vector of padding (token 0) is 0, and so is that of a sentence whose time is 0.

    Args:
        input_dim: number of tokens V, padding included.
        width: d.
        memories: number of time vectors; 0 for none.
        encoding: l, as for `word_weights`.
        time: "vector" adds T_A(i) [1]; "word" has it as the last word of the sentence, which has its own l [2].
    """

    def __init__(self, input_dim, width, memories=0, encoding="code", time="vector", **kwargs):
        super().__init__(**kwargs)
        if not is_integer(input_dim, 1, 2**24):
            raise ValueError(f"{self.name}: input_dim={short(input_dim)} is not a positive integer")
        check_argument(self.name, "width", width, int)
        if memories:
            check_argument(self.name, "length", memories, int)
        for option, value, allowed in (("encoding", encoding, ENCODINGS), ("time", time, TIMES)):
            if value not in allowed:
                raise ValueError(f"{option} is one of {', '.join(allowed)}, not {short(value)}")
        self.input_dim, self.width, self.memories = input_dim, width, memories
        self.encoding, self.time = encoding, time

    def build(self, tokens_shape, times_shape=None):
        del times_shape
        deviation = keras.initializers.RandomNormal(stddev=0.1)
        shape = (self.input_dim, self.width)
        self.embeddings = self.add_weight(shape=shape, initializer=deviation, name="embeddings")
        if self.memories:
            self.time_vectors = self.add_weight(
                shape=(self.memories, self.width), initializer=deviation, name="time_vectors"
            )
        positions = tokens_shape[-1] + (self.time == "word")
        self.word_weights = word_weights(self.encoding, positions, self.width)

    def call(self, tokens, times=None, reverse=False):
        if reverse:
            kernel = ops.transpose(ops.cast(self.embeddings, "float32"))
            return ops.matmul(ops.cast(tokens, "float32"), kernel)
        count = tokens.shape[-1]
        weights = ops.cast(self.word_weights, self.compute_dtype)
        is_word = ops.cast(ops.not_equal(tokens, 0), self.compute_dtype)
        words = ops.take(self.embeddings, tokens, axis=0) * ops.expand_dims(is_word, -1)
        x = ops.sum(words * weights[:count], axis=-2)
        if times is None:
            return x
        vectors = ops.take(self.time_vectors, ops.maximum(times - 1, 0), axis=0)
        vectors = vectors * weights[count] if self.time == "word" else vectors
        return (x + vectors) * ops.cast(ops.expand_dims(times, -1) > 0, x.dtype)

    def compute_output_spec(self, tokens, times=None, reverse=False):
        del times
        if reverse:
            return keras.KerasTensor((*tokens.shape[:-1], self.input_dim), "float32")
        return keras.KerasTensor((*tokens.shape[:-1], self.width), self.compute_dtype)

    def get_config(self):
        options = ("input_dim", "width", "memories", "encoding", "time")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def profile_cost(self, input_shapes, output_shapes):
        """A product and a sum for each value of each word; reversed, a product with the matrix."""
        if output_shapes[0][-1] == self.input_dim and input_shapes[0][-1] == self.width:
            return {"macs": math.prod(input_shapes[0]) * self.input_dim}
        values = math.prod(input_shapes[0]) * self.width
        return {"elementwise": 2 * values, "additions": values}


@keras.saving.register_keras_serializable("kapps")
class MemoryHop(keras.layers.Layer):
    """One hop: p = softmax(m_i . u), o = sum_i p_i c_i, u' = u + o, or with a matrix u' = H u + o [1, 2].

    Call: `layer(u, m, c, times)` with u (batch, d), m and c (batch, memories, d) and the memories' times (batch,
    memories), 0 for none, returns u' (batch, d); with return_attention_scores=True also p, float32 (batch, memories).
    p is float32 under any policy. If all times are 0, o is 0.

    Args:
        projects: whether the hop has the matrix H.
        linear: whether p is without the softmax ("linear start" [1]).
    """

    def __init__(self, projects=False, linear=False, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("projects", projects), ("linear", linear)):
            check_argument(self.name, name, value, bool)
        self.projects, self.linear = projects, linear

    def build(self, u_shape, m_shape, c_shape, times_shape):
        del m_shape, c_shape, times_shape
        if self.projects:
            deviation = keras.initializers.RandomNormal(stddev=0.1)
            shape = (u_shape[-1], u_shape[-1])
            self.kernel = self.add_weight(shape=shape, initializer=deviation, name="kernel")

    def call(self, u, m, c, times, return_attention_scores=False):
        dtype = scores_dtype(u, m)
        query = ops.expand_dims(ops.cast(u, dtype), -1)
        scores = ops.squeeze(ops.matmul(ops.cast(m, dtype), query), -1)
        is_real = times > 0
        p = scores * ops.cast(is_real, dtype) if self.linear else masked_softmax(scores, is_real)
        o = ops.matmul(ops.expand_dims(ops.cast(p, c.dtype), 1), c)
        u = ops.matmul(u, self.kernel) if self.projects else u
        u = u + ops.squeeze(o, 1)
        return (u, p) if return_attention_scores else u

    def compute_output_spec(self, u, m, c, times, return_attention_scores=False):
        del m, c
        output = keras.KerasTensor(u.shape, self.compute_dtype)
        if not return_attention_scores:
            return output
        return output, keras.KerasTensor(times.shape, scores_dtype(output))

    def get_config(self):
        return {**super().get_config(), "projects": self.projects, "linear": self.linear}

    def profile_cost(self, input_shapes, output_shapes):
        """Two products for each value of the memories, a softmax, and the product with H."""
        batch, width = output_shapes[0]
        memories = math.prod(input_shapes[1][:-1])
        macs = 2 * memories * width + (batch * width**2 if self.projects else 0)
        softmax = 0 if self.linear else memories
        return {"macs": macs, "additions": batch * width, "elementwise": 2 * softmax}
