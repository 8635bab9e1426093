"""Piano rolls in .mat files."""

import numpy as np
import pytest

from kapps.data import DataError, sequence


@pytest.fixture
def path(tmp_path):
    """A .mat file of three pieces per split, of 4, 5 and 6 steps."""
    io = pytest.importorskip("scipy.io", reason="scipy reads .mat files")
    random = np.random.default_rng(0)
    arrays = {}
    for name in ("traindata", "validdata", "testdata"):
        arrays[name] = np.empty((1, 3), object)
        for i in range(3):
            arrays[name][0, i] = (random.random((4 + i, 88)) < 0.1).astype("uint8")
    io.savemat(tmp_path / "rolls.mat", arrays)
    return tmp_path / "rolls.mat"


def test_the_target_of_a_step_is_the_next_step(path):
    pieces = sequence.read_piano_rolls(path, "train")
    assert [piece.shape for piece in pieces] == [(4, 88), (5, 88), (6, 88)]
    keys, next_keys, weights = next(iter(sequence.piano_roll_dataset(pieces, 3)))
    assert keys.shape == next_keys.shape == (3, 5, 88)
    assert weights.numpy().sum(axis=1).tolist() == [3, 4, 5]
    for i, piece in enumerate(pieces):
        np.testing.assert_array_equal(keys[i, : len(piece) - 1], piece[:-1])
        np.testing.assert_array_equal(next_keys[i, : len(piece) - 1], piece[1:])


def test_an_error_names_the_file_or_the_split(path):
    with pytest.raises(DataError, match=r"'dev'.*train, validation, test"):
        sequence.read_piano_rolls(path, "dev")
    path.write_bytes(b"not music")
    with pytest.raises(DataError, match=r"rolls\.mat"):
        sequence.read_piano_rolls(path, "train")
    with pytest.raises(DataError, match=r"other\.mat"):
        sequence.read_piano_rolls(path.with_name("other.mat"), "train")


def test_the_chorales_have_the_split_of_boulanger_lewandowski(shared_data):
    path = shared_data("polymusic", "JSB_Chorales.mat")
    splits = ("train", "validation", "test")
    assert [len(sequence.read_piano_rolls(path, split)) for split in splits] == [229, 76, 77]


@pytest.mark.parametrize(
    "piece, words",
    [
        (np.full((4, 88), 2.0), "piece 2"),
        (np.full((4, 88), np.nan), "values"),
        (-np.ones((4, 88), int), "values"),
        (np.zeros((1, 88)), "two steps"),
        (np.zeros((4, 87)), "piano rolls"),
        (np.array(["a"]), "piano rolls"),
    ],
)
def test_pieces_with_other_values_raise_an_error(tmp_path, piece, words):
    io = pytest.importorskip("scipy.io", reason="scipy reads .mat files")
    pieces = np.empty((1, 2), object)
    pieces[0, 0], pieces[0, 1] = np.zeros((4, 88)), piece
    io.savemat(tmp_path / "rolls.mat", {"traindata": pieces})
    with pytest.raises(DataError, match=words):
        sequence.read_piano_rolls(tmp_path / "rolls.mat", "train")
