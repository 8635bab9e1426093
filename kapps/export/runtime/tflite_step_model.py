"""A .tflite file of one step, as a program calls it token after token; and of the encoder that goes before it."""

import dataclasses
import os

import numpy as np

from kapps.export import runtime
from kapps.export._quiet import quiet
from kapps.generation.step_models import EncoderAndStep


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What is known of an input or output."""

    shape: tuple[int, ...]
    dtype: str = "float32"


class TFLiteModel:
    """A .tflite file that stands for the model of which `tflite` wrote it: `input` and `output` name its tensors.

    Args:
        path: of the file.
        threads: that LiteRT uses.
    """

    def __init__(self, path: str | os.PathLike, threads: int = 1):
        self.path = path
        with quiet():
            self.runner = runtime.tflite_runner(path, threads)
        details = self.runner.get_input_details(), self.runner.get_output_details()
        self.input, self.output = (
            {
                name: Tensor(tuple(map(int, about["shape"])), np.dtype(about["dtype"]).name)
                for name, about in some.items()
            }
            for some in details
        )
        self.batch = next(iter(self.input.values())).shape[0]

    def predict_on_batch(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns what the file gives for some rows, which it is called with as many at once as it takes.

        Raises:
            ValueError: for other shapes than the file's, and for rows that do not fill its batches.
        """
        for name, array in given.items():
            rows, *shape = array.shape
            if tuple(shape) != self.input[name].shape[1:] or rows % self.batch:
                raise ValueError(
                    f"{self.path} takes {name} {list(self.input[name].shape)}, not {list(array.shape)}"
                )
        rows = len(next(iter(given.values())))
        found = [
            self.runner(**{name: array[at : at + self.batch] for name, array in given.items()})
            for at in range(0, rows, self.batch)
        ]
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def __call__(self, given):
        """Returns the same of tensors of any backend."""
        return self.predict_on_batch(
            {
                name: np.asarray(x).astype(self.input[name].dtype, copy=False)
                for name, x in given.items()
            }
        )


class TFLiteStepModel(TFLiteModel):
    """A .tflite file that `tflite` wrote of a model whose states come out under the names under which they go in.

    It stands for that model where tokens are generated, as in `kapps.generate`.

    Args:
        path, threads: as for `TFLiteModel`.
    """

    def __init__(self, path: str | os.PathLike, threads: int = 1):
        super().__init__(path, threads)
        if not set(self.input) & set(self.output):
            raise ValueError(
                f"{path} is of no step: no state goes in and comes out under the same name"
            )


def load_tflite_encoder_and_step(directory: str | os.PathLike, threads: int = 1) -> EncoderAndStep:
    """Returns the two files that `tflite_encoder_and_step` wrote, as `kapps.translate` takes them in place of a model.

    Args:
        directory: which holds `encoder.tflite` and `step.tflite`.
        threads: that LiteRT uses.
    """
    return EncoderAndStep(
        TFLiteModel(os.path.join(directory, "encoder.tflite"), threads),
        TFLiteStepModel(os.path.join(directory, "step.tflite"), threads),
    )
