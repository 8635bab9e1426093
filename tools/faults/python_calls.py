"""Calls the public functions of kapps with values that mean nothing: each must raise one line that names the argument.

    python tools/faults/python_calls.py --cases 400
    python tools/faults/python_calls.py --only generate

Each case takes a call that works and replaces one argument by a value of a wrong kind or outside its range. A fault
is a call that returns, an error of several lines, an error of a kind that a user's mistake does not raise (such as AttributeError),
a message that does not name the argument, more than 10 seconds, or memory that grows by more than 1 GiB. The calls run
in a worker process; a case that ends it or takes too long is a fault, and the worker is started again.
"""

import contextlib
import io
import json
import os
import pathlib
import queue
import random
import subprocess
import sys
import threading
import time

from measure import parse_arguments, report

SECONDS = 10.0
GROWTH = 2**30
KNOWN = ("ValueError", "TypeError", "FileNotFoundError", "DataError", "OSError", "ImportError")
"""Errors that a user's mistake may raise."""

NAN, BIG = float("nan"), 10**15
BAD = {
    "count": [0, -1, -(2**40), 1.5, NAN, "3", "", None, [], (2,), {}, True, BIG],
    "index": [-1, 1.5, NAN, "0", [], {}, -BIG],
    "fraction": [-0.1, 1.5, NAN, float("inf"), "0.1", [], (1,)],
    "number": [NAN, float("inf"), "1", [], {}],
    "bool": ["no", 2, 0.5, [], "True"],
    "text": ["nothing of this name", 3, 1.5, [], {}, b"x"],
    "directory": [3, 1.5, [], {}, "a\0b", "gs://bucket/folder"],
    "path": [3, 1.5, [], {}, "/nowhere/of/this/name", "a\0b"],
    "depths": [
        (),
        (0,),
        (-1, 2),
        (1.5, 2),
        "22",
        3,
        (2, None),
        (2, BIG),
        ((2,), 2),
        NAN,
        (True, 2),
    ],
    "shape": [
        (),
        (0, 0, 3),
        (-8, 8, 3),
        (32, 32, 0),
        (32.5, 32, 3),
        "32x32",
        5,
        (32, 32),
        (32, 32, 3, 3),
        ("a", 8, 3),
    ],
    "model": [3, "resnet18", None, [], object],
    "array": [3, "abc", None, [[1], [1, 2]], {}, object],
    "tokens": [
        [],
        [-1],
        [99],
        [1.5],
        [NAN],
        [[[1]]],
        "ab",
        [[1], [1, 2]],
        None,
        [2**40],
        [0, 1],
        [True and "x"],
    ],
    "name": [
        "a/b",
        "..",
        "",
        "a\0b",
        "/abs",
        "C:\\x",
        " ",
        3,
        "x" * 300,
        "../../x",
        "nul",
        "a b",
        "-x",
        "\u00e9",
    ],
    "activation": ["sofmax", 3, [], {}],
    "preprocessing": ["imagnet", 3, [], b"x"],
    "shard": [(1, 1), (-1, 2), (0, 0), (2, 1), (0.5, 2), 3, "01", (0,), (0, 1, 2)],
    "classes": [["a"], ["a\nb", "c"], 3, [["a"], "b"]],
}
"""Values that mean nothing, by the kind of an argument."""


