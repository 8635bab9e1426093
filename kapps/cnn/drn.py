"""DRN C and D: dilated residual networks whose last convolutions remove the patterns that dilation leaves in a map.

[1] Yu 2017, arXiv:1705.09914, and the authors' code (github.com/fyu/drn)

The last map has 1/8 of the resolution. Its stages have the dilations 2, 4, 2 and 1; the last two have no residual
connections, since those would pass the pattern on. A stage is a block of two convolutions in C, one convolution in D, at
both ends of the network. DRN-A-50 is `kapps.drn_a_50`, of the family of dilated ResNets.

DRN-C-58 of the authors' code is left out: it has a projection in stage 7 whose output the code does not use.
"""

from functools import partial

from kapps.builders import image_family, levels, variant
from kapps.cnn.resnet import basic_block, bottleneck, residual
from kapps.layers import conv_bn

YU = "arXiv:1705.09914"
FILTERS = (16, 32, 64, 128, 256, 512, 512, 512)
STRIDES = (1, 2, 2, 2, 1, 1, 1, 1)
DILATIONS = (1, 1, 1, 1, 2, 4, 2, 1)
ENDS = (0, 1, 6, 7)
"""Stages of basic blocks in C, and of plain convolutions in D."""
WITHOUT_RESIDUAL = (6, 7)


@image_family(minimum=32)
def body(x, *, depths, block=basic_block, arch="D"):
    """Builds DRN-C or DRN-D.

    Args:
        depths: number of blocks, or of plain convolutions, of each of the eight stages.
        block: `kapps.cnn.resnet.basic_block` or `bottleneck`, of the stages 3 to 6.
        arch: "C" or "D".
    """
    if arch not in ("C", "D"):
        raise ValueError(f'arch={arch!r} is not "C" or "D"')
    if len(depths) != len(FILTERS):
        raise ValueError(f"depths={depths} are not those of {len(FILTERS)} stages")
    x = conv_bn(x, FILTERS[0], 7, activation="relu", name="stem_conv")
    blocks = levels(depths, first=0, strides=STRIDES)
    for stage, depth in enumerate(depths):
        filters, dilation = FILTERS[stage], DILATIONS[stage]
        for _ in range(depth):
            _, strides, name = next(blocks)
            if stage in ENDS and (arch == "D" or stage in WITHOUT_RESIDUAL):
                options = {"dilation": dilation, "activation": "relu"}
                x = conv_bn(x, filters, 3, strides=strides, **options, name=f"{name}_conv1")
                if arch == "C":
                    x = conv_bn(x, filters, 3, **options, name=f"{name}_conv2")
                continue
            stage_block = partial(
                basic_block if stage in ENDS else block, filters=filters, groups=1, group_width=64,
                stride_in="3x3", dilation=dilation,
            )  # fmt: skip
            x = residual(x, stage_block, strides=strides, name=name)
    return x


# fmt: off
#                                         blocks of each stage                                                              trainable parameters and multiply-accumulates
drn_c_26  = variant(body, "drn_c_26",  depths=(1, 1, 2, 2,  2, 2, 1, 1), arch="C",                               paper=YU, params=21_126_584, macs=16_971_239_424)
drn_c_42  = variant(body, "drn_c_42",  depths=(1, 1, 3, 4,  6, 3, 1, 1), arch="C",                               paper=YU, params=31_234_744, macs=25_063_624_704)
drn_d_22  = variant(body, "drn_d_22",  depths=(1, 1, 2, 2,  2, 2, 1, 1),                                         paper=YU, params=16_393_752, macs=13_034_229_760)
drn_d_38  = variant(body, "drn_d_38",  depths=(1, 1, 3, 4,  6, 3, 1, 1),                                         paper=YU, params=26_501_912, macs=21_126_615_040)
drn_d_54  = variant(body, "drn_d_54",  depths=(1, 1, 3, 4,  6, 3, 1, 1), block=bottleneck,                       paper=YU, params=35_809_176, macs=28_486_832_128)
drn_d_105 = variant(body, "drn_d_105", depths=(1, 1, 3, 4, 23, 3, 1, 1), block=bottleneck,                       paper=YU, params=54_801_304, macs=43_335_716_864)
# fmt: on
