"""Exports a model of a source and a target as two .tflite files: the encoder, and one decoding step."""

import os
import pathlib

import keras
import numpy as np

from kapps._local_paths import local_path
from kapps.export._progress import phase
from kapps.export.runtime.tflite_step_model import load_tflite_encoder_and_step
from kapps.export.tflite import tflite
from kapps.export.tflite._quantization import is_loop
from kapps.generation import step_models

FLOAT_OPERATIONS = (
    "ADD", "BATCH_MATMUL", "COS", "GATHER", "MEAN", "MUL", "NEG", "RESHAPE", "RSQRT", "SELECT", "SELECT_V2", "SIN",
    "SOFTMAX", "SQUARED_DIFFERENCE", "SUB", "TRANSPOSE",
)  # fmt: skip
"""LiteRT's names of the operations between dense layers, in attention and norms, which lose most accuracy in int8."""
INT8_OPTIONS = (
    {"precision": "int8"},
    {"precision": "int8", "float_operations": FLOAT_OPERATIONS},
    {"precision": "dynamic"},
)
"""The options that precision="int8" tries in turn, the one with most operations in int8 first."""
MIN_AGREEMENT = 0.98
"""The fraction of tokens for which int8 and float32 must have the same most likely token."""


def tflite_encoder_and_step(
    model: keras.Model,
    directory: str | os.PathLike,
    *,
    source_length: int = 64,
    length: int = 64,
    precision: str = "float32",
    calibration: tuple[np.ndarray, np.ndarray] | None = None,
    verbose: int = 1,
) -> pathlib.Path:
    """Exports a model of a source and a target as `encoder.tflite` and `step.tflite`.

    A program runs the encoder once, and the step model for each token, and feeds the states that the step model returns
    to its next call. `kapps.translate(kapps.export.load_tflite_encoder_and_step(directory), ...)` does so.

    Args:
        model: as for `kapps.generation.encoder_and_step`.
        directory: a local directory. Files of these names in it are replaced.
        source_length: tokens of a source, padded on the right with 0.
        length: the largest number of tokens of a target.
        precision: "float32", "float16", "dynamic" or "int8", as for `kapps.export.tflite`.
        calibration: for int8, 100 or more sources, int [n, time], and their targets as the model takes them. They also
            decide which operations are in int8. If less than 98 % of the most likely tokens are those of float32,
            attention and norms stay in float32; if that is not enough, only the weights are in int8 ("dynamic").
        verbose: 0 for no output; 1 for one line of progress on standard error.

    Returns:
        `directory`.

    Raises:
        ValueError: as for `kapps.generation.encoder_and_step` and `kapps.export.tflite`.
    """
    directory = local_path(directory)
    if precision == "int8" and calibration is None:
        raise ValueError(
            'precision="int8" needs calibration: 100 or more sources, and their targets'
        )
    if precision != "int8" and calibration is not None:
        raise ValueError(f"precision={precision!r} takes no calibration; int8 does")
    encoder, step = step_models.encoder_and_step(
        model, batch=1, length=length, source_length=source_length
    )
    with phase(f"Exporting {model.name} as two TFLite files in {precision}", verbose):
        if precision == "int8":
            source, target = calibration
            source, target = pad(source, source_length), pad(target, length)
            _export_int8(model, encoder, step, directory, source, target)
        else:
            tflite(encoder, directory / "encoder.tflite", precision=precision, verbose=0)
            tflite(step, directory / "step.tflite", precision=precision, verbose=0)
    return directory


def pad(tokens: np.ndarray, steps: int) -> np.ndarray:
    """Returns tokens, int [n, time], cut or padded on the right with 0 to a number of steps."""
    tokens = np.asarray(tokens, "int32")[:, :steps]
    return np.pad(tokens, ((0, 0), (0, steps - tokens.shape[1])))


def predicted_tokens(encoder_and_step, source, target):
    """Returns the most likely token after each token of the targets that is not padding, int [tokens]."""
    logits = [
        outputs["logits"][:, 0] for _, outputs in teacher_forcing(encoder_and_step, source, target)
    ]
    tokens = np.stack([scores.argmax(-1) for scores in logits], axis=1)
    return tokens[target[:, : tokens.shape[1]] > 0]


def sample_step_inputs(model, source, target, count=300):
    """Returns the step model's inputs at `count` random tokens of the targets, {name: array [n, ...]}."""
    encoder_and_step = step_models.encoder_and_step(model)
    steps = [inputs for inputs, _ in teacher_forcing(encoder_and_step, source, target)]
    name = step_models.token_input_name(encoder_and_step.step, encoder_and_step.encoder.output)
    tokens = np.stack([inputs[name][:, 0] for inputs in steps], axis=1)
    rows, positions = np.nonzero(tokens)
    sample = np.random.default_rng(0).permutation(len(rows))[:count]
    return {
        key: np.stack([np.asarray(steps[positions[i]][key][rows[i]]) for i in sample])
        for key in steps[0]
    }


def teacher_forcing(encoder_and_step, source, target):
    """Yields the step model's (inputs, outputs) at each token of the targets."""
    encoder, step = encoder_and_step
    states = dict(encoder.predict_on_batch({next(iter(encoder.input)): source}))
    states = {**step_models.initial_states(step, len(source), target.shape[1]), **states}
    name = step_models.token_input_name(step, states)
    for column in target.T:
        if not column.any():
            return
        inputs = {name: column[:, None], **states}
        outputs = step.predict_on_batch(inputs)
        yield inputs, outputs
        states |= {name: outputs[name] for name in step_models.state_names(step)}


def _export_int8(model, encoder, step, directory, source, target):
    """Writes both files with the first of INT8_OPTIONS that keeps enough of the most likely tokens."""
    expected = predicted_tokens(step_models.encoder_and_step(model), source, target)
    step_inputs = sample_step_inputs(model, source, target)
    encoder_has_loop = any(is_loop(layer) for layer in encoder.layers)
    for options in INT8_OPTIONS:
        # The converter does not measure ranges in a loop.
        encoder_options = INT8_OPTIONS[-1] if encoder_has_loop else options
        _export_part(encoder, directory / "encoder.tflite", encoder_options, source)
        _export_part(step, directory / "step.tflite", options, step_inputs)
        tokens = predicted_tokens(load_tflite_encoder_and_step(directory), source, target)
        if np.mean(tokens == expected) >= MIN_AGREEMENT:
            return


def _export_part(part, path, options, calibration):
    if options["precision"] == "int8":
        options = {**options, "calibration": calibration}
    tflite(part, path, verbose=0, **options)