def functions():
    """Returns {name: (function, arguments that it accepts, "argument:kind ...")}."""
    import keras
    import numpy as np

    import kapps
    from kapps import data, export, generation, search, training
    from kapps.data import sequence, text, translation

    image = kapps.families.resnet_cifar(n=1, input_shape=(8, 8, 3), classes=2)
    language = kapps.families.rnn_lm(vocabulary=8, units=(4,))
    corpus, pixels = np.arange(400, dtype="int32") % 7, np.zeros((4, 8, 8, 3), "uint8")
    source = data.open_source("digits", None, "train")
    digits = np.zeros((5, 28, 28), "uint8")
    preprocessing = kapps.Preprocessing(size=(8, 8))
    scores = np.full((2, 4), 0.25, "float32")
    builders = {
        "resnet": (kapps.families.resnet, {"depths": (1, 1), "input_shape": (32, 32, 3), "classes": 2}, "depths groups:count group_width:count stride_in:text se:index block:text"),
        "vgg": (kapps.families.vgg, {"depths": (1,) * 5, "input_shape": (32, 32, 3), "classes": 2}, "depths third:count norm:text"),
        "densenet": (kapps.families.densenet, {"depths": (1, 1), "input_shape": (32, 32, 3), "classes": 2}, "depths growth_rate:count"),
        "mobilenet_v2": (kapps.families.mobilenet_v2, {"width_multiplier": 0.1, "input_shape": (32, 32, 3), "classes": 2}, "width_multiplier:number"),
        "regnet": (kapps.families.regnet, {"w_0": 24, "w_a": 36.0, "w_m": 2.5, "d": 2, "group_width": 8, "input_shape": (32, 32, 3), "classes": 2}, "w_0:count w_a:number w_m:number d:count group_width:count bottleneck:count se_ratio:number"),
        "anynet": (kapps.families.anynet, {"depths": (1, 2), "widths": (8, 16), "bottlenecks": (1, 1), "group_widths": (4, 4), "input_shape": (32, 32, 3), "classes": 2}, "depths widths:depths bottlenecks:depths group_widths:depths stem:count se_ratio:number space:text"),
        "nasbench201": (kapps.families.nasbench201, {"filters": 2, "depth": 1, "input_shape": (8, 8, 3), "classes": 2}, "cell:text filters:count depth:count"),
        "nasbench_macro": (kapps.families.nasbench_macro, {"filters": 2, "features": 4, "input_shape": (8, 8, 3), "classes": 2}, "blocks:text filters:count features:count"),
        "randwire": (kapps.families.randwire, {"filters": 8, "nodes": 6, "input_shape": (32, 32, 3), "classes": 2}, "filters:count regular:bool graph:depths seed:index nodes:count edges:depths drop_rate:fraction use_bias:bool last_relu:bool"),
        "squeezenet": (kapps.families.squeezenet, {"input_shape": (64, 64, 3), "classes": 2}, "stem:depths depths bypass:text"),
        "shufflenet_v2": (kapps.families.shufflenet_v2, {"filters": 16, "depths": (1, 1), "input_shape": (32, 32, 3), "classes": 2}, "filters:count depths last:count se:index stem:depths"),
        "msdnet_cifar": (kapps.families.msdnet_cifar, {"depths": (1, 1), "growth_rate": 2, "filters": 4, "input_shape": (8, 8, 3), "classes": 2}, "depths growth_rate:count filters:count factors:depths exits:bool stop_at:count"),
        "rnn_lm": (kapps.families.rnn_lm, {"vocabulary": 8, "units": (4,)}, "vocabulary:count units:depths dropout:fraction cell:text stateful:bool weight_norm:bool"),
        "transformer_encoder": (kapps.families.transformer_encoder, {"vocabulary": 8, "layers": 1, "d_model": 8, "heads": 2, "ffn": 8}, "vocabulary:count layers:count d_model:count heads:count ffn:count dropout:fraction norm_first:bool activation tied:bool"),
        "tcn": (kapps.families.tcn, {"input_shape": (8, 2), "hidden": 4, "levels": 1, "classes": 2}, "hidden:count levels:count kernel_size:count dropout:fraction every_step:bool"),
        "resnet20_cifar": (kapps.resnet20_cifar, {}, "include_top:bool weights:path input_shape:shape input_tensor:array pooling:text classes:count classifier_activation:activation name portable:bool"),
        "lenet5": (kapps.lenet5, {}, "include_top:bool weights:path input_shape:shape classes:count classifier_activation:activation name"),
        "googlenet": (kapps.googlenet, {"input_shape": (64, 64, 3), "classes": 2}, "auxiliary:bool classes:count"),
    }  # fmt: skip
    calls = {
        "generate": (kapps.generate, {"model": language, "prompt": [1], "length": 2}, "model prompt:tokens length:count temperature:number top_k:count beam:count end:index length_penalty:number seed:index"),
        "decode_predictions": (kapps.decode_predictions, {"scores": scores, "top": 2, "class_names": list("abcd")}, "scores:array top:count class_names:classes"),
        "exit_costs": (kapps.analysis.exit_costs, {"model": image}, "model lazy:bool"),
        "exit_fractions": (kapps.early_exit.exit_fractions, {"q": 0.5, "exits": 3}, "q:number exits:count"),
        "fit_thresholds": (kapps.early_exit.fit_thresholds, {"scores": [scores, scores], "fractions": (0.5, 0.5)}, "scores:array fractions:depths"),
        "fit_budget": (kapps.early_exit.fit_budget, {"scores": [scores, scores], "costs": (1.0, 2.0), "budget": 1.5}, "scores:array costs:depths budget:number"),
        "profile": (kapps.profile, {"model": image}, "model input_shape:shape batch:count dtype:text"),
        "preprocess": (kapps.preprocess, {"images": pixels, "model": preprocessing}, "images:array model:preprocessing size:depths channels:count"),
        "card": (kapps.card, {"model": "resnet18"}, "model:text weights:path"),
        "list_models": (kapps.list_models, {}, "kind:text"),
        "ctc_labels": (kapps.ctc_labels, {"logits": np.zeros((1, 4, 3), "float32")}, "logits:array beams:count"),
        "pyramid_outputs": (kapps.pyramid_outputs, {"model": image}, "model"),
        "to_keras_layers": (kapps.to_keras_layers, {"model": image}, "model"),
        "Preprocessing": (kapps.Preprocessing, {}, "size:depths crop:fraction interpolation:text scale:number mean:depths std:depths blue_first:bool"),
        "compound_scale": (search.compound_scale, {"phi": 1.0}, "phi:number alpha:number beta:number gamma:number pixels:count"),
        "design_space.sample": (search.design_space.sample, {"space": "A", "count": 1, "depth": (1, 2), "width": (8, 64)}, "space:text count:count seed:index stages:count depth:depths width:depths input_shape:shape classes:count"),
        "spaces.NASBench201": (search.spaces.NASBench201, {}, "filters:count depth:count side:count classes:count"),
        "spaces.AnyNet": (search.spaces.AnyNet, {"depth": (1, 2), "width": (8, 16)}, "space:text stages:count depth:depths width:depths input_shape:shape classes:count"),
        "spaces.NASBenchMacro": (search.spaces.NASBenchMacro, {}, "filters:count side:count classes:count"),
        "methods.make": (search.methods.make, {"name": "evolution", "space": search.spaces.NASBench201()}, "name:text seed:index population:count tournament:count"),
        "supernet": (search.supernet.supernet, {"filters": 2, "input_shape": (8, 8, 3)}, "filters:count depth:count classes:count"),
        "edf": (search.design_space.edf, {"errors": scores[0]}, "errors:array level:fraction repeats:count seed:index"),
        "bootstrap_best": (search.design_space.bootstrap_best, {"values": scores[0], "errors": scores[0]}, "values:array errors:array fraction:fraction level:fraction repeats:count seed:index"),
        "ks_distance": (search.design_space.ks_distance, {"errors": scores[0], "other": scores[0]}, "errors:array other:array"),
        "finetune": (training.finetune, {"model": image, "classes": 3}, "model classes:count unfreeze:text batch_norm:text input_shape:shape precision:text classifier_activation:activation name preprocessing"),
        "set_trainable": (training.set_trainable, {"model": image, "unfreeze": "all"}, "model unfreeze:text batch_norm:text"),
        "load_model": (training.load_model, {}, "path"),
        "get_schedule": (training.get_schedule, {}, "name:text"),
        "set_precision": (training.set_precision, {}, "name:text"),
        "set_seed": (training.set_seed, {"seed": 0}, "seed:index deterministic:bool"),
        "transformer_schedule": (training.transformer_schedule, {"d_model": 8}, "d_model:count warmup:count factor:number"),
        "make_strategy": (training.make_strategy, {}, "name:text"),
        "SmoothedSparseCrossentropy": (training.SmoothedSparseCrossentropy, {}, "label_smoothing:fraction"),
        "TimeBudget": (training.TimeBudget, {"seconds": 1.0}, "seconds:number epochs:count"),
        "Throughput": (training.Throughput, {"batch_size": 1.0}, "batch_size:number"),
        "label_error_rate": (kapps.label_error_rate, {"predicted": [[1]], "expected": [[1]]}, "predicted:array expected:array"),
        "compile_classifier": (training.compile_classifier, {"model": image, "optimizer": keras.optimizers.SGD()}, "model optimizer:array"),
        "open_source": (data.open_source, {"dataset": "digits"}, "dataset:text split:text"),
        "steps_per_epoch": (data.steps_per_epoch, {"source": source, "batch_size": 8}, "source:model batch_size:count"),
        "train_dataset": (data.train_dataset, {"source": source, "preprocessing": preprocessing, "batch_size": 8, "classes": 10}, "source:model preprocessing batch_size:count classes:count seed:index augmentation:text crop_area:depths channels:count mixup:number cutmix:number label_smoothing:fraction first_step:index shard"),
        "eval_dataset": (data.eval_dataset, {"source": source, "preprocessing": preprocessing, "batch_size": 8, "classes": 10}, "source:model preprocessing batch_size:count classes:count channels:count strict:bool shard"),
        "write_tfrecords": (data.write_tfrecords, {"images": pixels, "labels": [0, 1, 0, 1], "class_names": ["a", "b"], "directory": "written", "split": "train"}, "images:array labels:tokens class_names:classes directory shards:count"),
        "subsequence_dataset": (text.subsequence_dataset, {"corpus": corpus, "length": 8, "batch_size": 2}, "corpus:array length:count batch_size:count seed:index first_step:index shard"),
        "stream_dataset": (text.stream_dataset, {"corpus": corpus, "length": 8, "batch_size": 2}, "corpus:array length:count batch_size:count seed:index first_step:index shard"),
        "cut_subsequences": (text.cut_subsequences, {"corpus": corpus, "length": 8}, "corpus:array length:count skip:index"),
        "count_ngrams": (text.count_ngrams, {"tokens": corpus, "n": 2, "size": 8}, "tokens:array n:count size:count"),
        "fit_ngram_model": (text.fit_ngram_model, {"tokens": corpus, "size": 8}, "tokens:array size:count held_out:fraction"),
        "fit_zipf": (text.fit_zipf, {"counts": np.arange(40, 0, -1)}, "counts:array first:count"),
        "words": (text.words, {"text": "a b a"}, "size:count min_count:count only_letters:bool"),
        "read_text": (text.read_text, {}, "path"),
        "adding_problem": (sequence.adding_problem_dataset, {"steps": 8, "batch_size": 2}, "steps:count batch_size:count sequences:count seed:index"),
        "copy_memory": (sequence.copy_memory_dataset, {"blanks": 8, "batch_size": 2}, "blanks:count batch_size:count sequences:count seed:index"),
        "moving_digits": (sequence.moving_digits_dataset, {"images": digits, "batch_size": 2}, "images:array batch_size:count frames:count input_frames:count side:count digits:count seed:index"),
        "pixel_dataset": (sequence.pixel_dataset, {"images": digits, "labels": np.zeros(5, "int32"), "batch_size": 2}, "images:array labels:array batch_size:count seed:index shuffle:bool"),
        "read_series": (sequence.read_series, {}, "path"),
        "read_value_series": (sequence.read_value_series, {}, "path"),
        "read_sentences": (translation.read_sentences, {"source": "/nowhere", "target": "/nowhere"}, "source:path"),
        "learn_vocabularies": (translation.learn_vocabularies, {"sources": ["a b"] * 9, "targets": ["c d"] * 9, "size": 300}, "size:count joint:bool"),
        "saved_model": (export.saved_model, {"model": image, "directory": "exported", "verbose": 0}, "model directory preprocessing class_names:classes"),
        "tflite": (export.tflite, {"model": image, "path": "exported.tflite", "verbose": 0}, "model path precision:text batch_size:count length:count preprocessing class_names:classes"),
        "verify": (export.verify, {"model": image, "path": "/nowhere", "inputs": pixels, "verbose": 0}, "model path"),
        "fold": (export.fold, {"model": image}, "model"),
        "pack": (export.pack, {"model": image}, "model"),
        "step_model": (generation.step_model, {"model": language}, "model batch:count length:count"),
        "SparseMixtureOfExperts": (kapps.layers.SparseMixtureOfExperts, {"experts": 4, "k": 2}, "experts:count k:count hidden:count"),
        "GroupedConv2D": (kapps.layers.GroupedConv2D, {"filters": 4, "kernel_size": 3, "groups": 2}, "filters:count groups:count"),
        "BinaryConv2D": (kapps.layers.BinaryConv2D, {"filters": 4, "kernel_size": 3}, "filters:count groups:count gradient:text binary_input:bool input_scale:bool scale_gradient:bool"),
        "ChannelShuffle": (kapps.layers.ChannelShuffle, {"groups": 2}, "groups:count"),
        "Shift": (kapps.layers.Shift, {}, "kernel_size:count dilation:count"),
        "ActiveShift": (kapps.layers.ActiveShift, {}, "strides:count limit:count"),
        "SelfAttention": (kapps.layers.SelfAttention, {"heads": 2, "key_dim": 4}, "heads:count key_dim:count"),
        "PeepholeLSTMCell": (kapps.PeepholeLSTMCell, {"units": 4}, "units:count"),
        "GRUCell": (kapps.GRUCell, {"units": 4}, "units:count update:text"),
        "LearnedState": (kapps.LearnedState, {"sizes": [4]}, "sizes:depths"),
        "SinusoidalPositionalEncoding": (kapps.layers.SinusoidalPositionalEncoding, {}, "positions:count"),
    }  # fmt: skip
    return {**builders, **calls}


