"""The networks side by side: what accuracy was published for each, beside what each takes here.

[1] A. J. Redfern, lecture notes "Design": accuracy on ImageNet classification, its three columns of costs left blank
[2] Radosavovic 2020, arXiv:2003.13678, Table 4: EfficientNet and RegNetY under one training schedule

The figures of both lie in `published/`, as they were printed. A network that has no builder yet keeps its line.
"""

import csv
import time
from importlib import resources

import numpy as np

from kapps.analysis.results import Profile
from kapps.tables import Column, Table

TABLE_NAMES = ("accuracy", "regnet")
MISSING = "not built yet"

ACCURACY = (
    Column("network", "network"),
    Column("top1", "top 1", ".2f"),
    Column("top5", "top 5", ".2f"),
    Column("weight_bytes", "param mem (MB)", ",.1f", 1e6),
    Column("output_bytes", "feature mem (MB)", ",.1f", 1e6),
    Column("inference_bytes", "at once (MB)", ",.1f", 1e6),
    Column("macs", "MACs (G)", ",.3f", 1e9),
    Column("input", "input"),
    Column("state", ""),
)
REGNET = (
    Column("network", "network"),
    Column("flops", "flops (B)", ".1f", 1e9),
    Column("macs", "here", ".2f", 1e9),
    Column("params", "params (M)", ".1f", 1e6),
    Column("trainable", "here", ".2f", 1e6),
    Column("acts", "acts (M)", ".1f", 1e6),
    Column("convolution_outputs", "here", ".2f", 1e6),
    Column("batch", "batch", ".0f"),
    Column("error", "top-1 error", ".1f"),
    Column("infer", "infer (ms)", ".0f"),
    Column("inference_time", "here (ms)", ",.1f", 1e-3),
    Column("train", "train (h)", ".1f"),
    Column("training_time", "here (ms)", ",.1f", 1e-3),
    Column("infer_ratio", "infer ratio", ".2f"),
    Column("inference_ratio", "here", ".2f"),
    Column("train_ratio", "train ratio", ".2f"),
    Column("training_ratio", "here", ".2f"),
    Column("state", ""),
)


SOURCE = (
    'Top 1 and top 5 in percent, as A. J. Redfern\'s lecture notes "Design" print them; the rest is counted here, for '
    "one image."
)
FIGURES = (
    "As arXiv:2003.13678 prints it in Table 4, and beside each figure what comes out here. Flops are "
    "multiply-accumulates, acts the elements of all convolutions' outputs."
)
TIMES = (
    "Printed times are the paper's, on its GPUs; those here are of one image in a batch, at inference and in a step "
    "of training, on this machine (--measure). A ratio is the EfficientNet's time over that of the RegNet below it."
)
RATIOS = {
    "infer_ratio": "infer", "inference_ratio": "inference_time",
    "train_ratio": "train", "training_ratio": "training_time",
}  # fmt: skip


def read_table(name: str) -> list[dict]:
    """Returns the lines of a table as they were printed, numbers as floats, None where nothing is printed.

    Args:
        name: "accuracy" for [1], in percent; "regnet" for [2], in units, milliseconds and hours.
    """
    text = resources.files("kapps.analysis").joinpath("published", f"{name}.csv").read_text()
    lines = list(csv.DictReader(text.splitlines()))
    words = ("network", "builder")
    return [
        {key: value if key in words else _number(value) for key, value in line.items()}
        for line in lines
    ]


def _number(text):
    return float(text) if text else None


def table_builders(name: str) -> list[str]:
    """Returns the builders of a table's networks, whether they exist or not."""
    return [line["builder"] for line in read_table(name)]


