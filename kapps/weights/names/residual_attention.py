"""Residual attention networks and AttentionNeXt."""

import re

from kapps.weights.names._stages import block_part

CONVOLUTIONS = {"conv1": "branch1/conv1_1x1", "conv2": "branch1/conv2_3x3", "conv3": "branch1/conv3_1x1"}  # fmt: skip
SHORTCUT = "branch2/conv1_1x1"
ENDS_PYTORCHCV = {
    "stem_conv": "features.init_block.conv.conv",
    "stem_conv_bn": "features.init_block.conv.bn",
    "head_logits": "output",
}
PYTORCHCV = {
    "preact": "body.conv1.bn", "conv1": "body.conv1.conv", "conv1_bn": "body.conv2.bn", "conv2": "body.conv2.conv",
    "conv2_bn": "body.conv3.bn", "conv3": "body.conv3.conv", "shortcut": "identity_conv",
}  # fmt: skip
"""The places of a unit's layers in pytorchcv, where a batch norm belongs to the convolution after it."""
MASK_PYTORCHCV = {
    "mask_norm": "conv1.bn", "mask_conv1": "conv1.conv", "mask_conv1_bn": "conv2.bn", "mask_conv2": "conv2.conv"
}  # fmt: skip
UNITS_PYTORCHCV = {
    "trunk1": "init_blocks.blocks.block1",
    "trunk2": "hg.skip_seq.skip1.blocks.block1",
    "trunk3": "hg.skip_seq.skip1.blocks.block2",
    **{f"down{i}": f"hg.down_seq.down{i}.res_blocks.blocks.block1" for i in (1, 2, 3)},
    **{f"up{i}": f"hg.up_seq.up{i}.res_blocks.blocks.block1" for i in (1, 2, 3)},
    **{f"skip{i}": f"hg.skip_seq.skip{i + 1}.skip1" for i in (1, 2)},
    "last": "final_block",
}
"""The places of a module's units in pytorchcv."""
OPTIONS = {"pytorchcv": (("", {"form": "pytorch"}),)}


def fwang91(layer: str, layers: list[str]) -> str:
    """Names as in the networks of github.com/fwang91/residual-attention-network, the authors'.

    There a unit is named by its output, and a batch norm before a unit by the unit's input.
    """
    if layer == "head_logits":
        return "classifier"
    if layer.startswith("stem"):
        return {"stem_conv": "conv1", "stem_conv_bn": "conv1/bn"}[layer]
    if layer == "level5_norm":
        return f"{_output(5, 3)}/bn"
    level, block, part = block_part(layer)
    inner, name = _inner(part)
    output, source = _output(level, block), _source(level, block, layers)
    if inner is not None:
        names = _mask_names(level, block, layers)
        if inner == "mask":
            last = {
                "norm": names["source"] + "/bn",
                "conv1": "mask/linear_1",
                "conv2": "mask/linear_2",
            }
            last["conv1_bn"] = last["conv1"] + "/bn"
            return f"{output}/{last[name]}"
        unit, before = names[inner]
        source = source if before is None else f"{output}/{before}"
        output = f"{output}/{unit}" if unit else output
    if name == "preact":
        return f"{source}/bn"
    part, norm = name.removesuffix("_bn"), "/bn" if name.endswith("_bn") else ""
    return f"{output}/{CONVOLUTIONS.get(part, SHORTCUT)}{norm}"


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.resattnet`."""
    if re.fullmatch(r"level\d_norm", layer):
        return "features.post_activ.bn"
    if layer in ENDS_PYTORCHCV:
        return ENDS_PYTORCHCV[layer]
    level, block, part = block_part(layer)
    place = f"features.stage{level - 1}.unit{block}"
    inner, name = _inner(part)
    if inner is None:
        return f"{place}.{PYTORCHCV[name]}"
    if inner == "mask":
        return f"{place}.middle_block.{MASK_PYTORCHCV[part]}"
    return f"{place}.{UNITS_PYTORCHCV[inner]}.{PYTORCHCV[name]}"


def _inner(part):
    """Returns the unit of a module or "mask", and the name of a layer in it; None for a unit without a module."""
    match = re.fullmatch(r"(trunk\d|down\d|up\d|skip\d|last|mask)_(\w+)", part)
    return match.groups() if match else (None, part)


def _output(level, block):
    """Returns the authors' name of the unit or module of a block."""
    if level == 5:
        return f"post_res_4_{block}"
    if block == 1:
        return f"pre_res_{level - 1}"
    return f"Attention{'ABC'[level - 2]}_{block - 1}"


def _source(level, block, layers):
    """Returns the authors' name of a block's input."""
    if block > 1:
        return _output(level, block - 1)
    if level == 2:
        return "pool1_3x3_s2"
    before = [re.match(rf"level{level - 1}_block(\d+)_", name) for name in layers]
    return _output(level - 1, max(int(match[1]) for match in before if match))


def _mask_names(level, block, layers):
    """Returns, for each unit of a module, its name and its input's, None for the module's own."""
    preactivation = any(name.endswith("_preact") for name in layers)
    down, up = ("mask/down_sample", "mask/up_sample") if preactivation else ("mask/down", "mask/up")
    steps = len([x for x in layers if re.fullmatch(rf"level{level}_block{block}_down\d_pool", x)])
    names = {
        "trunk1": ("trunk/res1", None), "trunk2": ("trunk/res2", "trunk/res1"), "trunk3": ("trunk/res3", "trunk/res2"),
        "last": ("", "fusion"), "source": f"{up}/interp_1",
    }  # fmt: skip
    for i in range(1, steps + 1):
        names[f"down{i}"] = f"{down}/res{i}_1", f"{down}/pool{i}_3x3_s2"
        names[f"up{i}"] = f"{up}/res{i}_1", f"{up}{i}"
        names[f"skip{i}"] = f"mask/skip/res{i}", f"{down}/res{i}_1"
    names[f"up{steps}"] = f"{down}/res{steps}_2", f"{down}/res{steps}_1"
    return names
