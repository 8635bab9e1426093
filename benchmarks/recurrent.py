"""Recurrent cells in training and generation, compared with Keras's layers and PyTorch's.

    python benchmarks/recurrent.py --peer_python=/path/to/python/with/torch

One layer, float32, all cores or --threads of them, without XLA: a training step with SGD on sequences of vectors, and
greedy generation by a language model, which keeps its recurrent state. Each cell of kapps is compared with the Keras
layer of the same width; the GRUs of the papers are compared with Keras's GRU with reset_after=False. LSTM, GRU and RNN
of kapps are Keras's layers with another training loop (`kapps.layers.FastLSTM`). Each number is the median of rounds in
which all libraries take turns, each in a process of its own. The last line compares the latency of a token at the start
of generation with the latency after 10,000 tokens.
"""

import argparse
import functools
import os
import statistics
import sys
import time

import _timing

KAPPS, KERAS, TORCH = "kapps", "Keras", "PyTorch"
PAPER_GRU = {"reset_after": False}
#                Keras's layer, options, PyTorch's module
CELLS = {
    "lstm": ("LSTM", {}, "LSTM"),
    "peephole": ("LSTM", {}, "LSTM"),
    "coupled": ("LSTM", {}, "LSTM"),
    "multiplicative": ("LSTM", {}, "LSTM"),
    "gru": ("GRU", {}, "GRU"),
    "gru_new": ("GRU", PAPER_GRU, "GRU"),
    "gru_old": ("GRU", PAPER_GRU, "GRU"),
    "rnn": ("SimpleRNN", {}, "RNN"),
}
BATCH, STEPS, UNITS, TOKENS = 32, 64, 256, 100
TRAIN, GENERATE = "train", "generate"
TOKENS_PER_RUN, LAST_TOKEN = 50, 10_000
"""Tokens that one run generates; tokens of the last comparison."""


class KerasTrain:
    """A training step of one layer."""

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
    """The next tokens of a language model with one layer."""

    def __init__(self, layer):
        import keras
        import tensorflow as tf

        from kapps.generation import step_models

        tokens = keras.Input((None,), dtype="int32", name="tokens")
        x = keras.layers.Embedding(TOKENS, UNITS, name="embedding")(tokens)
        x = keras.layers.Dense(TOKENS, name="head_logits")(layer(x))
        step = step_models.step_model(keras.Model(tokens, x, name="language_model"))
        self.call = tf.function(functools.partial(step, training=False), jit_compile=False)
        self.inputs = {name: tf.zeros([1, *x.shape[1:]], x.dtype) for name, x in step.input.items()}

    def __call__(self):
        for _ in range(TOKENS_PER_RUN):
            outputs = self.call(self.inputs)
            token = outputs["logits"].numpy().argmax(-1).reshape(1, 1).astype("int32")
            states = {name: outputs[name] for name in self.inputs if name != "tokens"}
            self.inputs = {"tokens": token, **states}


class TorchTrain:
    """A training step of one layer."""

    def __init__(self, module):
        import torch

        torch.set_num_threads(_timing.CORES)
        self.layer = getattr(torch.nn, module)(UNITS, UNITS, batch_first=True)
        self.optimizer = torch.optim.SGD(self.layer.parameters(), 0.01)
        self.x, self.y = torch.rand(2, BATCH, STEPS, UNITS)
        self.loss = torch.nn.functional.mse_loss

    def __call__(self):
        self.optimizer.zero_grad()
        self.loss(self.layer(self.x)[0], self.y).backward()
        self.optimizer.step()


class TorchGenerate:
    """The next tokens of a language model with one layer."""

    def __init__(self, module):
        import torch

        torch.set_num_threads(_timing.CORES)
        self.embedding = torch.nn.Embedding(TOKENS, UNITS)
        self.layer = getattr(torch.nn, module)(UNITS, UNITS, batch_first=True)
        self.logits = torch.nn.Linear(UNITS, TOKENS)
        self.token, self.state = torch.zeros(1, 1, dtype=torch.long), None
        self.inference_mode = torch.inference_mode

    def __call__(self):
        with self.inference_mode():
            for _ in range(TOKENS_PER_RUN):
                x, self.state = self.layer(self.embedding(self.token), self.state)
                self.token = self.logits(x).argmax(-1)


