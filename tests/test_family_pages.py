"""The pages of the families: docs/architectures.csv against the cards, the plots, and the rows of measured figures."""

import csv
import pathlib
from xml.etree import ElementTree

import module_files
import pytest

from kapps import cards, generative, segmentation

ROOT = pathlib.Path(__file__).parents[1]
NOT_NETWORKS = {"dilate", "is_segmentation"}


@pytest.fixture(scope="module")
def load():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        yield lambda name: module_files.load(f"tools/{name}.py")


@pytest.fixture(scope="module")
def plots(load):
    return load("architecture_plots")


@pytest.fixture(scope="module")
def measured(load):
    return load("measured_tables")


def total(rows, column):
    return sum(int(row[column]) for row in rows)


def reference(name):
    """Returns the rows of a network without a card in the files of other implementations' counts."""
    for file in ("segmentation.csv", "generative.csv"):
        with open(ROOT / "tests/reference" / file, newline="", encoding="utf-8") as stream:
            yield from (row for row in csv.DictReader(stream) if row["name"] == name)


def test_every_family_has_an_architecture(load, plots):
    tables = load("model_tables")
    others = [module for kind in tables.OTHER_FAMILIES.values() for module in kind]
    modules = [members[0].module for members in tables.families()] + others
    assert list(plots.networks()) == modules
    first = {members[0].module: members[0].name for members in tables.families()}
    assert {module: next(iter(plots.networks()[module])) for module in first} == first


def test_every_function_without_a_card_has_a_page(load):
    kinds = load("model_tables").OTHER_FAMILIES.values()
    names = [name for modules in kinds for functions in modules.values() for name in functions]
    assert set(names) == {*segmentation.__all__, *generative.__all__} - NOT_NETWORKS
    assert len(names) == len(set(names))


def test_sums_of_the_parts_are_those_of_the_cards_and_references(plots):
    compared = []
    for networks in plots.networks().values():
        for name, rows in networks.items():
            counts = total(rows, "params"), total(rows, "macs")
            if name in cards.list_models():
                card = cards.card(name)
                assert counts == (card.params, card.macs or counts[1]), name
            else:
                references = list(reference(name))
                expected = {(int(x["params"]), int(x["macs"] or counts[1])) for x in references}
                assert not expected or counts in expected, name
                compared += [name] * bool(expected)
    assert len(compared) == 6


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "network",
    ["lenet5", "sutskever2014", "bahdanau2015", "tcn_adding200",
     "snail_omniglot_5way_1shot", "unet of resnet18"],
)  # fmt: skip
def test_parts_are_those_of_the_network(network, load, plots):
    architectures = load("architectures")
    module, _, build = next(x for x in architectures.networks() if x[1] == network)
    lines = architectures.lines(module, network, build())
    expected = plots.networks()[module][network]
    assert [{name: str(value) for name, value in line.items()} for line in lines] == expected


def test_parts_read_earlier_parts_and_inputs(plots):
    for networks in plots.networks().values():
        for name, rows in networks.items():
            boxes = plots.nodes(rows)
            direct, far = plots.links(boxes)
            readers = {source + 1 for source in direct} | {target for _, target, _ in far}
            assert readers == {i for i, (_, row) in enumerate(boxes) if row}, name
            assert all(source < target for source, target, _ in far), name


def test_plots_are_well_formed_and_have_a_description(plots):
    for networks in plots.networks().values():
        for name, rows in networks.items():
            svg = ElementTree.fromstring(plots.plot(name, rows))[0]
            assert svg.get("role") == "img" and name in svg.get("aria-label")
            assert all(plots.title(row) in svg.get("aria-label") for row in rows)
            width = float(svg.get("viewBox").split()[2])
            assert width < 700, name  # readable on a phone


def test_measured_rows_are_lines_of_the_pages(measured):
    results = measured.of_family({"resnet", "resnet18"})
    pages = {result.page for result in results}
    assert {"cifar10.md", "delegate.md"} <= pages
    for result in results:
        lines = (ROOT / "docs" / result.page).read_text(encoding="utf-8").splitlines()
        start = lines.index(result.rows[0])
        assert set(result.rows) | set(result.head) <= set(lines)
        assert result.head[0] in lines[:start]
        assert not result.heading or f"## {result.heading}" in lines[:start]
    rows = next(result.rows for result in results if result.page == "cifar10.md")
    assert all("| resnet18 |" in row for row in rows)


def test_pages_that_cite_a_paper_are_found(measured):
    assert "pointer_tasks.md" in measured.other_pages({"pointer_network"}, "arXiv:1506.03134")
    assert measured.other_pages({"no_such_network"}, "") == {}


def test_pages_have_variants_figures_and_an_architecture(load):
    pages, tables = load("family_pages"), load("model_tables")
    members = {group[0].module: group for group in tables.families()}
    page = pages.family_page(members["kapps.cnn.resnet"])
    for heading in ("Architecture", "Variants", "Published figures", "Measured figures", "Source"):
        assert f"\n## {heading}\n" in page
    assert 'aria-label="Architecture of resnet18' in page
    assert "| `resnet50` | 224 x 224 x 3 | 1000 | 25,557,032 | 4,089,184,256 |" in page
    assert "](../cifar10.md#results-on-cifar10_jpg_20k_2kzip)" in page
    page = pages.other_family_page("kapps.segmentation.segnet", ("segnet", "segnet_basic"))
    assert "| `segnet` | 360 x 480 | 11 | 29,449,355 | 106,712,432,640 |" in page
