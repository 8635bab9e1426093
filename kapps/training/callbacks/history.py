"""The history of a training, written to files after every epoch."""

import csv

import keras

from kapps._files import write_atomically
from kapps._local_paths import local_path
from kapps.visualize import plot_history


class Curves(keras.callbacks.Callback):
    """Writes `history.csv` and `curves.png` into a directory after every epoch.

    Of a model with several optimizers, "learning_rate" is that of the first one.

    Args:
        directory: where the files are written; it is created if it does not exist.
        rows: the rows of epochs that an earlier process has trained; a row per epoch is appended.
        write: whether this process writes the files. `rows` is extended in any case.
    """

    def __init__(self, directory, rows: list[dict] | None = None, write: bool = True):
        super().__init__()
        self.directory, self.write = local_path(directory, "directory"), write
        self.rows = [] if rows is None else rows

    def on_epoch_end(self, epoch, logs=None) -> None:
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "optimizers", [optimizer])[0]
        learning_rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        metrics = {key: float(value) for key, value in (logs or {}).items()}
        self.rows.append({"epoch": epoch + 1, "learning_rate": learning_rate, **metrics})
        if not self.write:
            return
        with (
            write_atomically(self.directory / "history.csv") as path,
            path.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        plot_history(self.rows, self.directory / "curves.png")
