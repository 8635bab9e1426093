"""Training and inference on one GPU: kapps on Keras's JAX and PyTorch backends, next to timm and PyTorch.

    python benchmarks/gpu.py --output=gpu.md  # 8 minutes on one GPU, in an environment without TensorFlow
    python benchmarks/gpu.py --quick          # on the CPU: two small networks, float32

Networks train with SGD and predict in bfloat16 (mixed precision; weights in float32), on batches that stay on the
device, with batch sizes that double until the throughput grows by less than 5 % or the memory is full. timm's networks
are compiled by torch.compile, with channels last. Each library has a process of its own, one after the other. The
columns are images (or sequences) per second, the batch size with the highest throughput, the fraction of the card's
dense bfloat16 peak (2 operations for each multiply-accumulate that `kapps.profile` counts; a training step has three
times those of inference), and the peak memory of the process on the device. Work that --minutes does not reach is
listed as not measured.

docs/gpu.md has the wheels that such an environment needs.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

JAX, TORCH, TIMM = "kapps, JAX", "kapps, PyTorch", "timm, torch.compile"
NETWORKS = {
    "resnet50": "resnet50",
    "resnext50": "resnext50_32x4d",
    "mobilenet_v2": "mobilenetv2_100",
    "densenet121": "densenet121",
    "convnext_tiny": "convnext_tiny",
}
"""Networks on images of 224 pixels: those of kapps and of timm."""
SEQUENCES = ("transformer_base", "lstm", "attention")
"""An encoder-decoder on 128 tokens, an LSTM of 1,024 units on 256 steps, causal attention of 16 heads of 64 on 2,048
steps. The last two are next to PyTorch's own."""
QUICK = ("mobilenet_v2", "attention")
PEAKS = {
    "H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12,
    "RTX 4090": 165e12, "V100": 125e12, "T4": 65e12,
}  # fmt: skip
"""Dense half-precision operations per second of NVIDIA's data sheets, by a part of the card's name."""
FIRST_BATCH, LAST_BATCH, GAIN, STEPS = 32, 2048, 1.05, 20


