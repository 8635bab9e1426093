"""Binary ResNets: Binary-Weight-Network and XNOR-Net.

[1] Rastegari 2016, arXiv:1603.05279

The 3x3 kernels are binary; in XNOR-Net their inputs are too. The first convolution, the projections of the shortcuts and
the classifier are real. `bwn_resnet18` is ResNet-18 with binary kernels. In `xnor_resnet18` batch norm and sign precede
each convolution, the order of figure 3 of [1], and the last block is followed by batch norm and ReLU, as the authors'
AlexNet ends.

The authors published no code of their ResNets. What their paper does not print is as in public ports:
- Shortcuts project by a real 1x1 convolution and batch norm, type B of He 2015.
- Ports with the batch norm after each convolution have 11,689,512 parameters, as ResNet-18. With the batch norm before
  it, as here, they have 128 more: other batch norms have other widths.
- Convolutions have no biases. The input is not scaled, as in the authors' AlexNet; `input_scale=True` of
  `kapps.families.xnor_resnet` multiplies each convolution by K of [1], section 3.2.

Top-1 accuracy on ImageNet by [1]: 69.3 % in full precision, 60.8 % with binary weights, 51.2 % for XNOR-Net.
"""

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.layers import batch_norm, binary_conv, conv_bn, max_pool

RASTEGARI = "arXiv:1603.05279"


def bwn(x, filters, *, strides, input_scale, name):
    """Two 3x3 convolutions with binary kernels, each followed by batch norm, the first also by a ReLU."""
    if input_scale:
        raise ValueError(f"{name}: input_scale=True needs binary inputs: block=xnor")
    x = binary_conv(x, filters, 3, strides=strides, name=f"{name}_conv1")
    x = batch_norm(x, activation="relu", name=f"{name}_conv1_bn")
    x = binary_conv(x, filters, 3, name=f"{name}_conv2")
    return batch_norm(x, name=f"{name}_conv2_bn")


def xnor(x, filters, *, strides, input_scale, name):
    """Twice: batch norm, 3x3 convolution of the signs with a binary kernel."""
    for part, step in (("conv1", strides), ("conv2", 1)):
        x = batch_norm(x, epsilon=1e-4, name=f"{name}_{part}_bn")
        x = binary_conv(
            x, filters, 3, strides=step, binary_input=True, input_scale=input_scale,
            name=f"{name}_{part}",
        )  # fmt: skip
    return x


def residual(x, y, block, *, name):
    """x + y; with binary weights only, a ReLU follows."""
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(x) if block is bwn else x


@image_family(minimum=32)
def body(x, *, depths, block=xnor, input_scale=False):
    """Builds a binary ResNet.

    Args:
        depths: number of blocks at the levels 2, 3, 4 ...
        block: `bwn` for binary weights or `xnor` for binary inputs too.
        input_scale: with `xnor`, whether the outputs of convolutions are multiplied by K.
    """
    x = conv_bn(x, 64, 7, strides=2, activation="relu", name="stem_conv")
    x = max_pool(x, name="stem_pool")
    for level, strides, name in levels(depths):
        filters = 16 * 2**level
        y = block(x, filters, strides=strides, input_scale=input_scale, name=name)
        if strides > 1 or x.shape[-1] != filters:
            x = conv_bn(x, filters, 1, strides=strides, name=f"{name}_shortcut")
        x = residual(x, y, block, name=name)
    return x if block is bwn else batch_norm(x, activation="relu", name=f"level{level}_norm")


# fmt: off
#                                                    blocks at levels 2 to 5                      trainable parameters and multiply-accumulates
bwn_resnet18  = variant(body, "bwn_resnet18",  depths=(2, 2, 2, 2), block=bwn,  paper=RASTEGARI, params=11_689_512, macs=1_814_073_344)
xnor_resnet18 = variant(body, "xnor_resnet18", depths=(2, 2, 2, 2), block=xnor, paper=RASTEGARI, params=11_689_640, macs=1_814_073_344)
# fmt: on
