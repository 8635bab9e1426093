"""Runs .tflite files of step models and encoders in place of the Keras models, for text generation."""

import dataclasses
import os

import numpy as np

from kapps._local_paths import local_path
from kapps.export._quiet import quiet
from kapps.export.runtime._litert import signature_runner
from kapps.generation import EncoderAndStep


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """The shape and dtype of an input or output."""

    shape: tuple[int, ...]
    dtype: str = "float32"


class TFLiteModel:
    """A .tflite file with the interface of the Keras model that it was exported from.

    `input` and `output` are its tensors' specifications by name.

    Args:
        path: of the file.
        threads: the number of threads that LiteRT uses.
    """

    def __init__(self, path: str | os.PathLike, threads: int = 1):
        self.path = path = local_path(path)
        with quiet():
            self.runner = signature_runner(path, threads)
        self.input = _specs(self.runner.get_input_details())
        self.output = _specs(self.runner.get_output_details())
        self.batch_size = next(iter(self.input.values())).shape[0]

    def predict_on_batch(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs by name.

        Args:
            inputs: arrays [n, ...] by name; n is a multiple of the file's batch size.

        Raises:
            ValueError: for arrays of other shapes.
        """
        for name, array in inputs.items():
            rows, *shape = array.shape
            if tuple(shape) != self.input[name].shape[1:] or rows % self.batch_size:
                raise ValueError(
                    f"{self.path} takes {name} {list(self.input[name].shape)}, not {list(array.shape)}"
                )
        rows = len(next(iter(inputs.values())))
        batches = [
            self.runner(**{name: array[i : i + self.batch_size] for name, array in inputs.items()})
            for i in range(0, rows, self.batch_size)
        ]
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}

    def __call__(self, inputs):
        """Returns the outputs by name for tensors of any backend."""
        return self.predict_on_batch(
            {
                name: np.asarray(x).astype(self.input[name].dtype, copy=False)
                for name, x in inputs.items()
            }
        )


class TFLiteStepModel(TFLiteModel):
    """A .tflite file of a step model: each state is an input and an output of the same name.

    `kapps.generate` takes it in place of the Keras model.

    Args:
        path, threads: as for `TFLiteModel`.

    Raises:
        ValueError: for a file without such states.
    """

    def __init__(self, path: str | os.PathLike, threads: int = 1):
        super().__init__(path, threads)
        if not set(self.input) & set(self.output):
            raise ValueError(
                f"{path} is not a step model: no state is both an input and an output, by its name"
            )


def load_tflite_encoder_and_step(directory: str | os.PathLike, threads: int = 1) -> EncoderAndStep:
    """Loads the two files of `tflite_encoder_and_step`; `kapps.translate` takes the result in place of a model.

    Args:
        directory: that holds `encoder.tflite` and `step.tflite`.
        threads: the number of threads that LiteRT uses.
    """
    directory = local_path(directory, "directory")
    return EncoderAndStep(
        TFLiteModel(os.path.join(directory, "encoder.tflite"), threads),
        TFLiteStepModel(os.path.join(directory, "step.tflite"), threads),
    )


def _specs(details):
    return {
        name: TensorSpec(tuple(map(int, detail["shape"])), np.dtype(detail["dtype"]).name)
        for name, detail in details.items()
    }
