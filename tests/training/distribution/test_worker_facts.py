"""Workers with other flags or other data stop at the start, and name what differs and between which workers."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kapps.training.distribution import worker_facts
from kapps.training.distribution.cluster import ClusterError

RECIPE = pathlib.Path(__file__).parents[3] / "recipes" / "imagenet.py"
SAME = {
    "--model": "lenet5",
    "images": {"unit": "images", "classes": ["a", "b"], "parts": {"a": [3, "0f"]}},
}


class Strategy(tf.distribute.MultiWorkerMirroredStrategy):
    def __init__(self):
        pass


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (SAME, None),
        (SAME | {"--model": "resnet18"}, ["--model: lenet5 (workers 0 and 2), resnet18 (worker 1)"]),
        (SAME | {"--seed": 1}, ["--seed: none (workers 0 and 2), 1 (worker 1)"]),
        (
            SAME | {"images": SAME["images"] | {"parts": {"a": [4, "ff"], "b": [1, "00"]}}},
            ["images, parts, a: [3, '0f'] (workers 0 and 2), [4, 'ff'] (worker 1)", "images, parts, b: none"],
        ),
        (SAME | {f"--{i}": i for i in range(5)}, ["and 2 more"]),
        (SAME | {"--text": "x" * 500}, ["xxx... (worker 1)"]),
        (SAME | {"images": {"classes": [f"class {i}" for i in range(50)]}}, ["images, unit", "same data"]),
    ],
)  # fmt: skip
def test_what_differs_is_named(monkeypatch, other, words):
    monkeypatch.setattr(worker_facts, "_gather", lambda *_: [SAME, other, SAME])
    if words is None:
        worker_facts.compare_facts(Strategy(), SAME)
        return
    with pytest.raises(ClusterError) as error:
        worker_facts.compare_facts(Strategy(), SAME)
    assert all(word in str(error.value) for word in words), error.value
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


def test_one_worker_compares_nothing():
    worker_facts.compare_facts(tf.distribute.get_strategy(), SAME)


@pytest.mark.long
def test_two_workers_with_other_flags_and_data_stop(tmp_path, free):
    addresses, processes = free(2), []
    for worker in range(2):
        for name in ("cat", "dog"):
            folder = tmp_path / f"set{worker}" / "train" / name
            folder.mkdir(parents=True)
            for number in range(8 + worker * (name == "dog")):
                pixels = np.full((8, 8, 3), 20 * number, "uint8")
                Image.fromarray(pixels).save(folder / f"{number}.png")
        (tmp_path / f"set{worker}" / "val").symlink_to(tmp_path / "set0" / "train")
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": worker}}
        command = [
            sys.executable, RECIPE, "--model=lenet5", "--image_size=32", "--augmentation=none", "--schedule=cosine",
            "--epochs=1", "--strategy=multi_worker", "--worker_timeout=60", f"--batch_size={4 + 2 * worker}",
            f"--data_dir=set{worker}", "--model_dir=run", "--export_dir=exported",
        ]  # fmt: skip
        processes.append(
            subprocess.Popen(
                command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
                env={**os.environ, "TF_CONFIG": json.dumps(task), "PYTHONPATH": str(RECIPE.parents[1])},
            )
        )  # fmt: skip
    for process in processes:
        _, err = process.communicate(timeout=200)
        line = err.strip().splitlines()[-1]
        assert process.returncode == 1 and "Traceback" not in err, err
        assert (
            "--batch_size: 4 (worker 0), 6 (worker 1)" in line
            and "training images, parts, dog: [8, " in line
        )
    assert not (tmp_path / "run").exists()
