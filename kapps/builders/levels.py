"""The levels, strides and names of a family's blocks."""

from collections.abc import Iterator, Sequence


def levels(
    depths: Sequence[int], *, first: int = 2, strides: int | Sequence[int] | None = None
) -> Iterator[tuple[int, int, str]]:
    """Yields (level, strides, name) of each block, for example (3, 2, "level3_block1").

    Level n holds the features at 1/2^n of the input's resolution. Blocks are numbered from 1 in each level.

        for level, strides, name in levels(depths):
            x = block(x, 64 * 2 ** (level - 2), strides=strides, name=name)

    Args:
        depths: number of blocks of each stage.
        first: level of the first stage.
        strides: strides of the first block of each stage; the other blocks have strides of 1. By default 1 for the
            first stage and 2 for the others. An integer applies to all stages. A later stage with strides of 2 begins
            a level; with strides of 1 it continues the level before it, as in MobileNet V2.

    Raises:
        ValueError: if there are not as many strides as depths, or if a stride is not 1 or 2.
    """
    if strides is None:
        strides = [1, *[2] * (len(depths) - 1)]
    elif isinstance(strides, int):
        strides = [strides] * len(depths)
    if len(strides) != len(depths) or not set(strides) <= {1, 2}:
        raise ValueError(
            f"strides={tuple(strides)} for depths={tuple(depths)}: one for each depth, 1 or 2"
        )
    level, block = first, 0
    for stage, (depth, stride) in enumerate(zip(depths, strides, strict=True)):
        if stage > 0 and stride == 2:
            level, block = level + 1, 0
        for i in range(depth):
            block += 1
            yield level, stride if i == 0 else 1, f"level{level}_block{block}"
