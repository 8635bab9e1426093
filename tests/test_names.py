"""The public names: loaded lazily, described by stubs, and a misspelt name raises an error with the nearest."""

import ast
import importlib
import inspect
import json
import operator
import pathlib
import sys

import pytest

import kapps
from kapps import _index, cards, families

FOLDER = pathlib.Path(kapps.__file__).parent
LOADED = """
import json, sys
{before}
before = set(sys.modules)
{statement}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.fixture
def loaded(fresh):
    """`loaded(statement, before="")` gives the modules that a statement loads in a new process."""

    def loaded(statement, before=""):
        printed = fresh(LOADED.format(statement=statement, before=before))
        return json.loads(printed.splitlines()[-1])

    return loaded


def packages_of(modules):
    """Returns the top-level packages of modules, without the standard library's and hidden ones."""
    packages = {module.partition(".")[0] for module in modules}
    return {name for name in packages - sys.stdlib_module_names if not name.startswith("_")}


@pytest.mark.parametrize(
    "statement",
    [
        "import kapps",
        "import kapps; kapps.list_models(); kapps.card('resnext50'); dir(kapps); kapps.__all__",
        "from kapps import Card, Preprocessing, card, list_models",
        "from kapps import families; dir(families); families.__all__",
    ],
)
def test_names_and_cards_load_no_keras(loaded, statement):
    assert packages_of(loaded(statement)) == {"kapps", "lazy_loader", "wrapt"}


@pytest.mark.long
def test_a_builder_loads_its_family_and_no_more(loaded):
    modules = loaded("from kapps import resnext50", before="import keras")
    assert packages_of(modules) <= {
        "kapps",
        "lazy_loader",
        "wrapt",
    }  # of all that is not Keras's own
    assert {name for name in modules if name.startswith("kapps.cnn.")} == {"kapps.cnn.resnet"}
    assert not [name for name in modules if name.startswith(("kapps.data", "kapps.export"))]


@pytest.fixture(scope="module")
def functions_and_builders():
    return _index.family_functions_and_builders()


@pytest.mark.parametrize("name", ["index.json", "__init__.pyi", "families.pyi"])
def test_the_written_files_are_those_of_the_tables(name, functions_and_builders):
    functions, builders = functions_and_builders
    text = {
        "index.json": lambda: _index.index(functions, builders),
        "__init__.pyi": lambda: _index.package_stub(builders),
        "families.pyi": lambda: _index.families_stub(functions),
    }[name]()
    assert (FOLDER / name).read_text(encoding="utf-8") == text, "run python -m kapps._index"


def test_the_index_has_one_card_a_line():
    lines = (FOLDER / "index.json").read_text(encoding="utf-8").splitlines()
    cards_ = [line for line in lines if line.startswith('{"name"')]
    assert len(cards_) == len(kapps.list_models())
    row = json.loads(next(line for line in cards_ if '"resnet50"' in line).rstrip(","))
    assert row["params"] == 25_557_032 and "input_shape" not in row  # the default is left out


