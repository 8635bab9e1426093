"""Names of precisions and strategies."""

import keras
import pytest

from kapps import training


@pytest.mark.parametrize(
    ("call", "allowed"), [(training.set_precision, "float32"), (training.make_strategy, "mirrored")]
)
def test_an_unknown_name_is_an_error_of_one_line(call, allowed):
    with pytest.raises(ValueError, match=allowed) as error:
        call("fast")
    assert "\n" not in str(error.value)


def test_set_precision_sets_the_policy():
    before = keras.config.dtype_policy()
    try:
        assert training.set_precision("mixed_bfloat16") == "mixed_bfloat16"
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
