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
        with write_atomically(self.directory / "curves.png") as path:
            plot(self.rows, path)


PANELS = (
    "loss", "accuracy", "perplexity", "learning_rate", "examples_per_second", "tokens_per_second", "input_wait",
)  # fmt: skip


def plot(rows: list[dict], path) -> None:
    """Draws what a training's epochs came to, to a PNG, a panel for each of `PANELS` that there is.

    Args:
        rows: one mapping an epoch, with "epoch", any of `PANELS`, and their "val_" twins where there are any.
        path: of the PNG.
    """
    from matplotlib.figure import Figure  # the figure alone: no global state, no window

    panels = [quantity for quantity in PANELS if any(quantity in row for row in rows)]
    figure = Figure(figsize=(4.5 * len(panels), 4), layout="constrained")
    for axis, quantity in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        for key, label in ((quantity, "training"), (f"val_{quantity}", "validation")):
            points = [(row["epoch"], row[key]) for row in rows if key in row]
            if points:
                axis.plot(
                    *zip(*points, strict=True), marker=".", label=f"{label} {points[-1][1]:.4g}"
                )
        axis.set(xlabel="epoch", ylabel=quantity.replace("_", " "))
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, dpi=120)
