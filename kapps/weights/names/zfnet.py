"""ZFNet."""

from kapps.weights.names import alexnet

OPTIONS = {"pytorchcv": (("", {"norm": (2.0, 5, 2e-5), "norm_first": True}),)}


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.zfnet`."""
    return alexnet.pytorchcv(layer)
