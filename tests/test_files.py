"""Files and directories are replaced in one step, and a failure leaves nothing behind."""

import pytest

from kapps._files import write_atomically


def test_a_file_replaces_the_older_one(tmp_path):
    path = tmp_path / "new" / "run.json"
    for text in ("one", "two"):
        with write_atomically(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
            assert not path.exists() or path.read_text(encoding="utf-8") == "one"
    assert path.read_text(encoding="utf-8") == "two"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_keeps_the_older_file(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError, match="disk"), write_atomically(path) as temporary:
        temporary.write_text("ne", encoding="utf-8")
        raise RuntimeError("disk full")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_replaces_nothing(tmp_path):
    path = tmp_path / "1"
    with write_atomically(path) as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("first", encoding="utf-8")
    with (
        pytest.raises(FileExistsError, match="exists already"),
        write_atomically(path) as temporary,
    ):
        temporary.mkdir()
    assert (path / "a").read_text(encoding="utf-8") == "first"
    assert list(tmp_path.iterdir()) == [path]
