"""Best path decoding and beam search of CTC on logits with a known answer."""

import numpy as np
import pytest

import kapps


def test_best_path_and_beam_search_differ():
    """Graves 2012, chapter 7: "a" has paths of 0.16, 0.24 and 0.24, the best path's labelling 0.36."""
    logits = np.log(np.array([[[0.6, 0.4], [0.6, 0.4]]]))
    assert kapps.ctc_labels(logits).tolist() == [[0]]
    assert kapps.ctc_labels(logits, beams=5).tolist() == [[1]]


def test_best_path_merges_repeated_labels_and_removes_blanks():
    logits = np.log(np.eye(3)[[[1, 1, 0, 1, 2, 2, 0]]] + 1e-3)
    assert kapps.ctc_labels(logits).tolist() == [[1, 1, 2]]


@pytest.mark.parametrize(
    "shape, options, words",
    [((2, 3), {}, ["(batch, time, labels)", "(2, 3)"]), ((2, 3, 4), dict(beams=0), ["beams", "0"])],
)
def test_errors_name_what_is_allowed(shape, options, words):
    with pytest.raises(ValueError) as error:
        kapps.ctc_labels(np.zeros(shape), **options)
    assert all(word in str(error.value) for word in words)
