"""Keras with another backend, float type or image format than the recipes need is an error of one line."""

import pathlib
import sys

import pytest

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"


@pytest.fixture
def check(monkeypatch, tmp_path):
    """`check(settings, backend)` examines a keras.json and the variable KERAS_BACKEND."""
    monkeypatch.syspath_prepend(RECIPES)
    hook = sys.excepthook
    from common import environment

    def check(settings, backend=None):
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
        if backend is not None:
            monkeypatch.setenv("KERAS_BACKEND", backend)
        (tmp_path / "keras.json").write_text(settings, encoding="utf-8")
        environment.check_keras_settings()

    yield check
    sys.excepthook = hook
    for name in ("common", "common.environment"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("settings", "backend", "words"),
    [
        ("{}", "torch", ["KERAS_BACKEND=torch", "set it to tensorflow"]),
        ('{"backend": "tensorflow"}', "jax", ["KERAS_BACKEND=jax"]),
        ('{"backend": "jax"}', None, ["keras.json has backend='jax'", "'tensorflow'"]),
        ('{"backend": "jax"}', "", ["keras.json has backend='jax'"]),
        ('{"floatx": "float16"}', "tensorflow", ["floatx='float16'", "'float32'"]),
        ('{"image_data_format": "channels_first"}', None, ["image_data_format='channels_first'"]),
    ],
)
def test_other_settings_are_an_error_of_one_line(check, settings, backend, words):
    with pytest.raises(ValueError) as error:
        check(settings, backend)
    message = str(error.value)
    assert "\n" not in message and all(word in message for word in words), message


@pytest.mark.parametrize(
    ("settings", "backend"),
    [
        ("{}", None),
        ('{"backend": "jax"}', "tensorflow"),
        ("not JSON", None),
        ("[1]", None),
        ("{}", ""),
    ],
)
def test_right_settings_are_accepted(check, settings, backend):
    check(settings, backend)
