"""Text files of users: encodings, line ends, compressed files, and errors for other files."""

import gzip
import os

import pytest

from kapps.data import DataError, text_files

TEXT = "Löwe\nGröße 二つ\n\nend"
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", [*ENCODINGS, "big"])
@pytest.mark.parametrize("compressed", [False, True])
def test_every_encoding_that_can_be_recognised_is_read(tmp_path, encoding, line_end, compressed):
    text = TEXT.replace("\n", line_end)
    content = b"\xfe\xff" + text.encode("utf-16-be") if encoding == "big" else text.encode(encoding)
    (tmp_path / "a.txt").write_bytes(gzip.compress(content, mtime=0) if compressed else content)
    assert text_files.read_text_file(tmp_path / "a.txt") == TEXT
    assert text_files.read_lines(tmp_path / "a.txt") == TEXT.split("\n")


@pytest.mark.parametrize(
    "content, words",
    [
        ("a\nb\nLöwe\n".encode("latin-1"), ["line 3", "byte 5", "UTF-8", "iconv"]),
        ("a\r\nb\rLöwe\n".encode("cp1252"), ["line 3"]),
        ("あ".encode("shift-jis"), ["line 1", "UTF-8"]),
        (b"a\n\xed\xa0\x80", ["line 2", "UTF-8"]),  # half a character of UTF-16
        (b"\xef\xbb\xbfa\n\xff", ["line 2", "UTF-8"]),
        (b"\xff\xfea\x00\n\x00\x00\xd8", ["line 2", "UTF-16"]),
        ("a\nb".encode("utf-16-le"), ["line 1", "NUL", "UTF-16"]),  # without its byte order mark
        (b"a\nb\0c\n", ["line 2", "NUL"]),
        (b"PK\x03\x04....", ["ZIP"]),
        (b"%PDF-1.4", ["PDF"]),
        (gzip.compress(b"a line\n" * 999, mtime=0)[:-12], ["cannot be read"]),
        (gzip.compress(bytes(2**27), mtime=0), ["more than"]),
    ],
)
def test_other_content_is_named_in_one_line(tmp_path, content, words):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError) as error:
        text_files.read_text_file(tmp_path / "a.txt")
    assert all(word in str(error.value) for word in ["a.txt", *words]), str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, word in (("none", "no file"), (".", "directory"), ("pipe", "regular")):
        with pytest.raises(DataError, match=word):
            text_files.read_text_file(tmp_path / name)


def test_a_fallback_is_for_files_that_are_not_utf8(tmp_path):
    for encoding in ("utf-8", "utf-16", "latin-1"):
        (tmp_path / "a.txt").write_bytes("Löwe".encode(encoding))
        assert text_files.read_text_file(tmp_path / "a.txt", fallback="latin-1") == "Löwe"


@pytest.mark.parametrize("content", ["cat\r\nLöwe\r\n\r\n", "0:cat\n1:Löwe", "0: cat\n1: Löwe\n"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_class_names_are_read(tmp_path, content, encoding):
    (tmp_path / "labels.txt").write_bytes(content.encode(encoding))
    assert text_files.read_class_names(tmp_path / "labels.txt") == ("cat", "Löwe")


@pytest.mark.parametrize("content, word", [("cat\n\ndog\n", "line 2"), ("\n \n", "empty")])
def test_class_names_without_a_name_raise_an_error(tmp_path, content, word):
    (tmp_path / "labels.txt").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=word):
        text_files.read_class_names(tmp_path / "labels.txt")


def test_numbers_that_are_not_in_order_are_part_of_the_names(tmp_path):
    (tmp_path / "labels.txt").write_text("1:1\n2:1\n", encoding="utf-8")
    assert text_files.read_class_names(tmp_path / "labels.txt") == ("1:1", "2:1")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\rb", "a\0", "L\udcf6we"])
def test_class_names_that_no_export_can_hold_raise_an_error(name):
    text_files.check_class_names(["Löwe", "二つ", "a b", "🙂"], "set")
    with pytest.raises(DataError, match="set: the class name") as error:
        text_files.check_class_names(["Löwe", name], "set")
    assert str(error.value).isascii() and "\n" not in str(error.value)
