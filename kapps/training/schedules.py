"""Training schedules by name: what the papers did, and what is done today.

The learning rates are for 256 images an update and scale with the batch, for all but LAMB linearly (Goyal
2017, arXiv:1706.02677). All stretch to any number of epochs.
"""

import dataclasses

import keras

from kapps.cards import nearest
from kapps.training.optimizers import Lamb

ALGORITHMS = ("sgd", "rmsprop", "adamw", "lamb")


@dataclasses.dataclass(frozen=True)
class Schedule:
    """One way to train an image classifier.

    Args:
        epochs: how long the source trained.
        learning_rate: the peak, for 256 images an update.
        weight_decay: the factor of 1/2 |w|^2 in the papers' loss for sgd and rmsprop; for adamw and lamb the
            decoupled one, a share of the weights for each unit of the learning rate. Norms and biases have none.
        drops: shares of the training after which the learning rate is multiplied by `factor`; () for a cosine to zero.
        warmup: share of the training in which the learning rate rises from zero.
        nesterov: whether the momentum is Nesterov's; sgd alone has the choice.
        label_smoothing: share of the target spread over all classes, by the data (see `kapps.training.losses`).
        mixup: alpha of MixUp, 0 for none.
        cutmix: alpha of CutMix, 0 for none.
        randaugment: whether images pass RandAugment, or its strength in (0, 1].
        ema: share of the training that the exponential moving average of the weights looks back on, 0 for none.
        factor: what a drop multiplies the learning rate by, in (0, 1).
        algorithm: one of `ALGORITHMS`.
        momentum: of sgd and rmsprop; of adamw and lamb the decay of the gradient's average, in [0, 1).
        square_decay: of the average of the squared gradient, in [0, 1): rho of rmsprop, beta_2 of adamw and lamb.
        epsilon: what is added to the squared gradient's average in rmsprop, to its root in adamw and lamb.
        clipnorm: what the norm of all gradients together is cut down to, None for no limit.
        clipvalue: what each gradient's magnitude is cut down to, None for no limit.
        scaling: the power of the batch that the learning rate grows with: 1 linear, 0.5 its square root.

    Raises:
        ValueError: for an algorithm there is none of, and for options that exclude one another.
    """

    epochs: int
    learning_rate: float
    weight_decay: float
    drops: tuple[float, ...] = ()
    warmup: float = 0.0
    nesterov: bool = False
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    randaugment: bool | float = False
    ema: float = 0.0
    factor: float = 0.1
    algorithm: str = "sgd"
    momentum: float = 0.9
    square_decay: float = 0.999
    epsilon: float = 1e-8
    clipnorm: float | None = None
    clipvalue: float | None = None
    scaling: float = 1.0

    def __post_init__(self):
        if self.algorithm not in ALGORITHMS:
            raise ValueError(
                f"no algorithm is named {self.algorithm!r}.{nearest(self.algorithm, ALGORITHMS)}"
                f" Allowed: {', '.join(ALGORITHMS)}"
            )
        if self.nesterov and self.algorithm != "sgd":
            raise ValueError(f"nesterov=True is for sgd, not for {self.algorithm}")
        if self.clipnorm is not None and self.clipvalue is not None:
            raise ValueError(
                f"clipnorm={self.clipnorm} and clipvalue={self.clipvalue}: give one of the two"
            )

    def rate(self, batch_size: int, steps: int, accumulation: int = 1):
        """Returns the learning rate over `steps` batches: a Keras schedule.

        Args:
            batch_size: images in a batch.
            steps: batches in the training.
            accumulation: batches that an update is made of. The rate is that of `batch_size * accumulation`
                images, and stays as it is until the next update.

        Raises:
            ValueError: for an accumulation below 1 or of more batches than there are.
        """
        if not 1 <= accumulation <= max(1, steps):
            raise ValueError(
                f"accumulation={accumulation}: from 1 to the {steps} batches of the training"
            )
        updates = steps // accumulation
        peak = self.learning_rate * (batch_size * accumulation / 256) ** self.scaling
        rise = round(self.warmup * updates)
        if self.drops:
            rate = keras.optimizers.schedules.PiecewiseConstantDecay(
                [max(1, round(share * updates)) for share in self.drops],
                [peak * self.factor**i for i in range(len(self.drops) + 1)],
            )
            rate = WarmUp(rate, rise) if rise else rate
        else:
            rate = keras.optimizers.schedules.CosineDecay(
                0.0 if rise else peak,
                max(1, updates - rise),
                warmup_target=peak if rise else None,
                warmup_steps=rise,
            )
        return PerUpdate(rate, accumulation) if accumulation > 1 else rate

    def optimizer(
        self, batch_size: int, steps: int, accumulation: int = 1
    ) -> keras.optimizers.Optimizer:
        """Returns the optimizer for a training of `steps` batches of `batch_size` images.

        With `accumulation` it adds up the gradients of so many batches and makes one update of their mean,
        clipped and decayed once: that of a batch so many times as large, but for batch norms, whose statistics
        stay those of each batch. What is left of the batches at the end of the training makes no update.
        `kapps.training.check_compile_options` tells what this, clipping and more do not go together with.
        """
        options = {
            "learning_rate": self.rate(batch_size, steps, accumulation),
            "weight_decay": self.weight_decay,
            "global_clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
            # Keras averages at every batch, be it one of an update or not, so this counts in batches.
            "use_ema": self.ema > 0,
            "ema_momentum": 1 - 1 / max(2.0, self.ema * steps),
            "gradient_accumulation_steps": accumulation if accumulation > 1 else None,
        }
        if self.algorithm in ("sgd", "rmsprop"):
            # Keras decays beside the momentum, the papers through it, which makes it 1 / (1 - momentum) as strong.
            # The papers' rmsprop also divides it, by sqrt(squared gradients + epsilon): with their epsilon, 1.
            options["weight_decay"] = self.weight_decay / (1 - self.momentum)
            options["momentum"] = self.momentum
        if self.algorithm == "sgd":
            optimizer = keras.optimizers.SGD(nesterov=self.nesterov, **options)
        elif self.algorithm == "rmsprop":
            optimizer = keras.optimizers.RMSprop(
                rho=self.square_decay, epsilon=self.epsilon, **options
            )
        else:
            kind = keras.optimizers.AdamW if self.algorithm == "adamw" else Lamb
            optimizer = kind(
                beta_1=self.momentum, beta_2=self.square_decay, epsilon=self.epsilon, **options
            )
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        return optimizer


