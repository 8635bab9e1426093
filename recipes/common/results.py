"""The results of recipes that compare networks: one row per network, saved when it is finished, and their table."""

import json
import pathlib

from kapps import _interrupts, tables, training, visualize
from kapps._files import write_atomically


class Results:
    """The rows of the finished networks, in `results.json`, which is written again after every row.

    The directory is locked until the program ends. A network whose training was interrupted is trained from scratch.

    Args:
        directory: directory of the run.
        identity: options that all rows have in common.
        data: identity of the data that all rows have in common, as `kapps.training.Run` takes it.

    Raises:
        ValueError: for a `results.json` that is incomplete or belongs to a run with other options.
    """

    def __init__(self, directory, identity, data=None):
        self.directory = pathlib.Path(directory)
        self.identity = identity | ({"datasets": data} if data else {})
        self.path = self.directory / "results.json"
        self.rows = {}
        training.lock_directory(self.directory)
        _interrupts.set_description(self._describe)
        if self.path.exists():
            self._read()

    def _read(self):
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            saved, self.rows = content["identity"], content["networks"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path} is incomplete ({error}): delete it") from None
        difference = training.describe_difference(saved, self.identity)
        if difference:
            raise ValueError(
                f"{self.path} belongs to a run with {difference}: use the same, or give another --model_dir"
            )

    def _describe(self):
        if not self.rows:
            return "no network is finished; run the same command to start again"
        return f"finished networks are in {self.path}; run the same command to train the others"

    def add(self, name, row):
        """Adds the row of a network, and writes the file."""
        self.rows[name] = row
        content = {"identity": self.identity, "networks": self.rows}
        with write_atomically(self.path) as path:
            path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def curves(self, key, filename, xlabel, ylabel, prefix=""):
        """Plots the points `row[key]` of the rows whose names have the prefix; returns the file name."""
        curves = {
            name.removeprefix(prefix): row[key]
            for name, row in self.rows.items()
            if name.startswith(prefix)
        }
        visualize.plot_training_curves(curves, self.directory / filename, xlabel, ylabel)
        return filename

    def table(self, title, columns, note, files=(), rows=None):
        """Writes table.txt, table.csv and table.md, and prints the first and the names of all files.

        Args:
            title, columns: of the `kapps.tables.Table`.
            note: below the table.
            files: names of other files that were written.
            rows: of the table, by default one for each network.
        """
        rows = list(self.rows.values()) if rows is None else rows
        rows = [{c.key: row[c.key] for c in columns} for row in rows]
        table = tables.Table(title, columns, tuple(rows), (note,))
        formats = {"txt": table.text, "csv": table.csv, "md": table.markdown}
        for suffix, render in formats.items():
            with write_atomically(self.directory / f"table.{suffix}") as path:
                path.write_text(render() + "\n", encoding="utf-8")
        print(f"\n{table.text()}\n")
        names = [*(f"table.{suffix}" for suffix in formats), *files, "results.json"]
        print(f"written: {', '.join(str(self.directory / name) for name in names)}")
