"""The adaptive softmax: log-probabilities of many classes, from narrower matrices for rarer ones.

[1] Grave 2016, arXiv:1609.04309
"""

import itertools
import math

import keras
from keras import ops

from kapps._checked import check_argument
from kapps._values import is_integer, short
from kapps.layers.multi_head_attention import scores_dtype


@keras.saving.register_keras_serializable("kapps")
class AdaptiveSoftmax(keras.layers.Layer):
    """Returns the log-probability of each class; classes are sorted by frequency, the most frequent first [1].

    log p(w | x) = log softmax(x W)_w                                                   w of the head
    log p(w | x) = log softmax(x W)_{cluster of w} + log softmax((x P_i) W_i)_w         w of cluster i

    The head has the classes before the first cutoff and one entry for each cluster. Cluster i = 1, 2, ... has
    the classes from cutoff i to the next one, and P_i projects the d features of x to floor(d / div_value^i). No matrix
    has a bias. The probabilities of all classes sum to 1, so a softmax of the output is the probabilities.
    `torch.nn.AdaptiveLogSoftmaxWithLoss` is the same function with head_bias=False.

    Input: (batch, ..., d), any floating dtype. Output: (batch, ..., classes), computed in float32 at least and cast to
    the layer's dtype. Weights: W `head_kernel` (d, cutoff 1 + clusters), P_i `projection1`, ..., W_i `kernel1`, ...

    Args:
        classes: number of classes.
        cutoffs: first class of each cluster, increasing numbers below `classes`; () for an ordinary softmax.
        div_value: by which the width of each cluster is smaller than that of the one before it.

    Raises:
        ValueError: if the cutoffs are not increasing positive integers below `classes`, or a cluster has no width.
    """

    pointwise = True  # see `kapps.generation.cache_protocol`

    def __init__(self, classes, cutoffs=(), div_value=4.0, **kwargs):
        super().__init__(**kwargs)
        for option, value, kind in (("classes", classes, int), ("div_value", div_value, float)):
            check_argument(self.name, option, value, kind)
        bounds = (*cutoffs, classes)
        if not all(is_integer(bound) for bound in bounds) or any(
            a >= b for a, b in itertools.pairwise(bounds)
        ):
            raise ValueError(
                f"{self.name}: cutoffs={short(cutoffs)} are not increasing integers from 1 to {classes - 1:,}, below "
                f"classes={classes:,}"
            )
        if div_value < 1:
            raise ValueError(f"{self.name}: div_value={div_value} is not a number from 1")
        self.classes, self.cutoffs, self.div_value = classes, tuple(cutoffs), div_value
        self.supports_masking = True

    def build(self, input_shape):
        d, bounds = input_shape[-1], (*self.cutoffs, self.classes)
        self.head_kernel = self.add_weight(
            shape=(d, bounds[0] + len(self.cutoffs)), name="head_kernel"
        )
        self.clusters = []
        for i, (start, end) in enumerate(itertools.pairwise(bounds), start=1):
            width = int(d // self.div_value**i)
            if width < 1:
                raise ValueError(
                    f"{self.name}: {d} features leave no width for {len(self.cutoffs)} clusters at "
                    f"div_value={self.div_value}; pass fewer cutoffs or a smaller div_value"
                )
            projection = self.add_weight(shape=(d, width), name=f"projection{i}")
            kernel = self.add_weight(shape=(width, end - start), name=f"kernel{i}")
            self.clusters.append((projection, kernel))
        self.built = True

    def call(self, inputs):
        dtype = scores_dtype(inputs)
        x = ops.cast(inputs, dtype)
        head = log_softmax(x, self.head_kernel)
        first = head.shape[-1] - len(self.clusters)
        parts = [head[..., :first]]
        for i, (projection, kernel) in enumerate(self.clusters, start=first):
            within = log_softmax(ops.matmul(x, ops.cast(projection, dtype)), kernel)
            parts.append(head[..., i : i + 1] + within)
        y = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.classes)

    def get_config(self):
        options = dict(classes=self.classes, cutoffs=self.cutoffs, div_value=self.div_value)
        return {**super().get_config(), **options}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns the products of all matrices and the softmaxes, two functions and two sums for each class."""
        (shape,) = input_shapes
        steps = math.prod(shape[:-1])
        return {
            "macs": steps * sum(math.prod(weight.shape) for weight in self.weights),
            "additions": 2 * math.prod(output_shapes[0]),
            "elementwise": 2 * math.prod(output_shapes[0]),
            "reach": "mix",
            "axes": (len(shape) - 1,),
        }


def log_softmax(x, kernel):
    """Returns log softmax(x W) along the last axis."""
    return ops.log_softmax(ops.matmul(x, ops.cast(kernel, x.dtype)), axis=-1)
