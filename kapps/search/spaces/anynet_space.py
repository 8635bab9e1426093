"""The design spaces AnyNet A to E (Radosavovic 2020, arXiv:2003.13678) as spaces of architecture searches."""

import re
from collections.abc import Sequence

from kapps._checked import checked
from kapps._names import nearest
from kapps._values import short
from kapps.search.spaces.space import Cost, Decision, Space

STAGE = re.compile(r"(\d+)x(\d+)b(\d+)g(\d+)")
NAMES = ("depth", "width", "bottleneck", "group width")
BOTTLENECKS, GROUPS = (1, 2, 4), (1, 2, 4, 8, 16, 32)


class AnyNet(Space):
    """AnyNet A to E. A cell has a part for each stage: "1x16b1g8" are depth, width, bottleneck and group width.

    Args:
        space: "A" to "E"; each has the restrictions of those before it.
        stages: number of stages, to 16.
        depth: (least, most) blocks of a stage, to 16.
        width: (least, most) channels of a stage, to 1024; the options are the multiples of 8.
        macs: (least, most) multiply-accumulates; None for any.
        input_shape: (height, width, channels).
        classes: width of the classifier.

    Raises:
        ValueError: for a space that does not exist, and for limits that no network has.
    """

    @checked
    def __init__(
        self,
        space: str = "E",
        *,
        stages: int = 4,
        depth: Sequence[int] = (1, 16),
        width: Sequence[int] = (8, 1024),
        macs: Sequence[float] | None = None,
        input_shape: Sequence[int] = (224, 224, 3),
        classes: int = 1000,
    ):
        from kapps.cnn.anynet import SPACES  # Keras, which methods do not need
        from kapps.search.design_space.sampling import limit, limits

        if space not in SPACES:
            raise ValueError(
                f"space={space!r} is not one of {', '.join(SPACES)}.{nearest(space, SPACES)}"
            )
        self.space, self.stages = space, stages
        self.depth, self.width = limits(space, stages, depth, width, input_shape)
        self.macs = None if macs is None else limit("macs", macs)
        self.input_shape, self.classes = tuple(input_shape), classes
        self.name = (
            f"anynet(space={space}, stages={stages}, depth={self.depth}, width={self.width}, macs={self.macs}, "
            f"input_shape={self.input_shape}, classes={classes})"
        )
        options = (
            tuple(range(self.depth[0], self.depth[1] + 1)),
            tuple(range(-(-self.width[0] // 8) * 8, self.width[1] + 1, 8)),
            BOTTLENECKS,
            GROUPS,
        )
        shared = {"A": (), "B": (2,)}.get(space, (2, 3))
        rows = [
            (stage, kind)
            for stage in range(stages)
            for kind in range(4)
            if kind not in shared or stage == 0
        ]
        self._places = {place: i for i, place in enumerate(rows)}
        self.decisions = tuple(
            Decision(f"{NAMES[kind]} {stage + 1}", options[kind]) for stage, kind in rows
        )
        first = sum(stage == 0 for stage, _ in rows)
        other = (len(rows) - first) // max(stages - 1, 1)
        self.steps = tuple(first + i * other for i in range(stages))

    def _stages(self, digits):
        """Returns (depth, width, bottleneck, group width) of each stage."""
        places = [
            [self._places.get((stage, kind), self._places.get((0, kind))) for kind in range(4)]
            for stage in range(self.stages)
        ]
        return [tuple(self.decisions[i].options[digits[i]] for i in row) for row in places]

    def cell(self, digits):
        return "-".join(f"{d}x{w}b{b}g{g}" for d, w, b, g in self._stages(digits))

    def digits(self, cell):
        parts = cell.split("-") if isinstance(cell, str) else []
        rows = [STAGE.fullmatch(part) for part in parts]
        if len(rows) == self.stages and all(rows):
            stages = [tuple(map(int, row.groups())) for row in rows]
            digits = tuple(
                decision.options.index(stages[stage][kind]) if stages[stage][kind] in decision.options else -1
                for (stage, kind), decision in zip(self._places, self.decisions, strict=True)
            )  # fmt: skip
            if -1 not in digits and self.cell(digits) == cell:
                return digits
        raise ValueError(
            f"cell={short(cell, 160)} is not a network of {self.name}: {self.stages} times depth, width, "
            "bottleneck and groups such as 1x16b1g8, with - between"
        )

    def complete(self, prefix):
        """Later stages have the options of the last stage of the prefix, or the first ones."""
        digits = list(prefix)
        for (stage, kind), i in self._places.items():
            if i >= len(digits):
                digits.append(digits[self._places[stage - 1, kind]] if stage else 0)
        return tuple(digits)

    def is_valid(self, digits):
        stages = self._stages(digits)
        for space, kind in (("D", 1), ("E", 0)):
            values = [stage[kind] for stage in stages]
            if self.space >= space and values != sorted(values):
                return False
        if self.macs is None:
            return True
        return self.macs[0] <= self.cost(self.cell(digits)).macs <= self.macs[1]

    def sample(self, random):
        """Returns a cell as `kapps.search.design_space.sample` samples it: widths and depths are log-uniform."""
        from kapps.search.design_space import sample

        (network,) = sample(
            self.space, 1, macs=self.macs, seed=int(random.integers(2**62)), stages=self.stages, depth=self.depth,
            width=self.width, input_shape=self.input_shape, classes=self.classes,
        )  # fmt: skip
        names = ("depths", "widths", "bottlenecks", "group_widths")
        rows = zip(*(network.options[name] for name in names), strict=True)
        return "-".join(f"{d}x{w}b{b}g{g}" for d, w, b, g in rows)

    def options(self, cell: str) -> dict:
        """Returns the options of `kapps.families.anynet` of a cell."""
        stages = self._stages(self.digits(cell))
        names = ("depths", "widths", "bottlenecks", "group_widths")
        return {**dict(zip(names, zip(*stages, strict=True), strict=True)), "space": self.space}

    def cost(self, cell):
        from kapps.search.design_space import complexity

        figures = complexity(
            self.options(cell), input_shape=self.input_shape, classes=self.classes
        )  # fmt: skip
        return Cost(figures.parameters, figures.macs)

    def build(self, cell, **options):
        """Returns `kapps.families.anynet` of a cell; `options` are further arguments of it."""
        from kapps.cnn import anynet

        defaults = dict(input_shape=self.input_shape, classes=self.classes)
        return anynet.body(**{**defaults, **self.options(cell), **options})
