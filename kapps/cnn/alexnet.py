"""AlexNet and CaffeNet: five convolutions, three poolings that overlap, three dense layers.

[1] Krizhevsky 2012, "ImageNet classification with deep convolutional neural networks"
[2] Jia 2014, arXiv:1408.5093, and its CaffeNet, github.com/BVLC/caffe, models/bvlc_reference_caffenet

`alexnet` is [1]: the two towers, one on each of two devices, are the two groups of convolutions 2, 4 and 5. `caffenet`
normalises after pooling. `alexnet_ungrouped` is [1] without groups.

Departures from the papers:
- An image of 224 or 227 has 55 rows after the first convolution, as in [1]: three rows of zeros at the end stand for
  the window that its code lets overlap the edge. With 227 pixels, as in [2], no value comes from them.
- A larger image is averaged to the 6x6 map that the first dense layer reads , as in torchvision, a smaller
  one by area.
- Local response normalisation has k = 2 and alpha = 1e-4 as [1] prints them; [2] has 1 and a fifth of it.
- [2] as published has groups, though lectures have it without: that is `alexnet_ungrouped`, but for the order.
- Weights begin as He's initialisation by fan-in and Glorot's draw them and biases at 0; [1] has N(0, 0.01), and 1.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import LocalResponseNormalization, conv_relu, max_pool

KRIZHEVSKY, JIA = "Krizhevsky 2012", "Jia 2014, arXiv:1408.5093"
FILTERS = (96, 256, 384, 384, 256)


def pool(x, *, level, norm=None, norm_first=True, padding=(0, 1)):
    """The largest of each 3x3, every 2, into `level`, and a local response normalisation before or after it.

    `norm` is None or (k, alpha); padding of (0, 1) keeps the last window that overlaps the edge.
    """
    if norm and norm_first:
        x = LocalResponseNormalization(*norm, name=f"level{level - 1}_norm")(x)
    x = max_pool(x, 3, padding=padding, name=f"level{level}_pool")
    if norm and not norm_first:
        x = LocalResponseNormalization(*norm, name=f"level{level}_norm")(x)
    return x


def convolutions(x, filters, *, groups, first, pooling):
    """All five; `first` is the padding of the first, `pooling(x, level, norm=...)` what follows 1, 2 and 5."""
    x = conv_relu(x, filters[0], 11, strides=4, padding=first, name="stem_conv")
    x = pooling(x, level=3)
    x = conv_relu(x, filters[1], 5, groups=groups, name="level3_conv1")
    x = pooling(x, level=4)
    for i, each in enumerate((1, groups, groups)):
        x = conv_relu(x, filters[2 + i], 3, groups=each, name=f"level4_conv{i + 1}")
    return x


@image_family(minimum=36, any_size=False, head=partial(heads.flatten_dense, grid=(6, 6)))
def body(x, *, groups=2, norm=(2.0, 5, 1e-4), norm_first=True, filters=FILTERS):
    """AlexNet in `groups` towers; `norm` is k, size and alpha, before pooling where `norm_first`."""
    pooling = partial(pool, norm=norm, norm_first=norm_first)
    x = convolutions(x, filters, groups=groups, first=(0, 3), pooling=pooling)
    return pool(x, level=5)


# fmt: off
#                                                                   k, size, alpha of the norm, and its place                            trainable parameters and multiply-accumulates
alexnet           = variant(body, "alexnet",           groups=2, norm=(2.0, 5, 1e-4),                   paper=KRIZHEVSKY, params=60_965_224, macs=724_406_816)
alexnet_ungrouped = variant(body, "alexnet_ungrouped", groups=1, norm=(2.0, 5, 1e-4),                   paper=KRIZHEVSKY, params=62_378_344, macs=1_135_256_096)
caffenet          = variant(body, "caffenet",          groups=2, norm=(1.0, 5, 2e-5), norm_first=False, paper=JIA,  params=60_965_224, macs=724_406_816)
# fmt: on
