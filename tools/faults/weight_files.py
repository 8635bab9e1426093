"""Loads generated weights files, honest, hostile and corrupt, into networks of kapps, and reports faults.

    python tools/faults/weight_files.py --cases 60
    python tools/faults/weight_files.py --cases 500 --seed 1

Case i is the kind i modulo the number of kinds, with choices seeded by --seed and i: see hostile_torch_files.py and
hostile_keras_files.py. A worker process loads each file with `weights=`. A fault is anything but a model with the
file's values or ValueError or OSError of one line with the file's name; more than 2 s of computing time in addition to
what an honest file takes, because machines differ; more than twice the file's size and 96 MiB of memory in
addition to what the network takes without weights; a hang of 60 s; a hostile file that is accepted; and values that
differ from what an independent reader finds in the file.
"""

import json
import pathlib
import random
import resource
import select
import subprocess
import sys
import tempfile
import time
import zipfile

import numpy as np

SECONDS, HANG = 2, 60
MEMORY = 96 * 2**20
TARGETS = {
    "tiny": ("resnet_cifar", "akamaster", {"n": 1, "input_shape": (8, 8, 3), "classes": 5}),
    "squeezenet1_1": ("squeezenet", "torchvision", {"input_shape": (32, 32, 3)}),
    "shufflenet_v2_050": ("shufflenet_v2", "torchvision", {"input_shape": (32, 32, 3)}),
    "xception": ("xception", None, {"input_shape": (71, 71, 3)}),
}
"""Networks: family, library whose names a state dict has, options."""


class Worker:
    """A process that loads files; it is started again after a file that kills or hangs it."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.process = folder, None

    def ask(self, **job) -> dict:
        """Returns what the worker found, or {"fault": ...} if it does not answer."""
        if self.process is None:
            command = [sys.executable, __file__, "--worker", str(self.folder)]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        limit = HANG if "path" in job else 600
        if select.select([self.process.stdout], [], [], limit)[0]:
            line = self.process.stdout.readline()
            if line:
                return json.loads(line)
            fault = f"the worker ended with status {self.process.wait()}"
        else:
            self.process.kill()
            fault = f"over {limit} s"
        self.stop()
        return {"fault": fault}

    def stop(self):
        """Ends the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def work(folder: pathlib.Path) -> None:
    """Reads jobs from stdin, one a line in JSON, and prints what happened."""
    answers, sys.stdout = sys.stdout, sys.stderr
    import kapps

    baselines = {}
    for line in sys.stdin:
        job = json.loads(line)
        name, (family, library, options) = job["target"], TARGETS[job["target"]]
        builder = getattr(kapps, name, None) or getattr(kapps.families, family)
        if name not in baselines:
            baselines[name] = _measure(builder, options)[:2]
            if not (folder / name).exists():
                _write_honest_files(builder(**options), folder / name, family, library)
        answer = {}
        if "path" in job:
            honest = folder / name / f"honest{job['suffix']}"
            honest = honest if honest.exists() else folder / name / "honest.keras"
            if honest not in baselines:
                baselines[honest] = _measure(builder, options | {"weights": honest})[0]
            seconds, memory, model, error = _measure(builder, options | {"weights": job["path"]})
            answer = {
                "seconds": seconds - baselines[honest],
                "memory": memory - baselines[name][1],
                "error": None if error is None else str(error),
                "type": type(error).__name__,
                "expected": isinstance(error, (ValueError, OSError)),
            }
            if model is not None and job["expectation"] != "error":
                answer["difference"] = _difference(model, job, folder / name, family, library)
        print(json.dumps(answer), file=answers, flush=True)


def _measure(builder, options):
    """Returns seconds of computing, bytes of memory at most, the model and the error of a call."""
    import gc

    import keras

    keras.utils.clear_session()
    gc.collect()
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
    start, before = _seconds(), _memory("VmRSS")
    model, error = None, None
    try:
        model = builder(**options)
    except BaseException as raised:
        error = raised
    return _seconds() - start, _memory("VmHWM") - before, model, error


def _seconds():
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _memory(field):
    for line in pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


def _names(family, library):
    import importlib

    return getattr(importlib.import_module(f"kapps.weights.names.{family}"), library or "keras")


def _write_honest_files(model, folder, family, library):
    from safetensors.numpy import save_file

    from kapps.weights import to_torch

    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape).astype("float32") for w in model.weights])
    folder.mkdir()
    model.save_weights(folder / "honest.weights.h5")
    model.save(folder / "honest.keras")
    if library is None:
        np.savez(folder / "arrays.npz")
        return
    state = {
        k: np.ascontiguousarray(v) for k, v in to_torch(model, _names(family, library)).items()
    }
    save_file(state, folder / "honest.safetensors")
    np.savez(folder / "arrays.npz", **state)


def _difference(model, job, folder, family, library):
    """Returns in what a loaded model differs from its file, or None."""
    from kapps.weights import to_torch

    path = job["path"]
    if job["expectation"] != "mutation":
        with np.load(folder / "arrays.npz") as file:
            state = {name: file[name] for name in file.files}
        tolerance = 2**-7
    else:
        kind, state = read_independently(path, job["suffix"])
        tolerance = 0
        if kind == "layers":
            for layer in model.layers:
                pairs = zip(layer.get_weights(), state.get(layer.name, []), strict=True)
                if not all(np.array_equal(a, b.astype("f4")) for a, b in pairs):
                    return layer.name
            return None
    for name, array in to_torch(model, _names(family, library)).items():
        if not np.allclose(array, state[name].astype("f4"), rtol=tolerance, atol=0):
            return name
    return None


