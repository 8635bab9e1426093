"""Dilated ResNet: convolutions with dilation in place of the strides of the last levels.

[1] Chen 2014, arXiv:1412.7062    [2] Yu 2015, arXiv:1511.07122    [3] Yu 2017, arXiv:1705.09914

The output stride is that of the last map, 32 in a ResNet. A stage that would reduce the resolution below it has no
strides, and dilations of 2, then 4. It continues the level before it. The weights are those of a ResNet: a file of
torchvision's or timm's ResNet loads. `kapps.segmentation.dilate` does the same to a finished model of any family.

The first block of a dilated stage reads a map of the stage before it, and has the dilation of that stage in its first 3x3,
as in torchvision and timm (`first_dilation="previous"`). DRN-A of [3] has none there (`first_dilation="none"`).
"""

from functools import partial

from kapps.builders import image_family, levels, variant
from kapps.cnn.resnet import basic_block, bottleneck, residual
from kapps.layers import conv_bn, max_pool

CHEN, YU = "arXiv:1412.7062", "arXiv:1705.09914"


def strides_and_dilations(stages, output_stride):
    """Returns the strides and the dilation of each stage; the first stage has the stride 4 of the stem."""
    strides, dilations, stride = [1], [1], 4
    for _ in range(1, stages):
        is_dilated = 2 * stride > output_stride
        stride = stride if is_dilated else 2 * stride
        strides.append(1 if is_dilated else 2)
        dilations.append(dilations[-1] * (2 if is_dilated else 1))
    return strides, dilations


@image_family(minimum=32)
def body(x, *, depths, block=bottleneck, output_stride=8, first_dilation="previous"):
    """Builds dilated ResNet.

    Args:
        depths: number of blocks of each stage.
        block: `kapps.cnn.resnet.basic_block` or `bottleneck`.
        output_stride: 4, 8, 16 or 32, the strides of the last map.
        first_dilation: "previous" or "none", the dilation of a stage's first 3x3.
    """
    if output_stride not in (4, 8, 16, 32):
        raise ValueError(f"output_stride={output_stride} is not 4, 8, 16 or 32")
    if first_dilation not in ("previous", "none"):
        raise ValueError(f'first_dilation={first_dilation!r} is not "previous" or "none"')
    x = conv_bn(x, 64, 7, strides=2, activation="relu", name="stem_conv")
    x = max_pool(x, name="stem_pool")
    strides, dilations = strides_and_dilations(len(depths), output_stride)
    blocks = levels(depths, strides=strides)
    for stage, depth in enumerate(depths):
        for i in range(depth):
            _, block_strides, name = next(blocks)
            dilation = first = dilations[stage]
            if i == 0 and stage:
                first = dilations[stage - 1] if first_dilation == "previous" else 1
                dilation = dilation if first_dilation == "previous" else 1
            stage_block = partial(
                block, filters=64 * 2**stage, groups=1, group_width=64, stride_in="3x3",
                dilation=dilation, first_dilation=first,
            )  # fmt: skip
            x = residual(x, stage_block, strides=block_strides, name=name)
    return x


# fmt: off
#                                                                   blocks of each stage                                             trainable parameters and multiply-accumulates
dilated_resnet18       = variant(body, "dilated_resnet18",       depths=(2, 2,  2, 2), block=basic_block,                    paper=CHEN, params=11_689_512, macs=9_212_825_600)
dilated_resnet50       = variant(body, "dilated_resnet50",       depths=(3, 4,  6, 3),                                       paper=CHEN, params=25_557_032, macs=19_079_364_608)
dilated_resnet50_os16  = variant(body, "dilated_resnet50_os16",  depths=(3, 4,  6, 3), output_stride=16,                     paper=CHEN, params=25_557_032, macs=6_208_618_496)
dilated_resnet101      = variant(body, "dilated_resnet101",      depths=(3, 4, 23, 3),                                       paper=CHEN, params=44_549_160, macs=33_928_249_344)
dilated_resnet101_os16 = variant(body, "dilated_resnet101_os16", depths=(3, 4, 23, 3), output_stride=16,                     paper=CHEN, params=44_549_160, macs=9_920_839_680)
drn_a_50               = variant(body, "drn_a_50",               depths=(3, 4,  6, 3), first_dilation="none",                paper=YU,   params=25_557_032, macs=19_079_364_608)
# fmt: on
