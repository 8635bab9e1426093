"""The command line: exit status, text on standard output, one line on standard error for a wrong argument."""

import csv
import io
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import urllib.request

import keras
import numpy as np
import pytest
from keras import layers

import kapps
from kapps import cli

ROOT = pathlib.Path(kapps.__file__).parents[1]
LOADED = """
import runpy, sys
sys.argv = ["kapps", *sys.argv[1:]]
try:
    runpy.run_module("kapps", run_name="__main__")
except SystemExit as exit:
    code = exit.code
heavy = sorted({"keras", "tensorflow", "jax", "torch", "numpy"} & set(sys.modules))
print(f"exit {code}, loaded {heavy}")
"""


@pytest.fixture
def run(capsys):
    """`run(*arguments)` returns the exit status, standard output and standard error."""

    def run(*arguments):
        try:
            code = cli.main(list(map(str, arguments)))
        except SystemExit as exit_:
            code = exit_.code
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A saved model that no builder made."""
    path = tmp_path_factory.mktemp("models") / "mine.keras"
    members = [layers.Conv2D(4, 3, name="conv"), layers.Flatten(), layers.Dense(2)]
    keras.Sequential([keras.Input((12, 12, 3)), *members], name="mine").save(path)
    return path


@pytest.mark.parametrize("arguments", [("list",), ("list", "resn*"), ("show", "resnext50")])
def test_list_and_show_load_no_keras(fresh, arguments):
    assert fresh(LOADED, *arguments).splitlines()[-1] == "exit 0, loaded []"


def test_a_misspelt_name_does_not_load_keras(fresh):
    assert fresh(LOADED, "profile", "resnxt50").splitlines()[-1] == "exit 2, loaded []"


def test_list(run):
    assert run("list") == (0, "\n".join(kapps.list_models()) + "\n", "")
    assert run("list", "resnet*_v1")[1].split() == kapps.list_models("resnet*_v1")
    assert run("list", "--kind=image")[1].split() == kapps.list_models(kind="image")


def test_show(run):
    code, out, _ = run("show", "resnext50")
    shown = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0 and shown["paper"] == "arXiv:1611.05431" and shown["year"] == "2016"
    assert shown["parameters"].startswith("25,028,904 ") and shown["MACs"] == "4,230,479,872"
    assert shown["input"].startswith("224x224x3") and "crop 0.875" in shown["preprocessing"]
    assert "weights" in shown


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("list", "resnxt50"), ["resnxt50", "Did you mean resnext50"]),
        (("show", "resnxt50"), ["resnxt50", "Did you mean resnext50"]),
        (("profile", "resnxt50"), ["resnxt50", "Did you mean resnext50"]),
        (("profile", "none.keras"), ["none.keras"]),
        (("profile", "resnet18", "--input", "3x"), ["320x320x3", "'3x'"]),
        (("profile", "resnet20_cifar", "--input", "4x4x3"), ["at least"]),
        (("profile", "resnet20_cifar", "--dtype", "float31"), ["'float32'", "'float31'"]),
        (("profile", "resnet20_cifar", "--csv", "/proc/none/a.csv"), ["cannot write"]),
        (("profile",), ["NAME|FILE"]),
        (("shwo", "resnet18"), ["shwo"]),
        (("predict", "resnet18", "a.jpg"), ["resnet18", "--weights"]),
        (("predict", "resnet18", "a.jpg", "--weights", "none.h5"), ["none.h5"]),
        (("predict", "resnet81", "a.jpg", "--weights", "imagenet"), ["Did you mean resnet18"]),
        (("predict", "none.keras", "a.jpg"), ["none.keras"]),
        (("predict", "resnet18", "a.jpg", "--weights", "imagenet", "--top", "0"), ["--top", "'0'"]),
        (("predict", "resnet18"), ["IMAGE"]),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_2(run, arguments, words):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and err.startswith("kapps") and err.count("\n") == 1
    assert all(word in err for word in words)


def test_no_command_prints_the_help(run):
    code, out, err = run()
    assert (code, err) == (0, "") and "kapps predict" in out and "list the names" in out
    assert run("--help")[1] == out


def test_a_corrupt_file_is_one_line(run, tmp_path):
    path = tmp_path / "corrupt.keras"
    path.write_text("no model", encoding="utf-8")
    code, _, err = run("profile", path)
    assert code == 2 and "corrupt.keras" in err and err.count("\n") == 1


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A directory with a small network's .keras and weights files, two images, and class names."""
    folder = tmp_path_factory.mktemp("classifier")
    keras.utils.set_random_seed(1)
    model = kapps.resnet20_cifar()
    model.save(folder / "net.keras")
    model.save_weights(folder / "net.weights.h5")
    random = np.random.default_rng(0)
    for name in ("one", "two"):
        image = keras.utils.array_to_img(random.integers(0, 256, (40, 48, 3), "uint8"), scale=False)
        image.save(folder / f"{name}.png")
    (folder / "labels.txt").write_text("".join(f"class {i}\n" for i in range(10)), encoding="utf-8")
    (folder / "text.jpg").write_text("not an image", encoding="utf-8")
    return folder


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(["net.keras"], marks=pytest.mark.long),
        ["resnet20_cifar", "--weights", "net.weights.h5"],
    ],
)
def test_predict(run, classifier, model):
    name, *weights = [classifier / part if "." in part else part for part in model]
    paths = [str(classifier / f"{name}.png") for name in ("one", "two")]
    options = [*weights, "--labels", classifier / "labels.txt"]
    code, out, err = run("predict", name, *paths, *options, "--json", "--top", "10")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    assert [row["image"] for row in rows] == paths
    model = keras.saving.load_model(classifier / "net.keras")
    scores = model.predict(kapps.preprocess(paths, model), verbose=0)
    for row, expected in zip(rows, scores, strict=True):
        predictions = row["predictions"]
        assert [p["class"] for p in predictions] == list(np.argsort(-expected))
        assert predictions[0]["name"] == f"class {expected.argmax()}"
        assert predictions[0]["probability"] == pytest.approx(expected.max(), rel=1e-4)
        assert sum(p["probability"] for p in predictions) == pytest.approx(1, abs=1e-4)
    code, out, _ = run("predict", name, paths[0], *options, "--top", "2")
    lines = out.splitlines()
    assert code == 0 and lines[0] == paths[0] and len(lines) == 3
    assert lines[1].endswith(f"class {scores[0].argmax()}") and f"{scores[0].max():.4f}" in lines[1]


