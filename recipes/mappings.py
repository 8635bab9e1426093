"""Trains a small recurrent network of each kind of mapping, and says how right it is beside chance and publications.

    python recipes/mappings.py --mapping=many_to_one --data=JapaneseVowels_TRAIN.ts
    python recipes/mappings.py --mapping=temporal --cell=peephole --epochs=30

many_to_one: series of vectors to their class, from a .ts file, its _TEST.ts beside it
one_to_many: the image of a digit to its name, letter by letter
aligned:     rows of digits to the digit of each column
segments:    rows of digits to a label for every eight columns
temporal:    rows of digits with gaps to the digits, of which nobody says where they are (CTC)
unaligned:   numbers in figures to numbers in words (encoder-decoder)
embeddings:  texts to an opinion, from lines of a label 0 or 1 and a text; no recurrence

The digits ship with kapps. It leaves `model.keras` and `result.json` in --model_dir.

Reached on two busy cores, seed 0, with defaults but for what is said, on examples that were not trained on; DTW is the
nearest series by dynamic time warping as the archives publish it:
    many_to_one   JapaneseVowels, --epochs=30             accuracy 0.976  (commonest class 0.238, DTW 0.949)
    many_to_one   ItalyPowerDemand, --epochs=60 --batch_size=16    0.962  (commonest class 0.501, DTW 0.950)
    many_to_one   GunPoint, --epochs=60 --batch_size=10   accuracy 0.940  (commonest class 0.507, DTW 0.907)
    one_to_many   --epochs=30                          whole names 0.861  (commonest name 0.103)
    aligned                                               accuracy 0.918  (commonest label 0.112)
    segments      --epochs=5                              accuracy 0.888  (commonest label 0.112)
    temporal      --epochs=12 --batch_size=16 --learning_rate=0.005   label error rate 0.049  (of saying nothing 1)
    unaligned     --epochs=10 --units=128            whole numbers 1.000  (of 500; by chance 0.0001)
    embeddings    rt-polarity, --epochs=5 --learning_rate=0.001    0.745  (commoner label 0.509, CNN of Kim 2014 0.761)
"""

import json
import pathlib
import time

import keras
import numpy as np
from absl import flags
from common import (
    environment,  # noqa: F401  # before TensorFlow
    mapping_tasks,
)

from kapps import training
from kapps._files import write_atomically
from kapps.layers import recurrent_stack

FLAGS = flags.FLAGS
flags.DEFINE_enum("mapping", "many_to_one", list(mapping_tasks.TASKS), "what is mapped to what")
flags.DEFINE_string("data", None, "the file to read, of many_to_one and embeddings")
flags.DEFINE_enum("cell", "lstm", recurrent_stack.CELLS, "of the recurrent layers")
flags.DEFINE_integer("units", 64, "width of each recurrent layer", lower_bound=1)
flags.DEFINE_integer("epochs", 20, "passes over the training sequences", lower_bound=1)
flags.DEFINE_integer("batch_size", 32, "sequences a step", lower_bound=1)
flags.DEFINE_float("learning_rate", 0.003, "of Adam, falling to 0 as a cosine", lower_bound=0)
flags.DEFINE_integer("seed", 0, "of the weights, the order of the sequences and what is drawn")
flags.DEFINE_string("model_dir", "runs/mappings", "where model and result go")


def said(figures):
    return ", ".join(f"{what} {value:.3g}" for what, value in figures.items())


def main(_):
    training.set_seed(FLAGS.seed)
    task = mapping_tasks.TASKS[FLAGS.mapping](
        FLAGS.data, FLAGS.units, FLAGS.cell, np.random.default_rng(FLAGS.seed)
    )
    x, y = task.train
    steps = FLAGS.epochs * -(-len(y) // FLAGS.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(FLAGS.learning_rate, steps)
    task.model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), task.loss, jit_compile=False)
    weights = sum(int(np.prod(weight.shape)) for weight in task.model.trainable_weights)
    print(f"{task.model.name}: {weights:,} parameters. {task.about}.")

    began = time.monotonic()
    before = task.model.evaluate(*task.test, batch_size=256, verbose=0)
    task.model.fit(
        x, y, batch_size=FLAGS.batch_size, epochs=FLAGS.epochs, validation_data=task.test, validation_batch_size=256,
        verbose=2,
    )  # fmt: skip
    seconds = time.monotonic() - began
    after = task.model.evaluate(*task.test, batch_size=256, verbose=0)
    reached = {key: float(value) for key, value in task.score(task.model).items()}

    folder = pathlib.Path(FLAGS.model_dir)
    result = {
        "mapping": FLAGS.mapping, "about": task.about, "loss before": before, "loss": after, **reached,
        "beside": {key: float(value) for key, value in task.beside.items()}, "seconds": round(seconds, 1),
        "flags": training.get_flag_values(),
    }  # fmt: skip
    with write_atomically(folder / "model.keras") as path:
        task.model.save(path)
    with write_atomically(folder / "result.json") as path:
        path.write_text(json.dumps(result, indent=1) + "\n")
    print(
        f"{FLAGS.mapping}: {said(reached)}; loss {before:.3f}, then {after:.3f}, in {seconds:.0f} s"
    )
    print(f"beside it: {said(task.beside)}")
    print(f"written: {folder / 'model.keras'}, {folder / 'result.json'}")


if __name__ == "__main__":
    training.run_main(main)
