r"""Kills runs of every recipe at random places, resumes them, and compares the results bit for bit.

    python tools/faults/kills.py                      # a few cases
    python tools/faults/kills.py --cases 200
    python tools/faults/kills.py --cases 20 --only language_model

A case is one kill: SIGKILL, SIGTERM or Ctrl-C, by the process itself in a random training step or in a random write
(inside the file, before and after its rename, before and after an old file is deleted), or by this program after a
random time. A run is killed several times and then ends. Its weights, its history without the columns of time, and
its plots must be those of a run that was never killed. Also checked: the exit code, that no traceback is printed, the
one line of SIGTERM and Ctrl-C, and that no temporary directory is left.

Every run is a fork of this process, which has imported TensorFlow, so that a case takes a few seconds. Exports are left
out, except for one run in ten.
"""

import contextlib
import csv
import dataclasses
import hashlib
import importlib
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import types
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import common.environment  # noqa: E402, F401

import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
from common import caption_results, translation_exports  # noqa: E402
from measure import parse_arguments, report  # noqa: E402

import kapps  # noqa: E402
from kapps import export  # noqa: E402

for imported in (  # once for all forks; none of them starts TensorFlow's threads
    "matplotlib.backends.backend_agg", "matplotlib.figure", "sacrebleu.metrics", "kapps.visualize", "kapps.analysis",
    "kapps.training.program", "kapps.training.runs", "kapps.training.finetuning", "kapps.data.image.pipeline",
    "kapps.data.image.open_source", "kapps.data.sequence", "kapps.generation.text_generation",
    "kapps.cnn.lenet", "kapps.generative", "kapps.recurrent.rnn_lm", "kapps.attention.adaptive_span_transformer",
):  # fmt: skip
    importlib.import_module(imported)

