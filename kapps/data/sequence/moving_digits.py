"""Moving MNIST: digits that drift over a dark square and bounce off its edges.

[1] Srivastava 2015, arXiv:1502.04681, section 3.1
[2] Shi 2015, arXiv:1506.04214, section 4.1, whose speeds these are
"""

import math

import numpy as np
import tensorflow as tf

from kapps.data.sequence.synthetic_tasks import generate_batches


def moving_digits_dataset(
    images: np.ndarray,
    batch_size: int,
    *,
    sequences: int | None = None,
    seed: int = 0,
    given: int = 10,
    frames: int = 20,
    side: int = 64,
    count: int = 2,
    speed: tuple[float, float] = (3.0, 5.0),
) -> tf.data.Dataset:
    """Frames, and those after them.

    Each sequence has `count` digits, drawn as their places, directions and speeds are, uniformly; a digit keeps its
    speed and turns at an edge as light does at a mirror. Where digits overlap the brighter pixel is seen.

    Args:
        images: uint8 [n, height, width], of digits.
        batch_size: sequences a batch.
        sequences: how many there are; None for no end.
        seed: of all that is drawn: the same seed and number give the same sequence.
        given: frames that are shown.
        frames: of a sequence; those after the given ones are asked for.
        side: of a frame.
        count: digits a sequence.
        speed: least and largest, in pixels a frame.

    Returns:
        (float32 [batch, given, side, side, 1], float32 [batch, frames - given, side, side, 1]), in [0, 1].

    Raises:
        ValueError: for images larger than a frame, or no frame to ask for.
    """
    height, width = images.shape[1:]
    if max(height, width) > side:
        raise ValueError(
            f"images of {height}x{width} do not fit frames of {side}x{side}: give a larger side"
        )
    if not 0 < given < frames:
        raise ValueError(
            f"of {frames} frames 1 to {frames - 1} can be given, not {given}: give more frames"
        )
    room = tf.constant([side - height, side - width], tf.float32)[:, None, None]
    digits = tf.constant(images)

    def make(number):
        draws = tf.random.stateless_uniform([5, count], [seed, number])
        which = tf.cast(draws[0] * len(images), tf.int32)
        angle = 2 * math.pi * draws[1]
        velocity = (speed[0] + draws[2] * (speed[1] - speed[0])) * [tf.sin(angle), tf.cos(angle)]
        straight = room * draws[3:, :, None] + velocity[..., None] * tf.range(frames, dtype=tf.float32)  # fmt: skip
        place = tf.cast(tf.round(folded(straight, room)), tf.int32)  # [2, count, frames]
        down = tf.one_hot(place[0][..., None] + tf.range(height), side)
        across = tf.one_hot(place[1][..., None] + tf.range(width), side)
        shown = tf.cast(tf.gather(digits, which), tf.float32) / 255
        moved = tf.einsum("ntiy,nij,ntjx->ntyx", down, shown, across)
        seen = tf.reduce_max(moved, axis=0)[..., None]
        return seen[:given], seen[given:]

    return generate_batches(make, batch_size, sequences)


def folded(straight, room):
    """Returns where a point is that moves straight on between mirrors at 0 and `room`."""
    period = tf.maximum(2 * room, 1e-6)
    place = tf.math.floormod(straight, period)
    return tf.minimum(place, period - place)
