"""Preprocessing of images: plain data that belongs to weights, without Keras."""

import dataclasses


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
    """

    size: tuple[int, int] = (224, 224)
    crop: float = 0.875
    interpolation: str = "bilinear"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def at(self, size: tuple[int, int]) -> "Preprocessing":
        """Returns the same preprocessing for another (height, width). Images up to 64 pixels are not cropped."""
        return dataclasses.replace(self, size=size, crop=1.0 if max(size) <= 64 else self.crop)

    def channels(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns mean and std of each of `channels` channels: averages, repeated, unless there are 3."""
        if len(self.mean) == channels:
            return self.mean, self.std
        return tuple((sum(values) / len(values),) * channels for values in (self.mean, self.std))


IMAGENET = Preprocessing()
"""Preprocessing of torchvision's and timm's ImageNet weights: resize to 256, crop to 224, channel mean and std."""

INCEPTION = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""Pixels from -1 to 1: preprocessing of the Inception networks and of their authors' later networks."""

CIFAR10 = Preprocessing(
    size=(32, 32), crop=1.0, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
)
"""Preprocessing of CIFAR-10: no crop, its channel mean and std."""