def read_independently(path: str, suffix: str) -> tuple[str, dict]:
    """Returns ("layers", {layer: arrays}) or ("state", {name: array}) of a file, by other code than kapps's."""
    import io

    import h5py
    from safetensors.numpy import load_file

    if suffix == ".safetensors":
        return "state", load_file(path)
    if suffix in (".pth", ".pt"):
        return "state", _unpickle(path)
    source = path
    if suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            source = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(source, "r") as file:
        groups = [group["vars"] for group in file["layers"].values() if len(group.get("vars", {}))]
        return "layers", {
            str(group.attrs["name"]): [group[str(i)][()] for i in range(len(group))]
            for group in groups
        }


def _unpickle(path):
    """Returns the state dict of a file of PyTorch in either layout, by Python's unpickler."""
    import collections
    import io
    import pickle

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if module == "collections":
                return collections.OrderedDict
            return name if name.endswith("Storage") else lambda *arguments: arguments

        def persistent_load(self, identity):
            return identity[2]

    parts = {}
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                parts[name.rpartition("/")[2]] = archive.read(name)
        content = Unpickler(io.BytesIO(parts["data.pkl"])).load()
    else:
        with open(path, "rb") as file:
            _, _, _, content, keys = (Unpickler(file).load() for _ in range(5))
            for key in keys:
                parts[key] = file.read(4 * int.from_bytes(file.read(8), "little"))
    state = {}
    for name, (key, offset, shape, strides, *_) in content.items():
        values = np.frombuffer(parts[key], "<f4")[offset:]
        steps = [4 * step for step in strides]
        state[name] = np.lib.stride_tricks.as_strided(values, shape, steps).copy()
    return state


def find_fault(answer: dict, expectation: str, path: str, size: int) -> str | None:
    """Returns the fault of a case in a few words, or None."""
    if "fault" in answer:
        return answer["fault"]
    error = answer["error"]
    if error is not None and not answer["expected"]:
        return f"{answer['type']}: {error[:200]}"
    if error is not None and (not error.isprintable() or path not in error or len(error) > 1000):
        return f"not one line with the file's name: {error[:200]!r}"
    if expectation == "load" and error is not None:
        return f"not loaded: {error[-300:]}"
    if expectation == "error" and error is None:
        return "accepted"
    if answer.get("difference"):
        return f"the values of {answer['difference']} differ"
    if answer["seconds"] > SECONDS:
        return f"{answer['seconds']:.1f} s"
    if answer["memory"] > 2 * size + MEMORY:
        return f"{answer['memory'] / 2**20:.0f} MiB for a file of {size / 2**20:.1f} MiB"
    return None


def run_cases(options, folder: pathlib.Path):
    """Yields (name of a case, its fault or None)."""
    import hostile_keras_files  # adds its kinds
    from hostile_torch_files import KINDS, Case
    from torch_files import Tensors, archive, sequence, state

    del hostile_keras_files
    worker, honest = Worker(folder), {}
    kinds = [name for name in KINDS if options.only in name]
    try:
        for i in range(options.cases):
            rng = random.Random(f"{options.seed} {i}")
            name = kinds[i % len(kinds)]
            make, expectation = KINDS[name]
            target = rng.choice(["tiny", "tiny", "squeezenet1_1", "shufflenet_v2_050"])
            target = "xception" if name == "keras_applications" and rng.random() < 0.7 else target
            if target not in honest:
                worker.ask(target=target)
                with np.load(folder / target / "arrays.npz") as file:
                    arrays = {key: file[key] for key in file.files}
                for suffix, layout in ((".pth", archive), (".pt", sequence)):
                    tensors = Tensors()
                    content = layout(state(arrays, tensors), tensors)
                    (folder / target / f"honest{suffix}").write_bytes(content)
                paths = (folder / target).glob("honest*")
                honest[target] = (
                    arrays,
                    {path.name.removeprefix("honest"): path for path in sorted(paths)},
                )
            suffix, content = make(Case(rng, *honest[target], folder))
            path = folder / f"case{i}{suffix}"
            path.write_bytes(content)
            answer = worker.ask(
                target=target, path=str(path), expectation=expectation, suffix=suffix
            )
            fault = find_fault(answer, expectation, str(path), len(content))
            if options.verbose:
                print(f"{i} {name} {target} {path.name} {answer}", flush=True)
            path.unlink()
            yield f"{i} {name} ({target}{suffix})", fault
    finally:
        worker.stop()


def main() -> int:
    """Runs the cases and prints the faults."""
    from measure import parse_arguments, report

    options = parse_arguments(__doc__, cases=60)
    options.verbose = bool(options.only)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        status = report(run_cases(options, pathlib.Path(folder)))
    print(f"{time.monotonic() - start:.0f} s")
    return status


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(pathlib.Path(sys.argv[2]))
    else:
        sys.exit(main())
