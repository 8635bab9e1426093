"""AlexNet in one tower, from "Dive into Deep Learning".

[1] Zhang 2021, arXiv:2106.11342 (Dive into Deep Learning), section 8.1, and the lectures that print its table

There is no local response normalisation, and no padding before the first convolution. A larger feature map is averaged
to the 5x5 of the first dense layer, a smaller one is enlarged.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import conv_relu, max_pool

ZHANG = "arXiv:2106.11342"


@image_family(
    minimum=67, padding="valid", any_size=False, head=partial(heads.flatten_dense, grid=(5, 5))
)
def body(x, *, filters=(96, 256, 384, 384, 256)):
    """Builds the one-tower AlexNet of [1], with `filters` of the five convolutions."""
    x = conv_relu(x, filters[0], 11, strides=4, padding="valid", name="stem_conv")
    x = max_pool(x, 3, padding="valid", name="level3_pool")
    x = conv_relu(x, filters[1], 5, name="level3_conv1")
    x = max_pool(x, 3, padding="valid", name="level4_pool")
    for i, width in enumerate(filters[2:], start=1):
        x = conv_relu(x, width, 3, name=f"level4_conv{i}")
    return max_pool(x, 3, padding="valid", name="level5_pool")


# fmt: off
# trainable parameters and multiply-accumulates
alexnet_single = variant(body, "alexnet_single", filters=(96, 256, 384, 384, 256), paper=ZHANG, params=50_844_008, macs=1_009_945_728)
# fmt: on
