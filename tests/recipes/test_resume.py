"""Every recipe resumes to the same bits: runs that are killed at random places, in processes of their own."""

import pathlib
import subprocess
import sys

import changes
import pytest

ROOT = pathlib.Path(__file__).parents[2]


ALWAYS = ["imagenet", "language_model", "counting"]
"""Recipes of a run of images, of a run whose layers carry states, and of a table of networks: the ways to resume."""
RUNS = [
    "finetune", "translation", "mappings", "nowcasting", "cifar10", "autoregression", "segmentation", "captions",
    "gan",
]  # fmt: skip
"""Other recipes of runs. CI runs those that changed."""
TABLES = [
    "sequence_tasks", "attention_tasks", "memory_tasks", "multi_task", "self_attentive", "pointer_tasks", "few_shot",
    "gradients", "search",
]  # fmt: skip
"""Other recipes of a table, which all resume by `recipes/common/results.py`, as counting.py does."""


@pytest.mark.parametrize(
    "killed_recipe",
    [pytest.param(name, marks=pytest.mark.long) for name in ALWAYS]
    + [pytest.param(name, marks=pytest.mark.changed) for name in RUNS if name in changes.changed_recipes()]
    + [pytest.param(name, marks=[pytest.mark.long, pytest.mark.unchanged]) for name in TABLES],
)  # fmt: skip
def test_a_killed_recipe_ends_with_the_results_of_an_uninterrupted_one(killed_recipe):
    command = [
        sys.executable,
        ROOT / "tools" / "faults" / "kills.py",
        "--cases=1",
        f"--only={killed_recipe}",
    ]
    process = subprocess.run(
        command, capture_output=True, text=True, timeout=1800, encoding="utf-8"
    )
    assert process.returncode == 0 and " 0 faults" in process.stdout, (
        process.stdout + process.stderr
    )
