"""XNOR-Net on LeNet-5, for digits of 28x28 pixels.

[1] Rastegari 2016, arXiv:1603.05279
[2] github.com/jiecaoyu/XNOR-Net-PyTorch, MNIST: 99.23 % on MNIST; 99.34 % in full precision

The network is that of [2], which has a ReLU after each binary layer. The second convolution and the first dense layer are
binary. Departure: [2] keeps the scales of its batch norms above 0.01.
"""

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import batch_norm, binary_conv, conv
from kapps.preprocessing import DIGITS

RASTEGARI = "arXiv:1603.05279"


def xnor_relu(x, filters, kernel_size, *, name):
    """Batch norm, convolution of the signs with a binary kernel, ReLU."""
    x = batch_norm(x, epsilon=1e-4, name=f"{name}_bn")
    x = binary_conv(
        x, filters, kernel_size, padding="valid", use_bias=True, binary_input=True, name=name
    )
    return layers.Activation("relu", name=f"{name}_relu")(x)


def head(x, classes, activation):
    """A binary dense layer, a 1x1 convolution of one pixel, and a real one."""
    x = heads.flatten(x)
    x = layers.Reshape((1, 1, x.shape[-1]), name="head_pixel")(x)
    x = xnor_relu(x, 500, 1, name="head_dense1")
    return heads.classifier(heads.pool(x, "avg"), classes, activation)


@image_family(
    minimum=16, padding="valid", input_shape=(28, 28, 1), classes=10, preprocessing=DIGITS, any_size=False,
    head=head,
)  # fmt: skip
def body(x, *, filters=(20, 50)):
    """Builds two 5x5 convolutions of `filters`, the second one binary, each followed by 2x2 max pooling."""
    x = conv(
        x, filters[0], 5, padding="valid", use_bias=True, initializer="he_normal", name="stem_conv"
    )
    x = layers.BatchNormalization(
        momentum=0.9, epsilon=1e-4, center=False, scale=False, name="stem_conv_bn"
    )(x)
    x = layers.Activation("relu", name="stem_conv_relu")(x)
    x = layers.MaxPooling2D(2, name="level1_pool")(x)
    x = xnor_relu(x, filters[1], 5, name="level1_conv")
    return layers.MaxPooling2D(2, name="level2_pool")(x)


# fmt: off
#                                                                              trainable parameters and multiply-accumulates
xnor_lenet5 = variant(body, "xnor_lenet5", filters=(20, 50), paper=RASTEGARI, params=432_720, macs=2_293_000)
# fmt: on
