"""ZFNet."""

from kapps.weights.names import alexnet


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.zfnet`, which normalises before pooling, by k = 2 and alpha = 2e-5."""
    return alexnet.pytorchcv(layer)
