"""What both conformance suites share: members of a family that are quick to build, and how answers are compared."""

from functools import partial

import numpy as np

from kapps import heads


def equal(given, expected, within=1e-6):
    """Asserts that arrays differ by at most `within` of the largest value, and are no zeros."""
    largest = np.abs(expected).max()
    assert given.shape == expected.shape and largest > 0
    assert np.abs(given - expected).max() <= within * largest


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
    ends, head = dict(of.heads), of.heads["head"]
    if getattr(head, "func", head) is heads.flatten_dense:
        ends["head"] = partial(head, units=(64, 64))
    return type(of)(of.body, of.name, row, of.card, of.defaults, ends).function()


NARROW = {
    "units": lambda units: 6 if isinstance(units, int) else (6,) * min(2, len(units)),
    "hidden": lambda hidden: 8,
    "levels": lambda levels: 2,
    "filters": lambda filters: (4,) * min(2, len(filters)),
    "layers": lambda layers: layers and min(2, layers),
    "embedding": lambda width: width and 6,
    "readout": lambda width: 4,
    "d_model": lambda width: 8,
    "ffn": lambda width: 12,
    "heads": lambda heads: 2,
    "experts": lambda experts: 4,
    "k": lambda k: 2,
    "dropout": lambda share: 0.0,  # so that few steps lower the loss
}
"""What becomes of an option that says how wide a network on sequences is."""


def narrowed(builder):
    """Returns the builder of a network on sequences, narrow; frames are of 16x16."""
    of = builder.builder
    free = {key: option.default for key, option in of.options().items()}
    row = {
        key: NARROW[key](value) if key in NARROW else value
        for key, value in {**free, **of.row}.items()
    }
    shape = of.defaults["input_shape"]
    shape = (4, 16, 16, 1) if len(shape) == 4 else shape
    return type(of)(
        of.body, of.name, row, of.card, {**of.defaults, "input_shape": shape}, of.heads
    ).function()
