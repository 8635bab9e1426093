"""RegNetX and RegNetY: networks whose widths follow a quantised linear function; RegNetY has SE blocks.

[1] Radosavovic 2020, arXiv:2003.13678

All have the linear functions, depths and group widths of the paper, and its bottleneck ratio of 1. Stem and blocks are
those of `kapps.families.anynet`.
"""

import math

from kapps.builders import image_family, variant
from kapps.cnn.anynet import compatible_stage, stem_and_stages

RADOSAVOVIC = "arXiv:2003.13678"


def quantised_stages(w_0, w_a, w_m, d, group_width, bottleneck=1):
    """Returns the stages, as `kapps.cnn.anynet.Stage`: equations 2 to 4 of [1], and its section 3.3 for groups.

    Block j has the width w_0 + w_a j before quantisation. It becomes w_0 times the nearest power of w_m, rounded to a
    multiple of 8. Blocks of the same width are a stage, whose width is then rounded as AnyNet's.
    """
    exponents = [round(math.log((w_0 + w_a * j) / w_0, w_m)) for j in range(d)]
    block_widths = [8 * round(w_0 * w_m**exponent / 8) for exponent in exponents]
    return [
        compatible_stage(width, block_widths.count(width), group_width, bottleneck)
        for width in sorted(set(block_widths))
    ]


@image_family(minimum=32)
def body(x, *, w_0, w_a, w_m, d, group_width, bottleneck=1, se_ratio=0.0):
    """Builds RegNet.

    Args:
        w_0: initial width of [1].
        w_a: slope of [1].
        w_m: quantisation factor of [1].
        d: number of blocks.
        group_width: channels of a group.
        bottleneck: ratio of a block's output channels to those of its 3x3, b of [1].
        se_ratio: ratio of SE channels to the block's input channels, 0.25 in RegNetY; 0 for no SE blocks.
    """
    stages = quantised_stages(w_0, w_a, w_m, d, group_width, bottleneck)
    return stem_and_stages(x, stages, stem=32, se_ratio=se_ratio)