def cases(count: int, seed: int, only: str) -> list[tuple[str, str, str, int]]:
    """Returns [(function, argument, kind, index of the value)], chosen by the seed over all functions and kinds."""
    with contextlib.redirect_stdout(sys.stderr):
        every = [
            (name, *argument_kind(word), i)
            for name, (*_, words) in functions().items()
            for word in words.split()
            for i in range(len(BAD[argument_kind(word)[1]]))
        ]
    every = [case for case in every if only in ".".join(case[:2])]
    random.Random(seed).shuffle(every)
    return every[:count]


def argument_kind(word: str) -> tuple[str, str]:
    """Returns (argument, kind) of "top:count"; the kind of "name" is its name."""
    name, _, kind = word.partition(":")
    return name, kind or name


def is_meaningful(argument: str, value) -> bool:
    """Whether a value is allowed for this argument, although most arguments of its kind do not allow it."""
    if value is None:
        return argument in OPTIONAL
    return (argument, value) in ALLOWED


ALLOWED = [("dataset", ""), ("data_dir", ""), ("costs", (1.5, 2))]
"""Pairs of an argument and a value that it allows."""

OPTIONAL = {
    "weights", "input_tensor", "pooling", "classifier_activation", "top_k", "beam", "end", "input_shape", "norm",
    "bypass", "size", "channels", "class_names", "seed", "beams", "length", "batch", "name", "preprocessing", "limit",
    "data_dir", "dataset", "kind", "precision", "activation", "sequences", "last", "layers", "stop_at",
}  # fmt: skip
"""Arguments that may be None."""


