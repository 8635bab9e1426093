"""Search methods: objects with `ask`, `tell`, `best` and a state of JSON values. They need NumPy, and not Keras.

    method = kapps.search.methods.make("evolution", space, seed=0, population=20)

Each docstring says what the method's paper did, and what it is on a small space. Searches with shared weights are
`kapps.search.supernet` and `kapps.training.SharedWeights`.
"""

from kapps._names import attribute_finder, nearest
from kapps._values import short
from kapps.search.methods.evolution import LargeScaleEvolution, RegularisedEvolution
from kapps.search.methods.growth import AdaNet
from kapps.search.methods.method import Method
from kapps.search.methods.neural_architect import NeuralArchitect
from kapps.search.methods.pareto import pareto_front, pareto_ranks
from kapps.search.methods.policy_gradient import Reinforce, Rena
from kapps.search.methods.predictor import Predictor
from kapps.search.methods.progressive import PPPNet, Progressive
from kapps.search.methods.random_search import MostParameters, RandomSearch

METHODS = {
    method.name: method
    for method in (
        RandomSearch, MostParameters, RegularisedEvolution, Reinforce, Progressive, AdaNet, LargeScaleEvolution, Rena,
        PPPNet, NeuralArchitect,
    )
}  # fmt: skip
"""The methods by name; the first two are the baselines."""

__all__ = [
    "METHODS",
    "AdaNet",
    "LargeScaleEvolution",
    "Method",
    "MostParameters",
    "NeuralArchitect",
    "PPPNet",
    "Predictor",
    "Progressive",
    "RandomSearch",
    "RegularisedEvolution",
    "Reinforce",
    "Rena",
    "make",
    "pareto_front",
    "pareto_ranks",
]


def make(name: str, space, *, seed: int = 0, **options) -> Method:
    """Returns a method by its name, with options of its class.

    Raises:
        ValueError: for a method that does not exist, and for an option that the method does not have.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise ValueError(
            f"name={short(name)} is not one of {', '.join(METHODS)}.{nearest(str(name), METHODS)}"
        )
    try:
        return METHODS[name](space, seed=seed, **options)
    except TypeError as error:
        raise ValueError(f"{name}: {str(error).partition('__init__() ')[2] or error}") from None


__getattr__ = attribute_finder(__name__)
