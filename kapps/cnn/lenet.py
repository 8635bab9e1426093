"""LeNet-5, for digits of 28x28 pixels.

[1] LeCun 1998, "Gradient-based learning applied to document recognition", Figure 2

This is the network that is called LeNet-5 today, with 61,706 parameters. Departures from [1], which has 60,000:
- The image has 28x28 pixels and the first convolution pads it by 2; [1] centres the digit in 32x32 pixels.
- The second convolution reads all 6 maps; Table I of [1] omits 36 of 96 pairs of maps, "to break symmetry".
- Average pooling has no trainable coefficient and bias. Activations are tanh(x), not 1.7159 tanh(2x / 3).
- Classes are logits of a dense layer, not distances to bitmaps of 84 pixels (radial basis functions).
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import conv
from kapps.preprocessing import DIGITS

LECUN = "LeCun 1998"

conv_tanh = partial(conv, use_bias=True, activation="tanh", initializer="glorot_uniform")


@image_family(
    minimum=12, padding="valid", input_shape=(28, 28, 1), classes=10, preprocessing=DIGITS, any_size=False,
    head=partial(heads.flatten_dense, units=(120, 84), hidden_activation="tanh", dropout=0),
)  # fmt: skip
def body(x, *, filters=(6, 16)):
    """Builds the layers C1 to S4 of [1]: two 5x5 convolutions of `filters`, each followed by 2x2 average pooling."""
    x = conv_tanh(x, filters[0], 5, name="stem_conv")
    x = layers.AveragePooling2D(2, name="level1_pool")(x)
    x = conv_tanh(x, filters[1], 5, padding="valid", name="level1_conv")
    return layers.AveragePooling2D(2, name="level2_pool")(x)


# fmt: off
#                                                                         trainable parameters and multiply-accumulates
lenet5 = variant(body, "lenet5", filters=(6, 16), paper=LECUN, params=61_706, macs=416_520)
# fmt: on
