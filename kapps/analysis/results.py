"""What a profile holds: a row for each call of a layer, groups of rows, totals."""

import dataclasses

from kapps.analysis import _profile_table
from kapps.analysis.costs import Window
from kapps.analysis.receptive_field import ReceptiveField

BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}


@dataclasses.dataclass(frozen=True)
class Row:
    """One call of a layer or an operation, for the whole batch.

    Args:
        name: the layer's, after those of the models and layers that it stands in, with slashes.
        kind: the class's name.
        level: n where the output stands at 1 / 2**n of the input's resolution; None where it is no map.
        block: name of the block that the row belongs to; the row's own where it stands alone.
        inputs, outputs: shapes with the batch.
        window: of a convolution or a pooling: kernel, strides, padding, dilation, groups; else None.
        macs: multiply-accumulates.
        additions: other additions.
        elementwise: other operations, see `kapps.analysis.costs`.
        trainable, non_trainable: parameters; a layer that is called again has none in its later rows.
        activations: elements of the outputs, none where they are the input's memory.
        input_bytes, weight_bytes, output_bytes: memory at the profile's dtype.
        receptive_field: along each axis of the input; None where it cannot be said or sees no input.
        repeat: times that it is called, inside a recurrent layer; all figures are of all repetitions.
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

    @property
    def parameters(self) -> int:
        """Trainable ones and others."""
        return self.trainable + self.non_trainable

    @property
    def form(self) -> tuple:
        """What rows have in common that do the same with the same shapes."""
        return (self.kind, self.inputs, self.outputs, self.window, self.macs, self.parameters)


class Sums:
    """The sums of rows."""

    rows: tuple[Row, ...]

    def _sum(self, name):
        return sum(getattr(row, name) for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self._sum("macs")

    @property
    def additions(self) -> int:
        """Additions besides those."""
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
        """Parameters that no gradient reaches: averages, frozen layers."""
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
        """Memory of all outputs, were they kept."""
        return self._sum("output_bytes")


@dataclasses.dataclass(frozen=True)
class Group(Sums):
    """Rows that belong together, and their sums.

    Args:
        name: of the level or block; of repeated blocks, the first's and the last's.
        times: number of equal blocks that follow each other and are folded into one.
        rows: all of them.
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
class Profile(Sums):
    """What a model takes, counted on its shapes. `print` shows it by level.

    Args:
        name: the model's.
        inputs: shapes of its inputs, with the batch.
        outputs: shapes of its outputs.
        dtype: that memory is given at.
        rows: one for each call of a layer, in the graph's order.
        inference_bytes: the most memory that activations take at once, inputs and outputs too, where every layer runs
            in the graph's order and frees what nobody needs any more. Weights come on top.
        training_bytes: the same for a step of training, in which every activation is kept until the gradient has
            passed it, with the gradients that are alive at once. Weights, their gradients and the optimizer's
            averages come on top.
        links: pairs of numbers of rows: what the first makes, the second reads. -1 is the model's first input, -2 its
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
        """Elements of the outputs of convolutions: what RegNet and EfficientNet tables call activations."""
        return sum(row.activations for row in self.rows if row.window and row.macs)

    def row(self, name: str) -> Row:
        """Returns the row of a layer's first call.

        Raises:
            KeyError: if there is none of that name.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{self.name} has no layer {name!r}")

    def layers(self) -> tuple[Group, ...]:
        """Returns each row as a group of its own."""
        return tuple(Group(row.name, 1, (row,)) for row in self.rows)

    def levels(self) -> tuple[Group, ...]:
        """Returns the rows by level, in the order in which a level is first reached; "head" has no map."""
        found = {}
        for row in self.rows:
            found.setdefault("head" if row.level is None else f"level {row.level}", []).append(row)
        return tuple(Group(name, 1, tuple(rows)) for name, rows in found.items())

    def blocks(self, fold: bool = True) -> tuple[Group, ...]:
        """Returns the rows by block; equal ones, each reading the one before, are one group unless `fold` is False."""
        found = {}
        for row in self.rows:
            found.setdefault(row.block, []).append(row)
        groups = [Group(name, 1, tuple(rows)) for name, rows in found.items()]
        if not fold:
            return tuple(groups)
        reads = {(self.rows[i].block, self.rows[k].block) for i, k in self.links if i >= 0}
        runs = []
        for group in groups:
            before = runs[-1][-1] if runs else None
            if before and (before.name, group.name) in reads and _forms(before) == _forms(group):
                runs[-1].append(group)
            else:
                runs.append([group])
        return tuple(_folded(run) for run in runs)

    def groups(self, what: str) -> tuple[Group, ...]:
        """Returns the groups by "level", "block" or "layer".

        Raises:
            ValueError: for anything else.
        """
        kinds = {"level": self.levels, "block": self.blocks, "layer": self.layers}
        if what not in kinds:
            raise ValueError(f"by is {', '.join(map(repr, kinds))}, not {what!r}")
        return kinds[what]()

    def records(self, by: str = "layer") -> list[dict]:
        """Returns plain dictionaries, as JSON and CSV take them: rows, or groups by "level" or "block"."""
        return _profile_table.records(self, by)

    def table(self, by: str = "level") -> str:
        """Returns the groups by "level", "block" or "layer", and the totals, as aligned text."""
        return _profile_table.table(self, by).text()

    def __str__(self):
        return self.table()


def _folded(run):
    """Returns equal groups as one."""
    name = run[0].name if len(run) == 1 else f"{run[0].name} ... {run[-1].name}"
    return Group(name, len(run), tuple(row for group in run for row in group.rows))


def _forms(group):
    return tuple(row.form for row in group.rows)
