"""One network that holds every cell of NAS-Bench-201 with shared weights; gates choose the operations of the edges."""

import keras
import numpy as np
from keras import layers, ops

from kapps import heads
from kapps._cell_strings import EDGES, NODES, OPERATIONS, cell_digits
from kapps._checked import checked
from kapps.cnn import nasbench201
from kapps.layers.padding import strided_padding

SHAPE = (len(EDGES), len(OPERATIONS))
"""Shape of the gates: edges and operations."""


@checked
def supernet(
    *,
    filters: int = 8,
    depth: int = 1,
    input_shape: tuple[int, int, int] = (16, 16, 3),
    classes: int = 10,
    name: str = "supernet",
) -> keras.Model:
    """Returns a model from [images, gates] to logits (batch, classes), float32.

    The gates, float32 (6, 5), are the same for all images and all cells: an edge is the sum of its operations times
    their gates. With the gates of `one_hot(cell)` the network computes what the cell's own network with the same
    weights does. Batch norms in cells have no scale, as in DARTS (Liu 2018, arXiv:1806.09055). Call it with
    `training=True` only, also to evaluate: statistics of different cells have no common average.

    Args:
        filters: channels of the first of three stages.
        depth: number of cells of each stage.
        input_shape: (height, width, channels).
        classes: width of the classifier.
        name: of the model.
    """
    image = keras.Input(input_shape, name="image")
    gates = keras.Input(batch_shape=SHAPE, name="gates")
    rows = [[gates[i, k] for k in range(SHAPE[1])] for i in range(SHAPE[0])]

    with strided_padding("symmetric"):
        x = nasbench201.body_of(image, _GatedCell(rows), filters, depth)
    x = heads.global_average_pooling(x, classes, None)
    return keras.Model([image, gates], x, name=name)


class _GatedCell:
    """The block of a supernet: a cell with all operations on each edge."""

    def __init__(self, rows):
        self.rows = rows

    def __call__(self, x, filters, *, name):
        maps = {0: x}
        for node in NODES:
            terms = []
            for (source, target), row in zip(EDGES, self.rows, strict=True):
                if target != node:
                    continue
                for gate, operation in list(zip(row, OPERATIONS, strict=True))[
                    1:
                ]:  # none adds nothing
                    y = nasbench201.OPERATIONS[operation](
                        maps[source], filters, name=f"{name}_{node}_from{source}_{operation}", scale=False,
                    )  # fmt: skip
                    terms.append(y * gate)
            maps[node] = layers.Add(name=f"{name}_{node}")(terms)
        return maps[NODES[-1]]


def one_hot(cell: str) -> np.ndarray:
    """Returns the gates of a cell, float32 (6, 5): 1 for its operations and 0 for the others."""
    return np.eye(SHAPE[1], dtype="float32")[list(map(int, cell_digits(cell)))]


def cell_of(values) -> str:
    """Returns the cell of the largest values (6, 5), such as the architecture parameters; the first one of equals."""
    return "".join(str(int(i)) for i in np.argmax(np.asarray(values), axis=-1))


def copy_weights(network: keras.Model, model: keras.Model, cell: str) -> None:
    """Gives a cell's own network, `kapps.search.build(cell, ...)`, the weights of a supernet of the same sizes.

    The moving averages of its batch norms are those of the supernet, which no cell should use: estimate them again.

    Raises:
        ValueError: if a layer of the model is not in the supernet, or has other shapes.
    """
    digits = dict(zip(EDGES, cell_digits(cell), strict=True))
    names = {layer.name: layer for layer in network.layers}
    for layer in model.layers:
        if not layer.weights:
            continue
        name = layer.name
        for (source, node), digit in digits.items():
            edge = f"_{node}_from{source}"
            name = name.replace(edge, f"{edge}_{OPERATIONS[int(digit)]}")
        if name not in names:
            raise ValueError(f"the supernet has no layer {name}: pass one of the same depth")
        shared = {variable.name: variable for variable in names[name].weights}
        for variable in layer.weights:
            if variable.name not in shared:
                continue  # the scale of a batch norm
            if shared[variable.name].shape != variable.shape:
                raise ValueError(
                    f"{name}: the supernet's weights have shape {tuple(shared[variable.name].shape)}, the model's "
                    f"{tuple(variable.shape)}: pass one of the same filters and classes"
                )
            variable.assign(shared[variable.name])


def skip_count(cell: str) -> int:
    """Returns the number of edges of a cell whose operation is the identity."""
    return cell_digits(cell).count(str(OPERATIONS.index("skip_connect")))


def batch_loss(labels, logits):
    """Returns the mean cross-entropy of logits (batch, classes) and the integer labels (batch,)."""
    return ops.mean(
        keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    )  # fmt: skip