@keras.saving.register_keras_serializable("kapps")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that first rises from zero; Keras has a warm-up for its cosine alone.

    Args:
        schedule: the Keras schedule to follow, and to rise to the values of.
        steps: updates that the rise takes.
    """

    def __init__(self, schedule, steps):
        self.schedule = schedule
        self.steps = steps

    def __call__(self, step):
        rate = self.schedule(step)
        risen = keras.ops.cast(step, rate.dtype) / self.steps
        return rate * keras.ops.minimum(risen, 1.0)

    def get_config(self):
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["steps"])


@keras.saving.register_keras_serializable("kapps")
class PerUpdate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate by updates, where Keras counts batches although it accumulates their gradients.

    Args:
        schedule: the Keras schedule, by updates.
        accumulation: batches that an update is made of.
    """

    def __init__(self, schedule, accumulation):
        self.schedule = schedule
        self.accumulation = accumulation

    def __call__(self, step):
        return self.schedule(keras.ops.floor_divide(step, self.accumulation))

    def get_config(self):
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "accumulation": self.accumulation}

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["accumulation"])


@keras.saving.register_keras_serializable("kapps")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly, and then falls with the square root of the updates [2].

    With n, from 1, the number of the update, and w the warm-up:

        rate = peak min(n / w, sqrt(w / n))

    Args:
        peak: the rate of update w.
        warmup: w, updates, 1 or more.
    """

    def __init__(self, peak, warmup):
        if peak <= 0 or warmup < 1:
            raise ValueError(
                f"peak={peak}, warmup={warmup}: the rate is above 0, the warm-up 1 update or more"
            )
        self.peak, self.warmup = peak, warmup

    def __call__(self, step):
        n = keras.ops.cast(step, "float32") + 1  # Keras counts from 0
        return self.peak * keras.ops.minimum(n / self.warmup, keras.ops.rsqrt(n) * self.warmup**0.5)

    def get_config(self):
        return {"peak": self.peak, "warmup": self.warmup}


def transformer_schedule(
    d_model: int, warmup: int = 4000, factor: float = 1.0
) -> InverseSquareRoot:
    """Returns the learning rate of [1], equation (3): factor d_model^-0.5 min(n^-0.5, n warmup^-1.5).

    Args:
        d_model: width of the model.
        warmup: updates that the rate rises for.
        factor: 1 in the paper; its peak is factor (d_model warmup)^-0.5.
    """
    return InverseSquareRoot(factor * (d_model * warmup) ** -0.5, warmup)


SCHEDULES = {
    # He 2015, arXiv:1512.03385, section 3.4, at the 90 epochs and the drops of its authors' later code.
    "paper": Schedule(epochs=90, learning_rate=0.1, weight_decay=1e-4, drops=(30 / 90, 60 / 90, 80 / 90)),
    # Cosine and warm-up: He 2018, arXiv:1812.01187; MixUp and CutMix alternating, EMA: Wightman 2021, arXiv:2110.00476.
    "modern": Schedule(
        epochs=100, learning_rate=0.2, weight_decay=5e-5, warmup=0.05, nesterov=True, label_smoothing=0.1,
        mixup=0.2, cutmix=1.0, randaugment=True, ema=0.1,
    ),
    # A cosine with warm-up and nothing else: for runs too short to profit from the modern one's noise.
    "cosine": Schedule(epochs=30, learning_rate=0.2, weight_decay=5e-4, warmup=0.1, nesterov=True),
    # Goyal 2017, arXiv:1706.02677, sections 2.2 and 5.1: what lets "paper" take batches of up to 8,192 images.
    "large_batch": Schedule(
        epochs=90, learning_rate=0.1, weight_decay=1e-4, drops=(30 / 90, 60 / 90, 80 / 90), warmup=5 / 90,
    ),
    # Szegedy 2015, arXiv:1512.00567, sections 7 and 8. Each of its 50 replicas updates by itself, with 32 images.
    # Momentum, weight decay and average are those of its authors' code (tensorflow/models, inception).
    "inception": Schedule(
        epochs=100, learning_rate=0.045 * 256 / 32, weight_decay=4e-5, drops=tuple(i / 50 for i in range(1, 50)),
        factor=0.94, algorithm="rmsprop", square_decay=0.9, epsilon=1.0, clipnorm=2.0, label_smoothing=0.1, ema=0.1,
    ),
    # Loshchilov 2017, arXiv:1711.05101, as Liu 2022, arXiv:2201.03545, table 5, sets it: 4e-3 for 4,096 images.
    "adamw": Schedule(
        epochs=300, learning_rate=4e-3 * 256 / 4096, weight_decay=0.05, warmup=20 / 300, algorithm="adamw",
        label_smoothing=0.1, mixup=0.8, cutmix=1.0, randaugment=0.9, ema=0.1,
    ),
    # You 2019, arXiv:1904.00962, whose rate grows with the root of the batch, as recipe A2 of Wightman 2021,
    # arXiv:2110.00476, table 2, sets it: 5e-3 for 2,048 images. Its binary cross-entropy is a matter of the loss.
    "lamb": Schedule(
        epochs=300, learning_rate=5e-3 * (256 / 2048) ** 0.5, weight_decay=0.02, warmup=5 / 300, algorithm="lamb",
        epsilon=1e-6, scaling=0.5, mixup=0.1, cutmix=1.0, randaugment=0.7,
    ),
}  # fmt: skip


def get_schedule(name: str) -> Schedule:
    """Returns a schedule by name; ValueError for a name there is none of."""
    if name not in SCHEDULES:
        raise ValueError(
            f"no schedule is named {name!r}.{nearest(name, SCHEDULES)} Allowed: {', '.join(SCHEDULES)}"
        )
    return SCHEDULES[name]
