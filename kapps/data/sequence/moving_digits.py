"""Moving MNIST: videos of digits that move over a dark square and bounce off its edges.

[1] Srivastava 2015, arXiv:1502.04681, section 3.1
[2] Shi 2015, arXiv:1506.04214, section 4.1, which has these velocities
"""

import math

import numpy as np
import tensorflow as tf

from kapps._checked import checked
from kapps.data.sequence.synthetic_tasks import generate_batches


@checked
def moving_digits_dataset(
    images: np.ndarray,
    batch_size: int,
    *,
    sequences: int | None = None,
    seed: int = 0,
    input_frames: int = 10,
    frames: int = 20,
    side: int = 64,
    digits: int = 2,
    velocity: tuple[float, float] = (3.0, 5.0),
    first_step: int = 0,
) -> tf.data.Dataset:
    """Returns a dataset of the first frames of a video, and the frames to predict.

    The digits of a sequence, their positions, directions and velocities are sampled uniformly. A digit keeps its
    velocity and is reflected at an edge. Where digits overlap, the frame has the brighter pixel. A sequence depends
    only on the seed and its number.

    Args:
        images: digits, uint8 [n, height, width].
        batch_size: sequences per batch.
        sequences: number of sequences. `None` for an endless dataset.
        seed: seed of all samples.
        input_frames: number of frames that the model reads.
        frames: number of frames of a sequence. The model predicts those after `input_frames`.
        side: height and width of a frame, in pixels.
        digits: number of digits of a sequence.
        velocity: smallest and largest velocity, in pixels per frame, from 0 to the height of a frame.
        first_step: number of the first batch, to resume an interrupted run.

    Returns:
        Batches of (inputs, targets) in [0, 1]: float32 [batch, input_frames, side, side, 1], float32 [batch, frames -
        input_frames, side, side, 1].

    Raises:
        ValueError: the images are larger than a frame, there is no frame to predict, or the velocities are not in order
            or not from 0 to `side`.
    """
    height, width = images.shape[1:]
    if max(height, width) > side:
        raise ValueError(f"images of {height}x{width} do not fit frames of side={side}: raise side")
    if not 0 < input_frames < frames:
        raise ValueError(
            f"input_frames={input_frames}: choose 1 to {frames - 1} of {frames} frames, or raise frames"
        )
    slowest, fastest = velocity
    if not 0 <= slowest <= fastest <= side:
        raise ValueError(
            f"velocity={velocity}: pass the smallest and the largest, from 0 to side={side} pixels per frame"
        )
    free_space = tf.constant([side - height, side - width], tf.float32)[:, None, None]
    all_images = tf.constant(images)

    def make_sequence(number):
        samples = tf.random.stateless_uniform([5, digits], [seed, number])
        selected = tf.gather(all_images, tf.cast(samples[0] * len(images), tf.int32))
        angle = 2 * math.pi * samples[1]
        velocities = (slowest + samples[2] * (fastest - slowest)) * [tf.sin(angle), tf.cos(angle)]
        start = free_space * samples[3:, :, None]
        straight = start + velocities[..., None] * tf.range(frames, dtype=tf.float32)
        positions = tf.cast(
            tf.round(reflect(straight, free_space)), tf.int32
        )  # [2, digits, frames]
        rows = tf.one_hot(positions[0][..., None] + tf.range(height), side)
        columns = tf.one_hot(positions[1][..., None] + tf.range(width), side)
        pixels = tf.cast(selected, tf.float32) / 255
        video = tf.einsum("ntiy,nij,ntjx->ntyx", rows, pixels, columns)
        video = tf.reduce_max(video, axis=0)[..., None]
        return video[:input_frames], video[input_frames:]

    return generate_batches(make_sequence, batch_size, sequences, first_step)


def reflect(positions: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns the positions of a point that is reflected at 0 and at `size`, from those of one that is not."""
    period = tf.maximum(2 * size, 1e-6)
    remainder = tf.math.floormod(positions, period)
    return tf.minimum(remainder, period - remainder)
