"""The check of arguments by their annotations."""

import os
from collections.abc import Sequence

import numpy as np
import pytest

from kapps._checked import checked


@checked
def function(
    count: int, batch_size: int = 1, ratio: float = 0.5, flag: bool = False, text: str | None = None,
    path: str | os.PathLike = "", array: np.ndarray | None = None, pair: tuple[int, int] = (0, 1),
    shard: tuple[int, int] = (0, 1), names: Sequence[str] = (), numbers: Sequence[int] = (), other=None,
):  # fmt: skip
    return count


WRONG = {
    "count": [0, -1, 1.5, True, "1", None, np.float32(1)], "batch_size": [0, 10**9], "ratio": [float("nan"), "1", None],
    "flag": [1, "no", None], "text": [3, []], "path": [3, None], "array": [[[1], [1, 2]], "a", {}, np.array(["a"])],
    "pair": [(1,), 3, "12", (1, 2.5), (1, 2, 3)], "shard": [(1, 1), (-1, 2), (0, 0)],
    "names": [3, [["a"], "b"], [b"a"], {"a": 1}, None], "numbers": [["a"], [1.5], [True], 3],
}  # fmt: skip


@pytest.mark.parametrize("argument, value", [(key, x) for key in WRONG for x in WRONG[key]])
def test_a_wrong_value_is_one_line(argument, value):
    for kind in (ValueError, TypeError):
        with pytest.raises(kind) as error:
            function(**{"count": 1, argument: value})
        assert argument in str(error.value) and "\n" not in str(error.value)


def test_right_values():
    assert function(np.int64(3), array=np.zeros(2), ratio=1, pair=[1, 2], other=object) == 3
    with pytest.raises(TypeError, match=r"function\(\).*'colour'"):
        function(1, colour=2)
