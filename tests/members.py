"""Members of a family that are quicker to build and to store than those in its table."""

from functools import partial

from kapps import heads

FEWER = {
    "depths": lambda depths: (min(2, depths[0]), *(1 for _ in depths[1:])),
    "depth": lambda depth: 16,  # densenet_cifar's L: two layers a block, four without bottlenecks
    "middle": lambda depth: 2,
    "d": lambda d: 8,  # regnet's
    "repeats": lambda repeats: 0.5,  # efficientnet's
}
"""What becomes of an option that says how often blocks repeat."""


def shortened(builder):
    """Returns the builder with blocks of every kind and few repeats: two at the first level, one at the others.

    Dense layers before the classifier are 64 wide: theirs are most of a classic network's numbers.
    """
    of = builder.builder
    row = {key: FEWER[key](value) if key in FEWER else value for key, value in of.row.items()}
    ends, head = dict(of.ends), of.ends["head"]
    if getattr(head, "func", head) is heads.dense:
        ends["head"] = partial(head, units=(64, 64))
    return type(of)(of.body, of.name, row, of.card, of.defaults, ends).function()
