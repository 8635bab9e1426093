"""AlexNet and CaffeNet.

[1] Krizhevsky 2012, "ImageNet classification with deep convolutional neural networks"
[2] Jia 2014, arXiv:1408.5093, and its CaffeNet, github.com/BVLC/caffe, models/bvlc_reference_caffenet

Five convolutions, three overlapping max poolings and three dense layers. The two towers of [1], one on each of two
devices, are two groups in the second, fourth and fifth convolution. `alexnet_ungrouped` is [1] without groups.
`caffenet` normalises after pooling.

Departures from the papers:
- An image of 224 or 227 pixels has 55 rows after the first convolution, as in [1]: three rows of zeros at the end take
  the place of the last window, which overlaps the edge in the code of [1]. With 227 pixels, as in [2], no value
  depends on them.
- A feature map larger or smaller than the 6x6 of the first dense layer is averaged to 6x6, as in torchvision.
- Local response normalisation has k = 2 and alpha = 1e-4 as [1] prints them; [2] has k = 1 and a fifth of alpha.
- [2] as published has groups, although lectures show it without. `alexnet_ungrouped` is that network, except that
  normalisation precedes pooling.
- Kernels have He's initialisation by fan-in or Glorot's, and biases are 0; [1] has N(0, 0.01), and biases of 0 or 1.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import LocalResponseNormalization, conv_relu, max_pool

KRIZHEVSKY, JIA = "Krizhevsky 2012", "Jia 2014, arXiv:1408.5093"
CEIL_MODE = (0, 1)
"""Padding of a pooling whose last window may overlap the edge."""


def pool(x, *, norm, norm_first, level):
    """3x3 max pooling with strides of 2, and local response normalisation before or after it.

    `norm` is (k, size, alpha), or None for no normalisation.
    """
    if norm and norm_first:
        x = LocalResponseNormalization(*norm, name=f"level{level - 1}_norm")(x)
    x = max_pool(x, 3, padding=CEIL_MODE, name=f"level{level}_pool")
    if norm and not norm_first:
        x = LocalResponseNormalization(*norm, name=f"level{level}_norm")(x)
    return x


@image_family(minimum=36, any_size=False, head=partial(heads.flatten_dense, grid=(6, 6)))
def body(
    x, *, groups=2, norm=(2.0, 5, 1e-4), norm_first=True, filters=(96, 256, 384, 384, 256),
    stem_padding=(0, 3),
):  # fmt: skip
    """Builds AlexNet.

    Args:
        groups: number of towers.
        norm: k, size and alpha of local response normalisation, or None.
        norm_first: whether normalisation precedes pooling.
        filters: of the five convolutions.
        stem_padding: (before, after) of the first convolution; (0, 0) as in pytorchcv.
    """
    x = conv_relu(x, filters[0], 11, strides=4, padding=stem_padding, name="stem_conv")
    x = pool(x, norm=norm, norm_first=norm_first, level=3)
    x = conv_relu(x, filters[1], 5, groups=groups, name="level3_conv1")
    x = pool(x, norm=norm, norm_first=norm_first, level=4)
    x = conv_relu(x, filters[2], 3, name="level4_conv1")
    x = conv_relu(x, filters[3], 3, groups=groups, name="level4_conv2")
    x = conv_relu(x, filters[4], 3, groups=groups, name="level4_conv3")
    return max_pool(x, 3, padding=CEIL_MODE, name="level5_pool")


# fmt: off
#                                                                   k, size, alpha of the norm, and its place                            trainable parameters and multiply-accumulates
alexnet           = variant(body, "alexnet",           groups=2, norm=(2.0, 5, 1e-4),                   paper=KRIZHEVSKY, params=60_965_224, macs=724_406_816)
alexnet_ungrouped = variant(body, "alexnet_ungrouped", groups=1, norm=(2.0, 5, 1e-4),                   paper=KRIZHEVSKY, params=62_378_344, macs=1_135_256_096)
caffenet          = variant(body, "caffenet",          groups=2, norm=(1.0, 5, 2e-5), norm_first=False, paper=JIA,  params=60_965_224, macs=724_406_816)
# fmt: on
