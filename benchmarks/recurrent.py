"""Recurrent cells: training and generating, beside Keras's own layers and PyTorch's.

    python benchmarks/recurrent.py --peer_python=/path/to/python/with/torch

One layer, float32, all cores, without XLA: a step of SGD on sequences of vectors, and a language model's next token
after token, its state carried along. Every cell of ours competes with Keras's own layer of the same width, GRU in its
paper's form with Keras's in that form; plain LSTM, GRU and RNN are that layer. A figure is the median of rounds in
which all take turns, each in a process of its own. Last, what a step of generation costs at the beginning and 10,000
steps later.
"""

import argparse
import functools
import statistics
import sys
import time

import contest

KAPPS, KERAS, TORCH = "kapps", "Keras", "PyTorch"
OF_THE_PAPER = {"reset_after": False}
#                Keras's layer, its options, PyTorch's module
CELLS = {
    "lstm": ("LSTM", {}, "LSTM"),
    "peephole": ("LSTM", {}, "LSTM"),
    "coupled": ("LSTM", {}, "LSTM"),
    "multiplicative": ("LSTM", {}, "LSTM"),
    "gru": ("GRU", {}, "GRU"),
    "gru_new": ("GRU", OF_THE_PAPER, "GRU"),
    "gru_old": ("GRU", OF_THE_PAPER, "GRU"),
    "rnn": ("SimpleRNN", {}, "RNN"),
}
BATCH, STEPS, UNITS, TOKENS = 32, 64, 256, 100
TRAIN, GENERATE = "train", "generate"
AT_ONCE, LATE = 50, 10_000
"""Tokens that one piece of work generates; and how far the last comparison goes."""


class KerasTrain:
    """A training step of one layer, whenever it is called."""

    def __init__(self, layer):
        import keras
        import numpy as np

        x = keras.Input((STEPS, UNITS))
        model = keras.Model(x, layer(x))
        model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False)
        arrays = np.random.default_rng(0).random((2, BATCH, STEPS, UNITS), "float32")
        self.step = functools.partial(model.train_on_batch, *arrays)

    def __call__(self):
        self.step()


class KerasGenerate:
    """The next tokens of a language model of one layer, whenever it is called."""

    def __init__(self, layer):
        import keras
        import tensorflow as tf

        from kapps.generation import step_models

        tokens = keras.Input((None,), dtype="int32", name="tokens")
        x = keras.layers.Embedding(TOKENS, UNITS, name="embedding")(tokens)
        x = keras.layers.Dense(TOKENS, name="head_logits")(layer(x))
        step = step_models.step_model(keras.Model(tokens, x, name="language_model"))
        self.call = tf.function(functools.partial(step, training=False), jit_compile=False)
        self.given = {
            name: tf.zeros([1, *each.shape[1:]], each.dtype) for name, each in step.input.items()
        }

    def __call__(self):
        for _ in range(AT_ONCE):
            found = self.call(self.given)
            chosen = found["logits"].numpy().argmax(-1).reshape(1, 1).astype("int32")
            states = {name: found[name] for name in self.given if name != "tokens"}
            self.given = {"tokens": chosen, **states}


class TorchTrain:
    """As `KerasTrain`."""

    def __init__(self, kind):
        import torch

        torch.set_num_threads(contest.CORES)
        self.layer = getattr(torch.nn, kind)(UNITS, UNITS, batch_first=True)
        self.optimizer = torch.optim.SGD(self.layer.parameters(), 0.01)
        self.x, self.y = torch.rand(2, BATCH, STEPS, UNITS)
        self.loss = torch.nn.functional.mse_loss

    def __call__(self):
        self.optimizer.zero_grad()
        self.loss(self.layer(self.x)[0], self.y).backward()
        self.optimizer.step()


class TorchGenerate:
    """As `KerasGenerate`."""

    def __init__(self, kind):
        import torch

        torch.set_num_threads(contest.CORES)
        self.embedding = torch.nn.Embedding(TOKENS, UNITS)
        self.layer = getattr(torch.nn, kind)(UNITS, UNITS, batch_first=True)
        self.logits = torch.nn.Linear(UNITS, TOKENS)
        self.token, self.state = torch.zeros(1, 1, dtype=torch.long), None
        self.no_grad = torch.inference_mode

    def __call__(self):
        with self.no_grad():
            for _ in range(AT_ONCE):
                x, self.state = self.layer(self.embedding(self.token), self.state)
                self.token = self.logits(x).argmax(-1)


def prepare(work, contender, cell):
    """Returns a function that does a piece of work once."""
    keras_layer, form, torch_module = CELLS[cell]
    if contender == TORCH:
        return {TRAIN: TorchTrain, GENERATE: TorchGenerate}[work](torch_module)
    import keras

    if contender == KAPPS:
        from kapps.layers import recurrent_stack

        layer = recurrent_stack.recurrent_layer(UNITS, cell=cell)
    else:
        layer = getattr(keras.layers, keras_layer)(UNITS, return_sequences=True, **form)
    return {TRAIN: KerasTrain, GENERATE: KerasGenerate}[work](layer)


def start(contender, cell, options):
    command = [options.peer_python if contender == TORCH else sys.executable, __file__]
    return contest.Contender([*command, f"--contender={contender}", "--cells", cell])


def compare(cell, options):
    """Returns the median seconds of each contender's works: {work: {contender: seconds}}."""
    names = [KAPPS, KERAS] + [TORCH] * bool(options.peer_python)
    entered = {name: start(name, cell, options) for name in names}
    return contest.works(entered, (TRAIN, GENERATE), options.rounds, cell)


def late():
    """Returns the median milliseconds of the first and of the last `AT_ONCE` tokens of `LATE`."""
    work = prepare(GENERATE, KAPPS, "lstm")
    work()
    taken = []
    for _ in range(LATE // AT_ONCE):
        start = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - start) / AT_ONCE)
    few = max(1, len(taken) // 20)
    return statistics.median(taken[:few]), statistics.median(taken[-few:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peer_python", help="a Python with PyTorch; without it that is left out")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        contest.serve(prepare, options.contender, *options.cells, named=True)
        return
    print(f"{BATCH} sequences of {STEPS} steps, {UNITS} units; thousands of tokens a second\n")
    print(
        "| cell | trains | Keras | ratio | PyTorch | ratio | generates | Keras | ratio | PyTorch | ratio |"
    )
    print("|" + " --- |" * 11)
    for cell in options.cells:
        columns = []
        for work, found in compare(cell, options).items():
            tokens = BATCH * STEPS if work == TRAIN else AT_ONCE
            columns.append(f"{tokens / found[KAPPS] / 1000:.2f}")
            for name in (KERAS, TORCH):
                if name in found:
                    columns += [
                        f"{tokens / found[name] / 1000:.2f}",
                        f"{found[name] / found[KAPPS]:.2f}",
                    ]
                else:
                    columns += ["", ""]
        print(f"| {' | '.join([cell, *columns])} |", flush=True)
    first, last = late()
    print(
        f"\nA token of lstm takes {first:.3f} ms at first, {last:.3f} ms {LATE:,} tokens later: {last / first:.2f}"
    )


if __name__ == "__main__":
    main()