def run_case(function, arguments: dict, argument: str) -> str | None:
    """Returns the fault of one call, or None."""
    output, value = io.StringIO(), arguments[argument]
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            function(**arguments)
    except Exception as error:
        text, kinds = str(error), {base.__name__ for base in type(error).__mro__}
        if not kinds & set(KNOWN):
            return f"{type(error).__name__}: {text.splitlines()[0][:150] if text else ''}"
        if "\n" in text.strip() or len(text) > 600:
            return f"{type(error).__name__} of {len(text.splitlines())} lines: {text.strip().splitlines()[0][:150]}"
        shown = str(value)
        words = argument.replace("_", " ").split()
        if (
            not any(word.rstrip("s") in text for word in words)
            and not (shown and shown in text)
            and repr(value)[:40] not in text
        ):
            return f"the message names neither {argument} nor the value: {text[:200]}"
        return None
    return None if is_meaningful(argument, value) else "accepted"


def work() -> None:
    """Reads cases from standard input, one JSON list a line, and writes each fault as a line."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    table = functions()
    print("ready", file=pipe, flush=True)
    for line in sys.stdin:
        name, argument, kind, index = json.loads(line)
        before = memory()
        function, arguments, _ = table[name]
        fault = run_case(function, {**arguments, argument: BAD[kind][index]}, argument)
        if fault is None and memory() - before > GROWTH:
            fault = f"memory grew by {(memory() - before) / 2**20:,.0f} MiB"
        print(json.dumps(fault), file=pipe, flush=True)


def memory() -> int:
    """Returns the peak resident memory of this process in bytes."""
    for line in pathlib.Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


class Worker:
    """A process that runs cases, with the imports done.

    Args:
        folder: its working directory.
    """

    def __init__(self, folder: str):
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, cwd=folder, encoding="utf-8"
        )  # fmt: skip
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        self.lines.get(timeout=300)

    def read(self):
        """Puts the worker's lines into a queue."""
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def run(self, case) -> str | None:
        """Returns the fault of a case, or None; ends the worker if the case takes too long."""
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        start = time.monotonic()
        try:
            line = self.lines.get(timeout=8 * SECONDS)
        except queue.Empty:
            self.process.kill()
            return f"over {8 * SECONDS:g} s"
        if line is None:
            return f"the process ended with {self.process.wait()}"
        seconds = time.monotonic() - start
        return json.loads(line) or (f"{seconds:.1f} s" if seconds > SECONDS else None)


def results(options):
    """Yields (name of a case, its fault or None)."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        worker = None
        for case in cases(options.cases, options.seed, options.only):
            if worker is None or worker.process.poll() is not None:
                worker = Worker(folder)
            name, argument, kind, index = case
            yield f"{name}({argument}={BAD[kind][index]!r:.60})", worker.run(case)
        if worker is not None:
            worker.process.stdin.close()
            worker.process.wait(timeout=60)


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        work()
    else:
        sys.exit(report(results(parse_arguments(__doc__, 60))))
