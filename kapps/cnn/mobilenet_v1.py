"""MobileNet V1.

[1] Howard 2017, arXiv:1704.04861, Table 1

The resolution multiplier of [1] is the input's shape: 224, 192, 160 or 128 pixels, or any other.

Departures from the paper:
- Activations are ReLU6, as in the authors' code, timm and Keras Applications; [1] has ReLU.
- The last depthwise convolution has strides of 1: Table 1 prints 2, but its output is as large as its 7x7 input.
- Batch norms have momentum 0.9, as in all families.

Strided convolutions are padded as TensorFlow's SAME, as in the authors' code, and batch norms have its epsilon, 1e-3. The
networks of timm pad on every side and have epsilon 1e-5: `padding="symmetric"`. Keras Applications' MobileNet pads a
strided depthwise convolution on the right and bottom whatever the size, so it equals the authors' where these maps are
even, as at 224, 192, 160, 128 and 96 pixels.
"""

from kapps.builders import image_family, levels, variant
from kapps.layers import conv_bn, depthwise_bn, published_epsilon
from kapps.preprocessing import INCEPTION

HOWARD = "arXiv:1704.04861"


def depthwise_separable(x, filters, *, strides, name):
    """3x3 depthwise convolution and 1x1 pointwise convolution, each with batch norm and ReLU6."""
    norm = {"activation": "relu6", "epsilon": published_epsilon()}
    x = depthwise_bn(x, 3, strides=strides, **norm, name=f"{name}_depthwise")
    return conv_bn(x, filters, 1, **norm, name=f"{name}_pointwise")


@image_family(minimum=32, preprocessing=INCEPTION, padding="same")
def body(x, *, width_multiplier=1.0):
    """Builds MobileNet V1; `width_multiplier` is alpha of [1]."""
    x = conv_bn(
        x, int(32 * width_multiplier), 3, strides=2, activation="relu6",
        epsilon=published_epsilon(), name="stem_conv",
    )  # fmt: skip
    for level, strides, name in levels((1, 2, 2, 6, 2), first=1):
        filters = int(32 * 2**level * width_multiplier)
        x = depthwise_separable(x, filters, strides=strides, name=name)
    return x


# fmt: off
#                                                                           alpha                     trainable parameters and multiply-accumulates
mobilenet_v1_025 = variant(body, "mobilenet_v1_025", width_multiplier=0.25, paper=HOWARD, params=470_072, macs=41_030_272)
mobilenet_v1_050 = variant(body, "mobilenet_v1_050", width_multiplier=0.50, paper=HOWARD, params=1_331_592, macs=149_497_088)
mobilenet_v1_075 = variant(body, "mobilenet_v1_075", width_multiplier=0.75, paper=HOWARD, params=2_585_560, macs=325_400_448)
mobilenet_v1     = variant(body, "mobilenet_v1",     width_multiplier=1.00, paper=HOWARD, params=4_231_976, macs=568_740_352)
# fmt: on
