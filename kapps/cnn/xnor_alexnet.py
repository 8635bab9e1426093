"""Binary AlexNets: Binary-Weight-Network and XNOR-Net.

[1] Rastegari 2016, arXiv:1603.05279, and its authors' code, github.com/allenai/XNOR-Net

The kernels of all layers but the first and the last are binary; in XNOR-Net their inputs are too. The networks are those
of the code: `bwn_alexnet` has convolution, batch norm, ReLU; `xnor_alexnet` has batch norm, sign, convolution, pooling,
the order of figure 3 of [1]. Dense layers are convolutions, as in the code: 6x6 pixels at level 5, then 1x1.

Top-1 accuracy on ImageNet: 56.8 % with binary weights and 44.2 % for XNOR-Net, by [1]; the code's page has 56.8 and
43.3. A figure of 53.8 % for binary weights, in lectures, is from figure 1 of [1].

Departures:
- The code does not scale the input. `input_scale=True` of `kapps.families.xnor_alexnet` multiplies each convolution by
  K of [1], section 3.2.
- Kernels have He's initialisation from a truncated normal distribution.
- A map larger than 6x6 at level 5 is averaged after the dense layers.
"""

from keras import layers

from kapps.builders import image_family, variant
from kapps.layers import batch_norm, binary_conv, conv, max_pool

RASTEGARI = "arXiv:1603.05279"


def bwn(x, filters, kernel_size, *, padding=None, input_scale, name):
    """Convolution with a binary kernel, batch norm, ReLU."""
    if input_scale:
        raise ValueError(f"{name}: input_scale=True needs binary inputs: block=xnor")
    x = binary_conv(x, filters, kernel_size, padding=padding, use_bias=True, name=name)
    return batch_norm(x, activation="relu", epsilon=1e-3, name=f"{name}_bn")


def xnor(x, filters, kernel_size, *, padding=None, input_scale, name):
    """Batch norm, convolution of the signs with a binary kernel."""
    x = batch_norm(x, epsilon=1e-4, name=f"{name}_bn")
    return binary_conv(
        x, filters, kernel_size, padding=padding, use_bias=True, binary_input=True,
        input_scale=input_scale, name=name,
    )  # fmt: skip


@image_family(minimum=223)
def body(
    x, *, block=xnor, filters=(96, 256, 384, 384, 256), units=(4096, 4096), input_scale=False,
    drop_rate=0.0,
):  # fmt: skip
    """Builds a binary AlexNet.

    Args:
        block: `bwn` for binary weights or `xnor` for binary inputs too.
        filters: of the five convolutions.
        units: of the two dense layers.
        input_scale: with `xnor`, whether outputs are multiplied by K.
        drop_rate: dropout of whole channels before the dense layers.
    """
    options = {"input_scale": input_scale}
    x = conv(
        x, filters[0], 11, strides=4, padding=2, use_bias=True, initializer="he_normal",
        name="stem_conv",
    )  # fmt: skip
    x = batch_norm(
        x, activation="relu", epsilon=1e-5 if block is xnor else 1e-3, name="stem_conv_bn"
    )
    x = max_pool(x, padding="valid", name="level3_pool")
    x = block(x, filters[1], 5, name="level3_conv1", **options)
    x = max_pool(x, padding="valid", name="level4_pool")
    for i, width in enumerate(filters[2:], start=1):
        x = block(x, width, 3, name=f"level4_conv{i}", **options)
    x = max_pool(x, padding="valid", name="level5_pool")
    for i, (width, kernel_size) in enumerate(zip(units, (6, 1), strict=True), start=1):
        if drop_rate:
            shape = (None, 1, 1, x.shape[-1])
            x = layers.Dropout(drop_rate, noise_shape=shape, name=f"head_dropout{i}")(x)
        x = block(x, width, kernel_size, padding="valid", name=f"head_conv{i}", **options)
    return batch_norm(x, activation="relu", epsilon=1e-3, name="head_bn") if block is xnor else x


# fmt: off
#                                                                       trainable parameters and multiply-accumulates
bwn_alexnet  = variant(body, "bwn_alexnet",  block=bwn,  drop_rate=0.1, paper=RASTEGARI, params=62_397_480, macs=1_135_256_096)
xnor_alexnet = variant(body, "xnor_alexnet", block=xnor,                paper=RASTEGARI, params=62_397_672, macs=1_135_256_096)
# fmt: on
