"""Moving MNIST: digits keep their velocity and bounce off the edges."""

import numpy as np
import pytest

from kapps.data import sequence
from kapps.data.sequence import moving_digits


def test_a_block_moves_at_its_velocity_and_is_never_cut_off():
    images = np.full((1, 4, 3), 255, "uint8")
    dataset = sequence.moving_digits_dataset(
        images, 40, digits=1, input_frames=3, frames=16, side=20, velocity=(2, 3)
    )
    inputs, targets = next(dataset.as_numpy_iterator())
    assert inputs.shape == (40, 3, 20, 20, 1) and targets.shape == (40, 13, 20, 20, 1)
    frames = np.concatenate([inputs, targets], axis=1)[..., 0]
    assert (frames.sum(axis=(2, 3)) == 12).all()
    top = frames.max(axis=3).argmax(axis=2).astype(float)
    left = frames.max(axis=2).argmax(axis=2).astype(float)
    assert top.max() == 16 and left.max() == 17 and top.min() == left.min() == 0
    steps = np.hypot(np.diff(top, axis=1), np.diff(left, axis=1))
    is_inside = (np.minimum(top, 16 - top) > 3) & (np.minimum(left, 17 - left) > 3)
    straight = steps[is_inside[:, :-1] & is_inside[:, 1:]]  # far from the edges before and after
    assert len(straight) > 20 and straight.min() > 2 - 1.5 and straight.max() < 3 + 1.5
    assert abs(straight.mean() - 2.5) < 0.3
    for positions in (top, left):  # some block turns
        assert (np.diff(np.sign(np.diff(positions, axis=1)), axis=1) != 0).any()


@pytest.mark.parametrize("size", [16, 17])
def test_a_point_is_reflected_at_both_edges(size):
    positions = np.array([-3.0, 1, size + 5.0], "float32")
    assert moving_digits.reflect(positions, float(size)).numpy().tolist() == [3, 1, size - 5]


def test_overlapping_digits_have_the_brighter_pixel_and_videos_repeat():
    images = np.stack([np.full((3, 3), 100), np.full((3, 3), 200)]).astype("uint8")

    def first_batch(seed):
        dataset = sequence.moving_digits_dataset(
            images, 20, side=6, sequences=20, seed=seed, velocity=(1, 2)
        )
        return np.concatenate(next(dataset.as_numpy_iterator()), axis=1)

    video = first_batch(5)
    np.testing.assert_allclose(np.unique(video), np.array([0, 100, 200]) / 255, rtol=1e-6)
    assert np.array_equal(video, first_batch(5)) and not np.array_equal(video, first_batch(6))


def test_an_error_names_the_argument():
    images = np.zeros((1, 3, 3), "uint8")
    with pytest.raises(ValueError, match=r"3x3.*side=2"):
        sequence.moving_digits_dataset(images, 1, side=2)
    with pytest.raises(ValueError, match=r"input_frames=20.*1 to 19"):
        sequence.moving_digits_dataset(images, 1, input_frames=20)
    for velocity in ((5.0, 3.0), (-1.0, 3.0), (0.0, 1e9)):
        with pytest.raises(ValueError, match=r"velocity=.*side=64"):
            sequence.moving_digits_dataset(images, 1, velocity=velocity)