def definitions(name):
    """Returns {function: its parsed definition} of a stub."""
    tree = ast.parse((FOLDER / name).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", ["__init__.pyi", "families.pyi"])
def test_stubs_have_the_real_signatures(name, functions_and_builders):
    stubs = definitions(name)
    functions = functions_and_builders[1 if name == "__init__.pyi" else 0]
    assert list(stubs) == [function.__name__ for function in functions]
    for function in functions:
        stub, signature = stubs[function.__name__].args, inspect.signature(function)
        defaults = [None] * (len(stub.args) - len(stub.defaults)) + stub.defaults
        arguments = [
            *zip(stub.args, defaults, strict=True),
            *zip(stub.kwonlyargs, stub.kw_defaults, strict=True),
        ]
        assert [argument.arg for argument, _ in arguments] == list(signature.parameters)
        for (argument, default), real in zip(arguments, signature.parameters.values(), strict=True):
            if default is None:
                assert real.default is real.empty
            elif ast.unparse(default) != "...":
                assert ast.literal_eval(default) == real.default
            if argument.annotation:
                assert ast.unparse(argument.annotation) == real.annotation.replace('"', "'")


def test_the_stub_has_every_public_name():
    tree = ast.parse((FOLDER / "__init__.pyi").read_text(encoding="utf-8"))
    names = set(definitions("__init__.pyi"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level:
            names |= {alias.asname for alias in node.names}
    assert names == set(kapps.__all__)


def test_every_model_is_a_public_name():
    assert set(kapps.list_models()) < set(kapps.__all__)
    assert {"resnet50", "card", "pyramid_outputs", "to_keras_layers", "data", "export"} < set(
        dir(kapps)
    )
    for name in set(kapps.__all__) - set(kapps.SUBMODULES):
        assert getattr(kapps, name).__name__ == name


@pytest.mark.tensorflow
@pytest.mark.parametrize("submodule", kapps.SUBMODULES)
def test_every_submodule_loads(submodule):
    assert getattr(kapps, submodule).__name__ == f"kapps.{submodule}"


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "name",
    [
        "attention_weights", "data.eval_dataset", "data.steps_per_epoch", "data.take_images", "data.train_dataset",
        "decode_predictions", "generation.encoder_and_step", "generation.step_model", "heads.global_average_pooling",
        "preprocess", "profile", "pyramid_outputs", "to_keras_layers", "training.make_strategy",
        "training.set_precision",
    ],
)  # fmt: skip
def test_documented_names_are_reachable(name):
    assert callable(operator.attrgetter(name)(kapps))


def test_family_functions():
    assert set(families.__all__) == set(dir(families)) == set(cards.family_modules())
    for name in families.__all__:
        function = getattr(families, name)
        assert function.builder.family == name and function.card is None
    assert {cards.card(name).family for name in cards.list_models()} <= set(families.__all__)
    with pytest.raises(AttributeError, match=r"'resnt'.*Did you mean resnet"):
        families.resnt  # noqa: B018
    with pytest.raises(AttributeError, match=r"'resnet'.*kapps\.families\.resnet"):
        kapps.resnet  # noqa: B018


def test_a_misspelt_attribute_says_the_nearest():
    with pytest.raises(AttributeError) as caught:
        kapps.resnxt50  # noqa: B018
    assert "resnxt50" in str(caught.value) and "Did you mean resnext50" in str(caught.value)
    assert not hasattr(kapps, "nothing_like_it")


def test_a_misspelt_import_says_the_nearest(fresh):
    *_, last = fresh("from kapps import resnxt50", check=False).splitlines()
    assert last.startswith("ImportError") and "resnxt50" in last and "resnext50" in last


REGISTERED = """
import importlib, pkgutil
import keras, kapps
registered = set(keras.saving.get_custom_objects())
for name in ("layers", "recurrent", "generation", "training"):
    package = importlib.import_module(f"kapps.{name}")
    for info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"kapps.{name}.{info.name}")
print(sorted(set(keras.saving.get_custom_objects()) - registered))
"""


@pytest.mark.tensorflow
def test_importing_kapps_registers_its_classes(fresh):
    assert fresh(REGISTERED).splitlines()[-1] == "[]"


NO_TENSORFLOW = """
import sys
{imports}
assert keras.backend.backend() == "openvino" and "kapps>Lamb" in keras.saving.get_custom_objects()
print(sorted({{"tensorflow", "jax", "torch"}} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "imports",
    ["import keras, kapps", pytest.param("import kapps, keras", marks=pytest.mark.long)],
)
def test_registration_imports_no_other_backend(fresh, imports):
    pytest.importorskip("openvino")
    program = NO_TENSORFLOW.format(imports=imports)
    assert fresh(program, KERAS_BACKEND="openvino").splitlines()[-1] == "[]"


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("data.open_sorce", "open_source"), ("data.text.word", "words"), ("data.image.Sourc", "Source"),
        ("data.sequence.read_serie", "read_series"), ("training.Rnu", "Run"), ("layers.Maxuot", "Maxout"),
        ("heads.clasifier", "classifier"), ("export.safed_model", "saved_model"), ("weights.from_tortch", "from_torch"),
        ("visualize.plot_line", "plot_lines"), ("analysis.profil", "profile"), ("generation.generat", "generate"),
        ("data.translation.read_sentence", "read_sentences"),
    ],
)  # fmt: skip
def test_a_misspelt_name_of_a_package_has_the_nearest_match(name, nearest):
    package, _, attribute = name.rpartition(".")
    module = importlib.import_module(f"kapps.{package}")
    with pytest.raises(
        AttributeError, match=rf"kapps\.{package} has no '{attribute}'\. .*{nearest}"
    ):
        getattr(module, attribute)
    if not hasattr(module, "__path__"):  # Python writes the error of an import from a module itself
        return
    with pytest.raises(ImportError, match=rf"'{attribute}'\. .*{nearest}"):
        exec(f"from kapps.{package} import {attribute}")


COMPILED = """
import keras, numpy as np
from kapps import training
tokens = keras.Input((4,), dtype="int32")
model = keras.Model(tokens, keras.layers.Dense(7)(keras.layers.Embedding(7, 3)(tokens)))
rate = training.schedules.WarmUp(training.schedules.PerUpdate(training.InverseSquareRoot(0.01, 5), 2), 3)
model.compile(training.Lamb(rate), training.SmoothedSparseCrossentropy(), metrics=[training.Perplexity()])
x = np.arange(12).reshape(3, 4) % 7
model.fit(x, x, verbose=0)
model.save("model.keras")
print(*model.evaluate(x, x, verbose=0))
"""
LOADED_AGAIN = """
import kapps
import keras, numpy as np, sys
model = keras.saving.load_model(sys.argv[1])
x = np.arange(12).reshape(3, 4) % 7
print(*model.evaluate(x, x, verbose=0))
model.fit(x, x, verbose=0)
rate = model.optimizer._learning_rate
print(type(model.optimizer).__name__, type(model.loss).__name__, type(rate).__name__,
      type(rate.schedule).__name__, type(rate.schedule.schedule).__name__)
"""


@pytest.mark.long
def test_a_compiled_model_loads_after_importing_kapps(fresh, tmp_path):
    saved = fresh(COMPILED).split()
    *_, loaded, names = fresh(LOADED_AGAIN, tmp_path / "model.keras").splitlines()
    assert list(map(float, loaded.split())) == pytest.approx(list(map(float, saved[-2:])))
    assert names == "Lamb SmoothedSparseCrossentropy WarmUp PerUpdate InverseSquareRoot"