# fmt: off
# the builder                                the line of widths              blocks  groups           SE       paper              trainable parameters and multiply-accumulates
regnetx_002 = variant(body, "regnetx_002", w_0=24,  w_a=36.44,  w_m=2.49, d=13, group_width=8,                  paper=RADOSAVOVIC, params=2_684_792,   macs=199_039_872)
regnetx_004 = variant(body, "regnetx_004", w_0=24,  w_a=24.48,  w_m=2.54, d=22, group_width=16,                 paper=RADOSAVOVIC, params=5_157_512,   macs=397_677_568)
regnetx_006 = variant(body, "regnetx_006", w_0=48,  w_a=36.97,  w_m=2.24, d=16, group_width=24,                 paper=RADOSAVOVIC, params=6_196_040,   macs=600_890_112)
regnetx_008 = variant(body, "regnetx_008", w_0=56,  w_a=35.73,  w_m=2.28, d=16, group_width=16,                 paper=RADOSAVOVIC, params=7_259_656,   macs=799_699_712)
regnetx_016 = variant(body, "regnetx_016", w_0=80,  w_a=34.01,  w_m=2.25, d=18, group_width=24,                 paper=RADOSAVOVIC, params=9_190_136,   macs=1_602_849_792)
regnetx_032 = variant(body, "regnetx_032", w_0=88,  w_a=26.31,  w_m=2.25, d=25, group_width=48,                 paper=RADOSAVOVIC, params=15_296_552,  macs=3_176_621_952)
regnetx_040 = variant(body, "regnetx_040", w_0=96,  w_a=38.65,  w_m=2.43, d=23, group_width=40,                 paper=RADOSAVOVIC, params=22_118_248,  macs=3_964_498_816)
regnetx_064 = variant(body, "regnetx_064", w_0=184, w_a=60.83,  w_m=2.07, d=17, group_width=56,                 paper=RADOSAVOVIC, params=26_209_256,  macs=6_460_291_264)
regnetx_080 = variant(body, "regnetx_080", w_0=80,  w_a=49.56,  w_m=2.88, d=23, group_width=120,                paper=RADOSAVOVIC, params=39_572_648,  macs=7_995_132_416)
regnetx_120 = variant(body, "regnetx_120", w_0=168, w_a=73.36,  w_m=2.37, d=19, group_width=112,                paper=RADOSAVOVIC, params=46_106_056,  macs=12_086_678_016)
regnetx_160 = variant(body, "regnetx_160", w_0=216, w_a=55.59,  w_m=2.10, d=22, group_width=128,                paper=RADOSAVOVIC, params=54_278_536,  macs=15_940_755_456)
regnetx_320 = variant(body, "regnetx_320", w_0=320, w_a=69.86,  w_m=2.00, d=23, group_width=168,                paper=RADOSAVOVIC, params=107_811_560, macs=31_735_929_792)
regnety_002 = variant(body, "regnety_002", w_0=24,  w_a=36.44,  w_m=2.49, d=13, group_width=8,   se_ratio=0.25, paper=RADOSAVOVIC, params=3_162_996,   macs=199_514_080)
regnety_004 = variant(body, "regnety_004", w_0=48,  w_a=27.89,  w_m=2.09, d=16, group_width=8,   se_ratio=0.25, paper=RADOSAVOVIC, params=4_344_144,   macs=401_842_848)
regnety_006 = variant(body, "regnety_006", w_0=48,  w_a=32.54,  w_m=2.32, d=15, group_width=16,  se_ratio=0.25, paper=RADOSAVOVIC, params=6_055_160,   macs=601_220_992)
regnety_008 = variant(body, "regnety_008", w_0=56,  w_a=38.84,  w_m=2.40, d=14, group_width=16,  se_ratio=0.25, paper=RADOSAVOVIC, params=6_263_168,   macs=797_176_832)
regnety_016 = variant(body, "regnety_016", w_0=48,  w_a=20.71,  w_m=2.65, d=27, group_width=24,  se_ratio=0.25, paper=RADOSAVOVIC, params=11_202_430,  macs=1_612_076_160)
regnety_032 = variant(body, "regnety_032", w_0=80,  w_a=42.63,  w_m=2.66, d=21, group_width=24,  se_ratio=0.25, paper=RADOSAVOVIC, params=19_436_338,  macs=3_176_482_752)
regnety_040 = variant(body, "regnety_040", w_0=96,  w_a=31.41,  w_m=2.24, d=22, group_width=64,  se_ratio=0.25, paper=RADOSAVOVIC, params=20_646_656,  macs=3_973_288_448)
regnety_064 = variant(body, "regnety_064", w_0=112, w_a=33.22,  w_m=2.27, d=25, group_width=72,  se_ratio=0.25, paper=RADOSAVOVIC, params=30_583_252,  macs=6_355_204_992)
regnety_080 = variant(body, "regnety_080", w_0=192, w_a=76.82,  w_m=2.19, d=17, group_width=56,  se_ratio=0.25, paper=RADOSAVOVIC, params=39_180_068,  macs=7_963_057_312)
regnety_120 = variant(body, "regnety_120", w_0=168, w_a=73.36,  w_m=2.37, d=19, group_width=112, se_ratio=0.25, paper=RADOSAVOVIC, params=51_822_544,  macs=12_092_376_576)
regnety_160 = variant(body, "regnety_160", w_0=200, w_a=106.23, w_m=2.48, d=18, group_width=112, se_ratio=0.25, paper=RADOSAVOVIC, params=83_590_140,  macs=15_911_510_272)
regnety_320 = variant(body, "regnety_320", w_0=232, w_a=115.89, w_m=2.53, d=20, group_width=232, se_ratio=0.25, paper=RADOSAVOVIC, params=145_046_770, macs=32_279_552_832)
# fmt: on
