"""A table of figures as aligned text, Markdown, HTML, CSV or plain records."""

import csv
import dataclasses
import html
import io

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
.number {{ text-align: right; }}
.missing td {{ color: #6b7885; }}
p {{ color: #4a5866; max-width: 60rem; margin: .5rem 0; }}
</style>
</head>
<body>
{body}
</body>
</html>"""
NOTHING = "-"


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a sheet.

    Args:
        key: of the records.
        heading: above it.
        format: how a number is written, as `format` takes it; "" for words.
        unit: what a number is divided by before it is written; records keep it whole.
    """

    key: str
    heading: str
    format: str = ""
    unit: float = 1

    def cell(self, record: dict) -> str:
        """Returns what stands in the column; "-" for a number that is not there."""
        value = record[self.key]
        if value is None:
            return NOTHING
        return f"{value / self.unit:{self.format}}" if self.format else str(value)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of figures.

    Args:
        title: above it.
        columns: from left to right.
        records: one dictionary a line, with a value for each column's key; None where there is none. What stands
            under "state" says why figures are missing.
        notes: sentences below it.
    """

    title: str
    columns: tuple[Column, ...]
    records: tuple[dict, ...]
    notes: tuple[str, ...] = ()

    def cells(self) -> list[list[str]]:
        """Returns the lines as they are written, without the headings."""
        return [[column.cell(record) for column in self.columns] for record in self.records]

    def text(self) -> str:
        """Returns aligned text: words to the left, numbers to the right."""
        lines = [[column.heading for column in self.columns], *self.cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        written = [
            "  ".join(
                cell.rjust(width) if column.format else cell.ljust(width)
                for cell, width, column in zip(line, widths, self.columns, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *written, *self.notes])

    def markdown(self) -> str:
        """Returns a Markdown table between its title and its notes."""
        rule = ["---:" if column.format else "---" for column in self.columns]
        lines = [[column.heading for column in self.columns], rule, *self.cells()]
        table = [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
        ]
        return "\n\n".join([f"## {self.title}", "\n".join(table), *self.notes])

    def csv(self) -> str:
        """Returns the records, whole, as CSV."""
        return to_csv(self.records)

    def html(self) -> str:
        """Returns the table as part of a page; `html_page` makes a whole one."""
        kinds = [' class="number"' if column.format else "" for column in self.columns]
        head = "".join(
            f"<th{kind}>{html.escape(column.heading)}</th>"
            for kind, column in zip(kinds, self.columns, strict=True)
        )
        lines = []
        for record, cells in zip(self.records, self.cells(), strict=True):
            state = ' class="missing"' if record.get("state") else ""
            written = zip(kinds, cells, strict=True)
            inside = "".join(f"<td{kind}>{html.escape(cell)}</td>" for kind, cell in written)
            lines.append(f"<tr{state}>{inside}</tr>")
        notes = "\n".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        body = "\n".join(lines)
        return (
            f'<h1>{html.escape(self.title)}</h1>\n<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody>\n</table></div>\n{notes}"
        )


def html_page(tables) -> str:
    """Returns one HTML page of several sheets, which asks for nothing outside itself."""
    title = html.escape(tables[0].title)
    return PAGE.format(title=title, body="\n".join(table.html() for table in tables))


def to_csv(records):
    """Returns records as CSV; lists are joined by x or, of shapes, by a space."""
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0], lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({key: _flat(value) for key, value in record.items()})
    return text.getvalue().rstrip("\n")


def _flat(value):
    """Returns 3x3 for [3, 3], 1x8x8x4 1x4 for [[1, 8, 8, 4], [1, 4]]."""
    if not isinstance(value, list):
        return "" if value is None else value
    inner = isinstance(value[0], list) if value else False
    return (" " if inner else "x").join(str(_flat(each)) for each in value)
