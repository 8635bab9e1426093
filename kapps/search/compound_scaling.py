"""Compound scaling of EfficientNet (Tan 2019, arXiv:1905.11946, equation 3), next to the published networks.

Depth grows by alpha^phi, width by beta^phi and the image's side by gamma^phi, so that multiply-accumulates grow by
(alpha beta^2 gamma^2)^phi, about 2^phi.
"""

import dataclasses

from kapps._checked import checked
from kapps.cnn import efficientnet

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15
"""The coefficients of the paper, from a search on EfficientNet-B0."""
PUBLISHED = {0.0: "b0", 0.5: "b1", 1.0: "b2", 2.0: "b3", 3.0: "b4", 4.0: "b5", 5.0: "b6", 6.0: "b7"}
"""The published network of each phi."""


@dataclasses.dataclass(frozen=True)
class CompoundScale:
    """What the formula gives for one phi, and the published network of that phi.

    Args:
        phi: compound coefficient.
        depth: multiplier of the number of blocks.
        width: multiplier of the channels.
        resolution: multiplier of the image's side.
        macs: multiplier of the multiply-accumulates.
        pixels: the image's side, not rounded.
        published: name of the published builder; None if there is none of this phi and these coefficients.
        published_depth: its multiplier of the number of blocks.
        published_width: its multiplier of the channels.
        published_pixels: its image's side.
    """

    phi: float
    depth: float
    width: float
    resolution: float
    macs: float
    pixels: float
    published: str | None = None
    published_depth: float | None = None
    published_width: float | None = None
    published_pixels: int | None = None

    @property
    def difference(self) -> str:
        """How the published network differs from the formula, in one line."""
        formula = f"depth {self.depth:.3f}, width {self.width:.3f} and {self.pixels:.1f} pixels"
        if self.published is None:
            return f"phi={self.phi:g} gives {formula}; no network is published with it"
        return (
            f"phi={self.phi:g} gives {formula}; {self.published} has depth {self.published_depth}, width "
            f"{self.published_width} and {self.published_pixels} pixels"
        )


@checked
def compound_scale(
    phi: float,
    *,
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
    pixels: int = 224,
) -> CompoundScale:
    """Returns the depth, width and resolution of compound scaling.

    The published B1 to B7 have phi = 0.5, 1, 2, 3, 4, 5 and 6, but do not follow the formula: the coefficients of their
    code are rounded, and from B4 on the networks and images are larger than it says. `difference` of the result says
    both.

        print(kapps.search.compound_scale(3).difference)

    Args:
        phi: compound coefficient; negative for smaller networks.
        alpha: factor of the depth for each step of phi.
        beta: factor of the width for each step of phi.
        gamma: factor of the resolution for each step of phi.
        pixels: side of the images of the network that is scaled.

    Raises:
        ValueError: for factors that are not positive.
    """
    if min(alpha, beta, gamma) <= 0 or pixels < 1:
        raise ValueError(
            f"alpha={alpha}, beta={beta}, gamma={gamma}, pixels={pixels}: each is a positive number"
        )
    depth, width, resolution = alpha**phi, beta**phi, gamma**phi
    scale = CompoundScale(
        phi, depth, width, resolution, depth * width**2 * resolution**2, pixels * resolution
    )
    if (alpha, beta, gamma, pixels) != (ALPHA, BETA, GAMMA, 224) or phi not in PUBLISHED:
        return scale
    builder = getattr(efficientnet, f"efficientnet_{PUBLISHED[phi]}")
    return dataclasses.replace(
        scale,
        published=builder.__name__,
        published_depth=builder.builder.row["depth_coefficient"],
        published_width=builder.builder.row["width_coefficient"],
        published_pixels=builder.card.input_shape[0],
    )
