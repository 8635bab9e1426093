"""AlexNet in one tower, of Krizhevsky's "one weird trick".

[1] Krizhevsky 2014, arXiv:1404.5997, and torchvision's `alexnet`

One tower, without normalisation. Departure from the paper: dropout, which follows the dense layers here and precedes
the first two in torchvision.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cnn.alexnet import convolutions, pool

KRIZHEVSKY = "arXiv:1404.5997"


@image_family(minimum=63, any_size=False, head=partial(heads.flatten_dense, grid=(6, 6)))
def body(x, *, filters=(64, 192, 384, 256, 256)):
    """The one tower of [1], without normalisation, as in torchvision."""
    pooling = partial(pool, padding="valid")
    x = convolutions(x, filters, groups=1, first=2, pooling=pooling)
    return pooling(x, level=5)


# fmt: off
alexnet_owt = variant(body, "alexnet_owt", filters=(64, 192, 384, 256, 256), paper=KRIZHEVSKY, params=61_100_840, macs=714_188_480)
# fmt: on
