"""Trains a convolutional LSTM (Shi 2015, arXiv:1506.04214) to forecast ten frames of moving digits from the ten before.

    python recipes/nowcasting.py                                   # the digits that ship with kapps, on two cores
    python recipes/nowcasting.py --data=mnist.npz --filters=128,64,64 --steps=200000   # the paper's size; needs a GPU

The recipe prints the cross-entropy per frame next to two baselines without a network: the last frame repeated,
clipped to [e, 1 - e] with the best e, and the mean brightness of a pixel. The paper's Table 1 has the cross-entropy
of ten frames: 3670.85 nats for layers of 128-64-64 channels and 5x5 kernels. The recipe writes to --model_dir:
model.keras, history.csv, curves.png, run.json, and forecast.png with the inputs, the targets and the forecasts of a few
sequences. The same command resumes an interrupted run.

Run log:
- --data=mnist.npz --steps=300, two cores that ran other jobs, 0.8 to 2 seconds per step: 669.5 nats; the repeated
  last frame has 1067.8, the mean brightness 765.9. After so few steps the forecast is blurred around the position
  of the digits.
"""

import functools
import pathlib

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common.image_sources import open_sources

import kapps
from kapps import data, training, visualize
from kapps.data.sequence import moving_digits_dataset, read_grey_images
from kapps.training import frame_cross_entropy

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", "digits", "a TFDS name such as mnist, or digits (part of kapps)")
training.define_path(
    "data", None, "an .npz file, TFRecord shards or class folders of digits; replaces --dataset"
)
flags.DEFINE_string("labels", None, "CSV file of the labels of a folder or .zip of images")
flags.DEFINE_list("filters", ["24", "24"], "channels of each layer")
flags.DEFINE_integer("kernel_size", 5, "kernel size of every convolution, odd", 1, 27)
flags.DEFINE_integer("steps", 600, "training steps", 1, 10**9)
flags.DEFINE_integer("batch_size", 8, "sequences per training step", 1, 2**20)
training.define_positive("learning_rate", 2e-3, "peak learning rate of Adam")
flags.DEFINE_integer("test", 200, "test sequences, of other digits", 1, 10**6)
flags.DEFINE_integer("rows", 3, "sequences in the plot", 1, 100)
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
flags.DEFINE_integer("checkpoint_every", 500, "steps between two checkpoints", lower_bound=1)
training.define_path("model_dir", "runs/nowcasting", "output folder", "output")

RUN_FLAGS = (
    "dataset",
    "data",
    "labels",
    "filters",
    "kernel_size",
    "steps",
    "batch_size",
    "learning_rate",
    "test",
    "seed",
)
"""Flags that determine the training: a run resumes only with the same values."""
SIDE, FRAMES = 28, 10


