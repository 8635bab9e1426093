"""Parametrisation over builders, and fixtures: real images, reference numbers, and programs in a new process."""

import gc
import math
import multiprocessing
import os
import pathlib
import subprocess
import sys

import changes
import child
import covering
import graphs
import models
import numpy as np
import pytest

from kapps import cards

ROOT = pathlib.Path(cards.__file__).parents[1]


def pytest_addoption(parser):
    parser.addoption(
        "--all",
        action="store_true",
        help="run the conformance suites over every builder and precision, at its published size",
    )


SMALL = 12e6
"""Parameters of a network that is compared with another library's also where its family did not change."""
POLICIES = ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64"]
"""Precision policies, the first of them by default."""


def pytest_report_header():
    return changes.describe()


def pytest_generate_tests(metafunc):
    """Parametrises the tests that run over builders.

    `graph_name` is every builder, with the marker `changed` for `graphs.DEEP` of families that changed, and without the
    other ones: their families have smaller networks. `builder_name` and `sequence_name` are the
    covering set, and with the marker `changed` the smallest builder of each family that changed; with `--all` they are
    every builder. `one_per_head` limits the former to one builder for each head; `one_per_head(others="long")` gives
    the others the marker `long`, `one_per_head(others="changed")` runs them when their families change.

    `peer_row` is the smallest network in each library of each family that changed, and of each family of the covering
    set if it is `SMALL`, with `--all` every one; `applications_row` is that of each family of Keras's that changed or
    is `SMALL`; `published_name` is the smallest network of each family in each library, with `--all` every one.
    """
    every = metafunc.config.getoption("--all")
    if "graph_name" in metafunc.fixturenames:
        rows = [name for name in cards.list_models() if every or name not in graphs.DEEP]
        changed = [
            pytest.param(name, marks=pytest.mark.changed)
            for name in sorted(graphs.DEEP - set(rows))
            if cards.card(name).family in changes.changed_families()
        ]
        metafunc.parametrize("graph_name", rows + changed, scope="module")
    for fixture, kind in (("builder_name", "image"), ("sequence_name", "sequence")):
        if fixture in metafunc.fixturenames:
            limit = metafunc.definition.get_closest_marker("one_per_head")
            metafunc.parametrize(fixture, _conformance(kind, every, limit), scope="module")
    if "family_name" in metafunc.fixturenames:  # a test that takes minutes in all
        metafunc.parametrize("family_name", cards.smallest() if every else ["lenet5"])
    if "policy_name" in metafunc.fixturenames:
        metafunc.parametrize("policy_name", POLICIES if every else POLICIES[:1])
    if "published_name" in metafunc.fixturenames:
        checkpoints = {
            name: row for name, row in cards.checkpoints().items() if row.source != "keras"
        }
        least = models.smallest((name, row.source, name) for name, row in checkpoints.items())
        metafunc.parametrize("published_name", list(checkpoints) if every else least)
    for fixture, libraries in (
        ("peer_row", ("torchvision", "timm", "pytorchcv")),
        ("applications_row", ("keras",)),
    ):
        if fixture in metafunc.fixturenames:
            peers = models.peers(libraries)
            if not every:
                peers = models.smallest((row[2], row[0], row) for row in peers)
            if not every:
                families = {cards.card(name).family for name in covering.names("image")}
                changed = changes.changed_families()
                peers = [
                    row
                    for row in peers
                    if cards.card(row[2]).family in changed
                    or (
                        cards.card(row[2]).params < SMALL
                        and (libraries == ("keras",) or cards.card(row[2]).family in families)
                    )
                ]
            if libraries == ("keras",) and not every:  # large models: only the last size
                peers = [(*row[:3], row[3].split()[-1]) for row in peers]
            metafunc.parametrize(fixture, peers, ids="-".join)


