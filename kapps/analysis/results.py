"""The result of `kapps.profile`: a row for each call of a layer, groups of rows, and totals."""

import dataclasses

from kapps._names import nearest
from kapps.analysis import _profile_table
from kapps.analysis.costs import Window
from kapps.analysis.receptive_field import ReceptiveField

BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}


@dataclasses.dataclass(frozen=True)
class Row:
    """One call of a layer or an operation, for the whole batch.

    Args:
        name: the layer's name, after the names of the models and layers that contain it, joined by slashes.
        kind: the name of the class.
        level: n if the output has 1 / 2**n of the input's resolution; None if it is not a feature map.
        block: name of the block that contains the row; the row's own name if no block contains it.
        inputs, outputs: shapes with the batch.
        window: kernel, strides, padding, dilation and groups of a convolution or pooling; else None.
        macs: multiply-accumulates.
        additions: other additions.
        elementwise: other operations, see `kapps.analysis.costs`.
        trainable, non_trainable: number of parameters; 0 in the later rows of a layer that is called again.
        activations: elements of the outputs; 0 if the outputs use the memory of the inputs.
        input_bytes, weight_bytes, output_bytes: memory at the profile's dtype.
        receptive_field: along each axis of the input; None if it is not known or the row sees no input.
        repeat: number of repetitions inside a recurrent layer. All costs are for all repetitions together.
        signed_macs, binary_macs, binary_weights, packed_bytes: of binary layers, see `kapps.analysis.Cost`.
    """

    name: str
    kind: str
    level: int | None
    block: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    window: Window | None
    macs: int
    additions: int
    elementwise: int
    trainable: int
    non_trainable: int
    activations: int
    input_bytes: int
    weight_bytes: int
    output_bytes: int
    receptive_field: tuple[ReceptiveField, ...] | None
    repeat: int = 1
    signed_macs: int = 0
    binary_macs: int = 0
    binary_weights: int = 0
    packed_bytes: int = 0

    @property
    def parameters(self) -> int:
        """Trainable and non-trainable parameters."""
        return self.trainable + self.non_trainable

    @property
    def form(self) -> tuple:
        """Values that are equal in rows which do the same with the same shapes."""
        return (self.kind, self.inputs, self.outputs, self.window, self.macs, self.parameters)


