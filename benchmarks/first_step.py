r"""Time to the first training step of each recipe, and to build each network.

    python benchmarks/first_step.py                             # recipes that have data of their own
    python benchmarks/first_step.py --recipes imagenet gan
    python benchmarks/first_step.py --recipes cifar10 --flags="--data=cifar.zip"
    python benchmarks/first_step.py --builders                  # the largest builder of each family
    python benchmarks/first_step.py --builders resnet50 nasnet_large

Each recipe runs in a process of its own, which ends after the second step of its first training. The stages are: Python
and the imports of Keras with its backend; those of the recipe, its data, its model and the compilation; the first step,
which traces the training function and initialises the optimizer; the second step. A builder's time is that with random
values, and with the weights of a file that the same builder wrote. Values are medians of the rounds.
"""

import argparse
import gc
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

RECIPES = pathlib.Path(__file__).resolve().parents[1] / "recipes"
DEFAULT = (
    "imagenet", "captions", "segmentation", "gan", "anytime", "language_model", "autoregression", "counting",
    "attention_tasks", "memory_tasks", "pointer_tasks", "sequence_tasks", "multi_task", "nowcasting", "gradients",
)  # fmt: skip
"""Recipes that train without flags."""
STAGES = ("imports", "to the training", "first step", "second step")
LIMIT = 300
"""Longest time in seconds of one recipe."""
PROBE = """
import json, os, runpy, sys, time
start, path, out, *arguments = sys.argv[1:]
sys.path.insert(0, os.path.dirname(path))
import common.environment
import keras
from keras.callbacks import CallbackList
times = [float(start), time.time()]

def began(self, logs=None):
    if len(times) == 2:
        times.append(time.time())

def ended(self, batch, logs=None):
    times.append(time.time())
    if len(times) == 5:
        with open(out, "w", encoding="utf-8") as file:
            json.dump([b - a for a, b in zip(times, times[1:])], file)
        os._exit(0)

def train_on_batch(self, *args, **kwargs):
    began(self)
    result = of_keras(self, *args, **kwargs)
    ended(self, None)
    return result

of_keras = keras.Model.train_on_batch
keras.Model.train_on_batch = train_on_batch
CallbackList.on_train_begin, CallbackList.on_train_batch_end = began, ended
sys.argv = [path, *arguments]
runpy.run_path(path, run_name="__main__")
"""
"""Runs a recipe and writes the seconds of its stages; arguments: time of the start, recipe, output file, flags."""


def time_recipe(name, flags):
    """Returns the seconds of the stages of a recipe, or None and the last line of its output."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "stages.json")
        arguments = [str(time.time()), str(RECIPES / f"{name}.py"), str(out)]
        command = [sys.executable, "-c", PROBE, *arguments, "--model_dir=run", *flags]
        try:
            process = subprocess.run(
                command, cwd=folder, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True, text=True,
                encoding="utf-8", timeout=LIMIT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None, f"it has no second training step within {LIMIT} s"
        if out.exists():
            return json.loads(out.read_text(encoding="utf-8")), None
    lines = (process.stderr + process.stdout).strip().splitlines()
    return None, lines[-1] if lines else "it ends without a training step"


def recipes(names, flags, rounds):
    """Prints the table of the recipes."""
    print(f"| recipe | {' | '.join(f'{stage}, s' for stage in STAGES)} | first step in all, s |")
    print(f"|---{'|---:' * (len(STAGES) + 1)}|")
    for name in names:
        results = [time_recipe(name, flags) for _ in range(rounds)]
        failures = [line for _, line in results if line]
        if failures:
            print(f"{name}: {failures[0]}", file=sys.stderr, flush=True)
            continue
        stages = [
            statistics.median(column) for column in zip(*(row for row, _ in results), strict=True)
        ]
        cells = [f"{seconds:.1f}" for seconds in (*stages, sum(stages[:3]))]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def largest_builders():
    """Returns the builder with most parameters of each family, of those up to 150 million."""
    from kapps import cards

    largest = {}
    for name in cards.list_models():
        card = cards.card(name)
        if card.params < 150e6 and card.params > largest.get(card.family, (0, ""))[0]:
            largest[card.family] = (card.params, name)
    return [name for _, name in largest.values()]


def builders(names, rounds):
    """Prints the table of the builders."""
    import importlib

    import keras

    from kapps import cards

    print("| builder | layers | parameters | random values, s | weights=, s | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in names or largest_builders():
        build = getattr(importlib.import_module(cards.card(name).module), name)
        seconds = {None: [], "file": []}
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "network.weights.h5")
            model = build()  # the first call imports and registers
            model.save_weights(path)
            for _ in range(rounds):
                for weights, times in seconds.items():
                    del model
                    keras.utils.clear_session()
                    gc.collect()
                    start = time.perf_counter()
                    model = build(weights=weights and path)
                    times.append(time.perf_counter() - start)
                    layers = len(model.layers)
        random, loaded = (statistics.median(times) for times in seconds.values())
        figures = f"{layers} | {cards.card(name).params:,} | {random:.2f} | {loaded:.2f}"
        print(f"| {name} | {figures} | {loaded / random:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--recipes", nargs="+", default=DEFAULT, help="names of recipes")
    parser.add_argument("--flags", default="", help="flags of all recipes, in one text")
    parser.add_argument("--builders", nargs="*", help="names of builders, in place of recipes")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.builders is None:
        recipes(options.recipes, options.flags.split(), options.rounds)
    else:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        builders(options.builders, options.rounds)


if __name__ == "__main__":
    main()
