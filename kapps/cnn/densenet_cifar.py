"""DenseNet for CIFAR, the networks of Table 2.

[1] Huang 2016, arXiv:1608.06993, and its authors' code

Departure from the paper: [1] drops 0.2 of each convolution's output where CIFAR is not augmented. Set `dropout=0.2`
for it; the default is 0.
"""

from kapps.builders import image_family, levels, variant
from kapps.cnn.densenet import dense_layer, transition
from kapps.layers import batch_norm, conv
from kapps.preprocessing import CIFAR10

HUANG = "arXiv:1608.06993"


@image_family(
    minimum=8, padding="valid", input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10
)
def body(x, *, depth, growth_rate=12, bc=True, dropout=0.0):
    """Builds DenseNet with three dense blocks, at the levels 0, 1 and 2.

    Args:
        depth: number of layers with weights, L of [1].
        growth_rate: k of [1].
        bc: whether it is DenseNet-BC, with bottlenecks and half of the channels after a transition.
        dropout: fraction of each convolution's output that training drops.
    """
    convolutions = 6 if bc else 3  # with each layer more in all three blocks
    block_depth, rest = divmod(depth - 4, convolutions)
    if rest or block_depth < 1:
        example = 100 if bc else 40
        raise ValueError(
            f"depth is 4 plus a multiple of {convolutions}, such as {example}, not {depth}"
        )
    x = conv(x, 2 * growth_rate if bc else 16, 3, name="stem_conv")
    for level, strides, name in levels((block_depth,) * 3, first=0):
        if strides > 1:
            filters = x.shape[-1] // 2 if bc else x.shape[-1]
            x = transition(x, filters, dropout=dropout, level=level)
        x = dense_layer(x, growth_rate, bottleneck=bc, dropout=dropout, name=name)
    return batch_norm(x, activation="relu", name="level2_norm")


# fmt: off
#                                                                      L of Table 2, k                  the paper prints 1.0M, 7.0M, 27.2M, 0.8M, 15.3M, 25.6M
densenet40_cifar      = variant(body, "densenet40_cifar",      depth=40,  growth_rate=12, bc=False, paper=HUANG, params=1_019_722, macs=264_812_928)
densenet100_cifar     = variant(body, "densenet100_cifar",     depth=100, growth_rate=12, bc=False, paper=HUANG, params=6_979_642, macs=1_769_516_448)
densenet100_k24_cifar = variant(body, "densenet100_k24_cifar", depth=100, growth_rate=24, bc=False, paper=HUANG, params=27_249_082, macs=6_889_347_744)
densenet_bc           = variant(body, "densenet_bc",           depth=100, growth_rate=12,           paper=HUANG, params=769_162, macs=287_929_692)
densenet_bc250        = variant(body, "densenet_bc250",        depth=250, growth_rate=24,           paper=HUANG, params=15_324_406, macs=5_418_785_724)
densenet_bc190        = variant(body, "densenet_bc190",        depth=190, growth_rate=40,           paper=HUANG, params=25_624_430, macs=9_301_945_740)
# fmt: on
