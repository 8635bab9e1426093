"""Residual attention networks, and AttentionNeXt.

[1] Wang 2017, arXiv:1704.06904, and its authors' networks for Caffe

An attention module has a trunk T of two residual units and a soft mask M, and returns (1 + M) T. The mask pools its
input as often as its level needs for a smallest map of 7x7, and enlarges it again by interpolation with aligned
corners, with a residual unit after each step. A unit precedes both branches and one follows the module: p = 1, t = 2 and
r = 1 of [1]. The units of the Attention networks are pre-activated, as those of ResNet v2; those of AttentionNeXt are
ResNeXt's, with 32 groups.

Departures from the paper: Attention-92 has 52.5 million parameters, as the authors' network has; [1] prints 51.3.
Departures from the authors' networks:
- A pooling of a map with an odd side pads it on every side, where Caffe's does not pad. All sides are even for images
  of 224x224 and 320x320 pixels.
- The classifier of their AttentionNeXt-92 reads a map that no layer computes. Here it reads the pooled features, as in
  the other networks.

`form="pytorch"` builds the networks of pytorchcv and other ports to PyTorch. They have the same parameters and compute
another function: poolings are padded on every side, a skip connection of a mask is 2 x + f(x) and not x + f(x), and the
trunk is added to the mask before its last two convolutions.
"""

from functools import partial

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.cnn import resnet, resnet_v2
from kapps.layers import AlignCornersResize, batch_norm, conv, conv_bn, max_pool

WANG = "arXiv:1704.06904"


def unit(x, filters, *, strides=1, preactivation, name):
    """A residual unit of ResNet v2, or one of ResNeXt with 32 groups."""
    if preactivation:
        return resnet_v2.bottleneck(x, filters // 4, strides=strides, activate=True, name=name)
    block = partial(
        resnet.bottleneck, filters=filters // 4, groups=32, group_width=4, stride_in="3x3"
    )
    return resnet.residual(x, block, strides=strides, name=name)


def pool(x, *, form, name):
    """3x3 max pooling with strides of 2, of signed values."""
    if form == "caffe":
        return max_pool(x, padding="same", name=name)
    return max_pool(x, negative=True, name=name)


def soft_mask(x, trunk, residual, *, poolings, preactivation, form, name):
    """M: 3x3 max poolings and units, interpolations and units, two 1x1 convolutions and a sigmoid."""
    maps = []
    for i in range(1, poolings + 1):
        x = pool(x, form=form, name=f"{name}_down{i}_pool")
        x = residual(x, name=f"{name}_down{i}")
        maps.append(x)
    for i in range(poolings, 1, -1):
        x = residual(x, name=f"{name}_up{i}")
        smaller, x = x, maps[i - 2]
        y = residual(x, name=f"{name}_skip{i - 1}")
        if form == "pytorch":
            y = layers.Add(name=f"{name}_skip{i - 1}_twice")([x, y])
        x = AlignCornersResize(name=f"{name}_up{i}_resize")([smaller, x])
        x = layers.Add(name=f"{name}_up{i}_sum")([x, y])
    x = residual(x, name=f"{name}_up1")
    x = AlignCornersResize(name=f"{name}_up1_resize")([x, trunk])
    if form == "pytorch":
        x = layers.Add(name=f"{name}_up1_sum")([x, trunk])
    if preactivation:
        x = batch_norm(x, activation="relu", name=f"{name}_mask_norm")
    x = conv_bn(x, trunk.shape[-1], 1, activation="relu", name=f"{name}_mask_conv1")
    x = conv(x, trunk.shape[-1], 1, name=f"{name}_mask_conv2")
    return layers.Activation("sigmoid", name=f"{name}_mask")(x)


def attention_module(x, *, poolings, preactivation, form, name):
    """(1 + M) T between two units, with T two units."""
    residual = partial(unit, filters=x.shape[-1], preactivation=preactivation)
    x = residual(x, name=f"{name}_trunk1")
    trunk = residual(residual(x, name=f"{name}_trunk2"), name=f"{name}_trunk3")
    mask = soft_mask(
        x, trunk, residual, poolings=poolings, preactivation=preactivation, form=form, name=name
    )  # fmt: skip
    x = layers.Multiply(name=f"{name}_attention")([trunk, mask])
    x = layers.Add(name=f"{name}_attended")([trunk, x])
    return residual(x, name=f"{name}_last")


@image_family(minimum=32)
def body(x, *, modules, poolings=(3, 2, 1), filters=256, preactivation=True, form="caffe"):
    """Builds a residual attention network. Its last level has three residual units and no module.

    Args:
        modules: number of attention modules at the levels 2, 3 and 4, after one residual unit.
        poolings: number of poolings of the masks at these levels.
        filters: channels at level 2; each next level has twice as many.
        preactivation: whether the units are pre-activated; else they are those of ResNeXt.
        form: "caffe" for the authors' function, "pytorch" for that of the ports to PyTorch.
    """
    if form not in ("caffe", "pytorch"):
        raise ValueError(f'form={form!r} is not "caffe" or "pytorch"')
    if len(poolings) < len(modules):
        raise ValueError(f"poolings={poolings} has fewer levels than modules={modules}")
    x = conv_bn(x, 64, 7, strides=2, activation="relu", name="stem_conv")
    x = pool(x, form=form, name="stem_pool")
    for level, strides, name in levels([*(1 + n for n in modules), 3]):
        stage = level - 2
        if stage < len(modules) and not name.endswith("_block1"):
            x = attention_module(
                x, poolings=poolings[stage], preactivation=preactivation, form=form, name=name
            )  # fmt: skip
        else:
            x = unit(
                x, filters * 2**stage, strides=strides, preactivation=preactivation, name=name
            )  # fmt: skip
    return batch_norm(x, activation="relu", name=f"level{level}_norm") if preactivation else x


# fmt: off
#                                                                modules at levels 2 to 4  units                              trainable parameters and multiply-accumulates
residual_attention56 = variant(body, "residual_attention56", modules=(1, 1, 1),                       paper=WANG, params=31_810_728, macs=6_270_836_736)
residual_attention92 = variant(body, "residual_attention92", modules=(1, 2, 3),                       paper=WANG, params=52_466_344, macs=10_533_789_696)
attention_next56     = variant(body, "attention_next56",     modules=(1, 1, 1), preactivation=False,  paper=WANG, params=31_318_824, macs=6_419_106_816)
attention_next92     = variant(body, "attention_next92",     modules=(1, 2, 3), preactivation=False,  paper=WANG, params=52_102_952, macs=10_704_337_920)
# fmt: on
