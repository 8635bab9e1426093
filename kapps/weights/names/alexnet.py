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


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.alexnet`, which normalises by k = 2 and alpha = 2e-5."""
    return NAMES[layer]
