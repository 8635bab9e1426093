"""`kapps export`: the files of an image model, their verification, and errors of one line."""

import keras
import pytest

import kapps
from kapps import cli

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with net.keras, weights of resnet20_cifar, a model of tokens, and class names."""
    folder = tmp_path_factory.mktemp("export")
    keras.utils.set_random_seed(0)
    kapps.resnet20_cifar(input_shape=(16, 16, 3), name="net").save(folder / "net.keras")
    kapps.resnet20_cifar().save_weights(folder / "net.weights.h5")
    kapps.families.rnn_lm(vocabulary=8, units=(4,)).save(folder / "words.keras")
    names = [f"class{i}" for i in range(10)]
    kapps.families.resnet_cifar(n=1, input_shape=(None, None, 3), name="any_size").save(
        folder / "any_size.keras"
    )
    (folder / "labels.txt").write_text("\n".join(names), encoding="utf-8")
    return folder


@pytest.fixture
def run(folder, capsys):
    """`run(*arguments)` returns the exit status, standard output and standard error; "@" stands for the folder."""

    def run(*arguments):
        words = [str(argument).replace("@", f"{folder}/") for argument in arguments]
        code = cli.main(["export", *words])
        return code, *capsys.readouterr()

    return run


@pytest.mark.long
def test_every_file_is_written_and_verified(run, folder, tmp_path):
    code, out, error = run(
        "@net.keras", tmp_path, "--tflite=float16", "--tflite=int8", "--tflite_in_saved_model",
        "--labels=@labels.txt", "--dataset=digits", "--images=64",
    )  # fmt: skip
    lines = out.splitlines()
    kinds = [line.partition(": ")[2].split(", ")[:2] for line in lines]
    expected = [
        ["saved_model", "float32"],
        *(["tflite", x] for x in ("float32", "float16", "int8")),
    ]
    assert kinds == expected and all("64 examples" in x for x in lines)
    version = tmp_path / "net" / "1"
    assert (version / "model.tflite").exists() and (version / "assets" / "labels.txt").exists()
    assert (tmp_path / "net" / "1.int8.tflite").exists()
    # An untrained network has nearly equal scores, so that int8 may have other classes.
    failures = [line for line in error.splitlines() if line.startswith("kapps: ")]
    assert code == (1 if failures else 0) and all("int8" in line for line in failures)


@pytest.mark.long
def test_a_builder_with_weights_is_verified_on_random_pixels(run, tmp_path):
    code, out, _ = run("resnet20_cifar", tmp_path, "--weights=@net.weights.h5")
    assert code == 0 and "8 examples" in out and len(out.splitlines()) == 1
    assert not (tmp_path / "resnet20_cifar" / "1" / "model.tflite").exists()


@pytest.mark.long
def test_a_model_of_any_size_is_verified_at_the_size_of_its_preprocessing(run, tmp_path):
    code, out, _ = run("@any_size.keras", tmp_path)
    assert code == 0 and "8 examples" in out


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["resnet20_cifar", "@out"], ["random weights", "--weights"]),
        (["@net.keras", "@out", "--weights=@net.weights.h5"], ["its own weights"]),
        (["@net.keras", "@out", "--tflite=int9"], ["int9", "int8"]),
        (["@net.keras", "@out", "--tflite=int8"], ["int8", "--data_dir"]),
        (["@words.keras", "@out"], ["words.keras", "saved_model"]),
        (["@nothing.keras", "@out"], ["nothing.keras"]),
        (["@net.keras", "@net.weights.h5"], ["net.weights.h5"]),
        (["@net.keras", "@out", "--labels=@nothing.txt"], ["nothing.txt"]),
        (["@net.keras", "@out", "--data_dir=@nothing"], ["nothing"]),
    ],
)
def test_a_wrong_argument_is_one_line(run, folder, arguments, words):
    code, out, error = run(*arguments)
    assert code == 2 and out == "" and not (folder / "out").exists()
    assert len(error.splitlines()) == 1 and all(word in error for word in words)
