"""AlexNet in one tower, as "Dive into Deep Learning" builds it.

[1] Zhang 2021, arXiv:2106.11342 (Dive into Deep Learning), section 8.1, and the lectures that print its table

One tower, without normalisation and without padding before the first convolution.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cnn.alexnet import FILTERS, convolutions, pool

ZHANG = "arXiv:2106.11342"


@image_family(minimum=67, any_size=False, head=partial(heads.flatten_dense, grid=(5, 5)))
def body(x, *, filters=FILTERS):
    """The one tower of [1], without normalisation and padding."""
    pooling = partial(pool, padding="valid")
    x = convolutions(x, filters, groups=1, first="valid", pooling=pooling)
    return pooling(x, level=5)


# fmt: off
alexnet_single = variant(body, "alexnet_single", filters=(96, 256, 384, 384, 256), paper=ZHANG, params=50_844_008, macs=1_009_945_728)
# fmt: on
