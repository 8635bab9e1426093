"""ProxylessNAS: networks that were searched for the latency of a CPU, a GPU and a phone.

[1] Cai 2018, arXiv:1812.00332, figure 4, and its authors' code

Where the search chose the zero operation, a block is only its identity and has no layers here: a stage then has fewer
blocks than the four of [1]. `mobile14` is `mobile` with 1.4 times the channels.
"""

from kapps.builders import image_family, levels, variant
from kapps.layers import conv_bn, inverted_residual

CAI = "arXiv:1812.00332"
EPSILON = 1e-3

# fmt: off
# Stages: strides, channels, (kernel size, expansion) of each block
MOBILE = (
    (1,  16, ((3, 1),)),
    (2,  32, ((5, 3), (3, 3))),
    (2,  40, ((7, 3), (3, 3), (5, 3), (5, 3))),
    (2,  80, ((7, 6), (5, 3), (5, 3), (5, 3))),
    (1,  96, ((5, 6), (5, 3), (5, 3), (5, 3))),
    (2, 192, ((7, 6), (7, 6), (7, 3), (7, 3))),
    (1, 320, ((7, 6),)),
)
CPU = (
    (1,  24, ((3, 1),)),
    (2,  32, ((3, 6), (3, 3), (3, 3), (3, 3))),
    (2,  48, ((3, 6), (3, 3), (3, 3), (5, 3))),
    (2,  88, ((3, 6), (3, 3))),
    (1, 104, ((5, 6), (3, 3), (3, 3), (3, 3))),
    (2, 216, ((5, 6), (5, 3), (5, 3), (3, 3))),
    (1, 360, ((5, 6),)),
)
GPU = (
    (1,  24, ((3, 1),)),
    (2,  32, ((5, 3),)),
    (2,  56, ((7, 3), (3, 3))),
    (2, 112, ((7, 6), (5, 3))),
    (1, 128, ((5, 6), (3, 3), (5, 3))),
    (2, 256, ((7, 6), (7, 6), (7, 6), (5, 6))),
    (1, 432, ((7, 6),)),
)
MOBILE14 = tuple(
    (strides, filters, blocks)
    for filters, (strides, _, blocks) in zip((24, 40, 56, 112, 136, 256, 448), MOBILE, strict=True)
)
# fmt: on


@image_family(minimum=32)
def body(x, *, stages, stem=32, last=1280):
    """Builds ProxylessNAS.

    Args:
        stages: (strides, channels, ((kernel size, expansion), ...)) of each stage.
        stem: channels of the first convolution.
        last: channels of the last convolution.
    """
    norm = {"activation": "relu6", "epsilon": EPSILON}
    x = conv_bn(x, stem, 3, strides=2, **norm, name="stem_conv")
    rows = [(filters, *block) for _, filters, blocks in stages for block in blocks]
    depths = [len(blocks) for *_, blocks in stages]
    names = levels(depths, first=1, strides=[strides for strides, *_ in stages])
    for (filters, kernel_size, expansion), (_, strides, name) in zip(rows, names, strict=True):
        x = inverted_residual(
            x, filters, kernel_size, expanded=expansion * x.shape[-1], strides=strides, **norm,
            name=name,
        )  # fmt: skip
    return conv_bn(x, last, 1, **norm, name="level5_conv")


# fmt: off
#                                                                                                              trainable parameters and multiply-accumulates
proxylessnas_mobile   = variant(body, "proxylessnas_mobile",   stages=MOBILE,   stem=32, last=1280, paper=CAI, params=4_080_512, macs=320_427_584)
proxylessnas_mobile14 = variant(body, "proxylessnas_mobile14", stages=MOBILE14, stem=48, last=1792, paper=CAI, params=6_857_568, macs=580_883_408)
proxylessnas_cpu      = variant(body, "proxylessnas_cpu",      stages=CPU,      stem=40, last=1432, paper=CAI, params=4_361_648, macs=439_243_864)
proxylessnas_gpu      = variant(body, "proxylessnas_gpu",      stages=GPU,      stem=40, last=1728, paper=CAI, params=7_119_848, macs=465_260_160)
# fmt: on
