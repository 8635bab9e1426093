"""PolyNet."""

import re

from kapps.weights.names._stages import block_part

STEM = {(2, 0): "block1", (2, 1): "block2", (3, 0): "block3"}
"""The blocks of the stem, by level and block."""


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.polynet`."""
    if layer == "head_logits":
        return "output.fc"
    norm = re.search(r"_bn(\d?)$", layer)
    plain = layer[: norm.start()] if norm else layer
    kind = "conv" if norm is None else f"bns.{int(norm[1]) - 1}" if norm[1] else "bn"
    if plain.startswith("stem"):
        return f"features.init_block.{plain.removeprefix('stem_')}.{kind}"
    level, block, part = block_part(plain)
    path, order, branch, convolution = re.fullmatch(
        r"(?:path(\d)_|order(\d)_)?(?:branch(\d)_)?conv(\d?)", part
    ).groups()
    if (level, block) in STEM:
        place = f"init_block.{STEM[level, block]}"
    elif block == 0:
        place = f"stage{level - 2}.unit1"
    elif level == 3:
        place = f"stage1.unit{block}"
    else:
        place = f"stage{level - 2}.unit{(block + 3) // 2}"
    if path:
        place += f".twoway.res_blocks.{int(path) - 1}"
    elif order:
        place += f".poly.res_blocks.{int(order) - 1}"
    elif (level, block) not in STEM and block:
        place += ".poly.pre_block"
    last = "conv" if path else None  # of the last 1x1 of a path, after its branches
    if branch:
        place += f".branches.branch{branch}"
        last = _convolution(level, block, path, int(branch), convolution)
    return ".".join(filter(None, ("features", place, last, kind)))


def _convolution(level, block, path, branch, number):
    """Returns the place of a convolution in its branch: branches of one convolution have no list."""
    if path:
        single = branch == (3 if level == 3 else 2)
    elif (level, block) in STEM:
        single = block == 0
    elif block:
        return None if branch == 2 else f"conv_list.conv{number}"
    else:
        single = False  # the reductions have lists of one
    return "conv" if single else f"conv_list.conv{number}"
