"""Arrays from what users pass: one line names the argument, in whatever function it is passed."""

import numpy as np
import pytest

import kapps
from kapps import early_exit
from kapps._arrays import as_array
from kapps.data import DataError, text
from kapps.generation.ctc_decoding import ctc_labels
from kapps.training import confusion_matrix

RAGGED = [[1], [1, 2]]


def test_arrays_and_nested_lists_pass():
    array = np.arange(4)
    assert as_array("x", array) is array
    assert as_array("x", [[1, 2], [3, 4]], "float32").dtype == "float32"


@pytest.mark.parametrize(
    "function, name",
    [
        (lambda: as_array("rows", RAGGED), "rows"),
        (lambda: as_array("rows", ["a"], "float32"), "rows"),
        (lambda: kapps.decode_predictions(RAGGED), "scores"),
        (lambda: early_exit.fit_thresholds([RAGGED], [1.0]), "scores"),
        (lambda: early_exit.fit_budget([[[0.5, 0.5]]], RAGGED, 1.0), "costs"),
        (lambda: ctc_labels(RAGGED), "logits"),
        (lambda: confusion_matrix(RAGGED, [[1, 2], [1, 2]], 3), "labels"),
        (lambda: text.NGramModel(RAGGED, 5), "tokens"),
    ],
)
def test_ragged_rows_are_an_error_of_one_line(function, name):
    with pytest.raises((ValueError, DataError)) as error:
        function()
    assert name in str(error.value) and "\n" not in str(error.value)
