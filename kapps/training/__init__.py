"""What Keras lacks to train a model; the loop stays `model.fit`."""

from kapps.training.devices import (
    PRECISIONS,
    STRATEGIES,
    precision,
    strategy,
    synchronize_batch_norm,
)
from kapps.training.optimizers import Lamb, check
from kapps.training.runs import Curves, plot, record
from kapps.training.schedules import ALGORITHMS, SCHEDULES, Schedule, schedule

__all__ = [
    "ALGORITHMS",
    "PRECISIONS",
    "SCHEDULES",
    "STRATEGIES",
    "Curves",
    "Lamb",
    "Schedule",
    "check",
    "plot",
    "precision",
    "record",
    "schedule",
    "strategy",
    "synchronize_batch_norm",
]
