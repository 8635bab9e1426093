"""The commands of README.md, the guides, the tutorials and the pages of results.

Every command of a recipe and of `kapps` is parsed by the program's own parser, so that its flags exist and their values
are valid; paths that a reader has are made empty. Other programs of the project exist and have the flags. Commands of
`kapps` are also run, except those of `LEFT_OUT`; those that build a large network in the long tests only. CI runs the
two commands of README.md, and tests/recipes/ every recipe.
"""

import pathlib
import re
import shlex

import document_samples as samples
import module_files
import pytest
from absl import flags
from absl.testing import flagsaver

from kapps import cli
from kapps.training import flag_parsing
from kapps.training.flag_types import PathParser

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^ *```bash\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:kapps \w+|python recipes/\w+\.py) [^`\n]+)`")
OTHER_PROGRAMS = {
    "pip", "pytest", "mkdocs", "ruff", "lint-imports", "bazel", "source", "export", "python3", "pre-commit",
    "sbatch", ".ci/run", "kubectl",
}  # fmt: skip
"""Programs whose arguments are not examined."""
LEFT_OUT = {
    "export": "needs weights; tests/test_export_command.py",
    "demo": "serves a page until Ctrl-C; tests/export/demo/",
    "table": "builds fourteen large networks; tests/analysis/test_published_results.py",
    "visualize": "needs the folders of runs, or minutes; tests/test_visualize_command.py",
    "verify": "needs an exported file and data; tests/test_cli.py",
}
"""Commands of `kapps` that are parsed and not run, with the reason and the test that runs them."""
RECIPE_ARGUMENTS = {"serving_client.py": "images"}
"""What recipes take in addition to flags."""


def read_commands(text):
    """Returns the words of each command of a document: lines of bash blocks, and commands in the text."""
    lines = [
        line for block in BLOCK.findall(text) for line in re.sub(r"\\\n", " ", block).splitlines()
    ]
    for line in lines + INLINE.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        for command in re.split(r" && | \| ", line):
            words = shlex.split(command, comments=True)
            if ">" in words:
                words = words[: words.index(">")]
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # variables of the environment
                words = words[1:]
            if words[:1] == ["srun"]:
                words = words[1:]
            if words and not any(
                word.isupper() and len(word) > 1 for word in words
            ):  # kapps profile NAME
                yield words


def read_deployment(path):
    """Returns the words of the commands of the project in a file of `deploy/`."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".sbatch":
        lines = re.sub(r"\\\n", " ", text).splitlines()
        return [shlex.split(line.partition("srun ")[2]) for line in lines if "recipes/" in line]
    commands = re.findall(r"- python\n((?: +- .*\n)+)", text)
    words = [re.findall(r"- ([^ #\n]+)", command) for command in commands]
    return [["python", *command] for command in words if command[0].startswith("recipes/")]


DEPLOYMENTS = sorted((ROOT / "deploy").glob("*/*"))
COMMANDS = {
    tuple(words): path.relative_to(ROOT).as_posix()
    for path in DOCUMENTS
    for words in read_commands(path.read_text(encoding="utf-8"))
} | {
    tuple(words): path.relative_to(ROOT).as_posix()
    for path in DEPLOYMENTS
    for words in read_deployment(path)
}
"""{words: document} of all commands."""
RECIPES = {}
for _words in COMMANDS:
    if _words[0] == "python" and len(_words) > 1 and _words[1].startswith("recipes/"):
        RECIPES.setdefault(_words[1], []).append(_words[2:])


@pytest.fixture
def load_recipe():
    """`load_recipe(path)` defines the flags of a recipe, which are removed afterwards."""
    before = set(flags.FLAGS)
    with flagsaver.flagsaver():
        yield module_files.load
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


def make_paths(arguments):
    """Makes the files and folders that the flags of a recipe name, and returns how many."""
    values = [argument[2:].split("=", 1) for argument in arguments if "=" in argument]
    for name, value in values:
        parser = flags.FLAGS[name].parser if name in flags.FLAGS else None
        if isinstance(parser, PathParser) and value not in parser.names and parser.kind != "output":
            path = pathlib.Path(value.lstrip("/"))
            if parser.kind == "file" or (parser.kind == "data" and path.suffix):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            else:
                path.mkdir(parents=True, exist_ok=True)


@pytest.mark.tensorflow
@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_recipes_have_the_flags_of_the_documents(recipe, load_recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load_recipe(recipe)
    for arguments in RECIPES[recipe]:
        make_paths(arguments)
        relative = [re.sub(r"=/(?=\w)", "=", argument) for argument in arguments]
        flags.FLAGS.unparse_flags()
        for name in flags.FLAGS:
            flags.FLAGS[name].unparse()
        name = pathlib.Path(recipe).name
        flag_parsing.parse_flags([name, *relative], RECIPE_ARGUMENTS.get(name))


KAPPS = [words[1:] for words in COMMANDS if words[0] == "kapps"]
LARGE = [words for words in KAPPS if words[0] in ("predict", "profile")]
QUICK = [words for words in KAPPS if words not in LARGE and words[0] not in LEFT_OUT]


@pytest.mark.parametrize("words", KAPPS, ids=" ".join)
def test_kapps_has_the_arguments_of_the_documents(words):
    cli.parser().parse_args(words)


@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_quick_commands_of_kapps_run(words, capsys):
    assert cli.main(list(words)) == 0
    assert capsys.readouterr().out


@pytest.mark.long
@pytest.mark.tensorflow
@pytest.mark.parametrize("words", LARGE, ids=" ".join)
def test_other_commands_of_kapps_run(words, tmp_path, monkeypatch, capsys):
    import kapps

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kapps.weights.download.download", samples.make_weights)
    samples.make_images(*(word for word in words if word.endswith(".jpg")))
    if "model.keras" in words:
        kapps.lenet5().save("model.keras")
    assert cli.main(list(words)) == 0
    assert capsys.readouterr().out or list(tmp_path.glob("*.html"))


def test_every_command_is_examined():
    """A command is one of a recipe, of `kapps`, of another program that is named here, or of a file of the project."""
    for words, document in COMMANDS.items():
        if words[0] == "kapps" or words[0] in OTHER_PROGRAMS or words[1].startswith("recipes/"):
            continue
        assert words[0] == "python", f"{document}: {' '.join(words)}"
        is_module = words[1] == "-m"
        path = f"{words[2].replace('.', '/')}.py" if is_module else words[1]
        assert (ROOT / path).is_file(), f"{document}: {' '.join(words)}"
        text = (ROOT / path).read_text(encoding="utf-8")
        for word in words[2 + is_module :]:
            if word.startswith("--"):
                assert word.partition("=")[0] in text, f"{document}: {' '.join(words)}"
    assert len(RECIPES) > 20
    assert {words[0] for words in KAPPS} >= set(LEFT_OUT)
