"""What a training leaves to be looked at: curves as a picture and as CSV, and a record of the run."""

import csv
import datetime
import json
import pathlib
import platform
import subprocess
import sys
from importlib import metadata

import keras

from kapps.files import aside

PACKAGES = ("kapps", "keras", "tensorflow", "keras-cv", "tensorflow-datasets", "numpy")


class Curves(keras.callbacks.Callback):
    """Writes `history.csv` and `curves.png` into a directory after every epoch.

    Args:
        directory: where to; made where it is missing.
    """

    def __init__(self, directory):
        super().__init__()
        self.directory, self.rows = pathlib.Path(directory), []

    def on_epoch_end(self, epoch, logs=None):
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        self.rows.append({"epoch": epoch + 1, "learning_rate": float(rate), **(logs or {})})
        with aside(self.directory / "history.csv") as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        with aside(self.directory / "curves.png") as path:
            plot(self.rows, path)


def plot(rows: list[dict], path) -> None:
    """Draws loss and accuracy over the epochs, training and validation, to a PNG.

    Args:
        rows: one mapping an epoch, with "epoch", "loss", "accuracy" and their "val_" twins where there are any.
        path: of the PNG.
    """
    from matplotlib.figure import Figure  # the figure alone: no global state, no window

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axis, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label in ((quantity, "training"), (f"val_{quantity}", "validation")):
            points = [(row["epoch"], row[key]) for row in rows if key in row]
            if points:
                axis.plot(
                    *zip(*points, strict=True), marker=".", label=f"{label} {points[-1][1]:.4g}"
                )
        axis.set(xlabel="epoch", ylabel=quantity)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, dpi=120)


def record(path, flags: dict, results: dict) -> None:
    """Writes `run.json`: what was asked for, by which versions on what machine, and what came of it.

    Args:
        path: of the file.
        flags: the resolved flags, seed included.
        results: whatever the run measured; JSON's types.
    """
    content = {
        "command": sys.argv,
        "flags": flags,
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "machine": {"platform": platform.platform(), "processor": platform.processor()},
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "results": results,
    }
    with aside(path) as written:
        written.write_text(json.dumps(content, indent=2) + "\n")


def _versions():
    installed = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}


def _commit():
    """Returns the checkout's commit, with "+" where files differ from it, or None away from a checkout."""
    git = ["git", "-C", str(pathlib.Path(__file__).parent)]
    try:
        # An installed copy may lie in somebody else's checkout, which does not track this file.
        subprocess.run(
            [*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True
        )
        command = [*git, "describe", "--always", "--abbrev=40", "--dirty=+"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