def _conformance(kind, every, limit):
    """Returns the builders of a conformance suite, those of changed families with their marker."""
    if every:
        return [
            name
            for name in cards.list_models()
            if (cards.card(name).kind == "image") == (kind == "image")
        ]
    names = covering.names(kind)
    first = names if limit is None else covering.one_per_head(kind)
    others = None if limit is None else limit.kwargs.get("others")
    if limit is not None and others is None:
        return first
    kinds = ["image"] if kind == "image" else [other for other in cards.KINDS if other != "image"]
    candidates = [name for other in kinds for name in cards.smallest(kind=other)]
    if others == "changed":
        candidates += [name for name in names if name not in candidates]
    changed = [
        pytest.param(name, marks=pytest.mark.changed)
        for name in candidates
        if name not in (first if others == "changed" else names)
        and cards.card(name).family in changes.changed_families()
    ]
    long = [
        pytest.param(name, marks=pytest.mark.long)
        for name in (names if others == "long" else [])
        if name not in first
    ]
    return [*first, *long, *changed]


LONGEST = ("recipes", "distribution")
"""Folders of the tests that take longest."""


def pytest_configure(config):
    if config.pluginmanager.hasplugin("xdist"):
        config.option.loadscopereorder = False  # groups of few tests would come last


BUILDER_PARAMS = ("graph_name", "builder_name", "sequence_name")


def _params(item, keys):
    """Returns the values of those of a test's parameters that are named."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return [params[key] for key in keys if key in params]


def _is_unchanged(item):
    """Returns whether the builder or the file that a test is parametrised with, or the test's package, is unchanged."""
    builders = [x for x in _params(item, (*BUILDER_PARAMS, "name")) if x in cards.list_models()]
    documents = [path for path in _params(item, ["path"]) if isinstance(path, pathlib.Path)]
    return (
        any(map(changes.is_unchanged_builder, builders))
        or any(map(changes.is_unchanged_file, documents))
        or changes.is_unchanged(item.path)
    )


@pytest.hookimpl(tryfirst=True)  # before the selection by marker, and before xdist reads the groups
def pytest_collection_modifyitems(config, items):
    """Gives the long tests of families, recipes and packages that did not change the marker `unchanged`, and the
    comparisons with other libraries in a family's own file.

    With `--dist loadgroup`, tests that share a model or a module run in one process, and the tests that take longest
    come first: no process waits for another one at the end.
    """
    for item in items:
        is_long = item.get_closest_marker("long")
        of_family = item.get_closest_marker("peers") and changes.family_of(item.path)
        if (is_long or of_family) and _is_unchanged(item):
            item.add_marker(pytest.mark.unchanged)
    if not config.pluginmanager.hasplugin("xdist"):
        return
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)
    for item in items:
        names = _params(item, (*BUILDER_PARAMS, "killed_recipe"))
        item.add_marker(pytest.mark.xdist_group(names[0] if names else item.path.stem))


