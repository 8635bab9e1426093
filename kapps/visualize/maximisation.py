"""Activation maximisation: images that a unit of a network reacts to most.

The image is a sum of waves whose coefficients are trained: all frequencies change at an equal rate, and the colours are
not correlated (Olah 2017, distill.pub/2017/feature-visualization; the colour matrix is that of the lucid library). It
is moved, turned and scaled at random in each step, so that it does not use the noise of single pixels.
"""

import keras
import numpy as np
from keras import ops

from kapps.visualize import _layer_calls
from kapps.visualize._gating import Gates
from kapps.visualize._scores import Scores

COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], "float32")
"""Square root of the covariance of the colours of natural images."""
OBJECTIVES = ("channel", "neuron")
REDIRECTED_STEPS = 16
"""Steps in which a closed ReLU passes the gradient that opens it, so that a dead unit is reached."""


def maximise(
    model: keras.Model, units, layer: str | None = None, *, objective: str = "channel", size=None,
    value_range=(0.0, 1.0), steps: int = 256, learning_rate: float = 0.05, jitter: float = 4, scale: float = 0.1,
    rotation: float = 10, decorrelate: bool = True, grey: bool = False, penalty: float = 0.0,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Returns an image for each unit that makes the unit's value large. All images are made together.

    Args:
        model: a `keras.Model` of images, also a nested one.
        units: indices of channels or classes, (count,), or directions in the space of the channels, (count, channels).
        layer: name of a layer with feature maps; None for the logits of the classes.
        objective: of a layer: the mean of a "channel", or the "neuron" at the centre of the map.
        size: height and width of the images; None for those that the model takes.
        value_range: smallest and largest number of an image.
        steps: number of training steps.
        learning_rate: of Adam.
        jitter: largest shift in pixels.
        scale: largest change of the size, as a share.
        rotation: largest angle in degrees.
        decorrelate: whether an image of three channels has the colours of natural images.
        grey: whether all channels of an image are equal.
        penalty: weight of the sum of the squares of the image's numbers less the smallest one, which is subtracted from
            the value (Simonyan 2013, arXiv:1312.6034). It makes what the unit does not need black.
        seed: of the first image and the transformations.

    Returns:
        The images, float32 (count, height, width, channels), and the values of the units at each step, float32 (steps,
        count).

    Raises:
        ValueError: for a size, a layer, a unit or an objective that the model does not have.
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"objective={objective!r}: pass one of {', '.join(OBJECTIVES)}")
    if steps < 1:
        raise ValueError(f"steps={steps}: pass a number of 1 or more")
    height, width = size or model.input_shape[1:3]
    if None in (height, width):
        raise ValueError(f"{model.name} takes images of any size; pass size=(height, width)")
    example = np.zeros((1, height, width, model.input_shape[-1]), "float32")
    path = None if layer is None else _layer_calls.find_layer(model, example, layer)
    directions = _directions(model, example, path, units)
    trainer = _Trainer(
        model, example, path, directions, objective, tuple(map(float, value_range)),
        (jitter, scale, np.deg2rad(rotation)), decorrelate and not grey, grey, penalty, steps, seed,
    )  # fmt: skip
    trainer.compile(keras.optimizers.Adam(learning_rate))
    trainer.optimizer.build(trainer.trainable_variables)  # or TensorFlow traces the step twice
    first = min(REDIRECTED_STEPS, steps)
    for redirected, count in ((True, first), (False, steps - first)):
        trainer.redirected = redirected
        trainer.make_train_function(force=True)
        if count:
            trainer.fit(np.zeros((count, 1)), batch_size=1, verbose=0)
    values = ops.convert_to_numpy(trainer.values.value)
    return ops.convert_to_numpy(trainer.images()).astype("float32"), values


def _directions(model, example, path, units):
    """Returns units as vectors of the channels, float32 (count, channels)."""
    if path is None:
        channels = Scores(model, example).run(example).shape[-1]
    else:
        channels = _layer_calls.output_shapes(model, example)[path][-1]
    units = np.asarray(units)
    if units.ndim == 2 and units.shape[1] == channels:
        return units.astype("float32")
    is_index = units.ndim == 1 and units.dtype.kind in "iu" and units.size
    if not is_index or units.min() < 0 or units.max() >= channels:
        raise ValueError(
            f"units={units.tolist()}: pass indices from 0 to {channels - 1}, or vectors of {channels} numbers"
        )
    return np.eye(channels, dtype="float32")[units]


