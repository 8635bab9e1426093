"""LeNet-5: convolutions and averaging, then dense layers, for digits of 28x28.

[1] LeCun 1998, "Gradient-based learning applied to document recognition", Figure 2

What is built is the network that goes by the name today, 61,706 parameters. Departures from [1] (60,000):
- The image is 28x28 and the first convolution pads it by 2, where [1] centres the digit in 32x32: the same places.
- The second convolution reads all 6 maps; Table I of [1] leaves out 36 of 96 pairs of maps, "to break symmetry".
- Averages have no trainable coefficient and bias; activations are tanh(x), not 1.7159 tanh(2x / 3).
- Classes are logits of a dense layer, not distances to drawn bitmaps of 84 pixels (radial basis functions).
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cards import Preprocessing
from kapps.layers import conv

# Section II.B of [1]: white is -0.1, black 1.175.
DIGITS = Preprocessing(size=(28, 28), crop=1.0, mean=(0.1 / 1.275,), std=(1 / 1.275,))


@image_family(
    minimum=12, input_shape=(28, 28, 1), classes=10, preprocessing=DIGITS, any_size=False,
    head=partial(heads.flatten_dense, units=(120, 84), hidden_activation="tanh", dropout=0),
)  # fmt: skip
def body(x, *, filters=(6, 16)):
    """C1 to S4: two 5x5 convolutions of `filters`, the second without padding, a mean of each 2x2 after each."""
    options = dict(use_bias=True, activation="tanh", initializer="glorot_uniform")
    x = conv(x, filters[0], 5, **options, name="stem_conv")
    x = layers.AveragePooling2D(2, name="level1_pool")(x)
    x = conv(x, filters[1], 5, padding="valid", **options, name="level1_conv")
    return layers.AveragePooling2D(2, name="level2_pool")(x)


# fmt: off
#                                                                         trainable parameters and multiply-accumulates
lenet5 = variant(body, "lenet5", filters=(6, 16), paper="LeCun 1998", params=61_706, macs=416_520)
# fmt: on