def accuracy_table(profiles: dict[str, Profile]) -> Table:
    """Returns the table of [1] with the columns that it leaves blank.

    Args:
        profiles: by builder, those that there are.
    """
    records = []
    for line in read_table("accuracy"):
        found = profiles.get(line["builder"])
        figures = ("weight_bytes", "output_bytes", "inference_bytes", "macs")
        record = line | {key: getattr(found, key) if found else None for key in figures}
        record["input"] = "x".join(map(str, found.inputs[0][1:])) if found else None
        records.append(record | {"state": "" if found else MISSING})
    dtype = next((found.dtype for found in profiles.values()), "float32")
    memory = (
        f"Memory at {dtype}: of all parameters; of all layers' outputs together; and the most that activations need "
        "at once at inference. MACs are multiply-accumulates."
    )
    return Table(
        "Accuracy on ImageNet, and what it takes", ACCURACY, tuple(records), (SOURCE, memory)
    )


def regnet_table(
    profiles: dict[str, Profile], times: dict[str, tuple[float, float]] | None = None
) -> Table:
    """Returns the table of [2], each printed figure with the one that comes out here.

    Args:
        profiles: by builder, those that there are.
        times: by builder, seconds an image at inference and in training, from `measure_seconds`.
    """
    times, records = times or {}, []
    for line in read_table("regnet"):
        name = line["builder"]
        found = profiles.get(name)
        figures = ("macs", "trainable", "convolution_outputs")
        record = line | {key: getattr(found, key) if found else None for key in figures}
        record["inference_time"], record["training_time"] = times.get(name, (None, None))
        record |= dict.fromkeys(RATIOS)
        records.append(record | {"state": "" if found else MISSING})
    for slow, fast in zip(records[::2], records[1::2], strict=True):
        for ratio, key in RATIOS.items():
            if slow[key] and fast[key]:
                fast[ratio] = slow[key] / fast[key]
    return Table("RegNetY against EfficientNet", REGNET, tuple(records), (FIGURES, TIMES))


def accuracy_points(profiles: dict[str, Profile]) -> list[dict]:
    """Returns the accuracy and costs of each network that has a profile, for `kapps.visualize.plot_accuracy`.

    Args:
        profiles: by builder, those that there are.
    """
    sources = {
        "accuracy": ("as the lecture notes print it", lambda line: line["top1"]),
        "regnet": ("arXiv:2003.13678, one training schedule", lambda line: 100 - line["error"]),
    }
    found = []
    for name, (source, top1) in sources.items():
        for line in read_table(name):
            if line["builder"] in profiles:
                one = profiles[line["builder"]]
                costs = {"macs": one.macs, "parameters": one.trainable}
                found.append(
                    {"network": line["network"], "top1": top1(line), **costs, "source": source}
                )
    return found


def regnet_pairs() -> list[tuple[str, str]]:
    """Returns the builders that [2] compares with each other."""
    names = table_builders("regnet")
    return list(zip(names[::2], names[1::2], strict=True))


def measure_seconds(
    models: dict, batch: int = 8, rounds: int = 5
) -> dict[str, tuple[float, float]]:
    """Measures models against each other: medians of rounds in which each has its turn.

    Args:
        models: classifiers by name, each with one input of known size and one output. They are compiled with plain
            SGD, and trained on noise.
        batch: images at once.
        rounds: that are counted, after one that is not.

    Returns:
        By name, the seconds that an image takes at inference and in a step of training.

    Raises:
        ValueError: for a batch or a number of rounds below 1.
    """
    if batch < 1 or rounds < 1:
        raise ValueError(f"batch and rounds are at least 1, not {batch} and {rounds}")
    draw, runs = np.random.default_rng(0), {}
    for name, model in models.items():
        model.compile("sgd", loss="categorical_crossentropy")
        images = draw.normal(size=(batch, *model.input_shape[1:])).astype("float32")
        labels = np.eye(model.output_shape[-1], dtype="float32")[[0] * batch]
        runs[name] = (
            lambda model=model, images=images: model.predict_on_batch(images),
            lambda model=model, images=images, labels=labels: model.train_on_batch(images, labels),
        )
    found = {name: ([], []) for name in models}
    for number in range(rounds + 1):
        for name, steps in runs.items():
            for step, taken in zip(steps, found[name], strict=True):
                start = time.perf_counter()
                step()
                if number:  # the first compiles
                    taken.append((time.perf_counter() - start) / batch)
    return {name: tuple(float(np.median(taken)) for taken in both) for name, both in found.items()}