@pytest.mark.tensorflow
def test_predict_names_an_unreadable_image_and_predicts_the_others(run, classifier):
    paths = [classifier / name for name in ("one.png", "text.jpg", "none.jpg")]
    options = ["--labels", classifier / "labels.txt", "--json"]
    code, out, err = run("predict", classifier / "net.keras", *paths, *options)
    assert code == 1 and [row["image"] for row in json.loads(out)] == [str(paths[0])]
    first, second = err.splitlines()
    assert "text.jpg" in first and "none.jpg" in second


@pytest.mark.tensorflow
def test_predict_needs_a_card_for_a_model_that_no_builder_made(run, file, classifier):
    image = classifier / "one.png"
    labels = classifier / "labels.txt"
    labels_of_two = classifier / "two.txt"
    labels_of_two.write_text("yes\nno\n", encoding="utf-8")
    code, _, err = run("predict", file, image)
    assert code == 2 and "mine" in err
    code, out, _ = run("predict", file, image, "--card", "resnet18", "--labels", labels_of_two)
    assert code == 0 and {line.split()[-1] for line in out.splitlines()[1:]} == {"yes", "no"}
    code, _, err = run("predict", file, image, "--card", "resnet18", "--labels", labels)
    assert code == 2 and all(word in err for word in ("labels.txt", "10 names", "2 classes"))


@pytest.mark.long
@pytest.mark.tensorflow
@pytest.mark.parametrize("shape", [(28, 28, 1), (None, None, 3)])
def test_predict_with_a_grey_model_and_one_of_any_size(run, classifier, shape):
    model = kapps.resnet20_cifar(input_shape=shape)
    model.save(classifier / "other.keras")
    image = classifier / "one.png"
    options = ["--labels", classifier / "labels.txt", "--json"]
    code, out, err = run("predict", classifier / "other.keras", image, *options)
    assert (code, err) == (0, "")
    (row,) = json.loads(out)
    scores = model.predict(kapps.preprocess(str(image), model), verbose=0)
    assert row["predictions"][0]["class"] == scores[0].argmax()


@pytest.mark.tensorflow
def test_predict_needs_labels_for_other_classes_than_imagenet(run, classifier):
    code, _, err = run("predict", classifier / "net.keras", classifier / "one.png")
    assert code == 2 and "--labels" in err and "10 classes" in err


