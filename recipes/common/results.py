"""What recipes that compare networks share: lines of a table, kept as each is finished, and the table's forms."""

import json
import pathlib

from kapps import tables, visualize
from kapps._files import write_atomically


class Results:
    """The lines of the table that are finished, in a file that every line is written to at once.

    Args:
        directory: of the run.
        identity: what all lines have in common; a file with another is refused.
    """

    def __init__(self, directory, identity):
        self.directory, self.identity = pathlib.Path(directory), identity
        self.path = self.directory / "results.json"
        self.rows = {}
        if self.path.exists():
            try:
                content = json.loads(self.path.read_text())
                then, self.rows = content["identity"], content["networks"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{self.path} is damaged ({error}): delete it") from None
            for key, asked in identity.items():
                if then.get(key) != asked:
                    raise ValueError(
                        f"{self.path} is of a run with {key}={then.get(key)}, not {asked}: ask for the same again, "
                        "or give another --model_dir"
                    )

    def add(self, name, row):
        self.rows[name] = row
        content = {"identity": self.identity, "networks": self.rows}
        with write_atomically(self.path) as path:
            path.write_text(json.dumps(content, indent=1) + "\n")

    def curves(self, key, name, across, up, start=""):
        """Draws the points, `row[key]`, of the lines whose names start so; returns the image's name."""
        lines = {
            line.removeprefix(start): row[key]
            for line, row in self.rows.items()
            if line.startswith(start)
        }
        visualize.plot_training_curves(lines, self.directory / name, across, up)
        return name

    def table(self, title, columns, note, others=()):
        """Writes table.txt, table.csv and table.md, prints the first, and says what is there, `others` too."""
        rows = [{c.key: row[c.key] for c in columns} for row in self.rows.values()]
        sheet = tables.Table(title, columns, tuple(rows), (note,))
        forms = {"txt": sheet.text, "csv": sheet.csv, "md": sheet.markdown}
        for suffix, form in forms.items():
            with write_atomically(self.directory / f"table.{suffix}") as path:
                path.write_text(form() + "\n")
        print(f"\n{sheet.text()}\n")
        written = [*(f"table.{suffix}" for suffix in forms), *others, "results.json"]
        print(f"written: {', '.join(str(self.directory / name) for name in written)}")
