"""Training schedules by name: what the papers did, and what is done today.

The learning rates are for 256 pictures a step and scale linearly with the batch (Goyal 2017,
arXiv:1706.02677). All stretch to any number of epochs.
"""

import dataclasses

import keras

from kapps.cards import nearest


@dataclasses.dataclass(frozen=True)
class Schedule:
    """One way to train an image classifier with stochastic gradient descent, momentum 0.9.

    Args:
        epochs: how long the source trained.
        learning_rate: the peak, for 256 pictures a step.
        weight_decay: the factor of 1/2 |w|^2 in the papers' loss.
        drops: shares of the training after which the learning rate is divided by ten; () for a cosine to zero.
        warmup: share of the training in which the learning rate rises from zero.
        nesterov: whether the momentum is Nesterov's.
        label_smoothing: share of the target spread over all classes.
        mixup: alpha of MixUp, 0 for none.
        cutmix: alpha of CutMix, 0 for none.
        randaugment: whether pictures pass RandAugment.
        ema: share of the training that the exponential moving average of the weights looks back on, 0 for none.
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
    randaugment: bool = False
    ema: float = 0.0

    def rate(self, batch_size: int, steps: int):
        """Returns the learning rate over `steps` steps: a number or a Keras schedule."""
        peak = self.learning_rate * batch_size / 256
        if self.drops:
            boundaries = [max(1, round(share * steps)) for share in self.drops]
            values = [peak / 10**i for i in range(len(boundaries) + 1)]
            return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)
        rise = round(self.warmup * steps)
        return keras.optimizers.schedules.CosineDecay(
            0.0 if rise else peak,
            max(1, steps - rise),
            warmup_target=peak if rise else None,
            warmup_steps=rise,
        )

    def optimizer(self, batch_size: int, steps: int) -> keras.optimizers.Optimizer:
        """Returns the optimizer for a training of `steps` steps of `batch_size` pictures."""
        momentum = 0.9
        optimizer = keras.optimizers.SGD(
            self.rate(batch_size, steps),
            momentum=momentum,
            nesterov=self.nesterov,
            # Keras decays beside the momentum, the papers through it, which makes it 1 / (1 - momentum) as strong.
            weight_decay=self.weight_decay / (1 - momentum),
            use_ema=self.ema > 0,
            ema_momentum=1 - 1 / max(2.0, self.ema * steps),
        )
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        return optimizer


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
}  # fmt: skip


def schedule(name: str) -> Schedule:
    """Returns a schedule by name; ValueError for a name there is none of."""
    if name not in SCHEDULES:
        raise ValueError(
            f"no schedule is named {name!r}.{nearest(name, SCHEDULES)} Allowed: {', '.join(SCHEDULES)}"
        )
    return SCHEDULES[name]
