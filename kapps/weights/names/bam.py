"""BAM on ResNet and ResNeXt."""

import re

from kapps.weights.names import resnet

OPTIONS = {
    "pytorchcv": (("", {"combine": "multiply", "stem": "7x7"}),),
    "jongchan": (("", {"combine": "multiply", "stem": "7x7"}),),
}
"""Options of the networks of each library, as `kapps/weights/functions.py` describes."""
PARTS = {
    # the names of a part in pytorchcv and in the authors' code
    "channel_reduce": ("ch_att.init_fc.fc", "channel_att.gate_c.gate_c_fc_0"),
    "channel_reduce_bn": ("ch_att.init_fc.bn", "channel_att.gate_c.gate_c_bn_1"),
    "channel_expand": ("ch_att.final_fc", "channel_att.gate_c.gate_c_fc_final"),
    "spatial_reduce": ("sp_att.init_conv.conv", "spatial_att.gate_s.gate_s_conv_reduce0"),
    "spatial_reduce_bn": ("sp_att.init_conv.bn", "spatial_att.gate_s.gate_s_bn_reduce0"),
    "spatial_conv1": ("sp_att.dil_convs.conv1.conv", "spatial_att.gate_s.gate_s_conv_di_0"),
    "spatial_conv1_bn": ("sp_att.dil_convs.conv1.bn", "spatial_att.gate_s.gate_s_bn_di_0"),
    "spatial_conv2": ("sp_att.dil_convs.conv2.conv", "spatial_att.gate_s.gate_s_conv_di_1"),
    "spatial_conv2_bn": ("sp_att.dil_convs.conv2.bn", "spatial_att.gate_s.gate_s_bn_di_1"),
    "spatial_map": ("sp_att.final_conv", "spatial_att.gate_s.gate_s_conv_final"),
}


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.bamresnet`, where a module belongs to the first unit of the next stage."""
    module = re.fullmatch(r"level(\d)_bam_(\w+)", layer)
    if module:
        return f"features.stage{module[1]}.unit1.bam.{PARTS[module[2]][0]}"
    name = resnet.pytorchcv(layer)
    return re.sub(r"(features\.stage\d\.unit\d+)\.", r"\1.res_unit.", name)


def jongchan(layer: str) -> str:
    """Names as in github.com/Jongchan/attention-module, the authors' code, in its form for ImageNet."""
    module = re.fullmatch(r"level(\d)_bam_(\w+)", layer)
    if module:
        return f"bam{int(module[1]) - 1}.{PARTS[module[2]][1]}"
    return resnet.torchvision(layer)
