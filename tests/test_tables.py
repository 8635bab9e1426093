"""Tables as text, Markdown, HTML, CSV and records."""

import csv
import io

import pytest

from kapps import tables

COLUMNS = (tables.Column("name", "a|b"), tables.Column("n", "<n>", ".1f", 10))


@pytest.fixture
def table():
    records = ({"name": "x|<y>", "n": 25}, {"name": "z", "n": None})
    return tables.Table("T & t", COLUMNS, records, ("A < B.",))


def test_text_is_aligned(table):
    assert table.text() == "T & t\na|b    <n>\nx|<y>  2.5\nz        -\nA < B."


def test_rows_are_aligned_to_the_left_and_then_to_the_right():
    assert tables.align_columns([("loss", "before", "1"), ("x", "", "22")]) == (
        "loss  before   1\nx             22"
    )


def test_markdown_escapes_the_column_separator(table):
    lines = [
        "|".join(cell.strip() for cell in line.split("|"))
        for line in table.markdown().replace("\\|", "/").split("\n")
    ]
    assert "|x/<y>|2.5|" in lines and "|a/b|<n>|" in lines
    assert lines[0] == "## T & t" and lines[-1] == "A < B."
    (rule,) = [line for line in lines if set(line) <= set("|:-") and "-" in line and ":" in line]
    assert rule.startswith("|:-") and rule.endswith("-:|")


def test_html_escapes_every_text(table):
    page = tables.html_page([table])
    assert "<title>T &amp; t</title>" in page and "A &lt; B." in page
    assert "x|&lt;y&gt;" in page and "<y>" not in page and "http" not in page


def test_csv_has_undivided_numbers_and_joined_lists(table):
    assert list(csv.DictReader(io.StringIO(table.csv()))) == [
        {"name": "x|<y>", "n": "25"},
        {"name": "z", "n": ""},
    ]
    record = {"kernel": [3, 3], "outputs": [[1, 8, 8, 4], [1, 4]], "none": None}
    assert tables.to_csv([record]) == "kernel,outputs,none\n3x3,1x8x8x4 1x4,"


def test_a_table_without_records_has_headings():
    table = tables.Table("T", COLUMNS, ())
    assert table.text() == "T\na|b  <n>" and "&lt;n&gt;" in table.html()