@pytest.mark.long
@pytest.mark.tensorflow
def test_predict_writes_nothing_but_its_result(classifier):
    """TensorFlow's start-up lines do not reach the terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "kapps", "predict", classifier / "net.keras", classifier / "one.png",
         "--labels", classifier / "labels.txt"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, encoding="utf-8"
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "") and len(done.stdout.splitlines()) == 6


def test_profile_of_a_file(run, file):
    code, out, _ = run("profile", file, "--layer")
    assert code == 0 and out.splitlines()[0] == "mine, input 1x12x12x3"
    assert f"{100 * 4 * 27:,}" in out and "\033" not in out


def test_profile_by_name_and_size(run):
    code, out, _ = run("profile", "resnet20_cifar", "--input", "64x64x3", "--block", "--batch", "2")
    assert code == 0 and out.startswith("resnet20_cifar, input 2x64x64x3") and "times" in out
    expected = kapps.profile(kapps.resnet20_cifar(input_shape=(64, 64, 3)), batch=2)
    assert expected.table("block") + "\n" == out


def test_csv_and_json(run, file, tmp_path):
    _, out, _ = run("profile", file, "--layer", "--csv")
    (conv, *_) = csv.DictReader(io.StringIO(out))
    assert conv["name"] == "conv" and conv["macs"] == "10800" and conv["kernel"] == "3x3"
    assert conv["outputs"] == "1x10x10x4"
    path = tmp_path / "profile.json"
    assert run("profile", file, "--json", path) == (0, "", "")
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read["macs"] == 10800 + 800 and sum(level["macs"] for level in read["levels"]) == 11600


@pytest.mark.long
def test_colours_only_on_a_terminal(file):
    if sys.platform == "win32":
        pytest.skip("no pseudo-terminals")
    leader, follower = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "kapps", "profile", str(file)],
        stdout=follower,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    process.wait()
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert "\033[1m" in shown and "total" in shown


def test_a_closed_pipe_is_not_an_error():
    done = subprocess.run(
        f"{sys.executable} -m kapps list | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        encoding="utf-8",
    )
    assert done.stdout.splitlines() == kapps.list_models()[:1] and done.stderr == ""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Two small networks of different weights, as .keras and .tflite files."""
    from kapps import export

    folder = tmp_path_factory.mktemp("exported")
    for name in ("net", "other"):
        keras.utils.set_random_seed(len(name))
        model = kapps.resnet20_cifar(input_shape=(16, 16, 3))
        model.save(folder / f"{name}.keras")
        preprocessing = kapps.card(model).preprocessing
        export.tflite(model, folder / f"{name}.tflite", preprocessing=preprocessing)
    return folder


@pytest.mark.tensorflow
@pytest.mark.long
def test_verify(run, exported, tmp_path):
    options = ["--model", exported / "net.keras", "--dataset", "digits", "--images", "20"]
    code, out, _ = run("verify", exported / "net.tflite", *options)
    assert (
        code == 0 and "tflite, float32" in out and "20 examples" in out and "ms on 2 threads" in out
    )
    code, _, error = run("verify", exported / "other.tflite", *options)
    assert code == 1 and "differs from the model" in error and len(error.splitlines()) == 1
    code, _, _ = run(
        "verify", exported / "net.tflite", *options, "--json", tmp_path / "report.json"
    )
    assert (
        code == 0
        and json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["top1_agreement"]
        == 1
    )


@pytest.mark.long
@pytest.mark.tensorflow
def test_verify_of_tokens(run, tmp_path):
    tokens = keras.Input((5,), dtype="int32")
    x = keras.layers.LSTM(4)(keras.layers.Embedding(9, 4)(tokens))
    model = keras.Model(tokens, keras.layers.Dense(3)(x), name="words")
    model.save(tmp_path / "words.keras")
    file = kapps.export.tflite(model, tmp_path / "words.tflite")
    np.save(tmp_path / "tokens.npy", np.arange(40).reshape(8, 5) % 9)
    arguments = ["verify", file, "--model", tmp_path / "words.keras", "--inputs"]
    code, out, _ = run(*arguments, tmp_path / "tokens.npy", "--images", "6")
    assert code == 0 and "6 examples" in out and "top-1 agreement 100.0%" in out
    np.save(tmp_path / "floats.npy", np.zeros((8, 5)))
    (tmp_path / "text.npy").write_text("the time traveller", encoding="utf-8")
    for name, words in [
        ("floats.npy", "takes tokens [n, 5]"),
        ("text.npy", "text.npy is not a readable .npy file"),
    ]:
        code, _, error = run(*arguments, tmp_path / name)
        assert code == 2 and words in error and len(error.splitlines()) == 1


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["net.tflite", "--model", "net.keras"], "--data_dir"),
        (["none.tflite", "--model", "net.keras", "--dataset", "digits"], "there is no file"),
        (["net.tflite", "--model", "none.keras", "--dataset", "digits"], "there is no file"),
        (["net.tflite", "--model", "net.tflite", "--dataset", "digits"], "not a .keras file"),
        (["net.keras", "--model", "net.keras", "--dataset", "digits"], "neither a SavedModel"),
        (["net.tflite", "--model", "net.keras", "--data_dir", "none"], "none"),
    ],
)
def test_a_wrong_argument_of_verify_is_one_line(run, exported, arguments, words):
    paths = [exported / part if "." in part else part for part in arguments]
    code, _, error = run("verify", *paths)
    assert code == 2 and words in error and len(error.splitlines()) == 1


@pytest.mark.long
@pytest.mark.tensorflow
def test_demo_serves_the_page_until_ctrl_c(exported, tmp_path):
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path),
        "BROWSER": "true",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "kapps", "demo", str(exported / "net.tflite")]
    # A process in the background of a shell ignores Ctrl+C, and its children too; a handler is not inherited.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    signal.signal(signal.SIGINT, before)
    try:
        url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
        with urllib.request.urlopen(url) as page:
            assert page.read().startswith(b"<!doctype html>")
        with urllib.request.urlopen(f"{url}/about.json") as about:
            assert json.load(about)["name"] == "net"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.stdout.close()
