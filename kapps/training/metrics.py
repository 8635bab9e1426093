"""Metrics that Keras lacks.

[1] Graves 2012, Supervised sequence labelling with recurrent neural networks, section 2.3.3
[2] Shi 2015, arXiv:1506.04214, Table 1
[3] Dowson 1982, The Frechet distance between multivariate normal distributions, equation 4
"""

from collections.abc import Sequence

import keras
from keras import ops

from kapps._values import short


@keras.saving.register_keras_serializable("kapps")
class Perplexity(keras.metrics.Mean):
    """exp(-1/n sum log P) over all n tokens since the last reset, however they are batched.

    Tokens of sample weight 0, such as padding, do not count.

    Args:
        from_logits: whether the model returns logits; otherwise it returns probabilities.
        name: name of the metric.
        **kwargs: other arguments of `keras.metrics.Mean`.
    """

    def __init__(self, from_logits=True, name="perplexity", **kwargs):
        super().__init__(name=name, **kwargs)
        self.from_logits = from_logits

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        y_pred = ops.cast(y_pred, "float32")
        losses = ops.sparse_categorical_crossentropy(y_true, y_pred, self.from_logits)
        super().update_state(losses, sample_weight)

    def result(self):
        return ops.exp(super().result())

    def get_config(self) -> dict:
        return {**super().get_config(), "from_logits": self.from_logits}


@keras.saving.register_keras_serializable("kapps")
class ExitPerplexity(Perplexity):
    """The perplexity of a decoder with exits: exp of the mean over tokens and exits of -log P at the exit.

    The predictions are those of `kapps.training.ExitCrossentropy`: scores (batch, time, exits, tokens), whose softmax
    over the tokens is the distribution of an exit.
    """

    def __init__(self, from_logits=True, name="perplexity", **kwargs):
        super().__init__(from_logits, name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        shape = ops.shape(y_pred)[:3]
        y_true = ops.broadcast_to(ops.cast(y_true, "int32")[..., None], shape)
        if sample_weight is not None:
            sample_weight = ops.broadcast_to(ops.expand_dims(sample_weight, -1), shape)
        super().update_state(y_true, y_pred, sample_weight)


@keras.saving.register_keras_serializable("kapps")
def frame_cross_entropy(true, predicted) -> keras.KerasTensor:
    """Returns the binary cross-entropy in nats, summed over the pixels of each frame, (batch, time): the metric of [2].

    Args:
        true: frames in [0, 1], (batch, time, height, width, channels).
        predicted: probabilities of the same shape.
    """
    true = ops.cast(true, "float32")
    predicted = ops.clip(ops.cast(predicted, "float32"), 1e-7, 1 - 1e-7)
    loss = -true * ops.log(predicted) - (1 - true) * ops.log(1 - predicted)
    return ops.sum(loss, axis=(-3, -2, -1))


def label_error_rate(
    predicted: Sequence[Sequence[int]], expected: Sequence[Sequence[int]]
) -> float:
    """Returns the label error rate: the sum of all edit distances divided by the number of expected labels [1].

    An edit distance counts insertions, deletions and substitutions, so the rate can be larger than 1.

    Args:
        predicted: label sequences, labels from 1, padded with 0 or each of its own length.
        expected: the same number of sequences.

    Raises:
        ValueError: if the numbers of sequences differ, or if there is no expected label.
    """
    for name, rows in {"predicted": predicted, "expected": expected}.items():
        if not hasattr(rows, "__len__") or isinstance(rows, (str, dict)):
            raise ValueError(f"{name}={short(rows)} is not a list of sequences of labels")
    if len(predicted) != len(expected):
        raise ValueError(
            f"predicted has {len(predicted)} sequences, but expected has {len(expected)}"
        )
    predicted, expected = (
        [[int(label) for label in row if label] for row in rows] for rows in (predicted, expected)
    )
    labels = sum(map(len, expected))
    if not labels:
        raise ValueError("expected has no label, so there is no error rate")
    return sum(map(edit_distance, predicted, expected)) / labels


def edit_distance(a: Sequence[int], b: Sequence[int]) -> int:
    """Returns the number of insertions, deletions and substitutions from one sequence to another (Levenshtein)."""
    row = list(range(len(b) + 1))  # the distances from the first 0 labels of a to the first j of b
    for i, label in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (label != other))
    return row[-1]


@keras.saving.register_keras_serializable("kapps")
class FrechetDistance(keras.metrics.Metric):
    """The squared Frechet distance between two sets of vectors, each taken as a normal distribution [3].

    ||m - n||^2 + tr(C + D - 2 (C D)^(1/2)) for the means m and n and the covariances C and D of all vectors since the
    last reset. With the features of a classifier it is a score of generated images, which depends on that classifier.
    FID is the score of the features of one Inception network.

    Args:
        size: length of a vector.
        name: name of the metric.
        **kwargs: other arguments of `keras.metrics.Metric`.
    """

    def __init__(self, size, name="frechet_distance", **kwargs):
        super().__init__(name=name, **kwargs)
        self.size = size
        self.count = self.add_variable((), "zeros", name="count")
        self.sums = self.add_variable((2, size), "zeros", name="sums")
        self.products = self.add_variable((2, size, size), "zeros", name="products")

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Adds as many vectors to both sets, (batch, size) each."""
        del sample_weight
        x = ops.stack([ops.cast(vectors, self.dtype) for vectors in (y_true, y_pred)])
        self.count.assign_add(ops.cast(ops.shape(x)[1], self.dtype))
        self.sums.assign_add(ops.sum(x, axis=1))
        self.products.assign_add(ops.matmul(ops.swapaxes(x, 1, 2), x))

    def result(self):
        """Returns the distance; 0 before two vectors."""
        n = ops.maximum(ops.convert_to_tensor(self.count), 2.0)
        mean = self.sums / n
        covariances = (self.products - n * mean[:, :, None] * mean[:, None, :]) / (n - 1)
        c, d = ops.unstack(covariances, 2)
        # The eigenvalues of C D are those of C^(1/2) D C^(1/2), which is symmetric.
        values, vectors = ops.eigh(c)
        root = vectors * ops.sqrt(ops.maximum(values, 0.0))
        values, _ = ops.eigh(ops.matmul(ops.transpose(root), ops.matmul(d, root)))
        shared = ops.sum(ops.sqrt(ops.maximum(values, 0.0)))
        distance = ops.sum(ops.square(mean[0] - mean[1])) + ops.trace(c) + ops.trace(d) - 2 * shared
        return ops.where(self.count < 2, 0.0, ops.maximum(distance, 0.0))

    def get_config(self) -> dict:
        return {**super().get_config(), "size": self.size}
