"""Rows of the tables of results that are about a family: where docs/*.md has a table, its rows with the family's names.

A row is about a family if one of its cells is the name of a builder or of the family, or has such a name as code.
"""

import dataclasses
import functools
import pathlib
import re

import model_tables

ROOT = pathlib.Path(__file__).resolve().parents[1]
NO_RESULTS = {"index.md", "models.md", "weights.md", "glossary.md", "segmentation_models.md"}
"""Pages of docs/ whose tables are not measurements: of the site, or written from the cards."""
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Results:
    """A table of a page, with the rows that are about a family.

    Args:
        page: path of the page, relative to docs/.
        title: of the page.
        heading: of the section, or "" at the page's top.
        head: the two lines of the table's head.
        rows: its other lines.
    """

    page: str
    title: str
    heading: str
    head: tuple[str, str]
    rows: tuple[str, ...]

    @property
    def link(self) -> str:
        """Address of the section, relative to docs/."""
        return self.page + (f"#{model_tables.slug(self.heading)}" if self.heading else "")


def result_pages() -> list[pathlib.Path]:
    """Returns the pages of results."""
    return [path for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in NO_RESULTS]


def page_title(path: pathlib.Path) -> str:
    """Returns the title of a page."""
    return re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)[1]


@functools.cache
def tables() -> tuple[Results, ...]:
    """Returns all tables of the pages of results."""
    result = []
    for path in result_pages():
        title, heading = page_title(path), ""
        lines = path.read_text(encoding="utf-8").splitlines()
        for i, line in enumerate(lines):
            if line.startswith("## "):
                heading = line[3:]
            elif re.fullmatch(r"\|[\s:|-]+\|", line):
                rows = []
                for row in lines[i + 1 :]:
                    if not row.startswith("|"):
                        break
                    rows.append(row)
                result.append(Results(path.name, title, heading, (lines[i - 1], line), tuple(rows)))
    return tuple(result)


def names_of(row: str) -> set[str]:
    """Returns the names that a row of a table has: cells that are a name, and names as code."""
    names = set(re.findall(r"`([a-z][a-z0-9_]*)(?:\(\))?`", row))
    return names | {cell for cell in map(str.strip, row.split("|")) if NAME.fullmatch(cell)}


def of_family(names: set[str]) -> list[Results]:
    """Returns the tables that have rows with one of the names, with these rows only."""
    result = []
    for table in tables():
        rows = tuple(row for row in table.rows if names_of(row) & names)
        if rows:
            result.append(dataclasses.replace(table, rows=rows))
    return result


def other_pages(names: set[str], papers: str) -> dict[str, str]:
    """Returns {page: title} of the pages of results without such rows that have a name, or cite a paper, of a family.

    Args:
        names: of the family and its builders.
        papers: citations with arXiv numbers.
    """
    with_rows = {table.page for table in of_family(names)}
    numbers = set(model_tables.ARXIV.findall(papers))
    pages = {}
    for path in result_pages():
        text = path.read_text(encoding="utf-8")
        words = set(NAME.findall(text)) | set(model_tables.ARXIV.findall(text))
        if path.name not in with_rows and words & (names | numbers):
            pages[path.name] = page_title(path)
    return pages
