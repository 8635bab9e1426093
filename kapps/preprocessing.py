"""Preprocessing of images: plain data that belongs to weights, without Keras."""

import dataclasses
import re

from kapps._checked import check_argument
from kapps._names import nearest

INTERPOLATIONS = ("bilinear", "bicubic", "nearest")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of images: resize, centre crop, then `(pixels * scale - mean) / std`.

    It belongs to the weights and is not part of the model: the input pipeline applies it, and an exported file
    contains its arithmetic.

    Args:
        size: (height, width) of the network's input, in pixels.
        crop: fraction of the image's shorter side that the evaluation crop keeps, in (0, 1].
        interpolation: "bilinear", "bicubic" or "nearest"; antialiased if the image shrinks.
        scale: factor on pixels in [0, 255], applied before mean and std.
        mean: one value for each channel (red, green, blue), after `scale`.
        std: one value for each channel, after `scale`.
        blue_first: whether the network takes the channels in the order blue, green, red. Only images of three
            channels have an order.
    """

    size: tuple[int, int] = (224, 224)
    crop: float = 0.875
    interpolation: str = "bilinear"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    blue_first: bool = False

    def __post_init__(self):
        for field in dataclasses.fields(self):
            check_argument("Preprocessing", field.name, getattr(self, field.name), field.type)
        if min(self.size) < 1 or not 0 < self.crop <= 1 or not self.scale > 0:
            raise ValueError(
                f"Preprocessing: size={self.size}, crop={self.crop}, scale={self.scale}: sizes and scale are positive, "
                "and crop is in (0, 1]"
            )
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"Preprocessing: interpolation={self.interpolation!r} is not one of {', '.join(INTERPOLATIONS)}."
                f"{nearest(self.interpolation, INTERPOLATIONS)}"
            )
        if not self.mean or len(self.mean) != len(self.std) or not min(self.std) > 0:
            raise ValueError(
                f"Preprocessing: mean={self.mean}, std={self.std}: one value for each channel, std positive"
            )

    def at(self, size: tuple[int, int]) -> "Preprocessing":
        """Returns the same preprocessing for another (height, width). Images up to 64 pixels are not cropped."""
        return dataclasses.replace(self, size=size, crop=1.0 if max(size) <= 64 else self.crop)

    def channels(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns mean and std of each of `channels` channels: averages, repeated, unless there are 3."""
        if len(self.mean) == channels:
            return self.mean, self.std
        return tuple((sum(values) / len(values),) * channels for values in (self.mean, self.std))

    def ordered(self, images):
        """Returns red, green, blue images in the order of the network's channels, or the reverse.

        Args:
            images: array or tensor (..., channels).
        """
        return images[..., ::-1] if self.blue_first and images.shape[-1] == 3 else images

    @property
    def normalisation(self) -> tuple:
        """What is computed with each pixel: scale, mean, std and blue_first."""
        return self.scale, self.mean, self.std, self.blue_first

    def __str__(self) -> str:
        """Returns one line, such as "imagenet, 224x224, crop 0.875, bilinear"."""
        names = (name for name in NAMES if NAMES[name].normalisation == self.normalisation)
        name = next(names, None)
        if name is None:
            mean, std = (
                " ".join(f"{value:g}" for value in values) for values in (self.mean, self.std)
            )
            order = ", blue first" if self.blue_first else ""
            name = f"scale {self.scale:.6g}, mean {mean}, std {std}{order}"
        size = "x".join(map(str, self.size))
        return f"{name}, {size}, crop {self.crop:g}, {self.interpolation}"

    def to_text(self) -> str:
        """Returns all fields as one word of a-z, 0-9 and _, which `from_text` reads: it is part of layers' names."""
        names = (name for name in NAMES if NAMES[name].normalisation == self.normalisation)
        values = next(names, None)
        if values is None:
            order = "bgr" if self.blue_first else "rgb"
            values = "_".join([order, *map(_number, (self.scale, *self.mean, *self.std))])
        size = "x".join(map(str, self.size))
        return "__".join([size, _number(self.crop), self.interpolation, values])


def from_text(text: str) -> Preprocessing:
    """Returns the preprocessing that `Preprocessing.to_text` wrote.

    Raises:
        ValueError: for another text.
    """
    match = re.fullmatch(r"(\d+)x(\d+)__([\dpem]+)__([a-z]+)__([a-z0-9_]+)", text)
    if match is None:
        raise ValueError(f"{text!r} is not the text of a preprocessing")
    size, crop = (int(match[1]), int(match[2])), _parse(match[3])
    if match[5] in NAMES:
        named = NAMES[match[5]]
        return dataclasses.replace(named, size=size, crop=crop, interpolation=match[4])
    order, scale, *values = match[5].split("_")
    numbers = tuple(map(_parse, values))
    half = len(numbers) // 2
    if order not in ("rgb", "bgr") or not half or len(numbers) % 2:
        raise ValueError(f"{text!r} is not the text of a preprocessing")
    return Preprocessing(
        size, crop, match[4], _parse(scale), numbers[:half], numbers[half:], order == "bgr"
    )


def _number(value: float) -> str:
    """Returns a number without the characters that a layer's name cannot have: 0p5 for 0.5, m2p0 for -2.0."""
    return repr(float(value)).replace("+", "").replace("-", "m").replace(".", "p")


def _parse(text: str) -> float:
    return float(text.replace("m", "-").replace("p", "."))


IMAGENET = Preprocessing()
"""Preprocessing of torchvision's and timm's ImageNet weights: resize to 256, crop to 224, channel mean and std."""

INCEPTION = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""Pixels from -1 to 1: preprocessing of the Inception networks and of their authors' later networks."""

CIFAR10 = Preprocessing(
    size=(32, 32), crop=1.0, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
)
"""Preprocessing of CIFAR-10: no crop, its channel mean and std."""

DIGITS = Preprocessing(size=(28, 28), crop=1.0, mean=(0.1 / 1.275,), std=(1 / 1.275,))
"""Section II.B of LeCun 1998: white is -0.1, black is 1.175."""

CAFFE = Preprocessing(scale=1.0, mean=(123.68, 116.779, 103.939), std=(1.0,) * 3, blue_first=True)
"""Keras Applications' mode "caffe", of its VGGs and its ResNets of 2015: blue first, minus the channel mean."""

UNIT = Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3)
"""Pixels from 0 to 1."""

PIXELS = Preprocessing(scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
"""Pixels from 0 to 255, of networks that normalise them."""

NAMES = {
    "imagenet": IMAGENET,
    "inception": INCEPTION,
    "cifar10": CIFAR10,
    "digits": DIGITS,
    "caffe": CAFFE,
    "tf": INCEPTION,
    "torch": IMAGENET,
    "unit": UNIT,
    "none": PIXELS,
}
"""Preprocessings by name. "caffe", "tf" and "torch" are the modes of Keras Applications' `preprocess_input`."""


def get_preprocessing(name: str) -> Preprocessing:
    """Returns a preprocessing by its name, one of `NAMES`.

    Raises:
        ValueError: for another name, with the nearest and all allowed ones.
    """
    if isinstance(name, str) and name in NAMES:
        return NAMES[name]
    raise ValueError(
        f"preprocessing={name!r} is not one of {', '.join(NAMES)}.{nearest(str(name), NAMES)}"
    )
