"""LiteRT files of a network that reads a source and writes a target: the encoder, and one step of the decoder."""

import os
import pathlib

import keras
import numpy as np

from kapps.export._paths import local
from kapps.export.runtime.tflite_step_model import load_tflite_encoder_and_step
from kapps.export.tflite import loops, tflite
from kapps.generation import step_models

FLOATS = (
    "ADD", "BATCH_MATMUL", "COS", "GATHER", "MEAN", "MUL", "NEG", "RESHAPE", "RSQRT", "SELECT", "SELECT_V2", "SIN",
    "SOFTMAX", "SQUARED_DIFFERENCE", "SUB", "TRANSPOSE",
)  # fmt: skip
"""What is between dense layers, attention and norms, by LiteRT's names: in int8 it loses most."""
INT8 = (
    {"precision": "int8"},
    {"precision": "int8", "float_operations": FLOATS},
    {
        "precision": "dynamic"
    },  # products by int8 weights, of values that are rounded one call at a time
)
"""What int8 may mean, the most of it first."""
LEAST = 0.98
"""The share of words that int8 must choose as float32 does."""


def tflite_encoder_and_step(
    model: keras.Model,
    directory: str | os.PathLike,
    *,
    source_length: int = 64,
    length: int = 64,
    precision: str = "float32",
    calibration: tuple[np.ndarray, np.ndarray] | None = None,
) -> pathlib.Path:
    """Writes `encoder.tflite` and `step.tflite` of a model of a source and a target: static shapes, builtin operations.

    A program runs the encoder once, and the step for each word, what it remembers going from its outputs to its inputs;
    `kapps.translate(kapps.export.load_tflite_encoder_and_step(directory), ...)` is such a program.

    Args:
        model: as for `kapps.generation.encoder_and_step`.
        directory: a local one; files there are replaced.
        source_length: tokens of a source, padded on the right with 0.
        length: most tokens of a target.
        precision: "float32", "float16", "dynamic" or "int8", as for `tflite`.
        calibration: for int8, sources int [n, time] and their targets, as the model reads them, a hundred or more. They
            also tell how much of it may be int8: where less than 98 % of the words are chosen as float32 chooses them,
            attention and norms stay in float32, and where that does not do, all but the weights ("dynamic").

    Returns:
        `directory`.

    Raises:
        ValueError: as for `kapps.generation.encoder_and_step` and `tflite`.
    """
    directory = local(directory)
    encoder, one = step_models.encoder_and_step(
        model, batch=1, length=length, source_length=source_length
    )
    if precision == "int8" and calibration is None:
        raise ValueError(
            'precision="int8" needs calibration: a hundred sources or more, and their targets'
        )
    if precision != "int8":
        if calibration is not None:
            raise ValueError(f"precision={precision!r} takes no calibration; int8 does")
        tflite(encoder, directory / "encoder.tflite", precision=precision)
        tflite(one, directory / "step.tflite", precision=precision)
        return directory
    source, target = (
        padded(tokens, steps)
        for tokens, steps in zip(calibration, (source_length, length), strict=True)
    )
    expected = words(step_models.encoder_and_step(model), source, target)
    known = {encoder: source, one: sampled(model, source, target)}
    looped = any(loops(layer) for layer in encoder.layers)
    for how in INT8:
        for half, name in ((encoder, "encoder"), (one, "step")):
            ranges = {"calibration": known[half]} if how["precision"] == "int8" else {}
            if looped and half is encoder:  # the converter measures no ranges in a loop
                tflite(half, directory / f"{name}.tflite", **INT8[-1])
            else:
                tflite(half, directory / f"{name}.tflite", **how, **ranges)
        found = words(load_tflite_encoder_and_step(directory), source, target)
        if np.mean(found == expected) >= LEAST:
            break
    return directory


def padded(tokens, steps):
    """Returns tokens, int [n, time], cut or padded on the right to so many steps."""
    tokens = np.asarray(tokens, "int32")[:, :steps]
    return np.pad(tokens, ((0, 0), (0, steps - tokens.shape[1])))


def taught(both, source, target):
    """Yields what goes into a step and what comes out, for each word of targets that are read, not written."""
    states = dict(both.encoder.predict_on_batch({next(iter(both.encoder.input)): source}))
    states = {**step_models.initial_states(both.step, len(source), target.shape[1]), **states}
    name = step_models.token_input_name(both.step, states)
    for column in target.T:
        if not column.any():
            return
        given = {name: column[:, None], **states}
        found = both.step.predict_on_batch(given)
        yield given, found
        states |= {name: found[name] for name in step_models.state_names(both.step)}


def words(both, source, target):
    """Returns the likeliest word after each real one of the targets, int [words]."""
    found = [found["logits"][:, 0].argmax(-1) for _, found in taught(both, source, target)]
    found = np.stack(found, axis=1)
    return found[target[:, : found.shape[1]] > 0]


def sampled(model, source, target, most=300):
    """Returns what goes into a step at so many words, drawn from all, {name: array [n, ...]}."""
    both = step_models.encoder_and_step(model)
    steps = [given for given, _ in taught(both, source, target)]
    name = step_models.token_input_name(both.step, both.encoder.output)
    rows, places = np.nonzero(np.stack([given[name][:, 0] for given in steps], axis=1))
    drawn = np.random.default_rng(0).permutation(len(rows))[:most]
    return {
        key: np.stack([np.asarray(steps[places[i]][key][rows[i]]) for i in drawn])
        for key in steps[0]
    }
