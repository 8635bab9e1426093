"""Time series from .ts files, and what is wrong with one."""

import os
import pathlib

import numpy as np
import pytest

from kapps import data

HEADER = "# a comment\n@problemName Made\n@timeStamps false\n@classLabel true up down\n@data\n"
MADE = HEADER + "1,2,3:10,20,30:up\n\n5,4:50,40:down\n"


def write(folder, text):
    path = folder / "Made_TRAIN.ts"
    path.write_text(text)
    return path


def test_series_of_their_own_lengths(tmp_path):
    series = data.sequence.read_series(write(tmp_path, MADE))
    assert series.class_names == ("up", "down") and series.labels.tolist() == [0, 1]
    assert series.values[0].tolist() == [[1, 10], [2, 20], [3, 30]]
    assert series.pad(4)[1].tolist() == [[5, 50], [4, 40], [0, 0], [0, 0]]
    assert series.pad().shape == (2, 3, 2) and series.pad().dtype == np.float32
    with pytest.raises(data.DataError, match="steps=2, but a series has 3 steps"):
        series.pad(2)
    steps = np.concatenate(series.standardise().values)
    np.testing.assert_allclose([steps.mean(axis=0), steps.std(axis=0)], [[0, 0], [1, 1]], atol=1e-6)
    other = data.sequence.read_series(write(tmp_path, HEADER + "3:30:up\n")).standardise(series)
    np.testing.assert_allclose(other.values[0], [[0, 0]], atol=1e-6)


def test_refusals_name_the_line(tmp_path):
    for text, said in [
        ("1,2:up\n", "is not a .ts file: '1,2:up' stands before a line of @data"),
        ("@classLabel true up\n", "is not a .ts file: it has no line of @data"),
        ("@classLabel\n@data\n1:2\n", "names no classes (@classLabel true ...)"),
        ("@classLabel false\n@data\n1:2\n", "names no classes (@classLabel true ...)"),
        (HEADER.replace("false", "true") + "(0,1):up\n", "has time stamps"),
        (HEADER, "has no series after @data"),
        (HEADER + "1,2:left\n", "line 6: the label is 'left', of classes up, down"),
        (HEADER + "1,2:up\n1,2:3,4:up\n", "line 7: 2 dimensions, but 1 in the first series"),
        (HEADER + "1,2:3:up\n", "line 6: all dimensions must have one length, but these have 2, 1"),
        (HEADER + "1,?:up\n", "line 6: a value is missing (?)"),
        (HEADER + "1,x:up\n", "line 6: could not convert string to float: 'x'"),
        (HEADER + "1,nan:up\n", "line 6: a value is not finite"),
        (HEADER + "up\n", "line 6: all dimensions must have one length, but these have none"),
    ]:
        with pytest.raises(data.DataError) as refusal:
            data.sequence.read_series(write(tmp_path, text))
        assert said in str(refusal.value) and "\n" not in str(refusal.value)
    with pytest.raises(data.DataError, match=r"nothing\.ts cannot be read: No such file"):
        data.sequence.read_series(tmp_path / "nothing.ts")


def test_the_archives_files():
    folder = os.environ.get("KAPPS_TEST_DATA")
    if not folder:
        pytest.skip("KAPPS_TEST_DATA names no folder with timeseries/JapaneseVowels_TRAIN.ts in it")
    folder = pathlib.Path(folder) / "timeseries"
    train, test = (
        data.sequence.read_series(folder / f"JapaneseVowels_{each}.ts") for each in ("TRAIN", "TEST")
    )
    # The archive's description: 9 speakers, 270 and 370 utterances, 12 coefficients, 7 to 29 steps.
    lengths = [len(each) for each in (*train.values, *test.values)]
    assert (len(train.values), len(test.values), len(train.class_names)) == (270, 370, 9)
    assert (min(lengths), max(lengths)) == (7, 29) and train.values[0].shape[1] == 12
    assert np.bincount(train.labels).tolist() == [30] * 9
