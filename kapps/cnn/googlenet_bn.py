"""GoogLeNet with batch norms.

[1] Szegedy 2014, arXiv:1409.4842    [2] torchvision's `googlenet`

Departures from the paper:
- Batch norms (epsilon 1e-3, as in [2]) take the place of biases and local response normalisation.
- `googlenet_bn_3x3` is [2]: it has a 3x3 in place of the 5x5, and its last max pooling is 2x2.
- All others are those of `kapps.cnn.googlenet`.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cnn.googlenet import CEIL_MODE, auxiliary, inception_modules
from kapps.layers import conv_bn, max_pool
from kapps.preprocessing import INCEPTION

SZEGEDY = "arXiv:1409.4842"

conv_bn_relu = partial(conv_bn, activation="relu", epsilon=1e-3)


@image_family(
    minimum=31, preprocessing=INCEPTION, head=partial(heads.global_average_pooling, dropout=0.4),
    auxiliary=partial(auxiliary, conv=conv_bn_relu),
)  # fmt: skip
def body(x, *, kernel_size=5, last_pool=3):
    """Builds GoogLeNet with batch norms.

    Args:
        kernel_size: of the modules' "5x5".
        last_pool: size of the max pooling before level 5.
    """
    x = conv_bn_relu(x, 64, 7, strides=2, name="stem_conv1")
    x = max_pool(x, padding=CEIL_MODE, name="stem_pool")
    x = conv_bn_relu(x, 64, 1, name="stem_conv2")
    x = conv_bn_relu(x, 192, 3, name="stem_conv3")
    return inception_modules(x, conv=conv_bn_relu, kernel_size=kernel_size, last_pool=last_pool)


# fmt: off
# trainable parameters and multiply-accumulates
googlenet_bn     = variant(body, "googlenet_bn",                                 paper=SZEGEDY, params=7_005_832, macs=1_582_671_872)
googlenet_bn_3x3 = variant(body, "googlenet_bn_3x3", kernel_size=3, last_pool=2, paper=SZEGEDY, params=6_624_904, macs=1_498_376_192)
# fmt: on