def prepare(work, library, cell):
    """Returns a function that trains for a step or generates tokens."""
    keras_layer, layer_options, torch_module = CELLS[cell]
    if library == TORCH:
        return {TRAIN: TorchTrain, GENERATE: TorchGenerate}[work](torch_module)
    import keras

    if library == KAPPS:
        from kapps import layers
        from kapps.layers import recurrent_stack

        fast = {"lstm": layers.FastLSTM, "gru": layers.FastGRU, "rnn": layers.FastSimpleRNN}
        if cell in fast:
            layer = fast[cell](UNITS, return_sequences=True)
        else:
            layer = recurrent_stack.recurrent_layer(UNITS, cell=cell)
    else:
        layer = getattr(keras.layers, keras_layer)(UNITS, return_sequences=True, **layer_options)
    return {TRAIN: KerasTrain, GENERATE: KerasGenerate}[work](layer)


def start(library, cell, options):
    command = [options.peer_python if library == TORCH else sys.executable, __file__]
    arguments = [f"--library={library}", f"--threads={options.threads}", "--cells", cell]
    return _timing.TimedProcess([*command, *arguments])


def compare(cell, options):
    """Returns the median seconds of each work: {work: {library: seconds}}."""
    names = [KAPPS, KERAS] + [TORCH] * bool(options.peer_python)
    processes = {name: start(name, cell, options) for name in names}
    return _timing.median_seconds(processes, (TRAIN, GENERATE), options.rounds, cell)


def token_latency():
    """Returns the median milliseconds of a token in the first and the last twentieth of `LAST_TOKEN` tokens."""
    generate = prepare(GENERATE, KAPPS, "lstm")
    generate()
    times = []
    for _ in range(LAST_TOKEN // TOKENS_PER_RUN):
        start = time.perf_counter()
        generate()
        times.append(1000 * (time.perf_counter() - start) / TOKENS_PER_RUN)
    count = max(1, len(times) // 20)
    return statistics.median(times[:count]), statistics.median(times[-count:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--peer_python", help="interpreter with torch; PyTorch is left out without it"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=_timing.CORES,
        help="threads of each library (default: %(default)s)",
    )
    parser.add_argument("--library", help=argparse.SUPPRESS)
    options = parser.parse_args()
    _timing.CORES = options.threads  # PyTorch's threads
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[variable] = str(options.threads)
    if options.library:
        _timing.serve(prepare, options.library, *options.cells, with_work=True)
        return
    print(f"{BATCH} sequences of {STEPS} steps, {UNITS} units; thousands of tokens/s\n")
    print(
        "| cell | training | Keras | ratio | PyTorch | ratio | generation | Keras | ratio | PyTorch | ratio |"
    )
    print("|" + " --- |" * 11)
    for cell in options.cells:
        columns = []
        for work, seconds in compare(cell, options).items():
            tokens = BATCH * STEPS if work == TRAIN else TOKENS_PER_RUN
            columns.append(f"{tokens / seconds[KAPPS] / 1000:.2f}")
            for name in (KERAS, TORCH):
                if name in seconds:
                    columns += [
                        f"{tokens / seconds[name] / 1000:.2f}",
                        f"{seconds[name] / seconds[KAPPS]:.2f}",
                    ]
                else:
                    columns += ["", ""]
        print(f"| {' | '.join([cell, *columns])} |", flush=True)
    first, last = token_latency()
    print(
        f"\nlatency of a token of lstm: {first:.3f} ms at the start, {last:.3f} ms after {LAST_TOKEN:,} tokens, ratio "
        f"{last / first:.2f}"
    )


if __name__ == "__main__":
    main()
