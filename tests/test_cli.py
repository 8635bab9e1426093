"""The command line: instant where it can be, clean when piped, one line for a user's mistake."""

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
except SystemExit as ended:
    code = ended.code
heavy = sorted({"keras", "tensorflow", "jax", "torch", "numpy"} & set(sys.modules))
print(f"exit {code}, loaded {heavy}")
"""


@pytest.fixture
def run(capsys):
    """`run(*arguments)` gives the exit code, what was printed, and the error."""

    def run(*arguments):
        try:
            code = cli.main(list(map(str, arguments)))
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A model of somebody's, saved."""
    path = tmp_path_factory.mktemp("models") / "mine.keras"
    members = [layers.Conv2D(4, 3, name="conv"), layers.Flatten(), layers.Dense(2)]
    keras.Sequential([keras.Input((12, 12, 3)), *members], name="mine").save(path)
    return path


@pytest.mark.parametrize("arguments", [("list",), ("list", "resn*"), ("show", "resnext50")])
def test_list_and_show_load_no_keras(fresh, arguments):
    assert fresh(LOADED, *arguments).splitlines()[-1] == "exit 0, loaded []"


def test_a_misspelt_name_is_refused_before_keras_is_loaded(fresh):
    assert fresh(LOADED, "profile", "resnxt50").splitlines()[-1] == "exit 1, loaded []"


def test_list(run):
    assert run("list") == (0, "\n".join(kapps.list_models()) + "\n", "")
    assert run("list", "resnet*_v1")[1].split() == kapps.list_models("resnet*_v1")
    assert run("list", "--kind=image")[1].split() == kapps.list_models(kind="image")


def test_show_has_what_the_card_has(run):
    code, out, _ = run("show", "resnext50")
    shown = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0 and shown["paper"] == "arXiv:1611.05431" and shown["year"] == "2016"
    assert shown["parameters"].startswith("25,028,904 ") and shown["MACs"] == "4,230,479,872"
    assert shown["input"].startswith("224x224x3") and "crop 0.875" in shown["preprocessing"]
    assert "weights" in shown


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (("list", "resnxt50"), 1, ["resnxt50", "Did you mean resnext50"]),
        (("show", "resnxt50"), 1, ["resnxt50", "Did you mean resnext50"]),
        (("profile", "resnxt50"), 1, ["resnxt50", "Did you mean resnext50"]),
        (("profile", "none.keras"), 1, ["there is no file none.keras"]),
        (("profile", "resnet18", "--input", "3x"), 2, ["320x320x3", "'3x'"]),
        (("profile", "resnet20_cifar", "--input", "4x4x3"), 1, ["at least"]),
        (("profile", "resnet20_cifar", "--dtype", "float31"), 1, ["'float32'", "'float31'"]),
        (("profile", "resnet20_cifar", "--csv", "/proc/none/a.csv"), 1, ["cannot write"]),
        (("profile",), 2, ["NAME|FILE"]),
        (("shwo", "resnet18"), 2, ["shwo"]),
        ((), 2, ["list | show | profile"]),
    ],
)
def test_a_mistake_is_one_line(run, arguments, code, words):
    given, out, err = run(*arguments)
    assert (given, out) == (code, "") and err.startswith("kapps") and err.count("\n") == 1
    assert all(word in err for word in words)


def test_a_broken_file_is_one_line(run, tmp_path):
    path = tmp_path / "broken.keras"
    path.write_text("no model")
    code, _, err = run("profile", path)
    assert code == 1 and "broken.keras cannot be loaded" in err and err.count("\n") == 1


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
    read = json.loads(path.read_text())
    assert read["macs"] == 10800 + 800 and sum(each["macs"] for each in read["levels"]) == 11600


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


def test_who_reads_only_the_beginning_hears_no_complaint():
    done = subprocess.run(
        f"{sys.executable} -m kapps list | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines() == kapps.list_models()[:1] and done.stderr == ""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small network's .keras file, its .tflite file, and one of other weights."""
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
def test_verify(run, exported, tmp_path):
    given = ["--model", exported / "net.keras", "--dataset", "digits", "--images", "20"]
    code, out, _ = run("verify", exported / "net.tflite", *given)
    assert (
        code == 0 and "tflite, float32" in out and "20 images" in out and "ms on 2 threads" in out
    )
    code, _, error = run("verify", exported / "other.tflite", *given)
    assert code == 1 and "differs by" in error and len(error.splitlines()) == 1
    code, _, _ = run("verify", exported / "net.tflite", *given, "--json", tmp_path / "report.json")
    assert code == 0 and json.loads((tmp_path / "report.json").read_text())["top1_agreement"] == 1


@pytest.mark.tensorflow
def test_verify_of_tokens(run, tmp_path):
    tokens = keras.Input((5,), dtype="int32")
    x = keras.layers.LSTM(4)(keras.layers.Embedding(9, 4)(tokens))
    model = keras.Model(tokens, keras.layers.Dense(3)(x), name="words")
    model.save(tmp_path / "words.keras")
    file = kapps.export.tflite(model, tmp_path / "words.tflite")
    np.save(tmp_path / "tokens.npy", np.arange(40).reshape(8, 5) % 9)
    given = ["verify", file, "--model", tmp_path / "words.keras", "--inputs"]
    code, out, _ = run(*given, tmp_path / "tokens.npy", "--images", "6")
    assert code == 0 and "6 images" in out and "top-1 agreement 100.0%" in out
    np.save(tmp_path / "halves.npy", np.zeros((8, 5)))
    (tmp_path / "text.npy").write_text("the time traveller")
    for name, words in [("halves.npy", "takes tokens [n, 5]"), ("text.npy", "is no .npy file")]:
        code, _, error = run(*given, tmp_path / name)
        assert code == 1 and words in error and len(error.splitlines()) == 1


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["net.tflite", "--model", "net.keras"], "no images: give --data_dir"),
        (["none.tflite", "--model", "net.keras", "--dataset", "digits"], "there is no file"),
        (["net.tflite", "--model", "none.keras", "--dataset", "digits"], "there is no file"),
        (["net.tflite", "--model", "net.tflite", "--dataset", "digits"], "is no .keras file"),
        (["net.keras", "--model", "net.keras", "--dataset", "digits"], "neither a SavedModel"),
        (["net.tflite", "--model", "net.keras", "--data_dir", "none"], "none"),
    ],
)
def test_a_mistake_in_verify_is_one_line(run, exported, arguments, words):
    given = [exported / x if "." in x else x for x in arguments]
    code, _, error = run("verify", *given)
    assert code == 1 and words in error and len(error.splitlines()) == 1


@pytest.mark.tensorflow
def test_demo_serves_the_page_until_it_is_ended(exported, tmp_path):
    (tmp_path / "kapps/litertjs/node_modules/@litertjs/core/wasm").mkdir(parents=True)
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path),
        "BROWSER": "true",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "kapps", "demo", str(exported / "net.tflite")]
    # What is started in the background of a shell ignores Ctrl+C and hands that down; a handler is not handed down.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    try:
        url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
        with urllib.request.urlopen(url) as page:
            assert page.read().startswith(b"<!doctype html>")
        with urllib.request.urlopen(f"{url}/about.json") as about:
            assert json.load(about)["name"] == "net"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.stdout.close()
