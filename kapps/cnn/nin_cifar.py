"""Network in network for CIFAR.

[1] Lin 2013, arXiv:1312.4400, and its author's code for CIFAR, github.com/mavenlin/cuda-convnet

Departures from the paper:
- [1] prints no widths and paddings; they are those of its code, with poolings padded by 1 on every side as in
  pytorchcv.
- Average pooling counts its padding, as in pytorchcv.
- Initialisation is that of `kapps.cnn.nin`.
"""

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cnn.nin import mlpconv
from kapps.layers import average_pool, max_pool
from kapps.preprocessing import CIFAR10

LIN = "arXiv:1312.4400"


@image_family(
    minimum=8,
    input_shape=(32, 32, 3),
    classes=10,
    preprocessing=CIFAR10,
    head=heads.class_map_pooling,
)
def body(x, *, filters=((192, 160, 96), (192, 192, 192), (192, 192))):
    """Builds mlpconv blocks of `filters` at the levels 0, 1 and 2; the last convolution belongs to the head."""
    x = mlpconv(x, filters[0], 5, name="level0")
    x = max_pool(x, name="level1_pool")
    x = layers.Dropout(0.5, name="level1_dropout")(x)
    x = mlpconv(x, filters[1], 5, name="level1")
    x = average_pool(x, name="level2_pool")
    x = layers.Dropout(0.5, name="level2_dropout")(x)
    return mlpconv(x, filters[2], 3, name="level2")


# fmt: off
# trainable parameters and multiply-accumulates
nin_cifar = variant(body, "nin_cifar", filters=((192, 160, 96), (192, 192, 192), (192, 192)), paper=LIN,  params=966_986, macs=222_486_528)
# fmt: on
