"""A .tflite file of one step, as a program calls it token after token."""

import dataclasses
import os

import numpy as np

from kapps.export import runtimes
from kapps.export.quiet import quiet


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What is known of an input or output."""

    shape: tuple[int, ...]


class SteppedFile:
    """A .tflite file that `litert` wrote of a model whose states come out under the names under which they go in.

    It stands for that model where tokens are generated, as in `kapps.decoding.generation.generate`: `input` and
    `output` name its tensors, and `predict_on_batch` runs a step of the file's own batch.

    Args:
        path: of the file.
        threads: that LiteRT uses.
    """

    def __init__(self, path: str | os.PathLike, threads: int = 1):
        self.path = path
        with quiet():
            self.runner = runtimes.litert_runner(path, threads)
        details = self.runner.get_input_details(), self.runner.get_output_details()
        self.input, self.output = (
            {name: Tensor(tuple(map(int, about["shape"]))) for name, about in some.items()}
            for some in details
        )
        if not set(self.input) & set(self.output):
            raise ValueError(
                f"{path} is of no step: no state goes in and comes out under the same name"
            )

    def predict_on_batch(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns what the file gives for one step.

        Raises:
            ValueError: for another batch than the file's.
        """
        for name, array in given.items():
            if tuple(array.shape) != self.input[name].shape:
                raise ValueError(
                    f"{self.path} takes {name} {list(self.input[name].shape)}, not {list(array.shape)}"
                )
        return self.runner(**given)
