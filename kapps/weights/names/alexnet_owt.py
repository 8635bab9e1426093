"""AlexNet in one tower ("one weird trick")."""

NAMES = {
    "stem_conv": "features.0",
    "level3_conv1": "features.3",
    "level4_conv1": "features.6",
    "level4_conv2": "features.8",
    "level4_conv3": "features.10",
    "head_dense1": "classifier.1",
    "head_dense2": "classifier.4",
    "head_logits": "classifier.6",
}


def torchvision(layer: str) -> str:
    """Names as in `torchvision.models.alexnet`."""
    return NAMES[layer]
