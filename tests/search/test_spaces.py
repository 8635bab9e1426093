"""The search spaces: texts and digits, costs by arithmetic, equal cells, samples, mutations."""

import collections
import csv

import graphs
import numpy as np
import pytest
import scipy.stats

import kapps
from kapps import search
from kapps.search import spaces

SPACE = spaces.NASBench201()
CELLS = list(SPACE.cells())
SMALL_ANYNET = dict(depth=(1, 3), width=(8, 32), input_shape=(32, 32, 3), classes=10)


def test_strings_and_digits_of_all_cells():
    assert len(set(CELLS)) == SPACE.size == 15_625
    strings = {SPACE.benchmark_string(cell): cell for cell in CELLS}
    assert len(strings) == 15_625
    for text, cell in strings.items():
        assert SPACE.cell(SPACE.digits(text)) == SPACE.cell(SPACE.digits(cell)) == cell


def test_equal_cells_are_those_of_the_benchmark(shared_data):
    """The benchmark's column `same_as` has 6,466 groups; each lies in one group of equal functions."""
    path = shared_data("nasbench", "nasbench201.csv")
    with open(path, newline="", encoding="utf-8") as file:
        groups = {row["cell"]: row["same_as"] for row in csv.DictReader(file)}
    texts, functions = {}, {}
    for cell, group in groups.items():
        assert texts.setdefault(SPACE.benchmark_function(cell), group) == group
        text = SPACE.function(cell)
        assert functions.setdefault(group, text) == text
    assert len(texts) == len(set(groups.values())) == 6_466


def test_equal_cells_are_equal_functions():
    """All cells on random numbers: identity, and three functions that stand for the other operations."""
    operations = (
        lambda x: 0 * x, lambda x: x, lambda x: np.sin(1.7 * x) + 0.3 * x**2, lambda x: np.expm1(0.6 * x),
        lambda x: 1.3 * np.tanh(x) - 0.4 * x**2,
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=4)
    groups = collections.defaultdict(set)
    for cell in CELLS:
        nodes = [x, 0, 0, 0]
        edges = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
        for digit, (source, node) in zip(cell, edges, strict=True):
            nodes[node] = nodes[node] + operations[int(digit)](nodes[source])
        values = 0 * x + nodes[3]
        groups[SPACE.function(cell)].add(tuple(float(f"{value:.6e}") for value in values))
    assert len(groups) == 4_930
    assert all(len(values) == 1 for values in groups.values())
    assert len(set().union(*groups.values())) == 4_930
    assert sum(SPACE.function(cell) == "" for cell in CELLS) == 341  # search.md's count


def test_operations_cost_what_they_add_to_a_cell():
    space = spaces.NASBench201(filters=4, depth=2, side=18, classes=3)
    costs = space.operation_macs()
    rest = space.cost("111111").macs
    for cell in ("333333", "324321", "123131"):
        added = sum(row[int(digit)] for row, digit in zip(costs, cell, strict=True))
        assert space.cost(cell).macs - rest == added > 0, cell


def test_costs_are_those_of_the_built_networks():
    space = spaces.NASBench201(filters=4, depth=1, side=18, classes=3)
    for cell in ("300000", "034204"):
        profile = kapps.profile(graphs.build(space.build, cell=cell))
        assert space.cost(cell) == (profile.trainable, profile.macs), cell
    costs = [SPACE.cost(cell) for cell in ("111111", "303101", "333333")]
    assert [cost.parameters for cost in costs] == [73_306, 559_386, 1_531_546]  # of the paper
    assert [cost.macs + 10 for cost in (costs[0], costs[2])] == [7_783_050, 220_119_690]
    space = spaces.AnyNet("A", **SMALL_ANYNET)
    cell = space.sample(np.random.default_rng(0))
    profile = kapps.profile(graphs.build(space.build, cell=cell))
    assert space.cost(cell) == (profile.trainable, profile.macs)


def test_costs_of_the_macro_table(shared_data):
    space, count = spaces.NASBenchMacro(), 0
    path = shared_data("nasbench", "nasbench_macro.csv")
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert space.cost(row["blocks"]) == (int(row["params"]), int(row["flops"]))
            count += 1
    assert count == space.size


