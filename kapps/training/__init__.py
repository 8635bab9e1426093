"""What Keras lacks to train a model; the loop stays `model.fit`."""

from kapps.training.devices import (
    PRECISIONS,
    STRATEGIES,
    precision,
    strategy,
    synchronize_batch_norm,
)
from kapps.training.finetune import BATCH_NORMS, finetune, set_trainable
from kapps.training.runs import Curves, plot, record
from kapps.training.schedules import SCHEDULES, Schedule, schedule

__all__ = [
    "BATCH_NORMS",
    "PRECISIONS",
    "SCHEDULES",
    "STRATEGIES",
    "Curves",
    "Schedule",
    "finetune",
    "plot",
    "precision",
    "record",
    "schedule",
    "set_trainable",
    "strategy",
    "synchronize_batch_norm",
]
