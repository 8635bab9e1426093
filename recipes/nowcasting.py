"""Trains a small convolutional LSTM (Shi 2015, arXiv:1506.04214) to go on with ten frames of moving digits.

    python recipes/nowcasting.py                                   # the digits that ship with kapps, on two cores
    python recipes/nowcasting.py --data=mnist.npz --filters=128,64,64 --steps=200000   # the paper's size; wants a GPU

The loss is printed beside two forecasts that learn nothing: the last frame again, its pixels held between e and 1 - e
by the e that suits it best, and how bright a pixel is on average. All are cross-entropies of a frame; the paper's
Table 1 has those of ten frames, 3670.85 nats for layers of 128-64-64 channels and windows of 5x5. In --model_dir:
model.keras, run.json, and forecast.png: of a few sequences the frames given, those that came, and the forecast.

Run log:
- --data=mnist.npz --steps=300, two cores shared with other work, 0.8 to 2 seconds a step: 669.5 nats, where the last
  frame again has 1067.8 and the average brightness 765.9. So early the forecast is a haze around where the digits go.
"""

import pathlib

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
from absl import flags

import kapps
from kapps import data, training, visualize
from kapps._files import write_atomically
from kapps.data.sequence import moving_digits_dataset, read_grey_images
from kapps.layers import frame_cross_entropy

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "dataset", "digits", "a TFDS name such as mnist, or digits, which ship with kapps"
)
flags.DEFINE_string("data", None, "an .npz file, shards or class folders of digits, instead")
flags.DEFINE_list("filters", ["24", "24"], "channels of each layer")
flags.DEFINE_integer("kernel_size", 5, "of every convolution, odd", lower_bound=1)
flags.DEFINE_integer("steps", 600, "of training", lower_bound=1)
flags.DEFINE_integer("batch_size", 8, "sequences a step", lower_bound=1)
flags.DEFINE_float("learning_rate", 2e-3, "of Adam, at its height", lower_bound=0)
flags.DEFINE_integer("test", 200, "sequences of other digits to test on", lower_bound=1)
flags.DEFINE_integer("rows", 3, "sequences in the image", lower_bound=1)
flags.DEFINE_integer("seed", 0, "of the weights and all that is drawn")
flags.DEFINE_string("model_dir", "runs/nowcasting", "where everything goes")

SIDE, FRAMES = 28, 10


def main(_):
    filters = tuple(int(each) for each in FLAGS.filters)
    training.set_seed(FLAGS.seed)
    where = (None if FLAGS.data else FLAGS.dataset, FLAGS.data)
    sources = [data.open_source(*where, split) for split in ("train", "validation")]
    train_digits, test_digits = (read_grey_images(source, SIDE)[0] for source in sources)
    print(f"{len(train_digits):,} digits to train on, {len(test_digits):,} others to test on")
    sequences = moving_digits_dataset(train_digits, FLAGS.batch_size, seed=FLAGS.seed)
    test = moving_digits_dataset(
        test_digits, FLAGS.batch_size, sequences=FLAGS.test, seed=FLAGS.seed + 1
    ).cache()
    model = kapps.families.convlstm(filters=filters, kernel_size=FLAGS.kernel_size)
    print(
        f"{model.name}: {model.count_params():,} parameters, layers of {', '.join(FLAGS.filters)} channels"
    )
    schedule = keras.optimizers.schedules.CosineDecay(FLAGS.learning_rate, FLAGS.steps)
    optimizer = keras.optimizers.Adam(schedule, clipnorm=1.0)
    model.compile(
        optimizer, "binary_crossentropy", metrics=[frame_cross_entropy], jit_compile=False
    )
    parts = min(10, FLAGS.steps)
    history = model.fit(
        sequences, epochs=parts, steps_per_epoch=FLAGS.steps // parts, verbose=2, shuffle=False
    ).history
    reached = model.evaluate(test, verbose=0, return_dict=True)["frame_cross_entropy"]
    given, came = (np.concatenate(each) for each in zip(*test.as_numpy_iterator(), strict=True))
    seen = [frames.mean() for _, frames in sequences.take(10).as_numpy_iterator()]
    baselines = nothing_learnt(given, came, np.mean(seen))
    table = {**baselines, f"ConvLSTM, {FLAGS.steps:,} steps": reached}
    for name, value in table.items():
        print(f"{name:<40}{value:9.1f} nats a frame")
    directory = pathlib.Path(FLAGS.model_dir)
    with write_atomically(directory / "model.keras") as path:
        model.save(path)
    draw(model, given[: FLAGS.rows], came[: FLAGS.rows], directory / "forecast.png")
    results = {"frame_cross_entropy": table, "history": history}
    training.write_run_record(directory / "run.json", training.get_flag_values(), results)
    print(
        f"written: {', '.join(str(directory / name) for name in ('model.keras', 'forecast.png', 'run.json'))}"
    )


def nothing_learnt(given, came, share):
    """Returns the cross-entropy a frame of forecasts without a network: {name: nats}."""
    last = np.repeat(given[:, -1:], FRAMES, axis=1)
    held = {e: cross_entropy(came, np.clip(last, e, 1 - e)) for e in (0.02, 0.05, 0.1, 0.2)}
    best = min(held, key=held.get)
    return {
        f"last frame again, within {best} and {1 - best}": held[best],
        f"every pixel lit by {share:.3f}": cross_entropy(came, np.full_like(came, share)),
    }


def cross_entropy(came, chances):
    """The mean over frames, as `model.evaluate` gives it."""
    return float(np.mean(frame_cross_entropy(came, chances)))


def draw(model, given, came, path):
    """Draws, of each sequence, the frames that were given, those that came, and the forecast."""
    rows = np.stack([given, came, model.predict(given, verbose=0)], axis=1)[..., 0]
    figure = visualize.new_figure(figsize=(FRAMES, 3.2 * len(rows)))
    panels = figure.subplots(3 * len(rows), FRAMES, squeeze=False)
    for line, frames in zip(panels, rows.reshape(-1, *rows.shape[2:]), strict=True):
        for panel, frame in zip(line, frames, strict=True):
            panel.imshow(frame, cmap="gray", vmin=0, vmax=1)
            panel.set(xticks=[], yticks=[])
    for i, line in enumerate(panels):
        line[0].set_ylabel(("given", "came", "forecast")[i % 3])
    for t, panel in enumerate(panels[0], start=1):
        panel.set_title(f"{t} / {t + FRAMES}", fontsize=visualize.FONT_SIZE)
    visualize.save_figure(figure, path)


if __name__ == "__main__":
    training.run_main(main)