KILLS = 4
"""Largest number of kills of one run."""
SECONDS = 480
"""Limit of one process."""
STOP_SECONDS = 60
"""Limit from a signal to the end, as the machine may be busy."""
TIMES = ("seconds", "examples_per_second", "tokens_per_second", "input_wait")
SMALL = "--deterministic --checkpoint_every=2"
FOLDERS = "--data_dir=folders --image_size=28 --batch_size=8"
TOKENS = "--vocabulary=260 --tokens=600"
SPANS = (
    "--model=adaptive_span_transformer --option=layers=1 --option=d_model=8 --option=ffn=8 --option=heads=2 "
    "--option=span=8 --option=span_loss=0.001 --option=initial_span=0.5 --option=dropout=0.1"
)
"""A Transformer whose layers add a loss, and drop values at random."""
GAN = "--networks=plain --filters=2 --noise=3 --batch_size=4 --classifier_steps=2"
RECIPES = {  # name: (recipe, flags, training steps)
    "imagenet": ("imagenet", f"--model=lenet5 {FOLDERS} --schedule=cosine --epochs=3 {SMALL}", 9),
    "imagenet, mixed precision, accumulation": (
        "imagenet",
        f"--model=lenet5 {FOLDERS} --schedule=cosine --epochs=2 --accumulation=2 --precision=mixed_float16 {SMALL}",
        8,
    ),
    "imagenet, large_batch": (
        "imagenet",
        f"--model=lenet5 {FOLDERS} --epochs=3 --schedule=large_batch {SMALL}",
        9,
    ),
    "imagenet, modern": ("imagenet", f"--model=lenet5 {FOLDERS} --epochs=2 {SMALL}", 6),
    "finetune": (
        "finetune",
        f"--model=lenet5 --weights=lenet5.weights.h5 {FOLDERS} --epochs=3 {SMALL}",
        12,
    ),
    "language_model": (
        "language_model",
        f"--text=text.txt --units=5 --units=4 --batch_size=4 --length=10 --epochs=2 --new=3 {SMALL}",
        36,
    ),
    "language_model, several passes an epoch": (
        "language_model",
        f"--text=text.txt --units=5 --dropout=0.2 --batch_size=4 --length=20 --epochs=6 --every=3 --new=3 {SMALL}",
        54,
    ),
    "language_model, not carried": (
        "language_model",
        f"--text=text.txt --units=5 --nocarry --batch_size=4 --length=20 --epochs=2 --new=3 {SMALL}",
        18,
    ),
    "language_model, attention": (
        "language_model",
        f"{SPANS} --text=text.txt --batch_size=4 --length=10 --epochs=2 --new=3 {SMALL}",
        36,
    ),
    "translation": (
        "translation",
        f"--data=pairs --test=val --model=bahdanau_small {TOKENS} --epochs=3 --average=2 --beam=1 {SMALL}",
        15,
    ),
    "mappings": (
        "mappings",
        "--mapping=many_to_one --data=Up_TRAIN.ts --units=4 --batch_size=8 --epochs=3 --checkpoint_every=2",
        9,
    ),
    "nowcasting": (
        "nowcasting",
        "--data=folders --filters=2 --kernel_size=3 --steps=8 --batch_size=1 --test=2 --rows=1 --checkpoint_every=2",
        8,
    ),
    "counting": (
        "counting",
        "--languages=ab --networks=lstm,gru --longest=4 --limit=6 --steps=6 --units=3",
        12,
    ),
    "sequence_tasks": (
        "sequence_tasks",
        "--tasks=pixels,adding --data=folders --batch_size=8 --networks=rnn,gru --side=3 --steps=4 --length=4 --test=8",
        16,
    ),
    "attention_tasks": (
        "attention_tasks",
        "--tasks=parity --ponder=0.1 --steps=4 --batch_size=4 --test=8 --elements=3 --units=4 --most_steps=2",
        12,
    ),
    "few_shot": (
        "few_shot",
        "--shots=1 --ways=2 --steps=4 --batch_size=2 --test=4 --embedding_filters=2 --filters=2",
        12,
    ),
    "search": (
        "search",
        "--methods=evolution --budget=2 --epochs=1 --images=32 --test=32 --filters=2 --batch_size=16 --final_epochs=1",
        4,
    ),
    "memory_tasks": (
        "memory_tasks",
        "--tasks=copy,stories --steps=4 --batch_size=2 --test=10 --length=3 --units=4 --rows=4 --width=3",
        20,
    ),
    "multi_task": (
        "multi_task",
        "--networks=digits --images=8 --steps=6 --batch_size=2 --d_model=4 --experts=4 --hidden=2",
        6,
    ),
    "self_attentive": (
        "self_attentive",
        "--data=labelled.txt --steps=4 --batch_size=2 --embedding=2 --units=2 --attention_units=2 --hops=2 --hidden=3",
        12,
    ),
    "pointer_tasks": (
        "pointer_tasks",
        "--tasks=hulls --points=4 --units=4 --steps=4 --batch_size=4 --examples=16 --test=8",
        12,
    ),
    "gradients": (
        "gradients",
        "--networks=rnn,lstm_clipped --units=3 --length=4 --steps=6 --batch_size=4",
        12,
    ),
    "cifar10": (
        "cifar10",
        "--data=folders --image_size=28 --model=lenet5 --epochs=2 --batch_size=8 --checkpoint_every=2",
        8,
    ),
    "segmentation": (
        "segmentation",
        f"--data_dir=masks --classes=2 --width=4 --batch_size=4 --epochs=2 {SMALL}",
        6,
    ),
    "captions": (
        "captions",
        f"--scenes=24 --test_images=4 --batch_size=4 --epochs=2 --width=4 --units=4 --attention=hard --beam=1 {SMALL}",
        12,
    ),
    "gan": (
        "gan",
        f"--data=folders --image_size=16 {GAN} --epochs=2 --steps=3 --test=4 {SMALL}",
        8,
    ),
    "autoregression": (
        "autoregression",
        "--series=series.csv --units=2 --epochs=2 --steps=1 --steps=4",
        36,
    ),
}