def test_sizes_of_anynet_are_the_papers():
    sizes = {space: spaces.AnyNet(space).size for space in "ABC"}
    assert sizes == {"A": (16 * 128 * 3 * 6) ** 4, "B": 3 * 6**4 * 2048**4, "C": 18 * 2048**4}
    assert [len(spaces.AnyNet(space).decisions) for space in "ABC"] == [16, 13, 10]


def test_samples_are_uniform():
    random = np.random.default_rng(0)
    counts = collections.Counter(
        (i, digit) for _ in range(3000) for i, digit in enumerate(SPACE.sample(random))
    )
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 0.01 and len(counts) == 30


@pytest.mark.parametrize(
    "space",
    [
        SPACE,
        spaces.NASBenchMacro(),
        *(spaces.AnyNet(name, macs=(1e5, 4e6), **SMALL_ANYNET) for name in "AE"),
    ],
    ids=lambda space: space.name[:16],
)
def test_mutations_differ_in_one_decision_and_stay_in_the_space(space):
    random = np.random.default_rng(1)
    for _ in range(20):
        cell = space.sample(random)
        digits = space.digits(cell)
        assert space.is_valid(digits) and space.cell(digits) == cell
        mutant = space.mutate(cell, random)
        other = space.digits(mutant)
        assert sum(a != b for a, b in zip(digits, other, strict=True)) == 1
        assert space.is_valid(other) and mutant in space.neighbours(cell)


def test_completed_prefixes_are_networks_of_the_space():
    """A node of NAS-Bench-201 that a progressive search adds last is the output."""
    assert [SPACE.cell(SPACE.complete(x)) for x in [(), (3,), (3, 2, 4)]] == [
        "000100",
        "300010",
        "324001",
    ]
    for space in (SPACE, spaces.NASBenchMacro(), spaces.AnyNet("E", **SMALL_ANYNET)):
        for steps in (0, *space.steps):
            digits = space.complete([0] * steps)
            assert len(digits) == len(space.decisions) and space.is_valid(digits)


def test_a_cell_becomes_a_model():
    options = dict(filters=2, depth=1, input_shape=(8, 8, 3))
    small = spaces.NASBench201(filters=2, depth=1, side=8)
    names = [
        [layer.name for layer in graphs.build(function, **arguments).layers]
        for function, arguments in (
            (search.build, {"cell": "423410", **options}),
            (search.build, {"cell": "423410", "space": small}),
            (kapps.families.nasbench201, {"cell": "423410", **options}),
        )
    ]
    assert names[0] == names[1] == names[2]
    macro = graphs.build(search.build, cell="12012012", space="nasbench_macro", filters=2)
    assert macro.count_params() < 100_000
    anynet = graphs.build(
        search.build, cell="1x8b1g4-2x16b1g8", space="anynet", input_shape=(32, 32, 3), classes=3
    )
    assert anynet.output_shape == (None, 3)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: search.build("303101", "nasbench"), "nasbench201"),
        (lambda: search.build("3031012"), "six digits"),
        (lambda: spaces.NASBenchMacro().digits("012"), "eight digits"),
        (lambda: spaces.AnyNet("F"), "A, B, C"),
        (lambda: spaces.AnyNet("A", width=(0,)), "width="),
        (lambda: spaces.AnyNet("A", depth=(2, 1)), "depth="),
        (lambda: spaces.AnyNet("A", depth=(1, 10**9)), "16"),
        (lambda: spaces.AnyNet("A", stages=0), "stages=0"),
        (lambda: spaces.AnyNet("A", macs=(2,)), "macs="),
        (lambda: spaces.AnyNet("A", input_shape=(32, 32)), "input_shape="),
        (lambda: spaces.AnyNet("A").digits("1x8b1g1"), "4 times"),
        (lambda: spaces.AnyNet("A").digits("1x8b1g1-1x8b1g1-1x8b1g1-1x9b1g1"), "4 times"),
        (lambda: spaces.NASBench201(filters=0), "filters"),
    ],
)
def test_mistakes_raise_in_one_line(call, words):
    with pytest.raises(ValueError, match=words) as raised:
        call()
    assert "\n" not in str(raised.value)
