"""Published accuracy of networks next to their costs, which are computed from profiles.

[1] A. J. Redfern, lecture notes "Design": accuracy on ImageNet classification; its three columns of costs are blank
[2] Radosavovic 2020, arXiv:2003.13678, Table 4: EfficientNet and RegNetY under one training schedule

The files in `published/` hold the numbers of both as printed. A network without a builder keeps its row.
"""

import csv
import time
from importlib import resources

import numpy as np

from kapps.analysis.results import Profile
from kapps.tables import Column, Table

TABLE_NAMES = ("accuracy", "regnet")
NOT_BUILT = "not built yet"

ACCURACY_COLUMNS = (
    Column("network", "network"),
    Column("top1", "top 1", ".2f"),
    Column("top5", "top 5", ".2f"),
    Column("weight_bytes", "weights (MB)", ",.1f", 1e6),
    Column("output_bytes", "feature maps (MB)", ",.1f", 1e6),
    Column("inference_bytes", "peak memory (MB)", ",.1f", 1e6),
    Column("macs", "MACs (G)", ",.3f", 1e9),
    Column("input", "input"),
    Column("state", ""),
)
ACCURACY_SOURCE = (
    'Top 1 and top 5 in percent, from A. J. Redfern\'s lecture notes "Design"; all other columns are computed by '
    "kapps for one image."
)
REGNET_COLUMNS = (
    Column("network", "network"),
    Column("flops", "flops (B)", ".1f", 1e9),
    Column("macs", "kapps", ".2f", 1e9),
    Column("params", "params (M)", ".1f", 1e6),
    Column("trainable", "kapps", ".2f", 1e6),
    Column("acts", "acts (M)", ".1f", 1e6),
    Column("convolution_outputs", "kapps", ".2f", 1e6),
    Column("batch", "batch", ".0f"),
    Column("error", "top-1 error", ".1f"),
    Column("infer", "infer (ms)", ".0f"),
    Column("inference_time", "measured (ms)", ",.1f", 1e-3),
    Column("train", "train (h)", ".1f"),
    Column("training_time", "measured (ms)", ",.1f", 1e-3),
    Column("infer_ratio", "infer ratio", ".2f"),
    Column("inference_ratio", "measured", ".2f"),
    Column("train_ratio", "train ratio", ".2f"),
    Column("training_ratio", "measured", ".2f"),
    Column("state", ""),
)
REGNET_SOURCE = (
    "Published numbers are from Table 4 of arXiv:2003.13678; each is followed by the number that kapps computes. "
    "Flops are multiply-accumulates; acts are the elements of the outputs of all convolutions."
)
REGNET_TIMES = (
    "Published times are from the paper's GPUs. Measured times are for one image of a batch, at inference and in a "
    "training step, on this machine (--measure). A ratio is the time of the EfficientNet divided by the time of the "
    "RegNet in the row below it."
)
RATIOS = {
    "infer_ratio": "infer", "inference_ratio": "inference_time",
    "train_ratio": "train", "training_ratio": "training_time",
}  # fmt: skip
"""Columns of ratios, and the columns of their times."""


def read_table(name: str) -> list[dict]:
    """Returns the rows of a published table, with numbers as floats and blank cells as None.

    Args:
        name: "accuracy" for [1], in percent; "regnet" for [2], in units, milliseconds and hours.
    """
    text = (
        resources.files("kapps.analysis")
        .joinpath("published", f"{name}.csv")
        .read_text(encoding="utf-8")
    )
    text_columns = ("network", "builder")
    return [
        {
            key: value if key in text_columns else _optional_float(value)
            for key, value in row.items()
        }
        for row in csv.DictReader(text.splitlines())
    ]


def _optional_float(text):
    return float(text) if text else None


def table_builders(name: str) -> list[str]:
    """Returns the names of the builders of a table's networks, including builders that do not exist yet."""
    return [row["builder"] for row in read_table(name)]


def accuracy_table(profiles: dict[str, Profile]) -> Table:
    """Returns the table of [1] with memory and multiply-accumulates.

    Args:
        profiles: profiles by builder. A network without a profile has blank costs.
    """
    records = []
    for row in read_table("accuracy"):
        profile = profiles.get(row["builder"])
        record = row | _costs(profile, ("weight_bytes", "output_bytes", "inference_bytes", "macs"))
        record["input"] = "x".join(map(str, profile.inputs[0][1:])) if profile else None
        records.append(record)
    dtype = next((profile.dtype for profile in profiles.values()), "float32")
    memory = (
        f"Memory at {dtype}: weights; feature maps of all layers together; peak memory of activations at inference. "
        "MACs are multiply-accumulates."
    )
    notes = (ACCURACY_SOURCE, memory)
    return Table("Accuracy on ImageNet and costs", ACCURACY_COLUMNS, tuple(records), notes)