@dataclasses.dataclass(frozen=True)
class Kill:
    """One kill.

    Args:
        signal: number of the signal.
        place: "step", "write" or "time".
        number: the step or the write of the process, or the seconds.
    """

    signal: int
    place: str
    number: float

    def __str__(self):
        return f"{signal.Signals(self.signal).name} at {self.place} {self.number:g}"


def make_data(folder):
    """Writes the data that the recipes read: a text, pairs of sentences, class folders."""
    words = random.Random(0)
    line = " ".join(
        words.choice(["the", "time", "traveller", "for", "so", "it"]) for _ in range(150)
    )
    (folder / "text.txt").write_text(line, encoding="utf-8")
    labelled = "".join(f"{i % 2} {'good' if i % 2 else 'bad'} film number {i}\n" for i in range(30))
    (folder / "labelled.txt").write_text(labelled, encoding="utf-8")
    for split, count in (("train", 60), ("val", 12)):
        (folder / "pairs").mkdir(exist_ok=True)
        numbers = [words.randrange(100) for _ in range(count)]
        for language, form in (("de", "{} drei {}"), ("en", "{} three {}")):
            lines = "".join(form.format(n, n % 7) + "\n" for n in numbers)
            (folder / "pairs" / f"{split}.{language}").write_text(lines, encoding="utf-8")
    rows = "".join(f"{t},{t % 7}.5\n" for t in range(120))
    (folder / "series.csv").write_text(f"time,value\n{rows}", encoding="utf-8")
    for split in ("TRAIN", "TEST"):
        lines = (f"{i}.0,{i + 1}.0,{i * i}.5:{'up' if i % 2 else 'down'}\n" for i in range(24))
        text = f"@classLabel true up down\n@data\n{''.join(lines)}"
        (folder / f"Up_{split}.ts").write_text(text, encoding="utf-8")
    for split, count in (("train", 12), ("val", 3)):
        for name in ("cat", "dog"):
            path = folder / "folders" / split / name
            path.mkdir(parents=True)
            for i in range(count):
                pixels = np.random.default_rng(i).integers(0, 255, (30, 30, 3))
                keras.utils.save_img(path / f"{name}{i}.png", pixels, scale=False)
    for split, count in (("train", 12), ("val", 3)):
        for i in range(count):
            pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3))
            for kind, values in (("images", pixels), ("masks", pixels[..., :1] // 128)):
                path = folder / "masks" / split / kind / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                keras.utils.save_img(path, values, scale=False)


def run_recipe(case, folder, name, kill, with_export):
    """Runs a recipe in a fork of this process. Returns (exit code, output, seconds from the signal to the end)."""
    log = folder / "output.txt"
    process = os.fork()
    if not process:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        run_child(case, folder, name, kill, with_export)
    start, sent = time.monotonic(), None
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        now = time.monotonic()
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code, log.read_text(errors="replace", encoding="utf-8"), sent and now - sent
        if kill and kill.place == "time" and sent is None and now - start > kill.number:
            os.kill(process, kill.signal)
            sent = now
        if now - start > SECONDS or (sent and now - sent > STOP_SECONDS):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return None, log.read_text(errors="replace", encoding="utf-8"), None
        time.sleep(0.01)


def run_child(case, folder, name, kill, with_export):
    """Runs the recipe, and kills this process. Does not return."""
    recipe, flags, _ = RECIPES[case]
    os.chdir(folder)
    path = ROOT / "recipes" / f"{recipe}.py"
    sys.argv = [str(path), *flags.split(), f"--model_dir={name}"]
    if "checkpoint_every" in flags and recipe not in ("mappings", "nowcasting", "cifar10"):
        sys.argv += [f"--export_dir={name}_exported"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if kill:
        count_places(kill)
    code = 1
    try:
        run_main_module(path, with_export)
        code = 0
    except SystemExit as error:
        code = error.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def run_main_module(path, with_export):
    """Runs a recipe as the main module, without its exports unless `with_export`."""
    definitions, ending = path.read_text(encoding="utf-8").split('\nif __name__ == "__main__":')
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    module.__file__ = str(path)
    exec(compile(definitions, path, "exec"), module.__dict__)
    if (
        not with_export
    ):  # exports take longer than these trainings, and the results do not depend on them
        export.export_and_verify = lambda *_, **__: ([], [])
        module.export_files = lambda *_: []
        caption_results.export_files = lambda *_, **__: []
        translation_exports.export_tflite = lambda *_, **__: ("", "", "", "")
        translation_exports.export_saved_model = lambda *_, **__: ("", "", "", "")
    exec(compile(f"if True:{ending}", path, "exec"), module.__dict__)


def count_places(kill):
    """Makes this process send itself the signal at the place of a kill."""
    counts = {"step": 0, "write": 0}

    def count(place):
        counts[place] += 1
        if place == kill.place and counts[place] == kill.number:
            os.kill(os.getpid(), kill.signal)

    def counted(function, place, *, both=False):
        def call(*args, **kwargs):
            count(place)
            result = function(*args, **kwargs)
            if both:
                count(place)
            return result

        return call

    callbacks = keras.src.callbacks.callback_list.CallbackList
    callbacks.on_train_batch_end = counted(callbacks.on_train_batch_end, "step", both=True)
    keras.Model.train_on_batch = counted(keras.Model.train_on_batch, "step")
    os.replace = counted(os.replace, "write", both=True)
    os.fsync = counted(os.fsync, "write")
    pathlib.Path.unlink = counted(pathlib.Path.unlink, "write", both=True)
    shutil.rmtree = counted(shutil.rmtree, "write")
    write = zipfile._ZipWriteFile.write

    def write_half(self, data):
        """Writes a part of a file in two steps."""
        data = memoryview(data).cast("B")
        result = write(self, data[: len(data) // 2])
        self._fileobj.flush()
        count("write")
        write(self, data[len(data) // 2 :])
        return result

    zipfile._ZipWriteFile.write = write_half


def read_results(folder):
    """Returns {name: digest} of all results of a run that do not depend on time."""
    results = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name.startswith(".writing-"):
            results[name] = "left behind"
        elif path.suffix == ".keras":
            results[name] = read_weights(path)
        elif path.name == "history.csv":
            with path.open(newline="", encoding="utf-8") as file:
                rows = [
                    {k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)
                ]
            results[name] = rows
        elif path.suffix == ".json":
            results[name] = without_times(json.loads(path.read_text(encoding="utf-8")))
        elif path.parent.name == "samples" or path.name in (
            "translations.tsv",
            "text.txt",
            "counters.png",
            "predictions.png",
            "forecast.png",
            "grid.png",
            "classes.csv",
        ):
            results[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.name == "checkpoints":
            results[name] = "left behind"
    return results


def without_times(value):
    """Returns a JSON value without times, paths and what identifies the process."""
    left_out = (
        *TIMES,
        "command",
        "finished",
        "machine",
        "commit",
        "versions",
        "model_dir",
        "export_dir",
        "exported",
    )
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in left_out}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def read_weights(path):
    """Returns the digest of each weight of a .keras file."""
    weights = {}
    with (
        zipfile.ZipFile(path) as archive,
        archive.open("model.weights.h5") as file,
        h5py.File(file) as h5,
    ):
        h5.visititems(
            lambda name, item: (
                weights.update({name: hashlib.sha256(item[()].tobytes()).hexdigest()})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return weights


def compare(expected, results):
    """Returns what differs, in a few words, or `None`."""
    for name in sorted({*expected, *results}):
        if expected.get(name) != results.get(name):
            return (
                f"{name} differs from that of the uninterrupted run: {str(results.get(name))[:200]}"
            )
    return None


def check_exit(kill, code, output, seconds):
    """Returns the fault of a killed process, or `None`."""
    if code is None:
        return f"over {STOP_SECONDS if seconds is None and kill and kill.place == 'time' else SECONDS} s"
    if "Traceback (most recent call last)" in output:
        return f"traceback: {output.strip().splitlines()[-1][:200]}"
    if code == 0:
        return None  # it had ended before
    if kill is None:
        return f"exit code {code}: {output.strip().splitlines()[-1][:200]}"
    expected = -signal.SIGKILL if kill.signal == signal.SIGKILL else 128 + kill.signal
    if code != expected:
        return f"exit code {code}, not {expected}: {output.strip().splitlines()[-1:]}"
    if kill.signal != signal.SIGKILL:
        word = "Ctrl-C" if kill.signal == signal.SIGINT else "SIGTERM"
        lines = [line for line in output.splitlines() if f": {word}" in line]
        if len(lines) != 1 or lines[0] != output.splitlines()[-1]:
            return f"the last lines are {output.splitlines()[-2:]}"
    return None


def draw_kill(draw, case, seconds):
    """Returns a random kill of a case whose uninterrupted run takes so many seconds."""
    number = draw.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    place = draw.choice(["step", "step", "write", "write", "time"])
    steps = RECIPES[case][2]
    value = {
        "step": draw.randint(1, steps),
        "write": draw.randint(1, 60),
        "time": round(draw.uniform(0.05, seconds), 2),
    }[place]
    return Kill(number, place, value)


def run_cases(options, folder):
    """Yields (name, fault) of every kill, and of the end of every run."""
    draw, expected = random.Random(options.seed), {}
    names = [name for name in RECIPES if options.only in name]
    done = runs = 0
    while names and done < options.cases:
        name = names[runs % len(names)] if runs < len(names) else draw.choice(names)
        runs += 1
        with_export = draw.random() < 0.1
        if name not in expected:
            start = time.monotonic()
            code, output, _ = run_recipe(name, folder, "whole", None, False)
            fault = check_exit(None, code, output, None)
            if fault:
                yield f"{name}, not killed", fault
                names.remove(name)
                continue
            expected[name] = read_results(folder / "whole"), time.monotonic() - start
            shutil.rmtree(folder / "whole")
        results, seconds = expected[name]
        count = draw.randint(1, min(KILLS, options.cases - done))
        kills = [draw_kill(draw, name, seconds) for _ in range(count)]
        code, faults = None, []
        for number, kill in enumerate(kills):
            code, output, wait = run_recipe(name, folder, "killed", kill, with_export)
            fault = check_exit(kill, code, output, wait)
            done += 1
            text = f"{name}, {', '.join(map(str, kills[: number + 1]))}"
            faults.append((text, fault))
            if code in (0, None):
                break
        if code != 0:
            code, output, _ = run_recipe(name, folder, "killed", None, with_export)
            fault = check_exit(None, code, output, None)
            if fault:
                faults[-1] = (faults[-1][0], faults[-1][1] or f"then {fault}")
        if code == 0:
            fault = compare(results, read_results(folder / "killed"))
            faults[-1] = (faults[-1][0], faults[-1][1] or fault)
        yield from faults
        print(f"{done} of {options.cases} kills", file=sys.stderr, flush=True)
        for path in (folder / "killed", folder / "killed_exported"):
            shutil.rmtree(path, ignore_errors=True)


def main():
    """Runs the cases, and returns the exit status."""
    options = parse_arguments(__doc__, cases=8)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        make_data(folder)
        make_weights(folder)
        code = report(run_cases(options, folder))
    print(f"{time.monotonic() - start:.0f} seconds")
    return code


def make_weights(folder):
    """Saves the weights to fine-tune, in a fork: a process that has used TensorFlow cannot be forked."""
    process = os.fork()
    if not process:
        with contextlib.suppress(BaseException):
            keras.utils.set_random_seed(0)
            kapps.lenet5().save_weights(folder / "lenet5.weights.h5")
        os._exit(0)
    os.waitpid(process, 0)


if __name__ == "__main__":
    sys.exit(main())
