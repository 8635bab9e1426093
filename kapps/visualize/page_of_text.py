"""One HTML page of what is inside a model of texts: cells of recurrent layers over the text, and attention heads.

The page loads no other file. States and weights are in it as one byte for each number.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from kapps._arrays import as_array
from kapps.visualize import _layer_calls
from kapps.visualize._page_parts import packed, page
from kapps.visualize.attention_views import attention_rollout, head_view
from kapps.visualize.attention_weights import attention_maps
from kapps.visualize.recurrent_states import cell_states, find_cells

CELLS = 6
"""Cells that follow a mark best, and cells that vary most, which the page lists."""
MOST_STATES = 4_000_000
"""Largest number of states on a page; gates are left out first."""
MOST_WEIGHTS = 8_000_000
"""Largest number of attention weights on a page."""
OPEN, CLOSE = "([{<", ")]}>"


def text_page(
    model: keras.Model, inputs, texts: Sequence[str], *, targets: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None, notes: Sequence[str] = (),
    report: Callable[[str], object] = str,
) -> str:  # fmt: skip
    """Returns an interactive HTML page of a model and one text. It works offline.

    A recurrent model's page has the text on the colours of a cell that the user chooses, the cells that vary most and
    those that follow a mark of the text (position in the line, inside quotes or brackets, ends of words, capitals), and
    the steps with states like those of a chosen step. The page of a model with attention has all heads of all layers,
    and the weights of one head between the tokens.

    Args:
        model: a `keras.Model` of tokens, also a nested one.
        inputs: what the model takes, for one text: (1, time); a list [source, target] for an encoder-decoder.
        texts: text of each token of the input, or of the source.
        targets: text of each token of the target.
        class_names: name of each class, or text of each token, of the output; None for numbers.
        notes: lines under the name of the model.
        report: called with the description of each part before it is computed.

    Raises:
        ValueError: for numbers of texts that do not fit, and for a model without recurrent layers and attention.
    """
    arrays = [
        as_array("inputs", x) for x in (inputs if isinstance(inputs, (list, tuple)) else [inputs])
    ]
    inputs = arrays if len(arrays) > 1 else arrays[0]
    for array, names in zip(arrays, (texts, targets), strict=False):
        if array.ndim != 2 or len(array) != 1 or names is None or len(names) != array.shape[1]:
            count = "no" if names is None else len(names)
            raise ValueError(
                f"tokens of shape {array.shape} and {count} texts: pass (1, time), and the text of each token"
            )
    report("recurrent layers")
    recurrent = _recurrent(model, inputs, [list(texts), list(targets or ())])
    report("attention")
    attention, left_out = _attention(model, inputs)
    if not recurrent and not attention and not left_out:
        raise ValueError(f"{model.name} has no recurrent layer and no attention layer")
    report("the most likely outputs")
    data = {
        "name": model.name,
        "notes": [*notes, *left_out],
        "texts": list(texts),
        "targets": None if targets is None else list(targets),
        "recurrent": recurrent,
        "attention": attention,
        "outputs": _outputs(model, inputs, class_names),
    }
    return page("text", f"{model.name}: inside", data)


def marks(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns numbers of each token of a text, {name: (time,)}: what a cell may follow."""
    rows, line, position, quoted, depth = [], 0, 0, False, 0
    for text in texts:
        if '"' in text:
            quoted = not quoted
        depth += sum(c in OPEN for c in text) - sum(c in CLOSE for c in text)
        rows.append((position, quoted, depth, text[-1:].isspace(), text[:1].isupper(), line))
        position += len(text)
        if "\n" in text:
            line, position = line + 1, 0
    names = (
        "position in the line", "inside quotes", "depth of brackets", "end of a word", "capital letter",
        "number of lines",
    )  # fmt: skip
    columns = np.array(rows, float).T
    return {name: x for name, x in zip(names, columns, strict=True) if x.min() < x.max()}


def _recurrent(model, inputs, texts):
    """Returns the data of the recurrent layers: states, and cells to choose from."""
    paths = []

    def visit(call):
        if isinstance(call.operation, keras.layers.RNN):
            paths.append(call.path)
        return call.proceed()

    _layer_calls.run(model, inputs, visit)
    layers, room = [], MOST_STATES
    for path in paths:
        states = {name: x[0] for name, x in cell_states(model, inputs, path).items()}
        states = {name: x for name, x in states.items() if x.ndim == 2}
        which = next(
            (
                i
                for i, x in enumerate(texts)
                if states and len(x) == len(next(iter(states.values())))
            ),
            None,
        )
        if which is None:  # other steps than those of a text
            continue
        chosen = {}
        for name, values in states.items():
            if values.size <= room:
                chosen[name], room = values, room - values.size
        if not chosen:
            continue
        main = "c" if "c" in chosen else next(iter(chosen))
        if main == "c":  # the value that a cell's output has, as in the figures of Karpathy 2015
            chosen = {"tanh(c)": np.tanh(chosen["c"]), **chosen}
        spread = next(iter(chosen.values())).std(axis=0)
        cells = {"varies most": [(int(i), None) for i in np.argsort(-spread)[:CELLS]]}
        for name, mark in marks(texts[which]).items():
            cells[name] = find_cells(chosen[main][None], mark[None], CELLS)
        layers.append(
            {
                "layer": path,
                "text": which,
                "main": main,
                "shown": next(iter(chosen)),
                "states": {name: packed(values) for name, values in chosen.items()},
                "cells": cells,
            }
        )
    return layers


def _attention(model, inputs):
    """Returns the data of the attention layers, and lines about what is left out."""
    try:
        maps = attention_maps(model, inputs)
    except ValueError:  # none
        return [], []
    layers, room, left_out = [], MOST_WEIGHTS, 0
    for name in maps:
        view = head_view(maps, name)
        if view.size > room or not view.size:
            left_out += 1
            continue
        room -= view.size
        layers.append({"layer": name, "weights": packed(view)})
    try:
        steps = np.flatnonzero(next(iter(maps.values())).query_mask[0])
        rollout = attention_rollout(maps)[0][np.ix_(steps, steps)]
        layers.append({"layer": "rollout of all layers", "weights": packed(rollout[None])})
    except ValueError:  # not a stack of self-attention
        pass
    return layers, [f"{left_out} attention layers are left out: the text is long"] * bool(left_out)


def _outputs(model, inputs, class_names):
    """Returns the most likely classes, of the text or of each step, or None for other outputs."""
    output = model(inputs, training=False)
    if not hasattr(output, "shape"):
        return None
    values = ops.convert_to_numpy(output).astype("float32")[0]
    if values.ndim not in (1, 2) or values.shape[-1] < 2:
        return None
    rows = values if values.ndim == 2 else values[None]
    names = class_names if class_names is not None and len(class_names) == rows.shape[-1] else None
    top = np.argsort(-rows, axis=-1, kind="stable")[:, : min(3, rows.shape[-1])]
    steps = [
        [
            {"name": str(i) if names is None else names[i], "value": float(row[i])}
            for i in order.tolist()
        ]
        for row, order in zip(rows, top, strict=True)
    ]
    return {"each_step": values.ndim == 2, "steps": steps}
