"""Marks of texts, and the search for the cells of recurrent networks that follow them."""

import dataclasses
import re

import keras
import numpy as np

from kapps import visualize

BRACKETS = {**dict.fromkeys("([{", 1), **dict.fromkeys(")]}", -1)}


def position_in_line(text):
    """Returns the number of characters since the last line break, for each character."""
    positions, position = [], 0
    for character in text:
        positions.append(position)
        position = 0 if character == "\n" else position + 1
    return np.array(positions)


def inside_quotes(text):
    """Returns whether each character is inside "..." or triple quotes. An empty line ends "..."."""
    marks, start, quote = np.zeros(len(text), bool), 0, None
    for match in re.finditer(r'"""|\\"|"|\n\n', text):
        token = match[0]
        if quote is None and token in ('"', '"""'):
            start, quote = match.start(), token
        elif quote is not None and (token == quote or (token == "\n\n" and quote == '"')):
            marks[start : match.end() - 1], quote = True, None
    return marks


def bracket_depth(text):
    """Returns the number of open brackets after each character, 0 or more. An empty line closes all."""
    depths, depth = [], 0
    for character, after in zip(text, text[1:] + " ", strict=True):
        depth = max(0, depth + BRACKETS.get(character, 0))
        depth = 0 if character + after == "\n\n" else depth
        depths.append(depth)
    return np.array(depths)


MARKS = {
    "position in line": position_in_line,
    "inside quotes": inside_quotes,
    "bracket depth": bracket_depth,
}


@dataclasses.dataclass
class Split:
    """Sequences of a split with the marks of their steps.

    Args:
        inputs: of the network, (rows, steps, ...).
        used: whether a step counts, bool (rows, steps).
        marks: {name: number or truth value of each step, (rows, steps)}.
    """

    inputs: np.ndarray
    used: np.ndarray
    marks: dict


@dataclasses.dataclass
class FoundCell:
    """A cell that follows a mark.

    Args:
        state: name of the layer and of its state, such as "layer1 c".
        cell: index.
        r: correlation in the split of the search.
        held_out_r: correlation in the other split.
        accuracy: of truth values, the mean accuracy of a threshold on the cell for true and for false steps of the
            other split, which is 0.5 by chance; None for numbers. The threshold is that of the first split.
    """

    state: str
    cell: int
    r: float
    held_out_r: float
    accuracy: float | None


def recurrent_layers(model):
    """Returns the names of the recurrent layers of a model."""
    return [layer.name for layer in model.layers if isinstance(layer, keras.layers.RNN)]


def read_states(model, inputs):
    """Returns the states of each recurrent layer, c of LSTM and h of others: {name: (rows, steps, units)}."""
    states = {}
    for layer in recurrent_layers(model):
        values = visualize.cell_states(model, inputs, layer, gates=False)
        key = "c" if "c" in values else next(iter(values))
        states[f"{layer} {key}"] = values[key]
    return states


def search(model, split, held_out):
    """Returns the cell with the largest absolute correlation with each mark in one split, {mark: `FoundCell`}.

    A mark that is almost constant in one of the splits is left out.
    """
    states, others = read_states(model, split.inputs), read_states(model, held_out.inputs)
    result = {}
    for name, mark in split.marks.items():
        mark, other = mark[split.used], held_out.marks[name][held_out.used]
        if min(np.mean(mark != np.median(mark)), np.mean(other != np.median(other))) < 0.01:
            continue
        best = []
        for state, values in states.items():
            ((cell, r),) = visualize.find_cells(values[split.used][None], mark[None], count=1)
            best.append((abs(r), state, cell, r))
        _, state, cell, r = max(best)
        first, second = states[state][split.used][:, cell], others[state][held_out.used][:, cell]
        held_out_r = float(np.corrcoef(second, other)[0, 1]) if np.ptp(second) else 0.0
        accuracy = None
        if mark.dtype == bool:
            sign = np.sign(r) or 1.0
            accuracy = accuracy_of(sign * second, other, best_threshold(sign * first, mark))
        result[name] = FoundCell(state, cell, r, held_out_r, accuracy)
    return result


def compare(name, model, split, held_out, seed, results):
    """Searches the cells of a network, and of the same network with random weights; prints all, returns the first.

    Args:
        name: of the network in the lines and in `results`.
        model: the network.
        split, held_out: of `search`.
        seed: of the random weights.
        results: {name: {mark: {"trained": ..., "random weights": ...}}}, which gets the cells.
    """
    keras.utils.set_random_seed(seed)
    networks = {"trained": model, "random weights": keras.models.clone_model(model)}
    cells = {kind: search(network, split, held_out) for kind, network in networks.items()}
    for mark, cell in cells["trained"].items():
        row = {kind: dataclasses.asdict(best[mark]) for kind, best in cells.items()}
        results.setdefault(name, {})[mark] = row
        parts = [f"{name}, {mark}: {cell.state}[{cell.cell}], r {cell.held_out_r:.3f}"]
        parts.append(f"(random weights {row['random weights']['held_out_r']:.3f})")
        if cell.accuracy is not None:
            other = row["random weights"]["accuracy"]
            parts.append(f"accuracy {100 * cell.accuracy:.1f} % ({100 * other:.1f} %)")
        print(*parts, flush=True)
    return cells["trained"]


def scaled(values, cell):
    """Returns the values of a cell about their mean, positive where the mark is large, at most about 1."""
    values = np.sign(cell.r) * (values - values.mean())
    return values / (np.abs(values).max() or 1)


def best_threshold(values, mark):
    """Returns the quantile of the values with the largest `accuracy_of`."""
    thresholds = np.quantile(values, np.linspace(0, 1, 201))
    return max(thresholds, key=lambda threshold: accuracy_of(values, mark, threshold))


def accuracy_of(values, mark, threshold):
    """Returns the mean accuracy of a threshold for true and for false steps."""
    above = values > threshold
    return float((above[mark].mean() + (~above[~mark]).mean()) / 2)
