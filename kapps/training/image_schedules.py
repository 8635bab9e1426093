"""Training schedules of image classifiers by name: those of the papers, and current ones.

Learning rates are for 256 images per update and scale with the batch size: linearly (Goyal 2017, arXiv:1706.02677),
for LAMB with the square root. Every schedule scales to any number of epochs.
"""

import dataclasses

import keras

from kapps._checked import checked
from kapps._names import nearest
from kapps.training.optimizers import Lamb
from kapps.training.schedules import PerUpdate, WarmUp

ALGORITHMS = ("sgd", "rmsprop", "adamw", "lamb")


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Hyperparameters of the training of an image classifier: optimizer, learning rate, augmentation.

    Args:
        epochs: number of epochs in the source.
        learning_rate: the peak, for 256 images per update.
        weight_decay: for sgd and rmsprop, the factor of 1/2 |w|^2 in the papers' loss; for adamw and lamb, the
            decoupled weight decay, a fraction of the weights per unit of learning rate. Norms, biases and the
            displacements of active shifts have none.
        drops: fractions of the training after which the learning rate is multiplied by `factor`; () for a cosine
            decay to zero.
        warmup: fraction of the training in which the learning rate rises from zero.
        nesterov: whether the momentum is Nesterov's; sgd only.
        label_smoothing: fraction of the target that is spread over all classes, by the dataset (see
            `kapps.training.compilation`).
        mixup: alpha of MixUp; 0 disables it.
        cutmix: alpha of CutMix; 0 disables it.
        randaugment: whether RandAugment is applied to the images, or its strength in (0, 1].
        ema: fraction of the training that the exponential moving average of the weights covers; 0 disables it.
        factor: multiplier of the learning rate at each drop, in (0, 1).
        algorithm: one of `ALGORITHMS`.
        momentum: momentum of sgd and rmsprop; for adamw and lamb the decay rate of the mean gradient; in [0, 1).
        square_decay: decay rate of the mean squared gradient, in [0, 1): rho of rmsprop, beta_2 of adamw and lamb.
        epsilon: added to the mean squared gradient in rmsprop, to its square root in adamw and lamb.
        clipnorm: limit of the global norm of the gradients; `None` for no limit.
        clipvalue: limit of the absolute value of each gradient; `None` for no limit.
        scaling: exponent of the batch size in the learning rate: 1 is linear, 0.5 the square root.

    Raises:
        ValueError: for an unknown algorithm, and for options that exclude each other.
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
                f"algorithm={self.algorithm!r} does not exist.{nearest(self.algorithm, ALGORITHMS)}"
                f" Allowed: {', '.join(ALGORITHMS)}"
            )
        if self.nesterov and self.algorithm != "sgd":
            raise ValueError(f"nesterov=True needs algorithm='sgd', not {self.algorithm!r}")
        if self.clipnorm is not None and self.clipvalue is not None:
            raise ValueError(
                f"clipnorm={self.clipnorm} and clipvalue={self.clipvalue}: give only one of them"
            )

    def make_learning_rate(
        self, batch_size: int, steps: int, accumulation: int = 1
    ) -> keras.optimizers.schedules.LearningRateSchedule:
        """Returns the learning rate of a training of `steps` batches.

        Args:
            batch_size: images per batch.
            steps: batches of the training.
            accumulation: batches per update. The learning rate is that of `batch_size * accumulation` images, and
                is constant between two updates.

        Raises:
            ValueError: if `accumulation` is less than 1 or more than `steps`.
        """
        if not 1 <= accumulation <= max(1, steps):
            raise ValueError(
                f"accumulation={accumulation}: must be from 1 to {steps}, the batches of the training"
            )
        updates = steps // accumulation
        peak = self.learning_rate * (batch_size * accumulation / 256) ** self.scaling
        warmup = round(self.warmup * updates)
        if self.drops:
            learning_rate = keras.optimizers.schedules.PiecewiseConstantDecay(
                [max(1, round(fraction * updates)) for fraction in self.drops],
                [peak * self.factor**i for i in range(len(self.drops) + 1)],
            )
            if warmup:
                learning_rate = WarmUp(learning_rate, warmup)
        else:
            learning_rate = keras.optimizers.schedules.CosineDecay(
                0.0 if warmup else peak,
                max(1, updates - warmup),
                warmup_target=peak if warmup else None,
                warmup_steps=warmup,
            )
        return PerUpdate(learning_rate, accumulation) if accumulation > 1 else learning_rate

    def make_optimizer(
        self, batch_size: int, steps: int, accumulation: int = 1
    ) -> keras.optimizers.Optimizer:
        """Returns the optimizer of a training of `steps` batches of `batch_size` images.

        With `accumulation`, the gradients of that many batches are summed and make one update of their mean, clipped
        and decayed once. This equals one batch that is as many times larger, except for batch norms, whose statistics
        are those of each batch. Remaining batches at the end of the training make no update.
        `kapps.training.check_compile_options` checks which options this and clipping exclude.

        Args:
            batch_size: images per batch.
            steps: batches of the training.
            accumulation: batches per update.
        """
        options = {
            "learning_rate": self.make_learning_rate(batch_size, steps, accumulation),
            "weight_decay": self.weight_decay,
            "global_clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
            # Keras averages the weights after every batch, with or without an update, so this counts batches.
            "use_ema": self.ema > 0,
            "ema_momentum": 1 - 1 / max(2.0, self.ema * steps),
            "gradient_accumulation_steps": accumulation if accumulation > 1 else None,
        }
        if self.algorithm in ("sgd", "rmsprop"):
            # Keras applies the decay outside the momentum. In the papers it is part of the gradient, so that the
            # momentum multiplies it by 1 / (1 - momentum). The papers' rmsprop also divides it by
            # sqrt(squared gradients + epsilon), which is 1 with their epsilon.
            options["weight_decay"] = self.weight_decay / (1 - self.momentum)
            options["momentum"] = self.momentum
        if self.algorithm == "sgd":
            optimizer = keras.optimizers.SGD(nesterov=self.nesterov, **options)
        elif self.algorithm == "rmsprop":
            optimizer = keras.optimizers.RMSprop(
                rho=self.square_decay, epsilon=self.epsilon, **options
            )
        else:
            optimizer_class = keras.optimizers.AdamW if self.algorithm == "adamw" else Lamb
            optimizer = optimizer_class(
                beta_1=self.momentum, beta_2=self.square_decay, epsilon=self.epsilon, **options
            )
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias", "displacement"])
        return optimizer


