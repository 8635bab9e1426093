"""--option=NAME=VALUE: values of a family's options, and one-line errors for wrong ones."""

import module_files
import pytest


@pytest.fixture(scope="module")
def model_options():
    return module_files.load("recipes/common/model_options.py")


def test_values_are_literals_texts_and_tuples(model_options):
    options = ["layers=2", "dropout = 0.5", "kinds=random,dot_product", "chunk=None", "tied=False"]
    assert model_options.read_options("synthesizer_random", options) == {
        "layers": 2, "dropout": 0.5, "kinds": ("random", "dot_product"), "chunk": None, "tied": False,
    }  # fmt: skip
    assert model_options.read_options("nmt_small", ["cell=lstm"]) == {"cell": "lstm"}
    one = model_options.read_options("synthesizer_random", ["kinds=random"])
    assert one == model_options.read_options("synthesizer_random", ["kinds=('random',)"])


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["layer=2"], ["--option=layer=2", "Did you mean layers", "Allowed:", "d_model"]),
        (["layers"], ["has no value", "--option=NAME=VALUE", "Allowed:"]),
        (["layers=2", "layers=3"], ["--option=layers=3", "twice"]),
        (["layers=wide"], ["--option", "layers='wide'", "integer"]),
        (["vocabulary=9"], ["--option=vocabulary=9", "set by the recipe", "d_model"]),
        (["dropout=0.2"], ["--option=dropout=0.2", "set by the recipe"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_wrong_option_is_one_line_with_the_allowed_ones(model_options, texts, words):
    with pytest.raises(ValueError) as error:
        model_options.read_options("transformer_base", texts, reserved=("vocabulary", "dropout"))
    message = str(error.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_a_member_is_built_with_other_options(model_options):
    options = model_options.read_options("luong2015", ["units=6", "layers=1"])
    model = model_options.build("luong2015", options, embedding=5, vocabulary=11)
    assert model.name == "luong2015" and model.output_shape == (None, None, 11)
    rows = {"own": model_options.find_member("luong2015")}
    own = model_options.build("own", {**options, "embedding": 5}, rows=rows, vocabulary=11)
    assert own.name == "own" and own.count_params() == model.count_params()
