"""The layout of the package: no import cycles, one module for each name, no file too long or too short.

The rule for cycles. The nodes are the modules of kapps. There is an edge from a module to each module that it imports,
at the top of the file, inside a function, or under TYPE_CHECKING. An `__init__.py` that holds re-exports only is not a
node: a name that is imported from such a package stands for the module that defines it, also if the package loads the
name lazily from its stub (`__init__.pyi`). The graph has no cycle.

A module below 40 lines must be re-exported by its package, be imported by several modules, or be a family's file.
"""

import ast
import collections
import functools
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FAMILIES = ("kapps.cnn", "kapps.recurrent", "kapps.attention", "kapps.weights.names")
"""Packages with one file for each family: its length is the family's, and its weight map has the family's name."""
MOST_LINES = 300
LEAST_LINES = 40
LONG = {}
"""Modules that may have more than `MOST_LINES` lines, with the reason."""
SHORT = {}
"""Modules with one importer that may have fewer than `LEAST_LINES` lines, with the reason."""


def module_name(path):
    """Returns the dotted name of a Python file of the project."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_modules(root=ROOT / "kapps"):
    """Returns {dotted name: path} of the modules in a directory."""
    return {module_name(path): path for path in sorted(root.rglob("*.py"))}


MODULES = read_modules()


@functools.cache
def parse(path):
    """Returns the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def is_reexport(node):
    """Returns whether a statement of an `__init__.py` defines nothing of its own."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return True
    if isinstance(node, ast.Expr):  # the docstring
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):  # __all__, __version__, lazy_loader.attach_stub
        names = [
            x.id for target in node.targets for x in ast.walk(target) if isinstance(x, ast.Name)
        ]
        return all(name.startswith("__") for name in names)
    return False


@functools.cache
def defines_nothing(name):
    """Returns whether a module is a package's `__init__.py` that holds re-exports only."""
    return MODULES[name].name == "__init__.py" and all(map(is_reexport, parse(MODULES[name]).body))


@functools.cache
def reexports(name):
    """Returns {public name: (module, name there)} of a package, also of names that it loads lazily."""
    path, names = MODULES[name], {}
    if path.name == "__init__.py":
        for file in (path, path.with_suffix(".pyi")):
            for node in ast.walk(parse(file)) if file.exists() else ():
                if isinstance(node, ast.ImportFrom):
                    module = absolute(node, name)
                    for alias in node.names:
                        names[alias.asname or alias.name] = (module, alias.name)
    return names


def absolute(node, package):
    """Returns the absolute name of the module of a `from ... import` statement."""
    if not node.level:
        return node.module
    parts = package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, node.module] if node.module else parts)


def defining_module(module, name):
    """Returns the module of kapps that defines a name, or None if kapps does not define it."""
    while True:
        if f"{module}.{name}" in MODULES:
            return f"{module}.{name}"
        if module not in MODULES:
            return None
        if name not in reexports(module):
            return None if defines_nothing(module) else module
        module, name = reexports(module)[name]


@functools.cache
def imported_modules(name):
    """Returns the modules of kapps that a module imports, at the top of its file or inside functions."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    modules, local_names = set(), {}
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
            for alias in node.names:
                local_names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            modules |= {
                defining_module(absolute(node, package), alias.name) for alias in node.names
            }
    for node in ast.walk(parse(path)):  # import kapps, then kapps.training.Run
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = local_names.get(node.value.id, "")
            if module == "kapps" or module.startswith("kapps."):
                modules.add(defining_module(module, node.attr))
    modules = modules & MODULES.keys() - {name}
    return {module for module in modules if not defines_nothing(module)}


def import_cycles(graph):
    """Returns the groups of nodes that reach each other (strongly connected components, Tarjan's algorithm)."""
    index, lowest, stack, groups = {}, {}, [], []

    def visit(name):
        index[name] = lowest[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for name in graph:
        if name not in index:
            visit(name)
    return groups


def import_graph():
    return {name: imported_modules(name) for name in MODULES if not defines_nothing(name)}


def test_modules_do_not_import_each_other_in_a_cycle():
    assert import_cycles(import_graph()) == []


def test_the_cycles_that_were_here_would_be_found():
    """A profile with its plot, and a source with its readers, imported inside functions."""
    files = {
        "results": "def plot(self):\n    from kapps.analysis.plotting import plot\n    plot(self)",
        "plotting": "from kapps.analysis.results import Profile",
        "costs": "import math",
    }
    graph = {}
    for name, text in files.items():
        imports = [x for x in ast.walk(ast.parse(text)) if isinstance(x, ast.ImportFrom)]
        graph[name] = {node.module.rpartition(".")[2] for node in imports} & files.keys()
    assert import_cycles(graph) == [["plotting", "results"]]


def test_names_are_followed_through_packages():
    assert defining_module("kapps.analysis", "Profile") == "kapps.analysis.results"
    assert defining_module("kapps.analysis", "costs") == "kapps.analysis.costs"
    assert defining_module("kapps", "profile") == "kapps.analysis.profiling"
    assert defining_module("os", "path") is None
    assert "kapps.analysis.results" in imported_modules("kapps.visualize.profile_plot")
    assert "kapps.visualize.training_curves" in imported_modules("kapps.training.callbacks.history")


def test_no_two_modules_have_the_same_name():
    """A weight map has the name of its family; every package has an `__init__`."""
    names = collections.defaultdict(list)
    for module, path in MODULES.items():
        if path.name != "__init__.py" and path.parent.name != "names":
            names[path.stem].append(module)
    assert [modules for modules in names.values() if len(modules) > 1] == []


def count_lines(module):
    return MODULES[module].read_text(encoding="utf-8").count("\n")


def test_no_module_is_too_long():
    long = {module for module in MODULES if count_lines(module) > MOST_LINES}
    assert sorted(long - LONG.keys()) == []


def test_no_module_is_so_short_that_its_only_importer_could_hold_it():
    importers = collections.Counter(other for names in import_graph().values() for other in names)
    exported = {
        module
        for package in MODULES
        for module, name in reexports(package).values()
        for module in (module, f"{module}.{name}")
    }
    short = {
        module
        for module, path in MODULES.items()
        if count_lines(module) < LEAST_LINES
        and importers[module] == 1
        and path.name != "__init__.py"
        and module not in exported
        and not module.startswith(tuple(f"{package}." for package in FAMILIES))
    }
    assert sorted(short - SHORT.keys()) == []


def test_no_function_has_the_name_check():
    """A name says what is checked."""
    pattern = re.compile(r"^\s*def check\(", re.MULTILINE)
    modules = {
        name for name, path in MODULES.items() if pattern.search(path.read_text(encoding="utf-8"))
    }
    assert sorted(modules) == []


@pytest.mark.parametrize("pattern", ["test_*.py"])
def test_test_files_have_different_names(pattern):
    """pytest imports test files by their base name, since the directories of tests are not packages."""
    files = collections.Counter(path.name for path in (ROOT / "tests").rglob(pattern))
    assert [name for name, count in files.items() if count > 1] == []
