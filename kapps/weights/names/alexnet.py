"""AlexNet with normalisation, and ZFNet, which has the same layer names."""

NAMES = {
    "stem_conv": "features.stage1.unit1.conv",
    "level3_conv1": "features.stage2.unit1.conv",
    "level4_conv1": "features.stage3.unit1.conv",
    "level4_conv2": "features.stage3.unit2.conv",
    "level4_conv3": "features.stage3.unit3.conv",
    "head_dense1": "output.fc1.fc",
    "head_dense2": "output.fc2.fc",
    "head_logits": "output.fc3",
}
OPTIONS = {
    "pytorchcv": (
        ("", {"groups": 1, "norm": (2.0, 5, 2e-5), "norm_first": True, "stem_padding": (0, 0)}),
    )
}
"""Options of the networks of each library, as `kapps/weights/functions.py` describes."""


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.alexnet`."""
    return NAMES[layer]