def main(_):
    filters = read_filters()
    training.forbid_both("data", "dataset", "give the files or the name of the digits")
    size = training.recurrent_memory(FLAGS.batch_size, 2 * FRAMES * SIDE**2, filters)
    training.require_memory(size, "lower --batch_size or --filters")
    training.set_seed(FLAGS.seed)
    selection = (None if FLAGS.data else FLAGS.dataset, FLAGS.data, FLAGS.labels)
    sources = open_sources(*selection, classify=False)
    skipped = data.SkippedImages()
    train_digits, test_digits = (
        read_grey_images(source, SIDE, skipped=skipped)[0] for source in sources
    )
    print(f"{len(train_digits):,} training digits, {len(test_digits):,} test digits")
    sequences = functools.partial(
        moving_digits_dataset, train_digits, FLAGS.batch_size, seed=FLAGS.seed
    )
    test = moving_digits_dataset(
        test_digits, FLAGS.batch_size, sequences=FLAGS.test, seed=FLAGS.seed + 1
    ).cache()
    model = kapps.families.convlstm(filters=filters, kernel_size=FLAGS.kernel_size)
    print(
        f"{model.name}: {model.count_params():,} parameters, layers of {', '.join(FLAGS.filters)} channels"
    )
    schedule = keras.optimizers.schedules.CosineDecay(FLAGS.learning_rate, FLAGS.steps)
    optimizer = keras.optimizers.Adam(schedule, clipnorm=1.0)
    metric = keras.metrics.MeanMetricWrapper(frame_cross_entropy, "frame_cross_entropy")
    model.compile(optimizer, "binary_crossentropy", metrics=[metric], jit_compile=False)
    parts = min(10, FLAGS.steps)
    run = training.Run(
        FLAGS.model_dir, tf.distribute.get_strategy(), epochs=parts, steps_per_epoch=FLAGS.steps // parts,
        batch_size=FLAGS.batch_size, identity={name: FLAGS[name].value for name in RUN_FLAGS},
        data=data.images_identity(*sources), checkpoint_interval=FLAGS.checkpoint_every,
    )  # fmt: skip
    # One device has the whole batch, so that the shard is (0, 1).
    _, after = run.fit(model, lambda first_step, shard: sequences(first_step=first_step), test)  # noqa: ARG005
    result = after["frame_cross_entropy"]
    batches = zip(*test.as_numpy_iterator(), strict=True)
    inputs, targets = (np.concatenate(arrays) for arrays in batches)
    brightness = [frames.mean() for _, frames in sequences().take(10).as_numpy_iterator()]
    baselines = compute_baselines(inputs, targets, np.mean(brightness))
    table = {**baselines, f"ConvLSTM, {FLAGS.steps:,} steps": result}
    for name, value in table.items():
        print(f"{name:<40}{value:9.1f} nats per frame")
    directory = pathlib.Path(FLAGS.model_dir)
    run.save(model)
    plot_forecasts(model, inputs[: FLAGS.rows], targets[: FLAGS.rows], directory / "forecast.png")
    results = {
        "frame_cross_entropy": table, "history": run.history, "images": skipped.record_images(),
    }  # fmt: skip
    training.write_run_record(directory / "run.json", training.get_flag_values(), results)
    run.checkpoints.delete()
    print(skipped.summary())
    print(
        f"written: {', '.join(str(directory / name) for name in ('model.keras', 'forecast.png', 'run.json'))}"
    )


def read_filters():
    """Returns the channels of each layer in --filters."""
    if not FLAGS.filters or not all(
        value.isdecimal() and 0 < int(value) <= 4096 for value in FLAGS.filters
    ):
        raise ValueError(
            f"--filters={','.join(FLAGS.filters)} is not a list of integers from 1 to 4096, such as 24,24"
        )
    if FLAGS.kernel_size % 2 == 0:
        raise ValueError(
            f"--kernel_size={FLAGS.kernel_size} is even: pass an odd number, such as 5"
        )
    return tuple(map(int, FLAGS.filters))


def compute_baselines(inputs, targets, brightness):
    """Returns the cross-entropy per frame of forecasts without a network: {name: nats}."""
    last = np.repeat(inputs[:, -1:], FRAMES, axis=1)
    clipped = {e: cross_entropy(targets, np.clip(last, e, 1 - e)) for e in (0.02, 0.05, 0.1, 0.2)}
    best = min(clipped, key=clipped.get)
    return {
        f"last frame, clipped to [{best}, {1 - best}]": clipped[best],
        f"mean brightness, {brightness:.3f}": cross_entropy(
            targets, np.full_like(targets, brightness)
        ),
    }


def cross_entropy(targets, probabilities):
    """Returns the mean over frames, as `model.evaluate` does."""
    return float(np.mean(frame_cross_entropy(targets, probabilities)))


def plot_forecasts(model, inputs, targets, path):
    """Plots the input frames, the target frames and the forecast of each sequence."""
    rows = np.stack([inputs, targets, model.predict(inputs, verbose=0)], axis=1)[..., 0]
    figure = visualize.new_figure(figsize=(FRAMES, 3.2 * len(rows)))
    panels = figure.subplots(3 * len(rows), FRAMES, squeeze=False)
    for line, frames in zip(panels, rows.reshape(-1, *rows.shape[2:]), strict=True):
        for panel, frame in zip(line, frames, strict=True):
            panel.imshow(frame, cmap="gray", vmin=0, vmax=1)
            panel.set(xticks=[], yticks=[])
    for i, line in enumerate(panels):
        line[0].set_ylabel(("input", "target", "forecast")[i % 3])
    for t, panel in enumerate(panels[0], start=1):
        panel.set_title(f"{t} / {t + FRAMES}", fontsize=visualize.FONT_SIZE)
    visualize.save_figure(figure, path)


if __name__ == "__main__":
    training.run_main(main)
