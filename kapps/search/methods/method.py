"""What all methods have in common: ask for a cell, tell its score, the best so far, and a state that is JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from kapps._values import is_integer, is_number, short
from kapps.search.methods.pareto import pareto_front
from kapps.search.spaces.space import Space

MOST = 10**6
"""The most of an integer that is an option of a method: lists have its length."""


class Method:
    """A search method: `ask()` returns a cell, and `tell(cell, score)` takes its score; more is better.

        method = RegularisedEvolution(NASBench201(), seed=0)
        for _ in range(100):
            cell = method.ask()
            method.tell(cell, train_and_evaluate(cell))
        method.best()

    Several cells may be requested before the first score, and scores of cells that were not requested are taken too:
    other workers may have found them. What a method does next depends on its options, its seed and the scores only.

    Args:
        space: the space of the cells.
        seed: of all random choices.

    Attributes:
        history: list of [cell, score], in the order of the scores.
        pending: list of the cells that were requested and have no score.
    """

    name: ClassVar[str] = ""
    fields: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes, of JSON values, that are a method's own state."""

    def __init__(self, space: Space, *, seed: int = 0):
        if not is_integer(seed, 0):
            raise ValueError(f"seed={short(seed)} is not an integer of at least 0")
        self.space, self.seed = space, seed
        self.random = np.random.default_rng(seed)
        self.history: list[list] = []
        self.pending: list[str] = []

    def options(self) -> dict[str, Any]:
        """Returns the options of the method that a state must have in common with it."""
        return {}

    def ask(self) -> str:
        """Returns the cell to evaluate next."""
        cell = self.propose()
        self.pending.append(cell)
        return cell

    def tell(self, cell: str, score: float) -> None:
        """Takes the score of a cell.

        Args:
            cell: of the space.
            score: finite number, for example an accuracy in percent; more is better.

        Raises:
            ValueError: for a text that is not a cell, and a score that is not a finite number.
        """
        if not is_number(score):
            raise ValueError(f"score={short(score)} of cell {short(cell)} is not a finite number")
        cell = self.space.cell(self.space.digits(cell))
        if cell in self.pending:
            self.pending.remove(cell)
        self.history.append([cell, float(score)])
        self.learn(cell, float(score))

    def propose(self) -> str:
        """Returns the next cell; a subclass has it."""
        raise NotImplementedError

    def learn(self, cell: str, score: float) -> None:
        """Changes the method's own state by a score; by default there is none."""

    def random_of(self, *numbers: int) -> np.random.Generator:
        """Returns a generator of the seed and of the number of scores, the same for every worker."""
        return np.random.default_rng([self.seed, len(self.history), *numbers])

    def best(self) -> tuple[str, float]:
        """Returns the cell with the highest score, the first of several, and its score.

        Raises:
            ValueError: before the first score.
        """
        if not self.history:
            raise ValueError(f"{self.name}: there is no score yet; call tell first")
        cell, score = max(self.history, key=lambda row: row[1])
        return cell, score

    def front(self) -> list[tuple[str, float]]:
        """Returns the cells, with their scores, for which no other has both a better score and fewer parameters."""
        rows = dict(sorted(self.history, key=lambda row: row[1]))
        cells = list(rows)
        points = [(-rows[cell], self.space.cost(cell).parameters) for cell in cells]
        chosen = [cells[i] for i in pareto_front(points)]
        return sorted(((cell, rows[cell]) for cell in chosen), key=lambda row: -row[1])

    def state(self) -> dict[str, Any]:
        """Returns the state, of JSON values only: `set_state` of an equal method resumes with the same cells."""
        state = {
            **self.settings(),
            "random": self.random.bit_generator.state,
            "history": self.history,
            "pending": self.pending,
            **{name: getattr(self, name) for name in self.fields},
        }
        return json.loads(json.dumps(state))

    def settings(self) -> dict[str, Any]:
        """Returns what states and studies of equal methods have in common, of JSON values only."""
        values = {"method": self.name, "space": self.space.name, "seed": self.seed}
        return json.loads(json.dumps({**values, "options": self.options()}))

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Sets the state that `state` of a method with the same space, seed and options returned.

        Raises:
            ValueError: for a state of another method, and an incomplete one.
        """
        try:
            wrong = [key for key, value in self.settings().items() if state[key] != value]
            if wrong:
                raise ValueError(
                    f"the state has {wrong[0]} {short(state[wrong[0]], 120)}, this method "
                    f"{short(self.settings()[wrong[0]], 120)}"
                )
            rows = [[self.space.cell(self.space.digits(c)), float(x)] for c, x in state["history"]]
            if not all(math.isfinite(score) for _, score in rows):
                raise ValueError("a score of the state is not finite")
            random = np.random.default_rng(0)
            random.bit_generator.state = state["random"]
            values = {name: state[name] for name in self.fields}
            pending = [str(cell) for cell in state["pending"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"the state of a search is incomplete: {short(error)}") from None
        self.history, self.pending, self.random = rows, pending, random
        for name, value in values.items():
            setattr(self, name, value)

    def unseen(self, cells: Sequence[str]) -> list[str]:
        """Returns those cells, one of each function, that are neither requested nor have a score."""
        seen = {self.space.function(cell) for cell, _ in self.history}
        seen |= {self.space.function(cell) for cell in self.pending}
        unseen = []
        for cell in cells:
            function = self.space.function(cell)
            if function not in seen:
                seen.add(function)
                unseen.append(cell)
        return unseen


def require(name: str, **integers: tuple[int, int]) -> None:
    """Raises ValueError for an option that is not from its least value to `MOST`: `require(name, beam=(beam, 1))`."""
    for option, (value, least) in integers.items():
        if not is_integer(value, least, MOST):
            raise ValueError(
                f"{name}: {option}={short(value)} is not an integer from {least} to {MOST:,}"
            )
