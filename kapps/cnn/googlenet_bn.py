"""GoogLeNet with batch norms.

[1] Szegedy 2014, arXiv:1409.4842    [2] torchvision's `googlenet`

Departures from the paper:
- `googlenet_bn` has batch norms (epsilon 1e-3, as torchvision's) for biases and local response normalization.
- `googlenet_bn_3x3` is torchvision's network as it stands: 3x3 where [1] has the 5x5, and 2x2 the last pooling.
- The others are those of `kapps.cnn.googlenet`.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cards import INCEPTION
from kapps.cnn.googlenet import OVER, auxiliary, modules
from kapps.layers import conv_bn, max_pool

SZEGEDY = "arXiv:1409.4842"

normed = partial(conv_bn, activation="relu", epsilon=1e-3)


@image_family(
    minimum=31, preprocessing=INCEPTION, head=partial(heads.global_average_pooling, dropout=0.4),
    auxiliary=partial(auxiliary, convolution=normed),
)  # fmt: skip
def body(x, *, window=5, last_pool=3):
    """GoogLeNet with batch norms, `window` the size of the "5x5" and `last_pool` that of the pooling to level 5."""
    x = normed(x, 64, 7, strides=2, name="stem_conv1")
    x = max_pool(x, padding=OVER, name="stem_pool")
    x = normed(x, 64, 1, name="stem_conv2")
    x = normed(x, 192, 3, name="stem_conv3")
    return modules(x, normed, window=window, last_pool=last_pool)


# fmt: off
googlenet_bn     = variant(body, "googlenet_bn",                            paper=SZEGEDY, params=7_005_832, macs=1_582_671_872)
googlenet_bn_3x3 = variant(body, "googlenet_bn_3x3", window=3, last_pool=2, paper=SZEGEDY, params=6_624_904, macs=1_498_376_192)
# fmt: on
