"""AlexNet in one tower, from "One weird trick for parallelizing convolutional neural networks".

[1] Krizhevsky 2014, arXiv:1404.5997, and torchvision's `alexnet`

There is no local response normalisation. Departures from the papers are those of `kapps.cnn.alexnet`, and:
- Dropout follows the first two dense layers; torchvision has it before them.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import conv_relu, max_pool

KRIZHEVSKY = "arXiv:1404.5997"


@image_family(minimum=63, any_size=False, head=partial(heads.flatten_dense, grid=(6, 6)))
def body(x, *, filters=(64, 192, 384, 256, 256)):
    """Builds the one-tower AlexNet of [1], with `filters` of the five convolutions."""
    x = conv_relu(x, filters[0], 11, strides=4, padding=2, name="stem_conv")
    x = max_pool(x, 3, padding="valid", name="level3_pool")
    x = conv_relu(x, filters[1], 5, name="level3_conv1")
    x = max_pool(x, 3, padding="valid", name="level4_pool")
    for i, width in enumerate(filters[2:], start=1):
        x = conv_relu(x, width, 3, name=f"level4_conv{i}")
    return max_pool(x, 3, padding="valid", name="level5_pool")


# fmt: off
# trainable parameters and multiply-accumulates
alexnet_owt = variant(body, "alexnet_owt", filters=(64, 192, 384, 256, 256), paper=KRIZHEVSKY, params=61_100_840, macs=714_188_480)
# fmt: on
