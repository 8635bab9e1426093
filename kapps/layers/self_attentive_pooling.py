"""Self-attentive pooling: several weighted means of the steps of a sequence, with a penalty on equal weights.

[1] Lin 2017, arXiv:1703.03130
"""

import math

import keras
from keras import ops

from kapps._checked import check_argument
from kapps._values import is_integer, is_number, short
from kapps.layers.multi_head_attention import masked_softmax, scores_dtype


@keras.saving.register_keras_serializable("kapps")
class SelfAttentivePooling(keras.layers.Layer):
    """M = A H with A = softmax(W_2 tanh(W_1 H^T)) over the steps, without biases [1, equations 6 and 7].

    In training it adds the loss penalty times P, the mean over the batch of ||A A^T - I||_F^2 [1, equation 8], which is
    large if rows of A attend to the same steps. `keras.Model.losses` has it.

    Input: H, (batch, time, features). Output: M, (batch, hops, features); with return_attention_scores=True also A,
    float32 (batch, hops, time), which is float32 under any policy. Steps that the mask hides have a weight of 0.

    Args:
        hops: r, the number of rows of A.
        units: d_a, the rows of W_1.
        penalty: weight of P; 0 for none.
    """

    def __init__(self, hops, units, penalty=1.0, **kwargs):
        super().__init__(**kwargs)
        if not is_integer(hops, 1, 2**16):
            raise ValueError(
                f"{self.name}: hops={short(hops)} is not a positive integer up to 65,536"
            )
        check_argument(self.name, "units", units, int)
        if not is_number(penalty) or penalty < 0:
            raise ValueError(f"{self.name}: penalty={short(penalty)} is not a number from 0")
        self.hops, self.units, self.penalty = hops, units, penalty
        self.supports_masking = True

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
        self.hop_kernel = self.add_weight(shape=(self.units, self.hops), name="hop_kernel")

    def call(self, inputs, mask=None, return_attention_scores=False, training=False):
        scores = ops.matmul(ops.tanh(ops.matmul(inputs, self.kernel)), self.hop_kernel)
        scores = ops.transpose(ops.cast(scores, scores_dtype(scores)), (0, 2, 1))
        a = masked_softmax(scores, None if mask is None else ops.expand_dims(mask, 1))
        if training and self.penalty:
            products = ops.matmul(a, ops.transpose(a, (0, 2, 1)))
            excess = ops.square(products - ops.eye(self.hops, dtype=products.dtype))
            self.add_loss(self.penalty * ops.mean(ops.sum(excess, axis=(1, 2))))
        m = ops.matmul(ops.cast(a, inputs.dtype), inputs)
        return (m, a) if return_attention_scores else m

    def compute_mask(self, inputs, mask=None):
        del inputs, mask

    def compute_output_spec(self, inputs, mask=None, return_attention_scores=False, training=False):
        del mask, training
        batch, steps, features = inputs.shape
        m = keras.KerasTensor((batch, self.hops, features), self.compute_dtype)
        if not return_attention_scores:
            return m
        return m, keras.KerasTensor((batch, self.hops, steps), scores_dtype(inputs))

    def get_config(self):
        options = ("hops", "units", "penalty")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def profile_cost(self, input_shapes, output_shapes):
        """Two products and a tanh for the scores, a softmax, and the weighted means."""
        del output_shapes
        *steps, features = input_shapes[0]
        steps = math.prod(steps)
        macs = self.units * (features + self.hops) + self.hops * features
        return {"macs": steps * macs, "elementwise": steps * (self.units + 2 * self.hops)}
