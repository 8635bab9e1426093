"""The levels of families' blocks."""

import pytest

from kapps.builders import levels


def test_each_level_after_the_first_begins_with_a_stride():
    assert list(levels((1, 2))) == [
        (2, 1, "level2_block1"),
        (3, 2, "level3_block1"),
        (3, 1, "level3_block2"),
    ]


def test_the_first_level_may_begin_with_a_stride():
    assert [block[:2] for block in levels((2, 1), first=1, strides=2)] == [(1, 2), (1, 1), (2, 2)]


def test_a_stage_without_a_stride_continues_its_level():
    assert list(levels((1, 1, 2), first=1, strides=(1, 2, 1))) == [
        (1, 1, "level1_block1"),
        (2, 2, "level2_block1"),
        (2, 1, "level2_block2"),
        (2, 1, "level2_block3"),
    ]


@pytest.mark.parametrize("strides", [(1,), (1, 3)])
def test_wrong_strides(strides):
    with pytest.raises(ValueError, match=r"strides=.*depths=\(2, 2\)"):
        list(levels((2, 2), strides=strides))