class Totals:
    """The sums over `rows`."""

    rows: tuple[Row, ...]

    def _sum(self, name):
        return sum(getattr(row, name) for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self._sum("macs")

    @property
    def additions(self) -> int:
        """Other additions."""
        return self._sum("additions")

    @property
    def elementwise(self) -> int:
        """All other operations."""
        return self._sum("elementwise")

    @property
    def trainable(self) -> int:
        """Trainable parameters."""
        return self._sum("trainable")

    @property
    def non_trainable(self) -> int:
        """Parameters without a gradient: moving averages, frozen layers."""
        return self._sum("non_trainable")

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self._sum("parameters")

    @property
    def activations(self) -> int:
        """Elements of all outputs."""
        return self._sum("activations")

    @property
    def weight_bytes(self) -> int:
        """Memory of the parameters."""
        return self._sum("weight_bytes")

    @property
    def output_bytes(self) -> int:
        """Memory of all outputs together."""
        return self._sum("output_bytes")

    @property
    def signed_macs(self) -> int:
        """Of `macs`, those with a weight of -1 or 1: an addition or a subtraction."""
        return self._sum("signed_macs")

    @property
    def binary_macs(self) -> int:
        """Of `signed_macs`, those whose input is -1 or 1 too: XNOR and bit count."""
        return self._sum("binary_macs")

    @property
    def binary_weights(self) -> int:
        """Weights that take one bit each at inference; `weight_bytes` has their size in training."""
        return self._sum("binary_weights")

    @property
    def packed_bytes(self) -> int:
        """Memory of the binary weights at inference, with their scales."""
        return self._sum("packed_bytes")


@dataclasses.dataclass(frozen=True)
class Group(Totals):
    """Rows of one level or block, and their sums.

    Args:
        name: name of the level or block; for folded blocks, the names of the first and the last.
        times: number of equal consecutive blocks that are folded into the group.
        rows: rows of all of them.
    """

    name: str
    times: int
    rows: tuple[Row, ...]

    @property
    def outputs(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the last row's outputs."""
        return self.rows[-1].outputs

    @property
    def receptive_field(self) -> tuple[ReceptiveField, ...] | None:
        """Receptive field of the last row."""
        return self.rows[-1].receptive_field


@dataclasses.dataclass(frozen=True)
class Profile(Totals):
    """The costs of a model. `print` shows them by level.

    `kapps.visualize.plot_profile` plots a profile, and `kapps.analysis.html_page` makes an interactive page of it.

    Args:
        name: the model's name.
        inputs: shapes of its inputs, with the batch.
        outputs: shapes of its outputs.
        dtype: data type of weights and activations in memory.
        rows: one for each call of a layer, in the graph's order.
        inference_bytes: peak memory of activations, inputs and outputs included, if the layers run in the graph's
            order and each tensor is freed after its last use. Weights are not included.
        training_bytes: the same for a training step, in which every activation is kept until its gradient is computed,
            and gradients of activations need memory too. Weights, their gradients and the optimizer's variables are not
            included.
        links: pairs of row indices (i, k): row k reads an output of row i. -1 is the model's first input, -2 its
            second.
    """

    name: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    dtype: str
    rows: tuple[Row, ...]
    inference_bytes: int
    training_bytes: int
    links: tuple[tuple[int, int], ...] = ()

    @property
    def convolution_outputs(self) -> int:
        """Elements of the outputs of convolutions, which the RegNet paper calls activations."""
        return sum(row.activations for row in self.rows if row.window and row.macs)

    def row(self, name: str) -> Row:
        """Returns the row of a layer's first call.

        Raises:
            KeyError: if no row has that name.
        """
        for row in self.rows:
            if row.name == name:
                return row
        names = [row.name for row in self.rows]
        raise KeyError(f"{self.name} has no layer {name!r}.{nearest(name, names)}")

    def layers(self) -> tuple[Group, ...]:
        """Returns one group for each row."""
        return tuple(Group(row.name, 1, (row,)) for row in self.rows)

    def levels(self) -> tuple[Group, ...]:
        """Returns one group for each level, in the order in which the levels begin; rows without a map are "head"."""
        levels = {}
        for row in self.rows:
            name = "head" if row.level is None else f"level {row.level}"
            levels.setdefault(name, []).append(row)
        return tuple(Group(name, 1, tuple(rows)) for name, rows in levels.items())

    def blocks(self, fold: bool = True) -> tuple[Group, ...]:
        """Returns one group for each block.

        Args:
            fold: whether equal blocks become one group if each reads the block before it.
        """
        blocks = {}
        for row in self.rows:
            blocks.setdefault(row.block, []).append(row)
        groups = [Group(name, 1, tuple(rows)) for name, rows in blocks.items()]
        if not fold:
            return tuple(groups)
        edges = {(self.rows[i].block, self.rows[k].block) for i, k in self.links if i >= 0}
        runs = []
        for group in groups:
            before = runs[-1][-1] if runs else None
            if before and (before.name, group.name) in edges and _forms(before) == _forms(group):
                runs[-1].append(group)
            else:
                runs.append([group])
        return tuple(map(_fold, runs))

    def groups(self, by: str) -> tuple[Group, ...]:
        """Returns the groups by "level", "block" or "layer".

        Raises:
            ValueError: for any other value.
        """
        methods = {"level": self.levels, "block": self.blocks, "layer": self.layers}
        if by not in methods:
            raise ValueError(f"by must be one of {', '.join(map(repr, methods))}, not {by!r}")
        return methods[by]()

    def records(self, by: str = "layer") -> list[dict]:
        """Returns dictionaries of plain values for JSON, CSV or a data frame.

        Args:
            by: "layer" for one dictionary for each row; "block" or "level" for one for each group.
        """
        return _profile_table.records(self, by)

    def table(self, by: str = "level") -> str:
        """Returns the groups by "level", "block" or "layer" and the totals as aligned text."""
        return _profile_table.table(self, by).text()

    def __str__(self):
        return self.table()


def _fold(run):
    """Returns equal consecutive groups as one group."""
    name = run[0].name if len(run) == 1 else f"{run[0].name} ... {run[-1].name}"
    return Group(name, len(run), tuple(row for group in run for row in group.rows))


def _forms(group):
    return tuple(row.form for row in group.rows)
