"""The network of a cell, by the name of its space."""

import keras

from kapps._checked import checked
from kapps._names import nearest
from kapps.cnn import anynet, nasbench201, nasbench_macro
from kapps.search.spaces import AnyNet, NASBench201, NASBenchMacro, Space

SPACES = {"nasbench201": NASBench201, "nasbench_macro": NASBenchMacro, "anynet": AnyNet}
"""The spaces by the names of their families."""


@checked
def build(cell: str, space: str | Space = "nasbench201", **options) -> keras.Model:
    """Returns the network of a cell: a model that trains, profiles, folds and exports as that of any builder.

        model = kapps.search.build("303101", filters=8, depth=1, input_shape=(16, 16, 3))

    Args:
        cell: of the space, such as the best one of a search.
        space: "nasbench201", "nasbench_macro", "anynet", or a space of `kapps.search.spaces` with its own sizes.
        **options: of `kapps.families.nasbench201`, `nasbench_macro` or `anynet`: `input_shape`, `classes`, `filters`,
            `weights`, `include_top` and others.

    Raises:
        ValueError: for a space that does not exist, and a text that is not a cell of it.
    """
    if isinstance(space, Space):
        return space.build(cell, **options)
    if space not in SPACES:
        raise ValueError(
            f"space={space!r} is not one of {', '.join(SPACES)}.{nearest(space, SPACES)}"
        )
    if space == "nasbench201":
        return nasbench201.body(cell=cell, **options)
    if space == "nasbench_macro":
        return nasbench_macro.body(blocks=cell, **options)
    stages = cell.count("-") + 1
    return anynet.body(**{**AnyNet("A", stages=stages).options(cell), **options})
