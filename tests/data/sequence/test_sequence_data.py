"""Sequences: what is asked for follows from what is given, and repeats by its seed."""

import os
import pathlib

import numpy as np
import pytest

from kapps.data import DataError, sequence
from kapps.data.sequence import moving_digits

pytestmark = pytest.mark.tensorflow


def batches(dataset, many=1):
    return list(dataset.take(many).as_numpy_iterator())


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_adding_problem():
    (x, y), *_ = batches(sequence.adding_problem_dataset(30, 2000))
    assert x.shape == (2000, 30, 2) and y.shape == (2000, 1)
    assert set(np.unique(x[..., 1])) == {0, 1} and (x[..., 1].sum(axis=1) == 2).all()
    np.testing.assert_allclose(y[:, 0], (x[..., 0] * x[..., 1]).sum(axis=1), rtol=1e-6)
    assert x[..., 0].min() >= 0 and x[..., 0].max() < 1
    assert abs(np.mean((y - 1) ** 2) - 1 / 6) < 0.015
    assert (x[..., 1].sum(axis=0) > 80).all()  # any step may be marked; 133 expected
    with pytest.raises(ValueError, match="choose 2 or more"):
        sequence.adding_problem_dataset(1, 4)


def test_what_is_drawn_depends_on_seed_and_number_alone():
    def made(batch, seed=0, many=None):
        found = sequence.adding_problem_dataset(9, batch, sequences=many, seed=seed)
        return np.concatenate([x for x, _ in batches(found, 12 // batch)])

    assert np.array_equal(made(4), made(6)) and np.array_equal(made(4), made(4, many=12))
    assert not np.array_equal(made(4), made(4, seed=1))
    assert len(np.unique(made(4)[..., 0])) == 12 * 9


def test_copy_memory():
    (x, y), *_ = batches(sequence.copy_memory_dataset(7, 500))
    assert x.shape == (500, 27, 1) and y.shape == (500, 27)
    np.testing.assert_array_equal(x[:, :10, 0], y[:, -10:])
    assert set(np.unique(y[:, -10:])) == set(range(1, 9)) and (y[:, :17] == 0).all()
    assert (x[:, 10:16] == 0).all() and (x[:, 16:] == 9).all()


def test_pixels_in_order_and_permuted():
    images = np.arange(6 * 4, dtype="uint8").reshape(6, 2, 2) * 10
    labels = np.arange(6)
    (x, y), *_ = batches(sequence.pixel_dataset(images, labels, 6))
    np.testing.assert_allclose(x[1, :, 0] * 255, [40, 50, 60, 70], rtol=1e-6)
    (permuted, _), *_ = batches(sequence.pixel_dataset(images, labels, 6, permutation_seed=0))
    orders = np.argsort(permuted[..., 0], axis=1)
    assert (orders == orders[0]).all() and orders[0].tolist() != [0, 1, 2, 3]
    (_, one), *_ = batches(sequence.pixel_dataset(images, labels, 4, shuffle=True, seed=3))
    (_, other), *_ = batches(sequence.pixel_dataset(images, labels, 4, shuffle=True, seed=3))
    assert one.tolist() == other.tolist() != y[:4].tolist()


@pytest.fixture
def rolls(tmp_path):
    """A .mat file of three pieces a split."""
    io = pytest.importorskip("scipy.io", reason="scipy reads .mat files")
    draw = np.random.default_rng(0)
    content = {}
    for key in ("traindata", "validdata", "testdata"):
        content[key] = np.empty((1, 3), object)
        for i in range(3):
            content[key][0, i] = (draw.random((4 + i, 88)) < 0.1).astype("uint8")
    io.savemat(tmp_path / "rolls.mat", content)
    return tmp_path / "rolls.mat"


def test_music(rolls):
    pieces = sequence.read_piano_rolls(rolls, "train")
    assert [piece.shape for piece in pieces] == [(4, 88), (5, 88), (6, 88)]
    (x, y, weight), *_ = batches(sequence.piano_roll_dataset(pieces, 3))
    assert x.shape == y.shape == (3, 5, 88) and weight.sum(axis=1).tolist() == [3, 4, 5]
    for i, piece in enumerate(pieces):
        np.testing.assert_array_equal(x[i, : len(piece) - 1], piece[:-1])
        np.testing.assert_array_equal(y[i, : len(piece) - 1], piece[1:])
    rolls.write_bytes(b"no music")
    with pytest.raises(DataError, match=r"not a \.mat file of piano rolls"):
        sequence.read_piano_rolls(rolls, "train")
    with pytest.raises(DataError, match="cannot be opened"):
        sequence.read_piano_rolls(rolls.with_name("other.mat"), "train")


def test_published_chorales():
    folder = os.environ.get("KAPPS_TEST_DATA")
    path = pathlib.Path(folder or "", "polymusic", "JSB_Chorales.mat")
    if not folder or not path.exists():
        pytest.skip("KAPPS_TEST_DATA names no folder with polymusic/JSB_Chorales.mat")
    # Boulanger-Lewandowski's split.
    found = [len(sequence.read_piano_rolls(path, split)) for split in ("train", "validation", "test")]
    assert found == [229, 76, 77]


def test_moving_digits_move_as_light_does():
    """A bright block: its corner is where the fold says, at an even speed between the edges."""
    images = np.full((1, 4, 3), 255, "uint8")
    made = sequence.moving_digits_dataset(images, 40, digits=1, input_frames=3, frames=16, side=20, velocity=(2, 3))  # fmt: skip
    (given, after), *_ = batches(made)
    assert given.shape == (40, 3, 20, 20, 1) and after.shape == (40, 13, 20, 20, 1)
    frames = np.concatenate([given, after], axis=1)[..., 0]
    assert (frames.sum(axis=(2, 3)) == 12).all()  # never cut by an edge
    top = frames.max(axis=3).argmax(axis=2).astype(float)
    left = frames.max(axis=2).argmax(axis=2).astype(float)
    assert top.max() == 16 and left.max() == 17 and top.min() == left.min() == 0
    steps = np.hypot(np.diff(top, axis=1), np.diff(left, axis=1))
    inside = (  # neither this place nor the next is near an edge
        np.minimum(top, 16 - top) > 3
    ) & (np.minimum(left, 17 - left) > 3)
    straight = steps[inside[:, :-1] & inside[:, 1:]]
    assert len(straight) > 20 and straight.min() > 2 - 1.5 and straight.max() < 3 + 1.5
    assert abs(straight.mean() - 2.5) < 0.3
    for places, room in ((top, 16), (left, 17)):  # a turn, and the same way back
        folded = moving_digits.reflect(np.array([-3.0, 1, room + 5.0], "float32"), float(room))
        assert folded.numpy().tolist() == [3, 1, room - 5]
        assert (np.diff(np.sign(np.diff(places, axis=1)), axis=1) != 0).any()


def test_two_digits_overlap_by_the_brighter_pixel_and_repeat():
    images = np.stack([np.full((3, 3), 100), np.full((3, 3), 200)]).astype("uint8")

    def made(seed):
        return batches(
            sequence.moving_digits_dataset(images, 20, side=6, sequences=20, seed=seed, velocity=(1, 2))
        )[0]

    given, _ = made(5)
    np.testing.assert_allclose(np.unique(given), np.array([0, 100, 200]) / 255, rtol=1e-6)
    assert same(made(5), made(5)) and not same(made(5), made(6))
    with pytest.raises(ValueError, match="side=2"):
        sequence.moving_digits_dataset(images, 1, side=2)
    with pytest.raises(ValueError, match="input_frames=20"):
        sequence.moving_digits_dataset(images, 1, input_frames=20)
