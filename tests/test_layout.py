"""The layout of the package: no import circles, and one module per name."""

import ast
import collections
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
ACYCLIC = ["kapps.data"]
"""Packages whose modules must not import each other in a circle."""
UNIQUE = ["kapps.data"]
"""Packages whose modules must not have the name of another module of kapps."""


def module_name(path):
    """Returns the dotted name of a Python file of the project."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((ROOT / "kapps").rglob("*.py"))}


def imported_modules(name):
    """Returns the modules of kapps that a module imports, at the top of its file or inside functions."""
    names = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                names.add(submodule if submodule in MODULES else node.module)
    return names & MODULES.keys() - {name}


def circles(package):
    """Returns the groups of modules below a package that import each other in a circle (Tarjan's algorithm)."""
    members = [name for name in MODULES if f"{name}.".startswith(f"{package}.")]
    graph = {name: sorted(imported_modules(name) & set(members)) for name in members}
    index, lowest, stack, groups = {}, {}, [], []

    def visit(name):
        index[name] = lowest[name] = len(index)
        stack.append(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for name in members:
        if name not in index:
            visit(name)
    return groups


@pytest.mark.parametrize("package", ACYCLIC)
def test_modules_do_not_import_each_other_in_a_circle(package):
    assert circles(package) == []


@pytest.mark.parametrize("package", UNIQUE)
def test_no_two_modules_have_the_same_name(package):
    """A weight map has the name of its family (kapps/weights/names); every package has `__init__`."""
    names = collections.defaultdict(list)
    for module, path in MODULES.items():
        if path.name != "__init__.py" and path.parent.name != "names":
            names[path.stem].append(module)
    repeated = [modules for modules in names.values() if len(modules) > 1]
    assert [m for m in repeated if any(name.startswith(f"{package}.") for name in m)] == []


def test_test_files_have_different_names():
    """pytest imports test files by their base name, since the directories of tests are not packages."""
    files = collections.Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in files.items() if count > 1] == []
