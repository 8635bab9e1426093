"""visualize_image.py with small settings, on digits and on a model of another run."""

import json

import pytest
import recipe_process

import kapps
from kapps.model_record import record_preprocessing

SMALL = "--epochs=1 --images=2 --steps=2 --layers=1 --output_dir=out"
FILES = ("filters", "heat_maps", "check", "feature_maps")


@pytest.mark.long
@pytest.mark.tensorflow
def test_a_network_on_digits_and_the_model_of_a_run(tmp_path):
    model = kapps.lenet5(input_shape=(32, 32, 3), classes=10)
    record_preprocessing(model, kapps.card("lenet5").preprocessing.at((32, 32)))
    (tmp_path / "run").mkdir()
    model.save(tmp_path / "run" / "model.keras")
    process = recipe_process.run(
        "visualize_image.py", tmp_path, *SMALL.split(), "--probed=40", folders=()
    )
    assert process.returncode == 0, process.stderr
    arguments = [
        "--model_dir=run --images=2 --steps=0 --probed=0 --layers=1 --output_dir=lenet",
        "--model_dir=run --epochs=3 --output_dir=no",
        "--model_dir=nothing --output_dir=no",
    ]
    printed, errors = recipe_process.run_small("visualize_image", tmp_path, arguments)
    for folder, names in (("out", (*FILES, "classes", "probes")), ("lenet", FILES)):
        for name in names:
            assert (tmp_path / folder / f"{name}.png").stat().st_size > 1000
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert len(results["check"]) == 9 and len(results["logits"]) == 10
    assert set(results["probes"]) == {"trained", "random weights"}
    # LeNet-5 has no ReLU: the two methods that are defined for it are left out by name
    lenet = json.loads((tmp_path / "lenet" / "results.json").read_text(encoding="utf-8"))
    assert set(results["check"]) - set(lenet["check"]) == {"guided", "deconvnet"}
    assert printed.count(": left out: ") == 2
    for words, error in zip(("epochs", "nothing"), errors, strict=True):
        assert words in error
    assert not (tmp_path / "no").exists()
