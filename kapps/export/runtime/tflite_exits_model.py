"""Runs the .tflite files of a network's exits one after the other, up to the exit that is confident enough."""

import os
from collections.abc import Iterator, Sequence

import numpy as np

from kapps._checked import check_argument
from kapps._local_paths import local_path
from kapps._values import short
from kapps.export.runtime.tflite_step_model import TFLiteModel


class TFLiteExits:
    """The files of a network's exits, see `load_tflite_exits`.

    Args:
        stages: the files, that of the first exit first.
    """

    def __init__(self, stages: Sequence[TFLiteModel]):
        self.stages = list(stages)

    def predictions(self, images: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the predictions of each exit, float [n, classes], the first exit first.

        The file of an exit runs when the iterator is advanced to it: a program that stops early does not run the rest.

        Args:
            images: in the format of the first file, float [n, height, width, channels].
        """
        (name,) = self.stages[0].input
        values = {name: np.asarray(images, self.stages[0].input[name].dtype)}
        for stage in self.stages:
            values = stage.predict_on_batch({key: values[key] for key in stage.input})
            yield values.pop("predictions")

    def classify(
        self, images: np.ndarray, thresholds: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the scores of each image at its exit, float [n, classes], and the number of the exit, int [n].

        Args:
            images: as for `predictions`.
            thresholds: least probability of the most likely class with which an image leaves, for each exit, as
                `kapps.early_exit.fit_budget` returns them. The last is not used.

        Raises:
            ValueError: for another number of thresholds than exits.
        """
        if len(thresholds) != len(self.stages):
            raise ValueError(
                f"thresholds={short(list(thresholds))} are {len(thresholds)}, and there are {len(self.stages)} exits"
            )
        rows, numbers = [], []
        for i in range(len(images)):
            exits = enumerate(self.predictions(images[i : i + 1]), start=1)
            for number, scores in exits:
                if number == len(self.stages) or scores.max() >= thresholds[number - 1]:
                    break
            rows.append(scores[0])
            numbers.append(number)
        return np.array(rows), np.array(numbers)


def load_tflite_exits(directory: str | os.PathLike, threads: int = 1) -> TFLiteExits:
    """Loads the files `exit1.tflite`, `exit2.tflite`, ... of `kapps.export.tflite_exits`.

    Args:
        directory: that holds the files.
        threads: the number of threads that LiteRT uses.

    Raises:
        ValueError: for a directory without `exit1.tflite`, and for a file that LiteRT cannot run.
    """
    check_argument("load_tflite_exits", "threads", threads, int)
    directory = local_path(directory, "directory")
    stages = []
    while True:
        path = directory / f"exit{len(stages) + 1}.tflite"
        if stages and not path.exists():
            return TFLiteExits(stages)
        stages.append(TFLiteModel(path, threads))
