"""What Keras lacks to train a model; the loop stays `model.fit`."""

from kapps.training.checkpoints import Checkpoints, Stopped
from kapps.training.classifier import on_logits
from kapps.training.clock import ENDLESS, Clock
from kapps.training.cluster import ClusterError, lost
from kapps.training.devices import PRECISIONS, STRATEGIES, distribute, is_chief, precision, strategy
from kapps.training.finetune import BATCH_NORMS, finetune, load_model, set_trainable
from kapps.training.language import Perplexity, ResetStates
from kapps.training.losses import VanishingGradient, auxiliary, repeat_targets, vanishing_gradient
from kapps.training.optimizers import Lamb, check
from kapps.training.program import asked, define_flags, program, seed
from kapps.training.progress import Progress, Throughput
from kapps.training.records import Curves, plot, record
from kapps.training.replicas import replicated
from kapps.training.runs import Run, table
from kapps.training.schedules import ALGORITHMS, SCHEDULES, Schedule, schedule
from kapps.training.translation import (
    InverseSquareRoot,
    SmoothedSparseCrossentropy,
    average,
    transformer_rate,
)

__all__ = [
    "ALGORITHMS",
    "BATCH_NORMS",
    "ENDLESS",
    "PRECISIONS",
    "SCHEDULES",
    "STRATEGIES",
    "Checkpoints",
    "Clock",
    "ClusterError",
    "Curves",
    "InverseSquareRoot",
    "Lamb",
    "Perplexity",
    "Progress",
    "ResetStates",
    "Run",
    "Schedule",
    "SmoothedSparseCrossentropy",
    "Stopped",
    "Throughput",
    "VanishingGradient",
    "asked",
    "auxiliary",
    "average",
    "check",
    "define_flags",
    "distribute",
    "finetune",
    "is_chief",
    "load_model",
    "lost",
    "on_logits",
    "plot",
    "precision",
    "program",
    "record",
    "repeat_targets",
    "replicated",
    "schedule",
    "seed",
    "set_trainable",
    "strategy",
    "table",
    "transformer_rate",
    "vanishing_gradient",
]