class _Trainer(keras.Model):
    """A model whose only trainable weights are the coefficients of the images; `fit` trains them on every backend."""

    def __init__(
        self, model, example, path, directions, objective, value_range, moves, decorrelate, grey, penalty,
        steps, seed,
    ):  # fmt: skip
        super().__init__(name="maximisation")
        self.model, self.target, self.objective, self.moves = model, path, objective, moves
        self.value_range, self.redirected, self.penalty = value_range, True, penalty
        self.scores = None if path else Scores(model, example)
        _, height, width, channels = example.shape
        self.copies = channels if grey else 1
        self.directions = ops.convert_to_tensor(directions)
        self.bases = [ops.convert_to_tensor(_waves(size)[0]) for size in (height, width)]
        (_, rows), (_, columns) = _waves(height), _waves(width)
        frequency = np.sqrt(rows[:, None] ** 2 + columns**2)
        amplitude = 1 / np.maximum(frequency, 1 / max(height, width))
        self.amplitude = ops.convert_to_tensor(amplitude[None, :, :, None].astype("float32"))
        self.colours = None
        if decorrelate and channels == 3:
            norm = np.linalg.norm(COLOURS, axis=0).max()
            self.colours = ops.convert_to_tensor((COLOURS / norm).T)
        self.seeds = keras.random.SeedGenerator(seed)
        self.coefficients = self.add_weight(
            shape=(len(directions), height, width, 1 if grey else channels), name="coefficients",
            initializer=keras.initializers.RandomNormal(stddev=0.01, seed=seed),
        )  # fmt: skip
        self.values = self.add_weight(
            shape=(steps, len(directions)), name="values", initializer="zeros", trainable=False
        )
        self.step = self.add_weight(
            shape=(), name="step", initializer="zeros", dtype="int32", trainable=False
        )
        self.built = True

    @property
    def trainable_variables(self):  # the model's own weights are not trained
        return [self.coefficients]

    @property
    def non_trainable_variables(self):
        return [x for x in self.variables if x is not self.coefficients]

    trainable_weights, non_trainable_weights = trainable_variables, non_trainable_variables

    def images(self):
        """Returns the images, (count, height, width, channels)."""
        waves = self.coefficients * self.amplitude
        x = ops.einsum("hf,nfgc,wg->nhwc", self.bases[0], waves, self.bases[1])
        if self.colours is not None:
            x = ops.matmul(x, self.colours)
        low, high = self.value_range
        return ops.repeat(low + (high - low) * ops.sigmoid(x), self.copies, axis=-1)

    def call(self, inputs, training=None):
        del inputs
        x = self.images()
        excess = self.penalty * ops.sum((x - self.value_range[0]) ** 2)
        if training:
            x = self._move(x)
        values = self._values(x)
        self.values.assign(ops.slice_update(self.values.value, (self.step.value, 0), values[None]))
        self.step.assign_add(1)
        self.add_loss(excess - ops.sum(values))
        return values

    def _move(self, x):
        """Returns images that are shifted, scaled and turned at random about their centre."""
        jitter, scale, rotation = self.moves
        size, angle, right, down = (
            most * keras.random.uniform((), -1, 1, seed=self.seeds)
            for most in (scale, rotation, jitter, jitter)
        )
        cos, sin = (1 + size) * ops.cos(angle), (1 + size) * ops.sin(angle)
        middle = [(length - 1) / 2 for length in (x.shape[2], x.shape[1])]
        a = middle[0] - cos * middle[0] + sin * middle[1] + right
        b = middle[1] - sin * middle[0] - cos * middle[1] + down
        zero = ops.zeros(())
        transform = ops.stack([cos, -sin, a, sin, cos, b, zero, zero])
        transforms = ops.tile(transform[None], (x.shape[0], 1))
        return ops.image.affine_transform(
            x, transforms, fill_mode="reflect", data_format="channels_last"
        )

    def _values(self, x):
        gates = Gates(self.model, "redirection") if self.redirected else None
        visit = gates.visit if gates else _layer_calls.Call.proceed
        if self.target is None:
            return ops.sum(
                ops.cast(self.scores.run(x, visit), "float32") * self.directions, axis=-1
            )
        outputs = {}

        def keep(call):
            output = visit(call)
            if call.path == self.target:
                outputs["maps"] = ops.cast(output, "float32")
            return output

        _layer_calls.run(self.model, x, keep)
        maps = outputs["maps"]
        if self.objective == "neuron":
            maps = maps[:, maps.shape[1] // 2, maps.shape[2] // 2]
        else:
            maps = ops.mean(maps, axis=(1, 2))
        return ops.sum(maps * self.directions, axis=-1)


def _waves(size):
    """Returns orthonormal waves as columns, (size, size), and their frequencies in cycles per pixel, (size,)."""
    positions = np.arange(size)
    columns, frequencies = [np.full(size, 1 / np.sqrt(size))], [0.0]
    for k in range(1, size // 2 + 1):
        angles = 2 * np.pi * k * positions / size
        if 2 * k == size:
            columns.append(np.cos(angles) / np.sqrt(size))
            frequencies.append(0.5)
        else:
            columns += [np.cos(angles) * np.sqrt(2 / size), np.sin(angles) * np.sqrt(2 / size)]
            frequencies += [k / size] * 2
    return np.stack(columns, axis=1).astype("float32"), np.array(frequencies)
