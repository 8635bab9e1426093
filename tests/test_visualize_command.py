"""`kapps visualize`: pages of images and of texts, and errors of one line."""

import base64
import functools
import json
import re

import keras
import numpy as np
import pytest
from keras import layers

from kapps import _commands, _visualize_command, cli
from kapps.data import text as texts

pytestmark = pytest.mark.tensorflow  # images are read by TensorFlow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A classifier that does not record its preprocessing, images, and a recurrent model in a folder of a run."""
    folder = tmp_path_factory.mktemp("visualize")
    keras.utils.set_random_seed(0)
    members = [
        layers.Conv2D(4, 3, activation="relu", name="conv"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3),
    ]
    keras.Sequential([keras.Input((12, 12, 3)), *members], name="net").save(folder / "net.keras")
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    for name in ("one", "images/two", "images/three"):
        image = keras.utils.array_to_img(random.integers(0, 256, (12, 12, 3), "uint8"), scale=False)
        image.save(folder / f"{name}.png")
    (folder / "labels.txt").write_text("cat\ndog\nfish\n", encoding="utf-8")
    (folder / "text.jpg").write_text("not an image", encoding="utf-8")
    vocabulary = texts.characters("abc d")
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(vocabulary.size, 4)(inputs)
    x = layers.LSTM(3, return_sequences=True)(x)
    (folder / "run").mkdir()
    keras.Model(inputs, layers.Dense(vocabulary.size)(x), name="lm").save(
        folder / "run/model.keras"
    )
    (folder / "run/vocabulary.json").write_text(vocabulary.to_json(), encoding="utf-8")
    (folder / "empty").mkdir()
    return folder


@pytest.fixture(scope="module")
def loaded():
    """Each model is loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_commands, "load_model", functools.cache(_commands.load_model))
        yield


@pytest.fixture
def run(folder, capsys):
    """`run(*arguments)` returns the exit status, and what is written to standard error."""

    def run(*arguments):
        code = cli.main(
            ["visualize", *(str(argument).replace("@", f"{folder}/") for argument in arguments)]
        )
        out, error = capsys.readouterr()
        assert out == ""
        return code, error

    return run


def embedded(path):
    return json.loads(
        re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)[1]
    )


def test_images_that_are_not_used_are_counted(run, folder, monkeypatch):
    monkeypatch.setattr(_visualize_command, "MOST_IMAGES", 1)
    options = "--preprocessing=tf --methods=gradient --check=0 --units=1"
    code, error = run(
        "@net.keras", "@one.png", "--html=@few.html", "--images=@images", *options.split()
    )
    assert code == 0 and "Of the 2 images" in error
    data = embedded(folder / "few.html")
    assert any("the first 1 are used" in note for note in data["notes"])
    assert len(data["levels"][0]["units"][0]["images"]) == 1


def test_a_page_of_an_image(run, folder):
    options = "--preprocessing=tf --labels=@labels.txt --class=dog --methods=gradient,grad-cam --check=1 --units=2"
    code, error = run(
        "@net.keras", "@one.png", "--html=@out/one.html", "--images=@images", *options.split()
    )  # fmt: skip
    assert code == 0 and len(error.splitlines()) == 1  # the preprocessing
    data = embedded(folder / "out/one.html")
    assert data["explained"] == {"index": 1, "name": "dog"}
    assert [method["name"] for method in data["methods"]] == ["gradient", "Grad-CAM"]
    assert [level["layer"] for level in data["levels"]] == ["conv"] and data["image"]["shape"] == [
        12,
        12,
        3,
    ]
    assert len(data["levels"][0]["units"][0]["images"]) == 2
    # The page shows the file's own pixels.
    from PIL import Image

    (folder / "shown.png").write_bytes(base64.b64decode(data["image"]["url"].partition(",")[2]))
    shown, file = (
        np.asarray(Image.open(folder / name)).astype(int) for name in ("shown.png", "one.png")
    )
    assert np.abs(shown - file).max() <= 1


def test_a_page_of_a_text_of_a_run(run, folder):
    assert run("@run", "--text=a cab", "--html=@text.html") == (0, "")
    data = embedded(folder / "text.html")
    assert data["texts"] == list("a cab") and data["recurrent"][0]["states"]["c"]["shape"] == [5, 3]


IMAGE = ("@net.keras", "@one.png", "--html=@x.html")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("@net.keras", "@one.png"), "--html"),
        (("@net.keras", "--html=@x.html"), "--text"),
        ((*IMAGE, "--text=a"), "--text"),
        ((*IMAGE, "--vocabulary=@run/vocabulary.json"), "--vocabulary is an option for a text"),
        (("@run", "--text=a", "--units=3", "--html=@x.html"), "--units is an option for an image"),
        (("@net.keras", "@none.png", "--html=@x.html"), "none.png"),
        (("@empty", "@one.png", "--html=@x.html"), "no file model.keras"),
        (("@none", "@one.png", "--html=@x.html"), "none"),
        (("@net.keras", "@text.jpg", "--html=@x.html", "--preprocessing=tf"), "text.jpg"),
        (IMAGE, "--preprocessing"),
        ((*IMAGE, "--preprocessing=tf", "--weights=imagenet"), "its own weights"),
        ((*IMAGE, "--preprocessing=tf", "--class=cow"), "--class=cow"),
        ((*IMAGE, "--preprocessing=tf", "--class=3"), "0 to 2"),
        ((*IMAGE, "--preprocessing=tf", "--labels=@run/vocabulary.json"), "3 classes"),
        ((*IMAGE, "--preprocessing=tf", "--methods=gradiant"), "gradient"),
        ((*IMAGE, "--preprocessing=tf", "--images=@empty"), "no image files"),
        (("@run", "@one.png", "--html=@x.html"), "--text"),
        (
            ("@net.keras", "--text=a", "--vocabulary=@run/vocabulary.json", "--html=@x.html"),
            "tokens",
        ),
        (("@net.keras", "--text=a", "--html=@x.html"), "--vocabulary"),
        (("@run", "--text=a", "--vocabulary=@labels.txt", "--html=@x.html"), "labels.txt"),
        (("@run", "--text=", "--html=@x.html"), "no tokens"),
        (("@run", "--text=a", "--target=b", "--html=@x.html"), "takes one text"),
    ],
)
def test_a_wrong_argument_is_one_line(run, folder, loaded, arguments, words):
    code, error = run(*arguments)
    line = error.splitlines()[-1]
    assert code == 2 and words in line and not (folder / "x.html").exists()
    assert len([x for x in error.splitlines() if not x.startswith("preprocessing:")]) == 1


def test_an_error_leaves_an_older_page(run, folder):
    (folder / "old.html").write_text("old", encoding="utf-8")
    code, _ = run("@net.keras", "@text.jpg", "--html=@old.html", "--preprocessing=tf")
    assert code == 2 and (folder / "old.html").read_text(encoding="utf-8") == "old"


def test_progress_is_one_line_of_a_terminal(capsys):
    progress = _visualize_command._Progress(True)
    progress("a long description" * 20)
    progress("next")
    progress.clear()
    error = capsys.readouterr().err
    assert "\n" not in error and error.endswith("\r\033[K") and "next ..." in error
    assert max(map(len, error.split("\r\033[K"))) < 80
    _visualize_command._Progress(False)("nothing")
    assert capsys.readouterr().err == ""
