"""Trains a small recurrent network on one kind of mapping and prints its score next to chance and published scores.

    python recipes/mappings.py --mapping=many_to_one --data=JapaneseVowels_TRAIN.ts
    python recipes/mappings.py --mapping=temporal --cell=peephole --epochs=30

many_to_one: series of vectors to a class, from a .ts file and the _TEST.ts file in the same folder
one_to_many: the image of a digit to its name, letter by letter
aligned:     rows of digits to the digit of each column
segments:    rows of digits to one label for every eight columns
temporal:    rows of digits with gaps to the digits, without their positions (CTC)
unaligned:   numbers in digits to numbers in words (encoder-decoder)
embeddings:  texts to a sentiment, from lines with a label 0 or 1 and a text; no recurrence

The digits are part of kapps. The recipe writes `model.keras`, `history.csv`, `curves.png` and `result.json` to
--model_dir. The same command resumes an interrupted run.

Run log (two cores that ran other jobs, seed 0, default flags except as given, scores on the test split; DTW is the
published score of 1-nearest-neighbour classification with dynamic time warping):
    many_to_one   JapaneseVowels, --epochs=30             accuracy 0.976  (most common class 0.238, DTW 0.949)
    many_to_one   ItalyPowerDemand, --epochs=60 --batch_size=16    0.962  (most common class 0.501, DTW 0.950)
    many_to_one   GunPoint, --epochs=60 --batch_size=10   accuracy 0.940  (most common class 0.507, DTW 0.907)
    one_to_many   --epochs=30                        name accuracy 0.861  (most common name 0.103)
    aligned                                               accuracy 0.918  (most common label 0.112)
    segments      --epochs=5                              accuracy 0.888  (most common label 0.112)
    temporal      --epochs=12 --batch_size=16 --learning_rate=0.005   label error rate 0.049  (empty labelling 1)
    unaligned     --epochs=10 --units=128          number accuracy 1.000  (500 numbers; chance 0.0001)
    embeddings    rt-polarity, --epochs=5 --learning_rate=0.001    0.745  (more common label 0.509)
                  The CNN of Kim 2014 has 0.761.
"""

import functools
import json
import pathlib
import time

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common import array_batches, mapping_tasks

from kapps import data, training
from kapps._files import write_atomically
from kapps.layers import recurrent_stack

FLAGS = flags.FLAGS
flags.DEFINE_enum("mapping", "many_to_one", list(mapping_tasks.TASKS), "the mapping to train")
training.define_path("data", None, "data file of many_to_one and embeddings", "file")
flags.DEFINE_enum("cell", "lstm", recurrent_stack.CELLS, "cell of the recurrent layers")
flags.DEFINE_integer("units", 64, "units of each recurrent layer", 1, 8192)
flags.DEFINE_integer("epochs", 20, "training epochs", 1, 10**6)
flags.DEFINE_integer("batch_size", 32, "sequences per training step", 1, 2**20)
training.define_positive(
    "learning_rate", 0.003, "learning rate of Adam at the start of its cosine decay"
)
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
flags.DEFINE_integer("checkpoint_every", 500, "steps between two checkpoints", lower_bound=1)
training.define_path("model_dir", "runs/mappings", "output folder", "output")

RUN_FLAGS = ("mapping", "data", "cell", "units", "epochs", "batch_size", "learning_rate", "seed")
"""Flags that determine the training: a run resumes only with the same values."""
READS_DATA = ("many_to_one", "embeddings")
"""Mappings that are read from --data."""


def format_scores(scores):
    return ", ".join(f"{name} {value:.3g}" for name, value in scores.items())


def main(_):
    training.set_seed(FLAGS.seed)
    training.forbid_without(
        "data", "--mapping=many_to_one or --mapping=embeddings", FLAGS.mapping in READS_DATA
    )
    size = training.recurrent_memory(FLAGS.batch_size, 1, (FLAGS.units,))
    training.require_memory(size, "lower --batch_size or --units")
    task = mapping_tasks.TASKS[FLAGS.mapping](
        FLAGS.data, FLAGS.units, FLAGS.cell, np.random.default_rng(FLAGS.seed)
    )
    x, y = task.train
    steps = array_batches.steps_per_epoch(y, FLAGS.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(FLAGS.learning_rate, FLAGS.epochs * steps)
    task.model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), task.loss, jit_compile=False)
    weights = sum(int(np.prod(weight.shape)) for weight in task.model.trainable_weights)
    print(f"{task.model.name}: {weights:,} parameters. {task.description}.")

    start = time.monotonic()
    arrays = {
        name: data.array_identity(array_batches.name_arrays(*split, name))
        for name, split in (("training", task.train), ("test", task.test))
    }
    run = training.Run(
        FLAGS.model_dir, tf.distribute.get_strategy(), epochs=FLAGS.epochs, steps_per_epoch=steps,
        batch_size=len(y) / steps, identity={name: FLAGS[name].value for name in RUN_FLAGS},
        data={f"{name} examples": identity for name, identity in arrays.items()},
        checkpoint_interval=FLAGS.checkpoint_every,
    )  # fmt: skip
    train = functools.partial(array_batches.train_dataset, x, y, FLAGS.batch_size, seed=FLAGS.seed)
    before, after = run.fit(task.model, train, array_batches.eval_dataset(*task.test, 256))
    before, after = before["loss"], after["loss"]
    seconds = time.monotonic() - start
    scores = {key: float(value) for key, value in task.score(task.model).items()}

    folder = pathlib.Path(FLAGS.model_dir)
    result = {
        "mapping": FLAGS.mapping, "description": task.description, "loss before": before, "loss": after, **scores,
        "baselines": {key: float(value) for key, value in task.baselines.items()}, "seconds": round(seconds, 1),
        "flags": training.get_flag_values(),
    }  # fmt: skip
    run.save(task.model)
    with write_atomically(folder / "result.json") as path:
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    run.checkpoints.delete()
    print(
        f"{FLAGS.mapping}: {format_scores(scores)}; loss {before:.3f} before and {after:.3f} after training, "
        f"in {seconds:.0f} s"
    )
    print(f"baselines: {format_scores(task.baselines)}")
    print(f"written: {folder / 'model.keras'}, {folder / 'result.json'}")


if __name__ == "__main__":
    training.run_main(main)
