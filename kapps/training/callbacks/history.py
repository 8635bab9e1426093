"""What a training leaves to be looked at: curves as an image and as CSV, and a record of the run."""

import csv
import pathlib

import keras

from kapps._files import write_atomically


class Curves(keras.callbacks.Callback):
    """Writes `history.csv` and `curves.png` into a directory after every epoch.

    Args:
        directory: where to; made where it is missing.
        rows: of the epochs that an earlier process has trained; filled further.
        writes: whether this process writes the files; all fill `rows`.
    """

    def __init__(self, directory, rows: list[dict] | None = None, writes: bool = True):
        super().__init__()
        self.writes = writes
        self.directory, self.rows = pathlib.Path(directory), [] if rows is None else rows

    def on_epoch_end(self, epoch, logs=None):
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        numbers = {key: float(value) for key, value in (logs or {}).items()}
        self.rows.append({"epoch": epoch + 1, "learning_rate": rate, **numbers})
        if not self.writes:
            return
        with (
            write_atomically(self.directory / "history.csv") as path,
            path.open("w", newline="") as file,
        ):
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        from kapps.visualize import plot_history

        plot_history(self.rows, self.directory / "curves.png")
