"""Design spaces: populations of networks, compared by the distribution of their errors.

[1] Radosavovic 2019, arXiv:1905.13214    [2] Radosavovic 2020, arXiv:2003.13678

    samples = design_space.sample("D", 100, macs=(360e6, 400e6), seed=0)
    errors = [train(sample.build()) for sample in samples]
    design_space.edf(errors).mean
"""

from kapps._names import attribute_finder
from kapps.search.design_space.complexity import Complexity, complexity
from kapps.search.design_space.error_distribution import (
    ErrorDistribution,
    bootstrap_best,
    edf,
    ks_distance,
)
from kapps.search.design_space.sampling import SPACES, Sample, sample

__all__ = [
    "SPACES",
    "Complexity",
    "ErrorDistribution",
    "Sample",
    "bootstrap_best",
    "complexity",
    "edf",
    "ks_distance",
    "sample",
]

__getattr__ = attribute_finder(__name__)
