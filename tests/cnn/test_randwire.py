"""RandWire: its random graphs, its figures by arithmetic, and the logits of a published implementation."""

import fingerprints
import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import kapps
from kapps import cards
from kapps.builders.random_graphs import is_connected, random_graph
from kapps.cnn import randwire
from kapps.weights import to_torch
from kapps.weights.names.randwire import seungwonpark

WS, ER, BA = ("WS", 4, 0.75), ("ER", 0.2), ("BA", 5)
SMALL = {"filters": 8, "nodes": 8, "input_shape": (32, 32, 3), "classes": 10}


def sample(graph, regular, seed):
    """Returns [(nodes, edges)] of the stages of a network."""
    sizes = [16, 32, 32, 32] if regular else [32, 32, 32]
    return [(n, random_graph(graph, n, (seed, i))) for i, n in enumerate(sizes)]


def figures(graphs, filters, regular, bias=False):
    """Returns parameters, with moving averages, and multiply-accumulates at 224x224 pixels, by arithmetic."""
    convolutions = [(112, 27, filters // 2)]  # side, weights of an output channel, output channels
    if not regular:
        convolutions.append((56, 9 * (filters // 2), filters))
    channels, side = convolutions[-1][2], convolutions[-1][0]
    weights = sum(size * outputs for _, size, outputs in convolutions)
    macs = sum(side**2 * size * outputs for side, size, outputs in convolutions)
    norms, extra = sum(outputs for *_, outputs in convolutions) + 1280, 0
    for i, (nodes, edges) in enumerate(graphs):
        side, width = side // 2, filters * 2**i
        for node in range(nodes):
            sources = sum(target == node for _, target in edges)
            inputs = width if sources else channels
            weights += 9 * inputs + inputs * width
            macs += side**2 * (9 * inputs + inputs * width)
            extra += sources if sources > 1 else 0
        channels, norms = width, norms + nodes * width
    weights += 1280 * channels
    macs += side**2 * 1280 * channels + 1280 * 1000
    biases = sum(outputs for *_, outputs in convolutions) + 1280 if bias else 0
    params = weights + 2 * norms + extra + 1280 * 1000 + 1000 + biases
    return params, params + 2 * norms, macs


@pytest.mark.parametrize(
    "graph, filters, params, macs",
    [
        # mean of 30 graphs in the paper's construction: parameters in M, multiply-accumulates in G; deviations
        (WS, 78, (5.641, 0.077), (0.5802, 0.0054)),
        (ER, 78, (5.680, 0.064), (0.5834, 0.0036)),
        (BA, 78, (5.678, 0), (0.5838, 0)),
        (WS, 109, (32.07, 0.68), (3.972, 0.052)),
        (BA, 109, (32.52, 0), (3.995, 0)),
        (WS, 154, (61.48, 1.26), (7.810, 0.109)),
        (BA, 154, (62.69, 0), (7.862, 0)),
    ],
)
def test_mean_figures_of_thirty_graphs(graph, filters, params, macs):
    networks = [
        figures(sample(graph, filters > 78, seed), filters, filters > 78) for seed in range(30)
    ]
    means = np.mean(networks, axis=0)
    for value, (mean, deviation), unit in ((means[0], params, 1e6), (means[2], macs, 1e9)):
        # Both are means of 30 samples.
        assert value / unit == pytest.approx(mean, abs=3 * deviation / 15**0.5 + 0.001 * mean)


def test_figures_of_the_builders_follow_from_their_graphs(reference):
    for name in kapps.list_models("randwire*"):
        row = getattr(kapps, name).builder.row
        regular = row.get("regular", False)
        graphs = sample(row["graph"], regular, 0)
        expected = figures(graphs, row["filters"], regular, row.get("use_bias", False))
        assert tuple(reference[name].values()) == expected, name


@pytest.mark.parametrize(
    "graph, edges, within",
    [(WS, 64, 0), (ER, 99.2, 3), (BA, 135, 0), (("WS", 4, 0.0), 64, 0), (("WS", 4, 1.0), 64, 0)],
)
def test_graphs_are_connected_and_have_the_mean_number_of_edges(graph, edges, within):
    graphs = [random_graph(graph, 32, seed) for seed in range(40)]
    assert all(is_connected(x, 32) and len(set(x)) == len(x) for x in graphs)
    assert all(0 <= source < target < 32 for x in graphs for source, target in x)
    assert np.mean([len(x) for x in graphs]) == pytest.approx(edges, abs=within)
    if graph[1] != 4 or graph[2]:
        assert len(set(graphs)) == 40
    assert random_graph(graph, 32, 7) == graphs[7]


def test_a_seed_means_the_same_graph_for_ever():
    """The sources of the last node, as the first version of the generators sampled them: files depend on them."""
    graphs = [random_graph(graph, 8, 1) for graph in (("WS", 4, 0.75), ("ER", 0.4), ("BA", 2))]
    sources = [[source for source, target in graph if target == 7] for graph in graphs]
    assert sources == [[0, 4], [0, 1, 5, 6], [0, 4]]


def test_rewiring_keeps_one_end_and_half_of_the_edges_lie_on_the_ring():
    """WS without rewiring is the ring of the published graphs; of BA the first m nodes read the stage's input."""
    ring = random_graph(("WS", 4, 0.0), 32, 0)
    assert sum(target - source <= 2 for source, target in ring) == 61
    assert {x for x in ring if x[1] - x[0] > 2} == {(0, 30), (0, 31), (1, 31)}
    kept_edges = [
        len(set(random_graph(("WS", 4, 0.5), 32, seed)) & set(ring)) for seed in range(40)
    ]
    assert 32 < np.mean(kept_edges) < 38  # a rewired edge may lead to the ring again
    targets = {target for _, target in random_graph(BA, 32, 0)}
    assert targets == set(range(5, 32))


@pytest.mark.parametrize(
    "graph", [("WS", 3, 0.5), ("WS", 8, 0.5), ("ER", 2.0), ("BA", 8), ("ring", 4), ("WS", 4)]
)
def test_graphs_that_do_not_exist_are_one_line(graph):
    with pytest.raises(ValueError) as raised:
        kapps.families.randwire(**SMALL, graph=graph)
    assert "graph" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("edges", [((0, 1),), (((1, 1),),) * 3, (((0, 8),),) * 3])
def test_edges_that_are_no_graph_are_one_line(edges):
    edges = (edges,) if len(edges) == 1 else edges
    with pytest.raises(ValueError) as raised:
        kapps.families.randwire(**SMALL, edges=edges)
    assert "edges" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.long
def test_a_file_has_the_graphs(tmp_path):
    """They are those of the seed, other seeds and stages have others, and `edges` builds them again."""
    model = kapps.families.randwire(**SMALL, seed=3)
    graphs = randwire.graphs(model)
    expected = {level: random_graph(WS, 8, (3, level - 3)) for level in (3, 4, 5)}
    assert graphs == expected and len(set(graphs.values())) == 3
    assert randwire.graphs(kapps.families.randwire(**SMALL, seed=4)) != graphs
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert randwire.graphs(loaded) == graphs
    again = kapps.families.randwire(**SMALL, edges=tuple(graphs.values()), name="left")
    assert randwire.graphs(again) == graphs
    again.set_weights(model.get_weights())
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    for other in (loaded, again):
        np.testing.assert_allclose(other(images), model(images), rtol=1e-6)


@pytest.mark.long
def test_a_state_dict_of_the_published_implementation_loads(tmp_path):
    options = {**SMALL, "use_bias": True, "last_relu": False}
    model = kapps.families.randwire(**options, seed=1)
    state = {key: np.ascontiguousarray(x) for key, x in to_torch(model, seungwonpark).items()}
    assert state["dagly3.nodes.7.agg_weight"].ndim == 1
    save_file(state, tmp_path / "model.safetensors")
    loaded = kapps.families.randwire(**options, seed=1, weights=tmp_path / "model.safetensors")
    for actual, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)
    with pytest.raises(ValueError) as raised:  # other graphs have other numbers of edges
        kapps.families.randwire(**options, seed=2, weights=tmp_path / "model.safetensors")
    assert "\n" not in str(raised.value)


def test_regular_networks_drop_edges_and_features_in_training():
    options = kapps.randwire_ws_c109.builder.row
    assert (options["drop_rate"], options["regular"]) == (0.1, True)
    graph = ("WS", 2, 0.5)
    model = kapps.families.randwire(**SMALL, regular=True, drop_rate=0.5, graph=graph)
    edges = randwire.graphs(model)
    assert list(edges) == [2, 3, 4, 5] and max(map(max, edges[2])) == 3
    sums = [x for x in model.layers if x.name.endswith(("_sum", "_drop"))]
    assert sum(len(x.input) if isinstance(x.input, list) else 1 for x in sums) == sum(
        map(len, edges.values())
    )
    assert {x.drop_rate if x.name.endswith("_sum") else x.rate for x in sums} == {0.5}
    assert cards.card("randwire_ws_c109").params < cards.card("randwire_ws_c154").params
    head = kapps.randwire_ws_c109.builder.heads["head"]
    assert head.keywords == {"dropout": 0.2}


@pytest.mark.long
def test_fingerprint_of_the_published_rings():
    """github.com/seungwonpark/RandWireNN with C = 16 and its three rings, executed with PyTorch 2.13."""
    graph, options = ("WS", 4, 0.0), {"use_bias": True, "last_relu": False, "filters": 16}

    def build(**arguments):
        return kapps.families.randwire(graph=graph, **options, **arguments)

    images = fingerprints.images(2, 64, 64)
    output, tensors = fingerprints.logits(build, seungwonpark, images, "fc", 10)
    assert tensors == 686
    output = output - np.log(np.exp(output).sum(axis=-1, keepdims=True))
    first = (-1.74046017, -1.47563425, -3.5386901, -2.28295767)
    fingerprints.assert_fingerprint(output, first, -2.24040354, 11.5435621)


def test_nodes_are_the_blocks_of_a_profile():
    profile = kapps.profile(kapps.families.randwire(**SMALL))
    names = {group.name for group in profile.blocks(fold=False)}
    nodes = {f"level{level}_node{i}" for level in (3, 4, 5) for i in range(1, 9)}
    assert nodes <= names and len(names - nodes) < 10
