"""Time series in .ts files."""

import numpy as np
import pytest

from kapps.data import DataError, sequence

HEADER = "# a comment\n@problemName Made\n@timeStamps false\n@classLabel true up down\n@data\n"
SERIES = HEADER + "1,2,3:10,20,30:up\n\n5,4:50,40:down\n"


def write(directory, text):
    path = directory / "Made_TRAIN.ts"
    path.write_text(text, encoding="utf-8")
    return path


def test_series_of_different_lengths_are_read_and_padded(tmp_path):
    series = sequence.read_series(write(tmp_path, SERIES))
    assert series.class_names == ("up", "down") and series.labels.tolist() == [0, 1]
    assert series.values[0].tolist() == [[1, 10], [2, 20], [3, 30]]
    assert series.pad(4)[1].tolist() == [[5, 50], [4, 40], [0, 0], [0, 0]]
    assert series.pad().shape == (2, 3, 2) and series.pad().dtype == np.float32
    with pytest.raises(DataError, match=r"steps=2.*3 steps"):
        series.pad(2)


def test_series_are_standardised_by_a_reference(tmp_path):
    series = sequence.read_series(write(tmp_path, SERIES))
    steps = np.concatenate(series.standardise().values)
    np.testing.assert_allclose([steps.mean(axis=0), steps.std(axis=0)], [[0, 0], [1, 1]], atol=1e-6)
    test_series = sequence.read_series(write(tmp_path, HEADER + "3:30:up\n")).standardise(series)
    np.testing.assert_allclose(test_series.values[0], [[0, 0]], atol=1e-6)


@pytest.mark.parametrize(
    "text, words",
    [
        ("1,2:up\n", ["'1,2:up'", "@data"]),
        ("@classLabel true up\n", ["@data"]),
        ("@classLabel\n@data\n1:2\n", ["@classLabel"]),
        ("@classLabel false\n@data\n1:2\n", ["@classLabel"]),
        (HEADER.replace("false", "true") + "(0,1):up\n", ["time stamps"]),
        (HEADER, ["no series"]),
        (HEADER + "1,2:left\n", ["line 6", "'left'", "up, down"]),
        (HEADER + "1,2:up\n1,2:3,4:up\n", ["line 7", "2 dimensions", "1 in the first"]),
        (HEADER + "1,2:3:up\n", ["line 6", "2, 1"]),
        (HEADER + "1,?:up\n", ["line 6", "missing"]),
        (HEADER + "1,x:up\n", ["line 6", "'x'"]),
        (HEADER + "1,nan:up\n", ["line 6", "finite"]),
        (HEADER + "up\n", ["line 6", "none"]),
        (HEADER + "1,1e39:up\n", ["line 6", "finite"]),
        (HEADER + "1,2\0:up\n", ["line 6", "NUL"]),
        ("@classLabel true up up\n@data\n1:up\n", ["twice"]),
    ],
)
def test_an_error_names_the_line_and_the_value(tmp_path, text, words):
    with pytest.raises(DataError) as error:
        sequence.read_series(write(tmp_path, text))
    assert all(word in str(error.value) for word in ["Made_TRAIN.ts", *words])
    assert "\n" not in str(error.value)


def test_an_error_names_the_file_that_does_not_exist(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.ts"):
        sequence.read_series(tmp_path / "nothing.ts")


def test_japanese_vowels_are_as_the_archive_describes_them(shared_data):
    folder = shared_data("timeseries")
    train, test = (
        sequence.read_series(folder / f"JapaneseVowels_{split}.ts") for split in ("TRAIN", "TEST")
    )
    # 9 speakers, 270 and 370 utterances, 12 coefficients, 7 to 29 steps.
    lengths = [len(series) for series in (*train.values, *test.values)]
    assert (len(train.values), len(test.values), len(train.class_names)) == (270, 370, 9)
    assert (min(lengths), max(lengths)) == (7, 29) and train.values[0].shape[1] == 12
    assert np.bincount(train.labels).tolist() == [30] * 9


def test_one_long_series_does_not_fill_the_memory():
    values = (np.zeros((2**20, 1), "float32"), *[np.zeros((1, 1), "float32")] * 2**10)
    series = sequence.Series("x.ts", ("a",), values, np.zeros(len(values), "int32"))
    with pytest.raises(DataError, match="longest"):
        series.pad()
