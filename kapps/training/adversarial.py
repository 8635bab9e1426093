"""Two networks that train against each other, one that makes images and one that judges them, by `model.fit`.

[1] Goodfellow 2014, arXiv:1406.2661
[2] Miyato 2018, arXiv:1802.05957, equations 16 and 17, and Zhang 2018, arXiv:1805.08318, equation 4: the hinge losses
[3] Heusel 2017, arXiv:1706.08500: a learning rate for each of the two networks
"""

import keras
import tensorflow as tf

from kapps._checked import checked
from kapps.training.metrics import FrechetDistance

EVALUATION_SEED = 20_181
"""Seed of the noise of evaluations, which is the same in all of them."""


def discriminator_hinge_loss(real, generated):
    """Returns mean(max(0, 1 - D(x))) + mean(max(0, 1 + D(G(z)))) of scores (batch, 1) [2]."""
    return tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(tf.nn.relu(1 + generated))


def generator_hinge_loss(generated):
    """Returns -mean(D(G(z))) of scores (batch, 1) [2]."""
    return -tf.reduce_mean(generated)


class AdversarialModel(keras.Model):
    """A generator and a discriminator of images of several classes, trained on batches (images, labels).

        model = AdversarialModel(sagan_generator(...), sagan_discriminator(...), classes=10)
        model.compile(keras.optimizers.Adam(1e-4, beta_1=0.0), keras.optimizers.Adam(4e-4, beta_1=0.0))
        model.fit(dataset)

    A training step makes as many images as the batch has, of noise and classes that it samples, computes the hinge
    losses [2] of both networks for the same images, and lets each optimizer change its own network once. The
    discriminator sees real and generated images in separate calls, and `training=True` in the first one only, so that
    the vectors of its spectral normalisation change once in a step.

    The history has "loss" (of the discriminator), "generator_loss", "real_score" and "generated_score". An evaluation
    makes an image of the class of each real one, always of the same noise. With `features` it has "feature_distance"
    too, the `FrechetDistance` between the features of real and of generated images.

    `kapps.training.Run` trains and resumes the model: its optimizer is a `keras.optimizers.MultiOptimizer`, and the
    random state is a variable. The generator's optimizer may have `use_ema=True`; evaluations then have the averages of
    its weights. Build and compile the model in the scope of the distribution strategy. The backend is TensorFlow.

    Args:
        generator: model from [noise (batch, size), label int32 (batch,)] to images.
        discriminator: model from [images, label int32 (batch,)] to scores (batch, 1).
        classes: number of classes.
        features: model from images to vectors (batch, size), which is not trained; None for no distance.
        seed: of the noise and of the classes.
        name: of the model.
    """

    @checked
    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        classes: int,
        *,
        features: keras.Model | None = None,
        seed: int = 0,
        name: str = "adversarial",
    ):
        super().__init__(name=name)
        self.generator, self.discriminator, self.classes = generator, discriminator, classes
        self.features = features
        self.noise = generator.inputs[0].shape[-1]
        self.seeds = keras.random.SeedGenerator(seed)
        self.means = [
            keras.metrics.Mean(name=name)
            for name in ("loss", "generator_loss", "real_score", "generated_score")
        ]
        self.distance = None
        if features is not None:
            features.trainable = False
            self.distance = FrechetDistance(features.output_shape[-1], name="feature_distance")
        self.built = True

    def call(self, inputs, training=False):
        """Returns images of [noise, label]."""
        return self.generator(inputs, training=training)

    @property
    def metrics(self):
        """The means of the history, and the distance in evaluations."""
        return [*self.means, *([] if self.distance is None else [self.distance])]

    def compile(self, generator_optimizer, discriminator_optimizer, **options) -> None:
        """Compiles the model with an optimizer for each network [3].

        Args:
            generator_optimizer: of the generator.
            discriminator_optimizer: of the discriminator.
            **options: other arguments of `keras.Model.compile`.
        """
        of_generator = {id(variable) for variable in self.generator.trainable_variables}
        optimizer = keras.optimizers.MultiOptimizer(
            lambda x: generator_optimizer if id(x) in of_generator else discriminator_optimizer
        )
        optimizer.build(self.trainable_variables)  # otherwise the first step is traced twice
        super().compile(optimizer=optimizer, **{"jit_compile": False, **options})

    def train_step(self, data) -> dict:
        """Changes both networks once, and returns the metrics of the epoch so far."""
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        images, batch = tf.convert_to_tensor(images), tf.shape(images)[0]
        noise = keras.random.normal((batch, self.noise), seed=self.seeds)
        sampled = keras.random.randint((batch,), 0, self.classes, seed=self.seeds)
        networks = self.generator.trainable_variables, self.discriminator.trainable_variables
        with tf.GradientTape(persistent=True) as tape:
            generated = self.generator([noise, sampled], training=True)
            scores = (
                self.discriminator([images, class_numbers(labels)], training=True),
                self.discriminator([generated, sampled], training=False),
            )
            losses = generator_hinge_loss(scores[1]), discriminator_hinge_loss(*scores)
            # The gradients of all replicas are added.
            replicas = self.distribute_strategy.num_replicas_in_sync
            scaled = [loss / replicas for loss in losses]
        gradients = [tape.gradient(*pair) for pair in zip(scaled, networks, strict=True)]
        self.optimizer.apply(gradients[0] + gradients[1], networks[0] + networks[1])
        self._update(batch, losses, scores)
        return self._results(self.means)

    def test_step(self, data) -> dict:
        """Returns the metrics of an evaluation so far."""
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        images, batch = tf.convert_to_tensor(images), tf.shape(images)[0]
        labels = class_numbers(labels)
        # The number of images before in this evaluation; each replica has its own noise.
        first = tf.cast(self.means[0].count, tf.int32)
        context = tf.distribute.get_replica_context()
        replica = 0 if context is None else context.replica_id_in_sync_group
        seed = tf.stack([EVALUATION_SEED + tf.cast(replica, tf.int32), first])
        noise = tf.random.stateless_normal((batch, self.noise), seed)
        generated = self.generator([noise, labels], training=False)
        scores = [self.discriminator([x, labels], training=False) for x in (images, generated)]
        losses = generator_hinge_loss(scores[1]), discriminator_hinge_loss(*scores)
        self._update(batch, losses, scores)
        if self.distance is not None:
            self.distance.update_state(
                *(self.features(x, training=False) for x in (images, generated))
            )
        return self._results(self.metrics)

    def get_metrics_result(self) -> dict:
        """Returns the metrics since the last reset; with the distance after steps of an evaluation."""
        # `fit` and `evaluate` return these where they have the names of the last step's: in a resumed epoch the last
        # step does not know of the steps before the interruption.
        if self.distance is None or not float(keras.ops.convert_to_numpy(self.distance.count)):
            return self._results(self.means)
        return self._results(self.metrics)

    def _results(self, metrics):
        return {metric.name: metric.result() for metric in metrics}

    def _update(self, batch, losses, scores):
        values = losses[1], losses[0], *map(tf.reduce_mean, scores)
        for metric, value in zip(self.means, values, strict=True):
            metric.update_state(value, sample_weight=batch)


def class_numbers(labels):
    """Returns int32 (batch,) of labels that are numbers (batch,) or one-hot (batch, classes)."""
    labels = tf.argmax(labels, axis=-1) if len(labels.shape) == 2 else labels
    return tf.cast(labels, tf.int32)
