"""A search space: a product of decisions with a few options each, and what a method needs to know of its networks."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

MOST_TRIES = 10_000
"""Random choices until a network within the space's limits is among them."""


class Decision(NamedTuple):
    """A decision of a space: its name, and its options as values or texts."""

    name: str
    options: tuple


class Cost(NamedTuple):
    """Trainable parameters and multiply-accumulates of a network."""

    parameters: int
    macs: int


class Space:
    """A space of networks that architecture searches share. A network is a text, called its cell.

    A subclass has `name`, `decisions`, `steps` and the methods that raise NotImplementedError here. A cell is the
    choices of the decisions as numbers from 0, `digits(cell)`, or as the text of `cell(digits)`.

    Attributes:
        name: of the space and its options, equal for equal spaces.
        decisions: tuple of `Decision`.
        steps: numbers of decisions after which a progressive search has a network, ascending; the last is all.
    """

    name = ""
    decisions: tuple[Decision, ...] = ()
    steps: tuple[int, ...] = ()

    def digits(self, cell: str) -> tuple[int, ...]:
        """Returns the option of each decision, numbers from 0.

        Raises:
            ValueError: for a text that is not a cell of the space.
        """
        raise NotImplementedError

    def cell(self, digits: Sequence[int]) -> str:
        """Returns the cell of the options of all decisions."""
        raise NotImplementedError

    def cost(self, cell: str) -> Cost:
        """Returns parameters and multiply-accumulates by arithmetic, without building the network."""
        raise NotImplementedError

    def build(self, cell: str, **options):
        """Returns the network as a `keras.Model`; the options are those of its family function."""
        raise NotImplementedError

    def complete(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """Returns the digits of the network of the first decisions only, after one of `steps`, or none."""
        raise NotImplementedError

    def function(self, cell: str) -> str:
        """Returns a text that is equal for cells that are the same function; by default the cell itself."""
        return cell

    def is_valid(self, digits: Sequence[int]) -> bool:
        """Returns whether a network is within the limits of the space; by default all are."""
        del digits
        return True

    @property
    def size(self) -> int:
        """Number of combinations of the decisions' options."""
        return int(np.prod([len(decision.options) for decision in self.decisions], dtype=object))

    @property
    def smallest(self) -> str:
        """The cell with which searches that grow a network begin."""
        return self.cell(self.complete(()))

    def cells(self) -> Iterator[str]:
        """Yields all cells of the space, in the order of their digits."""
        counts = [range(len(decision.options)) for decision in self.decisions]
        return (self.cell(digits) for digits in itertools.product(*counts) if self.is_valid(digits))

    def sample(self, random: np.random.Generator) -> str:
        """Returns a random cell, each as likely."""
        for _ in range(MOST_TRIES):
            digits = tuple(int(random.integers(len(x.options))) for x in self.decisions)
            if self.is_valid(digits):
                return self.cell(digits)
        raise ValueError(
            f"{self.name}: {MOST_TRIES:,} random cells are outside the limits of the space; widen them"
        )

    def mutate(self, cell: str, random: np.random.Generator) -> str:
        """Returns a cell with another option of one decision; decisions and options are each as likely."""
        before = self.digits(cell)
        for _ in range(MOST_TRIES):
            i = int(random.integers(len(before)))
            others = len(self.decisions[i].options) - 1
            if not others:
                continue
            option = int(random.integers(others))
            digits = (*before[:i], option + (option >= before[i]), *before[i + 1 :])
            if self.is_valid(digits):
                return self.cell(digits)
        raise ValueError(
            f"{self.name}: {MOST_TRIES:,} mutations of {cell} are outside the limits of the space"
        )

    def neighbours(self, cell: str) -> list[str]:
        """Returns all cells that differ in one decision."""
        before = self.digits(cell)
        return [
            self.cell(digits)
            for i, decision in enumerate(self.decisions)
            for option in range(len(decision.options))
            if option != before[i]
            and self.is_valid(digits := (*before[:i], option, *before[i + 1 :]))
        ]
