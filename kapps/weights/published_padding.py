"""The padding of the network that weights were trained with, compared with that of a model."""

import sys
from collections.abc import Callable

import keras

from kapps.model_record import first_padded, padding_of
from kapps.pretrained import checkpoints


class OtherPaddingError(ValueError):
    """Weights of a network whose strided layers have another padding than the model's.

    Args:
        message: the error's text.
        padding: of the network that the weights were trained with, "symmetric" or "same".
    """

    def __init__(self, message: str, padding: str):
        super().__init__(message)
        self.padding = padding


def check_padding(model: keras.Model, padding: str | None) -> None:
    """Raises OtherPaddingError if weights are those of a network with another padding than the model's.

    Args:
        model: a `keras.Model` that a kapps builder made. Its layers with strides may all be unpadded.
        padding: of the weights' network, "symmetric" or "same"; None if it is not known.
    """
    own = padding_of(model)
    if None not in (padding, own) and padding != own:
        raise OtherPaddingError(
            f"{model.name}: the weights are those of a network with padding={padding!r}, and this one has "
            f"padding={own!r}",
            padding,
        )


def library_padding(name: Callable[..., str]) -> str | None:
    """Returns the padding of another library's networks; None if it has both.

    Args:
        name: the function with the library's names, such as `kapps.weights.names.mobilenet_v2.torchvision`.
    """
    module = sys.modules.get(getattr(name, "__module__", None))
    if not getattr(module, "__name__", "").startswith("kapps.weights.names."):
        return None
    default = None if name.__name__ == "keras" else "symmetric"  # PyTorch pads on every side
    return getattr(module, "PADDING", {}).get(name.__name__, default)


def network_padding(network: str, name: Callable[..., str]) -> str | None:
    """Returns the padding of one of another library's networks; None if it is not known.

    timm's networks from TensorFlow have names that begin with "tf_". Its other networks pad on every side.

    Args:
        network: its name there, or that of a file of its weights.
        name: as for `library_padding`.
    """
    padding = library_padding(name)
    family = name.__module__.rpartition(".")[2]
    if network.startswith("tf_"):
        return "same"
    if padding is None and network.replace("_", "").startswith(family.replace("_", "")):
        return "symmetric"
    return padding


def saved_padding(model: keras.Model, names: set[str] | None) -> str | None:
    """Returns the padding of the network that a file of kapps's own was saved from; None if it is not known.

    Args:
        model: a model of the same network, with either padding.
        names: of the layers in the file, or None if it does not name them.
    """
    layer = first_padded(model)
    if layer is None or names is None:
        return None
    # The names in the file may begin with the name of the model.
    padded = any(f"_{name}".endswith(f"_{layer}_pad") for name in names)
    return "symmetric" if padded else "same"


def published_padding(path) -> str | None:
    """Returns the padding for pretrained weights that are published with a hash, by their path; else None."""
    padding = None
    for row in checkpoints().values():
        if path is not None and row.file == path.name and row.padding != "valid":
            padding = row.padding
    return padding
