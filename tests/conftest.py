"""What the tests share: which builders they run over, real images, and programs in a new process."""

import math
import multiprocessing
import os
import pathlib
import subprocess
import sys

import child
import models
import numpy as np
import pytest

from kapps import cards

ROOT = pathlib.Path(cards.__file__).parents[1]


def pytest_addoption(parser):
    parser.addoption(
        "--all",
        action="store_true",
        help="run the conformance suite over every builder and precision, not over the smallest of each family",
    )


EACH_HEAD = ["resnet20_cifar", "lenet5", "squeezenet1_1", "googlenet_bn_3x3"]
"""A builder of each kind of head, one with auxiliary ones among them: what code shared by all builders is tried on."""
DEEP = [
    "densenet_bc", "dpn68", "efficientnet_b0", "googlenet_bn_3x3", "inception_bn", "inception_resnet_v1",
    "inception_v3", "inception_v4", "mobilenet_v2_035", "resnet50_v2", "senet154", "shufflenet_v1_g1_025",
    "shufflenet_v2_050", "sknet50", "xception",
]  # fmt: skip
"""Families' smallest with hundreds of layers: their conformance takes half a minute to a minute and a half each."""
POLICIES = ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64"]


def pytest_generate_tests(metafunc):
    """A test that takes `builder_name` runs for every builder, or of each family's smallest; so with `policy_name`.

    One that takes `family_name` runs for each family's smallest, or for one of them; one that takes `peer_row`,
    `applications_row` or `published_name` for every network that another library has, or for the smallest of each
    family and library.
    """
    every = metafunc.config.getoption("--all")
    if "policy_name" in metafunc.fixturenames:
        metafunc.parametrize("policy_name", POLICIES if every else POLICIES[:1])
    if "graph_name" in metafunc.fixturenames:
        metafunc.parametrize("graph_name", cards.list_models(), scope="module")
    if "family_name" in metafunc.fixturenames:  # a test that takes minutes in all
        metafunc.parametrize("family_name", cards.smallest("module") if every else ["lenet5"])
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
            if libraries == ("keras",) and not every:  # large models: only the last size
                peers = [(*row[:3], row[3].split()[-1]) for row in peers]
            metafunc.parametrize(fixture, peers, ids="-".join)
    if "sequence_name" in metafunc.fixturenames:
        kinds = [kind for kind in cards.KINDS if kind != "image"]
        named = cards.list_models if every else cards.smallest
        found = [name for kind in kinds for name in named(kind=kind)]
        only = metafunc.definition.get_closest_marker("families")
        if only:
            found = [name for name in found if {name, cards.card(name).family} & set(only.args)]
        metafunc.parametrize("sequence_name", found, scope="module")
    if "builder_name" in metafunc.fixturenames:
        shared = metafunc.definition.get_closest_marker("shared")
        every = cards.list_models(kind="image") if every else cards.smallest("module")
        found = EACH_HEAD if shared and not metafunc.config.getoption("--all") else every
        metafunc.parametrize("builder_name", found, scope="module")


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(config, items):
    """Marks what takes long, and with `--dist loadgroup` has what shares a model or a module run in one process."""
    every, grouped = config.getoption("--all"), config.pluginmanager.hasplugin("xdist")
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        builder_name = params.get("builder_name")
        if not every and "builder" in item.fixturenames and builder_name in DEEP:
            item.add_marker(pytest.mark.long)
        if grouped:
            of = (
                params.get("graph_name")
                or builder_name
                or params.get("sequence_name")
                or item.path.stem
            )
            item.add_marker(pytest.mark.xdist_group(of))


@pytest.fixture(autouse=True)
def seeds():
    """Seeds every generator, so that a test gives the same each time and in any order."""
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def reference():
    """The parameters and multiply-accumulates of each builder by its paper or by another library."""
    return models.counts()


@pytest.fixture(scope="session")
def figures():
    """`figures(model)` counts parameters, and an image's multiply-accumulates in convolution and dense."""

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
    """Declares the two compiled operations that torchvision's import asks for and no classifier uses."""
    import torch

    try:
        torch.ops.torchvision.nms  # noqa: B018
        yield
    except (AttributeError, RuntimeError):
        library = torch.library.Library("torchvision", "DEF")
        for operation in ("nms", "qnms"):
            library.define(f"{operation}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        yield library  # which declares them as long as it lives


@pytest.fixture(scope="session")
def digits():
    """Real images: `digits(size, channels)` gives 64 in [-1, 1], float32, and their int labels."""

    def digits(size, channels=3):
        with np.load(models.REFERENCE / "digits64.npz") as file:  # scikit-learn's, 8x8, of 0 to 16
            images, labels = file["images"] / 8 - 1, file["labels"].astype("int32")
        times = math.ceil(size / 8)
        images = images.repeat(times, axis=1).repeat(times, axis=2)[:, :size, :size, None]
        return images.repeat(channels, axis=-1).astype("float32"), labels

    return digits


@pytest.fixture(scope="session")
def randomise():
    """`randomise(model)` gives norms and biases values of their own, so that none can be lost unseen."""
    import keras

    def randomise(model):
        draw = np.random.default_rng(0)
        norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
        for layer in model.layers:
            for variable in layer.trainable_variables:
                if variable.name == "gamma":
                    variable.assign(draw.uniform(0.6, 1.4, variable.shape))
                elif variable.name in ("beta", "bias"):
                    variable.assign(draw.normal(0, 0.2, variable.shape))
        # Averages near those of noise, so that signals stay of one size however deep the network is.
        for norm in norms:
            norm.momentum, kept = 0.0, norm.momentum
        model(draw.normal(size=(8, *model.input_shape[1:])).astype("float32"), training=True)
        for norm in norms:
            norm.momentum = kept
            mean, variance = map(
                keras.ops.convert_to_numpy, (norm.moving_mean, norm.moving_variance)
            )
            norm.moving_mean.assign(mean + 0.1 * draw.normal(size=mean.shape))
            variance = variance * draw.uniform(0.7, 1.4, mean.shape) + 0.1 * variance.mean()
            norm.moving_variance.assign(variance)
        return model

    return randomise


@pytest.fixture
def fresh(tmp_path):
    """`fresh(program, *arguments)` runs Python code in a new process and returns what it printed."""

    def fresh(program, *arguments, check=True, **environment):
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout if check else done.stderr

    return fresh


@pytest.fixture(scope="session")
def forks():
    """What starts processes as copies of one that has imported Keras, which takes seconds, and nothing of kapps."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["keras"])
    return context


@pytest.fixture
def forked(forks, tmp_path):
    """`forked(program, *arguments)` is `fresh` where it is no matter that Keras is imported already."""

    def forked(program, *arguments, **environment):
        given = (
            program,
            list(map(str, arguments)),
            tmp_path,
            {"PYTHONPATH": str(ROOT), **environment},
        )
        process = forks.Process(target=child.run, args=given)
        process.start()
        process.join()
        printed = (tmp_path / "printed.txt").read_text()
        assert process.exitcode == 0, printed
        return printed

    return forked


@pytest.fixture(scope="session")
def signatures():
    """`signatures(path)` is what a SavedModel has: {signature: {"takes": {name: [dtype, shape]}, "gives": ...}}."""
    import tensorflow as tf

    def specs(found):
        return {name: [spec.dtype.name, spec.shape.as_list()] for name, spec in found.items()}

    def signatures(path):
        return {
            name: {
                "takes": specs(signature.structured_input_signature[1]),
                "gives": specs(signature.structured_outputs),
            }
            for name, signature in tf.saved_model.load(str(path)).signatures.items()
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
