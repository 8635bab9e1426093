"""Learning-rate schedules that Keras lacks.

[1] Vaswani 2017, arXiv:1706.03762, section 5.3
[2] Ott 2019, fairseq, arXiv:1904.01038: its `inverse_sqrt` has the peak as argument
"""

import keras

from kapps._checked import checked


@keras.saving.register_keras_serializable("kapps")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule with a linear warm-up from zero; in Keras only the cosine decay has a warm-up.

    Args:
        schedule: the Keras schedule to follow.
        steps: updates of the warm-up.
    """

    def __init__(self, schedule, steps):
        self.schedule = schedule
        self.steps = steps

    def __call__(self, step):
        learning_rate = self.schedule(step)
        fraction = keras.ops.cast(step, learning_rate.dtype) / self.steps
        return learning_rate * keras.ops.minimum(fraction, 1.0)

    def get_config(self) -> dict:
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["steps"])


@keras.saving.register_keras_serializable("kapps")
class PerUpdate(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule by updates: with gradient accumulation, Keras counts batches.

    Args:
        schedule: the Keras schedule, by updates.
        accumulation: batches per update.
    """

    def __init__(self, schedule, accumulation):
        self.schedule = schedule
        self.accumulation = accumulation

    def __call__(self, step):
        return self.schedule(step // self.accumulation)

    def get_config(self) -> dict:
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "accumulation": self.accumulation}

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["accumulation"])


@keras.saving.register_keras_serializable("kapps")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly, then decreases with the square root of the number of updates [2].

    With n the number of the update, from 1, and w the warm-up:

        learning rate = peak min(n / w, sqrt(w / n))

    Args:
        peak: learning rate of update w; positive.
        warmup: w, updates; 1 or more.

    Raises:
        ValueError: if `peak` is not positive or `warmup` is less than 1.
    """

    def __init__(self, peak, warmup):
        if peak <= 0 or warmup < 1:
            raise ValueError(
                f"peak={peak}, warmup={warmup}: peak must be positive, and warmup 1 update or more"
            )
        self.peak, self.warmup = peak, warmup

    def __call__(self, step):
        n = keras.ops.cast(step, "float32") + 1  # Keras counts from 0
        return self.peak * keras.ops.minimum(n / self.warmup, keras.ops.rsqrt(n) * self.warmup**0.5)

    def get_config(self) -> dict:
        return {"peak": self.peak, "warmup": self.warmup}


@checked
def transformer_schedule(
    d_model: int, warmup: int = 4000, factor: float = 1.0
) -> InverseSquareRoot:
    """Returns the learning rate of [1], equation (3): factor d_model^-0.5 min(n^-0.5, n warmup^-1.5).

    Args:
        d_model: width of the model.
        warmup: updates of the warm-up.
        factor: 1 in the paper. The peak is factor (d_model warmup)^-0.5.
    """
    return InverseSquareRoot(factor * (d_model * warmup) ** -0.5, warmup)
