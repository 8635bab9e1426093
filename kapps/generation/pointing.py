"""Decoding of pointer networks: indices of the inputs, by greedy decoding or beam search.

[1] Vinyals 2015, Pointer Networks, arXiv:1506.03134
"""

import keras
import numpy as np
from keras import ops

from kapps._arrays import as_array
from kapps._checked import check_argument
from kapps._values import is_integer, short
from kapps.generation import step_models
from kapps.generation._decoding_loop import DecodingLoop, DecodingOptions
from kapps.generation.step_models import EncoderAndStep

END = 0
"""The start symbol as an input, and the end symbol as an output."""


def point(
    model: keras.Model | EncoderAndStep | DecodingLoop, source: np.ndarray, *, steps: int | None = None,
    beam: int | None = None, tour: bool = False,
) -> np.ndarray:  # fmt: skip
    """Returns the indices of inputs that a pointer network predicts, int32 [batch, steps], padded with 0 after the end.

    Index j from 1 is input j - 1 of the source's second axis.

    Args:
        model: for example of `kapps.families.pointer_network`; or its `kapps.generation.encoder_and_step`, or files of
            it; or a `pointing_loop`, which is compiled once for all calls of one shape.
        source: the inputs, float [batch, n, width]; inputs of zeros are padding.
        steps: largest number of indices; None for n + 1.
        beam: number of answers that beam search keeps; None for greedy decoding.
        tour: whether each answer has each input exactly once, as the tours of [1, section 4.4]; all inputs of all
            sources are then real.

    Raises:
        ValueError: for a source of another shape, and for values outside their ranges.
    """
    source = as_array("source", source, "float32")
    if source.ndim != 3 or not source.size:
        raise ValueError(
            f"source has the shape {source.shape}, not [batch, n, width] with at least one input"
        )
    check_argument("point", "tour", tour, bool)
    if steps is not None and (tour or not is_integer(steps, 1, 2**20)):
        raise ValueError(
            f"steps={short(steps)} is not a positive integer, or None, as tour=True needs"
        )
    if tour and not source.any(axis=-1).all():
        raise ValueError("tour=True: source has inputs of zeros, which are padding; drop them")
    if not isinstance(model, DecodingLoop):
        model = pointing_loop(model, beam=beam, tour=tour)
    steps = steps or source.shape[1] + (not tour)
    (name,) = model.encoder.input
    inputs = {
        "prompt": np.full((len(source), 1), END, "int32"),
        "uniform": np.zeros((len(source), steps), "float32"),
        "limit": np.full(len(source), steps, "int32"),
        name: source,
    }
    run = model.predict_on_batch if isinstance(model.step, keras.Model) else model.call
    return ops.convert_to_numpy(run(inputs))


def pointing_loop(
    model: keras.Model | EncoderAndStep, *, beam: int | None = None, tour: bool = False
) -> DecodingLoop:
    """Returns a model for `point`; the options are the same."""
    if not isinstance(model, EncoderAndStep):
        model = step_models.encoder_and_step(model)
    ends = dict(end=None, never=(END,)) if tour else dict(end=END, never=())
    options = DecodingOptions(beam=beam, alpha=0.0, unique=tour, **ends)
    return DecodingLoop(model.step, model.encoder, options)