def settings(options):
    """Returns the image size, the dtype policy, the batch sizes and the steps."""
    if options.quick:
        return 64, "float32", [2], 2
    count = (LAST_BATCH // FIRST_BATCH).bit_length()
    return 224, "mixed_bfloat16", [FIRST_BATCH << power for power in range(count)], STEPS


def keras_work(name, size):
    """Returns a model, its inputs for one example (without the batch), and the multiply-accumulates of one example."""
    import keras
    from keras import layers

    import kapps

    if name in NETWORKS:
        model = getattr(kapps, name)(input_shape=(size, size, 3))
        return model, [("float32", (size, size, 3))], kapps.profile(model).macs
    if name == "transformer_base":
        steps = 128 if size == 224 else 8
        model = kapps.transformer_base(vocabulary=32000)
        shapes = [("int32", (steps,)), ("int32", (steps,))]
        return model, shapes, kapps.profile(model, length=steps).macs
    steps, width = (256, 1024) if name == "lstm" else (2048, 1024)
    if size != 224:
        steps, width = 16, 64
    x = keras.Input((steps, width))
    if name == "lstm":
        y = layers.LSTM(width, return_sequences=True)(x)
    else:
        y = layers.MultiHeadAttention(16, width // 16)(x, x, use_causal_mask=True)
    model = keras.Model(x, y)
    return model, [("float32", (steps, width))], kapps.profile(model).macs


def keras_rates(name, backend, options):
    """Yields (work, batch size, examples per second) of a network of kapps on one of Keras's backends."""
    import keras
    import numpy as np

    size, policy, batches, steps = settings(options)
    keras.config.set_dtype_policy(policy)
    model, inputs, macs = keras_work(name, size)
    yield "macs", 1, macs
    loss = "mse" if name in ("lstm", "attention") else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(1e-3), loss, jit_compile=backend == "jax")
    random = np.random.default_rng(0)
    for work in ("training", "inference"):
        best = 0
        for batch in batches:
            arrays = [
                random.random((batch, *shape), "float32")
                if dtype == "float32"
                else random.integers(1, 1000, (batch, *shape))
                for dtype, shape in inputs
            ]
            arrays = [keras.ops.convert_to_tensor(array) for array in arrays]
            x = arrays if len(arrays) > 1 else arrays[0]
            labels = keras.ops.convert_to_tensor(random.integers(0, 1000, batch))
            y = labels if name in NETWORKS else arrays[-1]
            try:
                seconds = (
                    fit_seconds(model, x, y, steps)
                    if work == "training"
                    else call_seconds(model, x, steps)
                )
            except Exception as error:  # each backend has its own error of a full memory
                print(
                    f"{name}, {work}, batch {batch}: {str(error).splitlines()[0][:120]}",
                    file=sys.stderr,
                )
                break
            yield work, batch, batch / seconds
            if batch / seconds < GAIN * best:
                break
            best = batch / seconds


def fit_seconds(model, x, y, steps):
    """Returns the seconds of one step of `fit` on a batch that stays on the device."""
    import keras

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return steps

        def __getitem__(self, index):
            return x, y

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.times = []

        def on_epoch_end(self, epoch, logs=None):
            self.times.append(time.perf_counter())

    clock = Clock()
    model.fit(Batches(), epochs=3, verbose=0, callbacks=[clock])
    return (clock.times[2] - clock.times[1]) / steps


def call_seconds(model, x, steps):
    """Returns the seconds of one call of a compiled prediction."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        weights = (
            [variable.value for variable in model.trainable_variables],
            [variable.value for variable in model.non_trainable_variables],
        )
        compiled = jax.jit(lambda values, x: model.stateless_call(*values, x, training=False)[0])
        return loop_seconds(lambda: compiled(weights, x), jax.block_until_ready, steps)
    import torch

    compiled = torch.compile(model) if torch.cuda.is_available() else model
    with torch.inference_mode():
        return loop_seconds(lambda: compiled(x, training=False), synchronize_torch, steps)


def synchronize_torch(_):
    """Waits for the device, if there is one."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def loop_seconds(step, wait, steps):
    """Returns the mean seconds of a step, after two that compile."""
    for _ in range(2):
        wait(step())
    start = time.perf_counter()
    for _ in range(steps):
        result = step()
    wait(result)
    return (time.perf_counter() - start) / steps


def torch_network(name, size):
    """Returns a module of timm or PyTorch, and the shape of its input without the batch."""
    import torch

    if name in NETWORKS:
        import _timing

        return _timing.torch_builder(f"timm/{NETWORKS[name]}")(), (3, size, size)
    steps, width = (256, 1024) if name == "lstm" else (2048, 1024)
    if size != 224:
        steps, width = 16, 64
    if name == "lstm":
        return torch.nn.LSTM(width, width, batch_first=True), (steps, width)

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.project, self.output = (
                torch.nn.Linear(width, 3 * width),
                torch.nn.Linear(width, width),
            )

        def forward(self, x):
            heads = self.project(x).reshape(len(x), steps, 3, 16, -1).permute(2, 0, 3, 1, 4)
            y = torch.nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
            return self.output(y.transpose(1, 2).reshape(x.shape))

    return Attention(), (steps, width)


def torch_rates(name, options):
    """Yields (work, batch size, examples per second) of timm's or PyTorch's network."""
    import torch

    size, policy, batches, steps = settings(options)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module, shape = torch_network(name, size)
    module = module.to(device)
    if name in NETWORKS:
        module = module.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(module.parameters(), 1e-3)
    compiled = module if name == "lstm" or options.quick else torch.compile(module)
    loss_of = torch.nn.functional.cross_entropy if name in NETWORKS else torch.nn.MSELoss()
    half = torch.autocast(device, torch.bfloat16, enabled=policy != "float32")
    for work in ("training", "inference"):
        best = 0
        for batch in batches:
            x = torch.rand(batch, *shape, device=device)
            if name in NETWORKS:
                x = x.to(memory_format=torch.channels_last)
            labels = torch.randint(0, 1000, (batch,), device=device)

            def train(x=x, labels=labels):
                optimizer.zero_grad()
                with half:
                    y = compiled(x)
                    y = y[0] if isinstance(y, tuple) else y
                    loss = loss_of(y, labels if name in NETWORKS else x)
                loss.backward()
                optimizer.step()

            def predict(x=x):
                with torch.inference_mode(), half:
                    return compiled(x)

            module.train(work == "training")
            try:
                seconds = loop_seconds(
                    train if work == "training" else predict, synchronize_torch, steps
                )
            except torch.OutOfMemoryError:
                break
            yield work, batch, batch / seconds
            if batch / seconds < GAIN * best:
                break
            best = batch / seconds


def peak_memory(library):
    """Returns the largest number of bytes in use on the device, or None on the CPU."""
    if library == JAX:
        import jax

        statistics = jax.devices()[0].memory_stats() or {}
        return statistics.get("peak_bytes_in_use")
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def measure(library, name, options):
    """Prints the measurements of one library and network, each as a line of JSON."""
    if library == TIMM:
        rates = torch_rates(name, options)
    else:
        rates = keras_rates(name, "jax" if library == JAX else "torch", options)
    for work, batch, rate in rates:
        print(json.dumps([work, batch, rate, peak_memory(library)]), flush=True)


def card_peak():
    """Returns the name of the device and its peak operations per second, or None if it is not in `PEAKS`."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        name = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", check=True
        ).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "CPU", None
    name = name.strip().splitlines()[0]
    return name, next((peak for part, peak in PEAKS.items() if part in name), None)


def table_rows(library, name, lines, peak):
    """Returns the rows of a library and a network, and the multiply-accumulates of an example.

    A row has the batch size with the highest rate.
    """
    measurements = [json.loads(line) for line in lines if line.startswith("[")]
    macs = next((rate for work, _, rate, _ in measurements if work == "macs"), None)
    rows = []
    for work in ("training", "inference"):
        rates = [row for row in measurements if row[0] == work]
        if not rates:
            rows.append(f"| {name} | {library} | {work} | not measured | | | |")
            continue
        _, batch, rate, memory = max(rates, key=lambda row: row[2])
        operations = 2 * macs * (3 if work == "training" else 1) * rate if macs else None
        fraction = f"{100 * operations / peak:.0f} %" if operations and peak else ""
        used = f"{memory / 1e9:.1f}" if memory else ""
        rows.append(
            f"| {name} | {library} | {work} | {rate:,.1f} | {batch} | {fraction} | {used} |"
        )
    return rows, macs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=(*NETWORKS, *SEQUENCES), default=None)
    parser.add_argument(
        "--libraries", nargs="+", choices=(JAX, TORCH, TIMM), default=[JAX, TORCH, TIMM]
    )
    parser.add_argument("--minutes", type=float, default=8, help="time after which no work begins")
    parser.add_argument("--output", type=pathlib.Path, help="file of the table, in Markdown")
    parser.add_argument("--quick", action="store_true", help="two small networks, in float32")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        measure(*options.work, options)
        return
    card, peak = card_peak()
    networks = options.networks or (QUICK if options.quick else (*NETWORKS, *SEQUENCES))
    precision = "float32" if options.quick else "bfloat16"
    lines = [
        f"{card}, {precision}: each rate is the mean of {settings(options)[3]} steps.",
        "",
        "| network | library | work | per second | batch size | fraction of the peak | peak memory, GB |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    print("\n".join(lines), flush=True)
    end = time.monotonic() + 60 * options.minutes
    for name in networks:
        macs = None
        for library in options.libraries:
            if library == TIMM and name == "transformer_base":
                continue
            left = end - time.monotonic()
            output = run(library, name, options, left) if left > 0 else []
            if macs and output:  # the network of another library with the same multiply-accumulates
                output = [json.dumps(["macs", 1, macs, None]), *output]
            rows, macs = table_rows(library, name, output, peak)
            lines += rows
            print("\n".join(rows), flush=True)
            if options.output:
                options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(library, name, options, seconds):
    """Returns the lines that the process of a library printed, within a number of seconds."""
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    environment["KERAS_BACKEND"] = "jax" if library == JAX else "torch"
    command = [sys.executable, __file__, *["--quick"] * options.quick, "--work", library, name]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            return process.communicate(timeout=seconds)[0].splitlines()
        except subprocess.TimeoutExpired:
            process.kill()
            return process.communicate()[0].splitlines()


if __name__ == "__main__":
    main()
