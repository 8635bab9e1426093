"""Tables as aligned text, Markdown, HTML, CSV and plain records.

columns = (Column("network", "network"), Column("macs", "MACs (G)", ",.2f", unit=1e9))
table = Table("Costs", columns, ({"network": "resnet50", "macs": 4_089_184_256},))
print(table.text())
"""

import csv
import dataclasses
import html
import io

from tabulate import tabulate

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 100rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.3rem; margin-top: 2.5rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .35rem .65rem; border-bottom: 1px solid #dde3ea; white-space: nowrap; text-align: left; }}
th {{ border-bottom: 2px solid #8fa1b3; white-space: normal; vertical-align: bottom; }}
p {{ color: #4a5866; max-width: 60rem; margin: .5rem 0; }}
</style>
</head>
<body>
{body}
</body>
</html>"""
MISSING = "-"


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        key: of the values in the records.
        heading: text above the column.
        format: format specification of the numbers, for example ",.1f"; "" for a column of text. Numbers are aligned
            to the right and text to the left.
        unit: divisor of the numbers in text, Markdown and HTML. CSV and records have the undivided numbers.
    """

    key: str
    heading: str
    format: str = ""
    unit: float = 1

    def cell(self, record: dict) -> str:
        """Returns the formatted value of a record, and "-" for None."""
        value = record[self.key]
        if value is None:
            return MISSING
        if not self.format:
            return str(value)
        return format(value if self.unit == 1 else value / self.unit, self.format)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a title and notes.

    Args:
        title: text above the table.
        columns: from left to right.
        records: one dictionary for each row, with a value for the key of each column; None for a missing value.
        notes: sentences below the table.
    """

    title: str
    columns: tuple[Column, ...]
    records: tuple[dict, ...]
    notes: tuple[str, ...] = ()

    def cells(self) -> list[list[str]]:
        """Returns the formatted rows, without the headings."""
        return [[column.cell(record) for column in self.columns] for record in self.records]

    def text(self) -> str:
        """Returns aligned text."""
        rows = [self._headings(), *self.cells()]
        return "\n".join([self.title, align_columns(rows, self._alignment()), *self.notes])

    def markdown(self) -> str:
        """Returns a Markdown table between its title and its notes."""
        table = self._tabulate("pipe", lambda cell: cell.replace("|", "\\|"))
        return "\n\n".join([f"## {self.title}", table, *self.notes])

    def html(self) -> str:
        """Returns a part of an HTML page; `html_page` returns a complete page."""
        notes = "\n".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        table = self._tabulate("html")  # escapes the cells
        return f'<h1>{html.escape(self.title)}</h1>\n<div class="wide">\n{table}\n</div>\n{notes}'

    def csv(self) -> str:
        """Returns the records as CSV."""
        return to_csv(self.records)

    def _headings(self):
        return [column.heading for column in self.columns]

    def _alignment(self):
        return ["right" if column.format else "left" for column in self.columns]

    def _tabulate(self, table_format, escape=str):
        headings = [escape(heading) for heading in self._headings()]
        cells = [[escape(cell) for cell in row] for row in self.cells()]
        return tabulate(
            cells, headings, table_format, disable_numparse=True, colalign=self._alignment()
        )


def align_columns(rows: list[list[str]], alignment: list[str] | None = None) -> str:
    """Returns rows as lines of aligned columns, two spaces apart.

    Args:
        rows: cells of each row, headings included.
        alignment: "left" or "right" for each column. By default the first column is aligned to the left and all
            others to the right.
    """
    rows = [list(row) for row in rows]
    alignment = alignment or ["left"] + ["right"] * (len(rows[0]) - 1)
    text = tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=alignment)
    return "\n".join(line.rstrip() for line in text.split("\n"))


def html_page(tables: list[Table]) -> str:
    """Returns one HTML page with several tables. The page loads no other file."""
    title = html.escape(tables[0].title)
    return PAGE.format(title=title, body="\n".join(table.html() for table in tables))


def to_csv(records: list[dict] | tuple[dict, ...]) -> str:
    """Returns records as CSV with a heading row. A list is written as 3x3, a list of shapes as 1x8x8x4 1x4."""
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0], lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({key: _csv_value(value) for key, value in record.items()})
    return text.getvalue().rstrip("\n")


def _csv_value(value):
    if not isinstance(value, list):
        return "" if value is None else value
    is_nested = bool(value) and isinstance(value[0], list)
    return (" " if is_nested else "x").join(str(_csv_value(item)) for item in value)
