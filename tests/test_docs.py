"""README.md, the model tables, the links of the documents and the lecture companion."""

import importlib
import pathlib
import re

import module_files
import pytest

from kapps import cards

ROOT = pathlib.Path(__file__).parents[1]


def test_model_tables_equal_the_cards():
    tables = module_files.load("tools/model_tables.py")
    assert (ROOT / "README.md").read_text(encoding="utf-8") == tables.readme(), (
        "run python tools/model_tables.py"
    )
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    assert page == tables.models_page(), "run python tools/model_tables.py"


def test_every_family_of_the_readme_has_a_heading_of_the_models_page():
    tables = module_files.load("tools/model_tables.py")
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    anchors = {tables.slug(heading) for heading in re.findall(r"^## (.+)$", page, re.MULTILINE)}
    links = re.findall(
        r"docs/models\.md#([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")
    )
    assert len(links) > 80
    assert [link for link in links if link not in anchors] == []


def test_every_file_of_a_kind_is_a_family():
    tables = module_files.load("tools/model_tables.py")
    files = {members[0].module.rpartition(".")[2] for members in tables.families()}
    named = [file for names in tables.KINDS.values() for file in names]
    assert set(named) | set(tables.NAMES) <= files
    assert len(named) == len(set(named))
    assert set(tables.ROWS) == set(tables.KINDS) | set(tables.FOLDERS)


def test_readme_is_one_screen():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.fixture(scope="module")
def lectures():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        return module_files.load("tools/lecture_pages.py")


def test_every_name_and_test_of_the_lectures_exists(lectures):
    for row in lectures.rows():
        assert (ROOT / row["test"]).is_file(), row
        assert row["lecture"] in lectures.NAMES
        for name in row["names"].split():
            if name.startswith("recipes/"):
                assert (ROOT / name).is_file(), row
            elif name.startswith("kapps."):
                module, _, last = name.rpartition(".")
                assert hasattr(importlib.import_module(module), last), row
            else:
                assert name in cards.list_models(), row


def test_every_builder_with_a_printed_figure_is_on_its_lecture(lectures):
    """Every network of tests/reference/published.csv is on a slide of the lecture that prints its figures."""
    slides = {(row["lecture"], name) for row in lectures.rows() for name in row["names"].split()}
    printed = {(row["seed"], row["builder"]) for row in lectures.published() if row["builder"]}
    assert printed - slides == set()


def test_the_lecture_page_links_families_and_counts_figures(lectures):
    page = lectures.page()
    assert "[`resnet50`](families/resnet.md)" in page
    assert "11: [squeezenet](families/squeezenet.md#published-figures)" in page


def test_links_of_the_documents_lead_to_files():
    """The site's build checks links and anchors inside docs/; these are the links that GitHub follows."""
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (path.parent / link).exists(), f"{path.relative_to(ROOT)}: {link}"


def test_links_of_the_description_lead_to_the_repository():
    setup = module_files.load("setup.py")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    address = "https://example.org/kapps"
    text = setup.description(readme, address)
    links = re.findall(r"\]\(([^)#\s]+)", text)
    assert len(links) > 80 and all(link.startswith("https://") for link in links)
    assert f"]({address}/raw/HEAD/docs/zoo.png)" in text
    for link in links:
        path = re.sub(rf"^{address}/(raw|blob)/HEAD/", "", link)
        assert "://" in path or (ROOT / path).is_file(), link


def test_a_description_without_an_address_has_no_links_to_files():
    setup = module_files.load("setup.py")
    text = setup.description(
        "# A\n\n![Plot](docs/zoo.png)\n\n[guide](docs/index.md), [x](https://y.z)\n", None
    )
    assert text == "# A\n\nguide, [x](https://y.z)\n"
