"""Latency of exported models: kapps's SavedModel and TFLite files, and other runtimes.

    python benchmarks/inference.py --peer_python=/path/to/python/with/torch
    python benchmarks/inference.py --networks mobilenet_v2 --batches 1

Random weights, images of 224 pixels or sequences of tokens, all cores. Each number is the median of rounds in which all
runtimes take turns, each in a process of its own. Networks that kapps does not have are those of Keras Applications,
exported by kapps. ONNX Runtime runs an ONNX file that tf2onnx makes from kapps's SavedModel, and OpenVINO runs the
SavedModel. PyTorch runs the network of torchvision, or one of PyTorch's own layers with the same sizes.
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
    "zaremba_small": (None, None),
    "transformer_tiny": (None, None),
}
SEQUENCES = {
    "zaremba_small": {"tokens": 35},  # the steps of the paper's training
    "transformer_tiny": {"source": 32, "target": 32},
}
"""Number of tokens of each input of a network that reads no image. The vocabulary has 10,000."""
SAVED_MODEL, TFLITE, TFLITE_INT8 = (
    "kapps, SavedModel",
    "kapps, TFLite float32",
    "kapps, TFLite int8",
)
KERAS_EXPORT, APPLICATIONS = "the model, exported by Keras", "Keras Applications"
ONNX, OPENVINO = "ONNX Runtime", "OpenVINO"
TORCH, TORCH_COMPILE = "PyTorch", "PyTorch, torch.compile"
SIZE, CALIBRATION_IMAGES = 224, 32


def export_files(network, folder, batches):
    """Writes the files of all runtimes; called in a process of its own.

    Args:
        network: name in `NETWORKS`.
        folder: directory of the files.
        batches: batch sizes of the float32 TFLite files.
    """
    import numpy as np
    from keras import utils

    from kapps import export
    from kapps.export._quiet import quiet

    utils.set_random_seed(0)
    model = build_model(network)
    path = export.saved_model(model, folder / "versions", preprocessing=False, warm_up=False)
    (folder / "saved_model").symlink_to(path)
    with quiet():
        model.export(str(folder / "keras_export"), verbose=False)
    length = max(SEQUENCES[network].values()) if network in SEQUENCES else None
    for batch in batches:
        export.tflite(
            model, folder / f"float32_{batch}.tflite", batch_size=batch, length=length,
            preprocessing=False,
        )  # fmt: skip
    if network not in SEQUENCES:
        images = np.random.default_rng(0).random((CALIBRATION_IMAGES, SIZE, SIZE, 3), "float32")
        export.tflite(
            model, folder / "int8_1.tflite", precision="int8", calibration=images, preprocessing=False
        )  # fmt: skip
    arguments = ["--saved-model", str(path), "--output", str(folder / "model.onnx")]
    command = [sys.executable, "-m", "tf2onnx.convert", *arguments, "--opset", "17"]
    subprocess.run(command, capture_output=True)


def build_model(network):
    """Returns the network of kapps, or if it has none, that of Keras Applications."""
    import kapps

    if network in kapps.list_models():
        return getattr(kapps, network)()
    return build_applications_model(network)


def build_applications_model(network):
    """Returns the network of Keras Applications."""
    import keras

    return getattr(keras.applications, NETWORKS[network][0])(weights=None, name=network)


def make_inputs(network, batch):
    """Returns random inputs of a network: {name: array}."""
    import numpy as np

    generator = np.random.default_rng(0)
    if network not in SEQUENCES:
        return {"image": generator.random((batch, SIZE, SIZE, 3), "float32")}
    return {
        name: generator.integers(1, 10_000, (batch, length), "int32")
        for name, length in SEQUENCES[network].items()
    }


def prepare(runtime, network, folder, batch):
    """Returns a function that runs the network once on a batch of inputs.

    Args:
        runtime: name of a runtime, one of the constants above.
        network: name in `NETWORKS`.
        folder: directory of the files that `export_files` wrote.
        batch: batch size.
    """
    folder, inputs = pathlib.Path(folder), make_inputs(network, batch)
    if runtime in (SAVED_MODEL, KERAS_EXPORT):
        import tensorflow as tf

        path = folder / ("saved_model" if runtime == SAVED_MODEL else "keras_export")
        signature = tf.saved_model.load(str(path)).signatures["serving_default"]
        names = signature.structured_input_signature[1]
        if len(names) == 1:  # Keras has another name for an image
            inputs = dict(zip(names, inputs.values(), strict=True))
        return functools.partial(signature, **{k: tf.constant(x) for k, x in inputs.items()})
    if runtime in (TFLITE, TFLITE_INT8):
        from ai_edge_litert.interpreter import Interpreter

        file = folder / f"{'float32' if runtime == TFLITE else 'int8'}_{batch}.tflite"
        interpreter = Interpreter(str(file), num_threads=_timing.CORES)
        return functools.partial(interpreter.get_signature_runner(), **inputs)
    if runtime == APPLICATIONS:
        import tensorflow as tf

        model = tf.function(build_applications_model(network), jit_compile=False)
        return functools.partial(model, tf.constant(inputs["image"]), training=False)
    if runtime == ONNX:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _timing.CORES
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        names = [output.name for output in session.get_outputs()]
        keys = sorted(value.name for value in session.get_inputs())
        return functools.partial(session.run, names, dict(zip(keys, inputs.values(), strict=True)))
    if runtime == OPENVINO:
        import openvino

        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": _timing.CORES}
        compiled = openvino.compile_model(str(folder / "saved_model"), "CPU", options)
        return functools.partial(compiled, inputs.get("image", inputs))
    return TorchInference(network, inputs, compiled=runtime == TORCH_COMPILE)


class TorchInference:
    """Runs a network of torchvision, or of PyTorch's own layers, on a batch of inputs.

    Args:
        network: name in `NETWORKS`.
        inputs: {name: array}.
        compiled: whether `torch.compile` compiles the network.
    """

    def __init__(self, network, inputs, *, compiled):
        import torch

        self.inference_mode = torch.inference_mode
        if network in SEQUENCES:
            import _torch_sequences

            torch.set_num_threads(_timing.CORES)
            model = _torch_sequences.NETWORKS[network]()
            self.inputs = [torch.from_numpy(array) for array in inputs.values()]
        else:
            step = _timing.TorchStep(NETWORKS[network][1], len(inputs["image"]), SIZE)
            model, self.inputs = step.model, [step.images]
        self.model = model.eval()
        if compiled:
            self.model = torch.compile(self.model)

    def __call__(self):
        with self.inference_mode():
            self.model(*self.inputs)


def start(runtime, network, folder, batch, options):
    is_torch = runtime in (TORCH, TORCH_COMPILE)
    command = [options.peer_python if is_torch else sys.executable, __file__]
    command += [f"--runtime={runtime}", f"--networks={network}", f"--folder={folder}"]
    return _timing.TimedProcess([*command, f"--batches={batch}", f"--steps={options.steps}"])


def runtimes(network, batch, options):
    """Returns the names of the runtimes; the others are compared with the first."""
    names = [SAVED_MODEL, KERAS_EXPORT, TFLITE]
    names += [TFLITE_INT8] * (batch == 1 and network not in SEQUENCES)
    names += [APPLICATIONS] * bool(NETWORKS[network][0]) + [ONNX, OPENVINO]
    return names + [TORCH, TORCH_COMPILE] * bool(options.peer_python)


def table_rows(network, options):
    """Returns the lines of a network, for each batch size and runtime."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, f"--networks={network}", f"--folder={folder}"]
        subprocess.run([*command, "--batches", *map(str, options.batches)], check=True)
        for batch in options.batches:
            starts = {
                name: functools.partial(start, name, network, folder, batch, options)
                for name in runtimes(network, batch, options)
            }
            processes = _timing.start_processes(starts)
            label = f"{network}, batch {batch}"
            medians = _timing.median_step_seconds(processes, options.rounds, label)
            first = next(iter(medians.values()), None)
            rows += [
                f"{network:14}{batch:5}  {name:28}{1000 * seconds / batch:10.2f}{seconds / first:9.2f}"
                for name, seconds in medians.items()
            ]
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", help="interpreter with torch and torchvision")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16], help="batch sizes")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="calls of each runtime in a round")
    parser.add_argument("--runtime", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    network = options.networks[0]
    if options.runtime:
        arguments = (options.runtime, network, options.folder, options.batches[0])
        _timing.serve(prepare, *arguments, steps=options.steps)
        return
    if options.folder:
        export_files(network, pathlib.Path(options.folder), options.batches)
        return
    if options.rounds < 1 or min(options.batches) < 1:
        parser.error("--rounds and --batches must be at least 1")
    if not options.peer_python:
        print("PyTorch is left out: --peer_python needs a Python with torch and torchvision")
    rows = [row for network in options.networks for row in table_rows(network, options)]
    print(
        f"inference, images of {SIZE} px, {_timing.CORES} cores, median of {options.rounds} rounds"
    )
    print(f"{'':14}{'batch':>5}  {'':28}{'ms/input':>10}{'ratio':>9}")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
