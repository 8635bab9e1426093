"""What an image takes once a model is exported: kapps's files, and what a user would pick instead.

    python benchmarks/inference.py --peer_python=/path/to/python/with/torch
    python benchmarks/inference.py --networks mobilenet_v2 --batches 1

Random weights, 224 pixels, all cores; a row is the median of rounds in which all take turns, each in a process of
its own. Networks that kapps does not have are those of Keras Applications, exported by kapps. ONNX Runtime and OpenVINO
run what kapps wrote too: an ONNX file made of the SavedModel by tf2onnx, and the SavedModel itself. PyTorch runs
torchvision's network of that name.
"""

import argparse
import functools
import pathlib
import subprocess
import sys
import tempfile

import _timing

#                  Keras Applications, torchvision
NETWORKS = {
    "resnet50": ("ResNet50", "resnet50"),
    "resnext50": (None, "resnext50_32x4d"),
    "mobilenet_v2": ("MobileNetV2", "mobilenet_v2"),
}
SAVED, LITERT, INT8 = "kapps SavedModel", "kapps LiteRT", "kapps LiteRT int8"
PLAIN, APPLICATIONS = "the same, nothing folded", "Keras Applications"
ONNX, OPENVINO = "ONNX Runtime", "OpenVINO"
TORCH, COMPILED = "PyTorch", "PyTorch, torch.compile"
SIZE, CALIBRATION = 224, 32


def files(network, folder, batches):
    """Writes what the contenders run; called in a process of its own."""
    import numpy as np
    from keras import utils

    from kapps import export

    utils.set_random_seed(0)
    model = build(network)
    saved = export.saved_model(model, folder / "saved", warm_up=False)
    (folder / "saved_model").symlink_to(saved)
    plain(model, folder / "plain")
    for batch in batches:
        export.tflite(model, folder / f"float32_{batch}.tflite", batch_size=batch)
    images = np.random.default_rng(0).random((CALIBRATION, SIZE, SIZE, 3), "float32")
    export.tflite(model, folder / "int8_1.tflite", precision="int8", calibration=images)
    onnx = ["--saved-model", str(saved), "--output", str(folder / "model.onnx"), "--opset", "17"]
    subprocess.run([sys.executable, "-m", "tf2onnx.convert", *onnx], capture_output=True)


def plain(model, path):
    """Writes the SavedModel as Keras writes it by itself."""
    from kapps.export._quiet import quiet

    with quiet():
        model.export(str(path), verbose=False)


def build(network):
    """Returns the network of kapps, or where it has none, Keras Applications'."""
    import kapps

    if network in kapps.list_models():
        return getattr(kapps, network)()
    return applications(network)


def applications(network):
    """Returns the network of Keras Applications."""
    import keras

    return getattr(keras.applications, NETWORKS[network][0])(weights=None, name=network)


def prepare(contender, network, folder, batch):
    """Returns a function that runs a contender once."""
    import numpy as np

    folder = pathlib.Path(folder)
    images = np.random.default_rng(0).random((batch, SIZE, SIZE, 3), "float32")
    if contender in (SAVED, PLAIN):
        import tensorflow as tf

        path = str(folder / {SAVED: "saved_model", PLAIN: "plain"}[contender])
        signature = tf.saved_model.load(path).signatures["serving_default"]
        (name,) = signature.structured_input_signature[1]
        return functools.partial(signature, **{name: tf.constant(images)})
    if contender in (LITERT, INT8):
        from ai_edge_litert.interpreter import Interpreter

        name = {LITERT: "float32", INT8: "int8"}[contender]
        interpreter = Interpreter(str(folder / f"{name}_{batch}.tflite"), num_threads=_timing.CORES)
        return functools.partial(interpreter.get_signature_runner(), image=images)
    if contender == APPLICATIONS:
        import tensorflow as tf

        model = tf.function(applications(network), jit_compile=False)
        return functools.partial(model, tf.constant(images), training=False)
    if contender == ONNX:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _timing.CORES
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        names = [output.name for output in session.get_outputs()]
        return functools.partial(session.run, names, {session.get_inputs()[0].name: images})
    if contender == OPENVINO:
        import openvino

        exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": _timing.CORES}
        compiled = openvino.compile_model(str(folder / "saved_model"), "CPU", exact)
        return functools.partial(compiled, images)
    return TorchAnswer(NETWORKS[network][1], batch, compiled=contender == COMPILED)


class TorchAnswer:
    """Runs one of torchvision's models, whenever it is called."""

    def __init__(self, name, batch, *, compiled):
        import torch

        step = _timing.TorchStep(name, batch, SIZE)
        self.no_grad, self.images = torch.inference_mode, step.images
        self.model = step.model.eval()
        if compiled:
            self.model = torch.compile(self.model)

    def __call__(self):
        with self.no_grad():
            self.model(self.images)


def start(contender, network, folder, batch, options):
    torch = contender in (TORCH, COMPILED)
    command = [options.peer_python if torch else sys.executable, __file__]
    command += [f"--contender={contender}", f"--networks={network}", f"--folder={folder}"]
    return _timing.TimedProcess([*command, f"--batches={batch}", f"--steps={options.steps}"])


def contenders(network, batch, options):
    """Returns the names of those that compete, the one that is compared with the others first."""
    names = [SAVED, PLAIN, LITERT] + [INT8] * (batch == 1)
    names += [APPLICATIONS] * bool(NETWORKS[network][0]) + [ONNX, OPENVINO]
    return names + [TORCH, COMPILED] * bool(options.peer_python)


def compare(network, options):
    """Returns the rows of a network, for each number of images at a time."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, f"--networks={network}", f"--folder={folder}"]
        subprocess.run([*command, "--batches", *map(str, options.batches)], check=True)
        for batch in options.batches:
            starts = {
                name: functools.partial(start, name, network, folder, batch, options)
                for name in contenders(network, batch, options)
            }
            entered = _timing.start_processes(starts)
            medians = _timing.median_step_seconds(entered, options.rounds, f"{network}, batch {batch}")
            first = next(iter(medians.values()), None)
            rows += [
                f"{network:14}{batch:5}  {name:28}{1000 * seconds / batch:10.2f}{seconds / first:9.2f}"
                for name, seconds in medians.items()
            ]
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", help="an interpreter with torch and torchvision")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16], help="images at a time")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="runs of each in a round")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    network = options.networks[0]
    if options.contender:
        arguments = (options.contender, network, options.folder, options.batches[0])
        _timing.serve(prepare, *arguments, steps=options.steps)
        return
    if options.folder:
        files(network, pathlib.Path(options.folder), options.batches)
        return
    if not options.peer_python:
        print("PyTorch is left out: --peer_python=PYTHON names one with torch and torchvision")
    rows = [row for network in options.networks for row in compare(network, options)]
    print(f"inference, {SIZE} px, {_timing.CORES} cores, median of {options.rounds}")
    print(f"{'':14}{'batch':>5}  {'':28}{'ms/image':>10}{'time':>9}")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
