"""Trains a small network under one strategy, and writes its weights, optimizer state and predictions to a file.

    python worker.py FOLDER NAME STRATEGY [--steps=20] [--rich] [--pace=0.1] [--every=500] [--timeout=60]

--rich adds dropout, MixUp, an average of the weights and mixed precision; --pace sleeps between steps.
"""

import pathlib
import time

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from kapps import data, training
from kapps.cards import Preprocessing

BATCH, EPOCH = 24, 10  # images per step over all replicas; steps per epoch
FLAGS = flags.FLAGS
flags.DEFINE_integer("steps", 20, "steps of the training")
flags.DEFINE_bool("rich", False, "see above")
flags.DEFINE_float("pace", 0.0, "seconds")
flags.DEFINE_integer("every", 500, "steps between checkpoints")
flags.DEFINE_float("timeout", 60, "seconds to wait for the other workers")
PLAIN = Preprocessing(size=(8, 8), crop=1.0)


def network(dropout):
    """A convolution with batch norm, and logits."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, name="conv")(image)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.5)(x) if dropout else x
    return keras.Model(image, keras.layers.Dense(10, name="logits", dtype="float32")(x))


class Pace(keras.callbacks.Callback):
    """Prints every step, and sleeps."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_train_batch_end(self, batch, logs=None):
        print("step", int(keras.ops.convert_to_numpy(self.model.optimizer.iterations)), flush=True)
        time.sleep(self.seconds)


class Paced(training.Run):
    """A run that prints every step."""

    pace = 0.0

    def make_callbacks(self, model):
        return [*super().make_callbacks(model), Pace(self.pace)]


def main(argv):
    _, folder, name, strategy = argv
    folder = pathlib.Path(folder)
    if strategy == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    strategy = training.make_strategy(strategy, worker_timeout=FLAGS.timeout)
    training.set_seed(0, deterministic=True)
    training.set_precision("mixed_float16" if FLAGS.rich else "float32")
    with strategy.scope():
        model = network(FLAGS.rich)
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9, use_ema=FLAGS.rich, ema_momentum=0.9)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    source, test = (data.open_source("digits", split=split) for split in ("train", "validation"))
    training.compare_workers(strategy, data.images_identity(source, test))

    def images(first_step, shard):
        return data.train_dataset(
            source, PLAIN, BATCH, classes=10, augmentation="cifar", flip=False, first_step=first_step, shard=shard,
            mixup=0.2 if FLAGS.rich else 0.0,
        )  # fmt: skip

    # 17 images in batches of 16: the last batch has one image, fewer than there are replicas.
    few = data.eval_dataset(test, PLAIN, 17, classes=10).unbatch().take(17).batch(16)
    run = Paced(
        folder / name, strategy, epochs=FLAGS.steps // EPOCH, steps_per_epoch=EPOCH, batch_size=BATCH,
        identity={"rich": FLAGS.rich}, checkpoint_interval=FLAGS.every,
    )  # fmt: skip
    run.pace = FLAGS.pace
    run.fit(model, images, few)
    with training.replica_workarounds(model, strategy):
        predicted = model.predict(few, verbose=0)
    if run.is_chief:
        model.save(run.directory / "model.keras")
    number = 0 if strategy.cluster_resolver is None else strategy.cluster_resolver.task_id
    states = [*model.variables, *model.optimizer.variables]
    np.savez(
        folder / f"{name}_{number}.npz",
        predicted=predicted,
        **{f"variable{i}": keras.ops.convert_to_numpy(value) for i, value in enumerate(states)},
        **{f"weight{i}": value for i, value in enumerate(model.get_weights())},
    )


if __name__ == "__main__":
    training.run_main(main, arguments="folder, name and strategy")