def pytest_collection_finish():
    """Leaves all modules and tests out of Python's garbage collections, and has fewer of them.

    One of all objects takes a third of a second. With Python's thresholds collections take a seventh of the time that
    graphs take to build.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(autouse=True)
def seeds():
    """Seeds every generator, so that a test does the same each time and in any order."""
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture
def unweighted():
    """Initialises random weights with zeros, for networks that are built but not run."""
    with graphs.without_random_values():
        yield


@pytest.fixture(scope="session")
def reference():
    """The parameters and multiply-accumulates of each builder by its paper or by another library."""
    return models.counts()


@pytest.fixture(scope="session")
def shared_data():
    """`shared_data(name, ...)` returns the path of a data set in the folder `KAPPS_TEST_DATA`, or skips the test."""

    def shared_data(*names):
        folder = os.environ.get("KAPPS_TEST_DATA")
        path = pathlib.Path(folder or "", *names)
        if not folder or not path.exists():
            pytest.skip(
                f"needs {'/'.join(names)}: set KAPPS_TEST_DATA to the folder that holds it and run the test again"
            )
        return path

    return shared_data


@pytest.fixture(scope="session")
def figures():
    """`figures(model)` counts parameters, and multiply-accumulates of convolutions and dense layers for an image."""

    def figures(model):
        return {
            "trainable": sum(math.prod(variable.shape) for variable in model.trainable_variables),
            "total": sum(math.prod(variable.shape) for variable in model.weights),
            "macs": sum(
                math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
                for layer in model.layers
                if hasattr(layer, "kernel")
            ),
        }

    return figures


@pytest.fixture(scope="session")
def operations():
    """Declares the two compiled operations that importing torchvision needs and no classifier uses."""
    import torch

    try:
        torch.ops.torchvision.nms  # noqa: B018
        yield
    except (AttributeError, RuntimeError):
        library = torch.library.Library("torchvision", "DEF")
        for operation in ("nms", "qnms"):
            library.define(f"{operation}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        yield library  # the declarations last as long as this object


@pytest.fixture(scope="session")
def digits():
    """Real images: `digits(size, channels)` returns 64 of them, float32 in [-1, 1], and their integer labels."""

    def digits(size, channels=3):
        with np.load(
            models.REFERENCE / "digits64.npz"
        ) as file:  # from scikit-learn, 8x8, values 0 to 16
            images, labels = file["images"] / 8 - 1, file["labels"].astype("int32")
        times = math.ceil(size / 8)
        images = images.repeat(times, axis=1).repeat(times, axis=2)[:, :size, :size, None]
        return images.repeat(channels, axis=-1).astype("float32"), labels

    return digits


@pytest.fixture(scope="session")
def randomise():
    """`randomise(model)` gives norms and biases random values, so that a test sees when one is lost."""
    import keras

    def randomise(model):
        rng = np.random.default_rng(0)
        norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
        for layer in model.layers:
            for variable in layer.trainable_variables:
                if variable.name == "gamma":
                    variable.assign(rng.uniform(0.6, 1.4, variable.shape))
                elif variable.name in ("beta", "bias"):
                    variable.assign(rng.normal(0, 0.2, variable.shape))
        momenta = [norm.momentum for norm in norms]
        # Moving averages near those of noise keep the activations of deep networks in range.
        for norm in norms:
            norm.momentum = 0.0
        model(rng.normal(size=(8, *model.input_shape[1:])).astype("float32"), training=True)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            mean, variance = map(
                keras.ops.convert_to_numpy, (norm.moving_mean, norm.moving_variance)
            )
            norm.moving_mean.assign(mean + 0.1 * rng.normal(size=mean.shape))
            variance = variance * rng.uniform(0.7, 1.4, mean.shape) + 0.1 * variance.mean()
            norm.moving_variance.assign(variance)
        return model

    return randomise


@pytest.fixture
def fresh(tmp_path):
    """`fresh(program, *arguments)` runs Python code in a new process and returns its standard output."""

    def fresh(program, *arguments, check=True, **environment):
        result = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        assert not check or result.returncode == 0, result.stderr
        return result.stdout if check else result.stderr

    return fresh


@pytest.fixture(scope="session")
def forks():
    """A context that starts processes as copies of one that has imported Keras, which takes seconds, but not kapps."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["keras"])
    return context


@pytest.fixture
def forked(forks, tmp_path):
    """`forked(program, *arguments)` is `fresh` in a process that has imported Keras already, which is faster."""

    def forked(program, *arguments, **environment):
        environment = {"PYTHONPATH": str(ROOT), **environment}
        process_arguments = (program, list(map(str, arguments)), tmp_path, environment)
        process = forks.Process(target=child.run, args=process_arguments)
        process.start()
        process.join()
        output = (tmp_path / "output.txt").read_text(encoding="utf-8")
        assert process.exitcode == 0, output
        return output

    return forked


@pytest.fixture(scope="session")
def signatures():
    """`signatures(path)` reads a SavedModel: {signature: {"takes": {name: [dtype, shape]}, "gives": ...}}."""
    from kapps.export import runtime

    def describe(specs):
        return {name: [spec.dtype.name, spec.shape.as_list()] for name, spec in specs.items()}

    def signatures(path):
        return {
            name: {
                "takes": describe(signature.structured_input_signature[1]),
                "gives": describe(signature.structured_outputs),
            }
            for name, signature in runtime.load_saved_model(path).signatures.items()
        }

    return signatures


@pytest.fixture(scope="session")
def modules():
    """A node_modules directory with playwright-core, which drives the browser."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(cache, "kapps", "playwright")
    if not (folder / "node_modules" / "playwright-core").is_dir():
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
        subprocess.run([*command, "playwright-core@1.65.1"], check=True)
    return folder / "node_modules"
