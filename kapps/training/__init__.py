"""What Keras lacks to train a model; the loop stays `model.fit`."""

from kapps.training.devices import (
    PRECISIONS,
    STRATEGIES,
    precision,
    strategy,
    synchronize_batch_norm,
)
from kapps.training.losses import (
    VanishingGradient,
    auxiliary,
    repeat_targets,
    vanishing_gradient,
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
    "VanishingGradient",
    "auxiliary",
    "check",
    "plot",
    "precision",
    "record",
    "repeat_targets",
    "schedule",
    "strategy",
    "synchronize_batch_norm",
    "vanishing_gradient",
]
