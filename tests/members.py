"""Members of a family that are quicker to build than those in its table."""

from kapps.variants import Builder

FEWER = {
    "depths": lambda depths: (min(2, depths[0]), *(1 for _ in depths[1:])),
    "depth": lambda depth: 16,  # densenet_cifar's L: two layers a block, four without bottlenecks
    "middle": lambda depth: 2,
}
"""What becomes of an option that says how often blocks repeat."""


def shortened(builder):
    """Returns the builder with blocks of every kind and few repeats: two at the first level, one at the others."""
    of = builder.builder
    row = {key: FEWER[key](value) if key in FEWER else value for key, value in of.row.items()}
    return Builder(of.body, of.name, row, of.card, of.defaults, of.ends).function()