def regnet_table(
    profiles: dict[str, Profile], times: dict[str, tuple[float, float]] | None = None
) -> Table:
    """Returns the table of [2], each published number followed by the computed one.

    Args:
        profiles: profiles by builder. A network without a profile has blank costs.
        times: by builder, seconds for an image at inference and in training, from `measure_seconds`.
    """
    times, records = times or {}, []
    for row in read_table("regnet"):
        profile = profiles.get(row["builder"])
        record = row | _costs(profile, ("macs", "trainable", "convolution_outputs"))
        inference_time, training_time = times.get(row["builder"], (None, None))
        record |= {"inference_time": inference_time, "training_time": training_time}
        records.append(record | dict.fromkeys(RATIOS))
    for efficientnet, regnet in zip(records[::2], records[1::2], strict=True):
        for ratio, key in RATIOS.items():
            if efficientnet[key] and regnet[key]:
                regnet[ratio] = efficientnet[key] / regnet[key]
    notes = (REGNET_SOURCE, REGNET_TIMES)
    return Table("RegNetY against EfficientNet", REGNET_COLUMNS, tuple(records), notes)


def _costs(profile, names):
    """Returns costs by name, None without a profile, and the state of the network's row."""
    costs = {name: getattr(profile, name) if profile else None for name in names}
    return costs | {"state": "" if profile else NOT_BUILT}


def accuracy_points(profiles: dict[str, Profile]) -> list[dict]:
    """Returns the accuracy and costs of each network that has a profile, for `kapps.visualize.plot_accuracy`.

    Args:
        profiles: profiles by builder.
    """
    sources = {
        "accuracy": ("published in the lecture notes", lambda row: row["top1"]),
        "regnet": ("arXiv:2003.13678, one training schedule", lambda row: 100 - row["error"]),
    }
    points = []
    for name, (source, top1) in sources.items():
        for row in read_table(name):
            profile = profiles.get(row["builder"])
            if profile is not None:
                costs = {"macs": profile.macs, "parameters": profile.trainable}
                points.append(
                    {"network": row["network"], "top1": top1(row), **costs, "source": source}
                )
    return points


def regnet_pairs() -> list[tuple[str, str]]:
    """Returns the pairs of builders that [2] compares: an EfficientNet and a RegNet."""
    names = table_builders("regnet")
    return list(zip(names[::2], names[1::2], strict=True))


def measure_seconds(
    models: dict, batch: int = 8, rounds: int = 5
) -> dict[str, tuple[float, float]]:
    """Measures the time of an image at inference and in a training step: medians of alternating rounds.

    Args:
        models: classifiers by name, each with one input of known size and one output. They are compiled with SGD and
            trained on noise.
        batch: batch size.
        rounds: number of measured rounds. One more round, which compiles, comes first.

    Returns:
        By name, seconds for an image at inference and in a training step.

    Raises:
        ValueError: if `batch` or `rounds` is below 1.
    """
    if batch < 1 or rounds < 1:
        raise ValueError(f"batch and rounds must be at least 1, not batch={batch}, rounds={rounds}")
    random, steps_by_name = np.random.default_rng(0), {}
    for name, model in models.items():
        model.compile("sgd", loss="categorical_crossentropy")
        images = random.normal(size=(batch, *model.input_shape[1:])).astype("float32")
        labels = np.eye(model.output_shape[-1], dtype="float32")[[0] * batch]
        steps_by_name[name] = (
            lambda model=model, images=images: model.predict_on_batch(images),
            lambda model=model, images=images, labels=labels: model.train_on_batch(images, labels),
        )
    seconds = {name: ([], []) for name in models}
    for round_number in range(rounds + 1):
        for name, steps in steps_by_name.items():
            for step, times in zip(steps, seconds[name], strict=True):
                start = time.perf_counter()
                step()
                if round_number > 0:  # the first round compiles
                    times.append((time.perf_counter() - start) / batch)
    return {
        name: tuple(float(np.median(times)) for times in both) for name, both in seconds.items()
    }
