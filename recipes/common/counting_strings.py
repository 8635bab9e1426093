"""The strings of counting languages, a^n b^n and a^n b^n c^n, and the networks that read them."""

import time

import keras
import numpy as np

from kapps.layers import recurrent_stack


def make_strings(counts, letters):
    """Returns strings with n of each letter, for each n of `counts`, padded on the right.

    Returns:
        A tuple of float32 arrays: one-hot letters (strings, steps, letters); targets (strings, steps, letters + 1),
        1 for each letter that may follow, the end of the string last; mask (strings, steps), 1 for the steps of a
        string.
    """
    steps = len(letters) * max(counts)
    x = np.zeros((len(counts), steps, len(letters)), "float32")
    y = np.zeros((len(counts), steps, len(letters) + 1), "float32")
    for i, n in enumerate(counts):
        for letter in range(len(letters)):
            run = slice(letter * n, (letter + 1) * n)
            x[i, run, letter] = y[i, run, letter] = 1
            y[i, run.stop - 1, letter] = letter == 0  # a network cannot predict which a is the last
            y[i, run if letter == 0 else run.stop - 1, letter + 1] = 1
    return x, y, x.max(axis=-1)


def train_network(name, letters, longest, *, units, steps, learning_rate, seed):
    """Trains a network on all strings of n up to `longest` in each step. Returns the model, its loss and the seconds.

    Args:
        name: of a cell: lstm, gru or rnn.
        letters: of the language.
        longest: largest n.
        units: of the recurrent layer.
        steps: training steps.
        learning_rate: peak learning rate of Adam.
        seed: random seed.
    """
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((None, len(letters)), name="sequence")
    h = recurrent_stack.recurrent_layer(units, cell=name, name="layer1")(inputs)
    outputs = keras.layers.Dense(len(letters) + 1, activation="sigmoid", name="predictions")(h)
    model = keras.Model(inputs, outputs, name=f"{name}_{letters}")
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.Adam(schedule, clipnorm=1.0)
    model.compile(optimizer, "binary_crossentropy", jit_compile=False)
    optimizer.build(model.trainable_variables)  # or the first step is traced twice
    batch, start = make_strings(list(range(1, longest + 1)), letters), time.monotonic()
    for step in range(steps):
        loss = model.train_on_batch(*batch)
        if step % max(1, steps // 5) == 0 or step == steps - 1:
            print(f"  {model.name}: step {step + 1:,}, loss {loss:.5f}", flush=True)
    return model, float(loss), time.monotonic() - start
