"""Log lines of C++ code do not reach the terminal; other lines do."""

import os

import pytest

from kapps._log_lines import without_log_lines

LINES = b"I0000 00:00:1 2 port.cc:153] oneDNN\nWARNING: All log messages before absl\nerror: disk full\n"


def test_other_lines_are_printed_when_the_block_ends(capfd):
    with without_log_lines():
        os.write(2, LINES)
    assert capfd.readouterr().err == "error: disk full\n"
    os.write(2, b"I0000 after the block\n")
    assert capfd.readouterr().err == "I0000 after the block\n"


@pytest.mark.parametrize("after_exception, expected", [(True, "error: disk full\n"), (False, "")])
def test_lines_before_an_exception(capfd, after_exception, expected):
    with pytest.raises(OSError, match="disk full"), without_log_lines(after_exception):
        os.write(2, LINES)
        raise OSError("disk full")
    assert capfd.readouterr().err == expected