SCHEDULES = {
    # He 2015, arXiv:1512.03385, section 3.4, with the 90 epochs and the drops of its authors' later code.
    "paper": Schedule(epochs=90, learning_rate=0.1, weight_decay=1e-4, drops=(30 / 90, 60 / 90, 80 / 90)),
    # Cosine and warm-up: He 2018, arXiv:1812.01187; MixUp and CutMix alternating, EMA: Wightman 2021, arXiv:2110.00476.
    "modern": Schedule(
        epochs=100, learning_rate=0.2, weight_decay=5e-5, warmup=0.05, nesterov=True, label_smoothing=0.1,
        mixup=0.2, cutmix=1.0, randaugment=True, ema=0.1,
    ),
    # A cosine with warm-up and no more: for runs that are too short to profit from the augmentation of "modern".
    "cosine": Schedule(epochs=30, learning_rate=0.2, weight_decay=5e-4, warmup=0.1, nesterov=True),
    # Goyal 2017, arXiv:1706.02677, sections 2.2 and 5.1: "paper" with a warm-up, for batches of up to 8,192 images.
    "large_batch": Schedule(
        epochs=90, learning_rate=0.1, weight_decay=1e-4, drops=(30 / 90, 60 / 90, 80 / 90), warmup=5 / 90,
    ),
    # Szegedy 2015, arXiv:1512.00567, sections 7 and 8. Each of its 50 replicas makes its own updates of 32 images.
    # Momentum, weight decay and average are those of its authors' code (tensorflow/models, inception).
    "inception": Schedule(
        epochs=100, learning_rate=0.045 * 256 / 32, weight_decay=4e-5, drops=tuple(i / 50 for i in range(1, 50)),
        factor=0.94, algorithm="rmsprop", square_decay=0.9, epsilon=1.0, clipnorm=2.0, label_smoothing=0.1, ema=0.1,
    ),
    # Loshchilov 2017, arXiv:1711.05101, settings of Liu 2022, arXiv:2201.03545, table 5: 4e-3 for 4,096 images.
    "adamw": Schedule(
        epochs=300, learning_rate=4e-3 * 256 / 4096, weight_decay=0.05, warmup=20 / 300, algorithm="adamw",
        label_smoothing=0.1, mixup=0.8, cutmix=1.0, randaugment=0.9, ema=0.1,
    ),
    # You 2019, arXiv:1904.00962 (learning rate by the square root of the batch size), with the settings of recipe A2
    # of Wightman 2021, arXiv:2110.00476, table 2: 5e-3 for 2,048 images. Its binary cross-entropy is not included.
    "lamb": Schedule(
        epochs=300, learning_rate=5e-3 * (256 / 2048) ** 0.5, weight_decay=0.02, warmup=5 / 300, algorithm="lamb",
        epsilon=1e-6, scaling=0.5, mixup=0.1, cutmix=1.0, randaugment=0.7,
    ),
    # Rastegari 2016, arXiv:1603.05279, settings of its authors' code (github.com/allenai/XNOR-Net): 0.01 for 128
    # images, and a hundredth of it after 52 of 55 epochs. The code divides by 2 and by 5 in turn; here each drop is by
    # sqrt(10). The code has no weight decay after 29 epochs.
    "bwn": Schedule(
        epochs=55, learning_rate=0.02, weight_decay=5e-4, drops=(18 / 55, 29 / 55, 43 / 55, 52 / 55), factor=0.1**0.5,
    ),
    # The same for binary inputs: Adam, whose steps do not depend on the scale of the gradients, and no weight decay,
    # which would be lost among the gradients of binary kernels. 1e-3 for batches of any size.
    "xnor": Schedule(
        epochs=55, learning_rate=1e-3, weight_decay=0.0, drops=(18 / 55, 29 / 55, 43 / 55, 52 / 55), factor=0.1**0.5,
        algorithm="adamw", scaling=0.0,
    ),
}  # fmt: skip


@checked
def get_schedule(name: str) -> Schedule:
    """Returns one of `SCHEDULES` by name.

    Raises:
        ValueError: for an unknown name, with the allowed names and the nearest match.
    """
    if name not in SCHEDULES:
        raise ValueError(
            f"schedule={name!r} does not exist.{nearest(name, SCHEDULES)} Allowed: {', '.join(SCHEDULES)}"
        )
    return SCHEDULES[name]
