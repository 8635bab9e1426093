"""Nothing half-written: what `aside` gives becomes the path when all went well, and vanishes when not."""

import pytest

from kapps.files import aside


def test_a_file_replaces_the_older_one(tmp_path):
    path = tmp_path / "made" / "run.json"
    for text in ("one", "two"):
        with aside(path) as written:
            written.write_text(text)
            assert not path.exists() or path.read_text() == "one"
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="disk"), aside(path) as written:
        written.write_text("ne")
        raise RuntimeError("disk full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_replaces_nothing(tmp_path):
    path = tmp_path / "1"
    with aside(path) as written:
        written.mkdir()
        (written / "a").write_text("first")
    with pytest.raises(FileExistsError, match="exists already"), aside(path) as written:
        written.mkdir()
    assert (path / "a").read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
