"""The record of a run, read back."""

import json

import keras

from kapps import training


def test_the_record_contains_flags_versions_and_results(tmp_path):
    training.write_run_record(tmp_path / "run.json", {"seed": 3}, {"after": {"accuracy": 0.5}})
    content = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert content["flags"] == {"seed": 3}
    assert content["results"]["after"]["accuracy"] == 0.5
    assert content["versions"]["keras"] == keras.__version__
    assert "commit" in content
