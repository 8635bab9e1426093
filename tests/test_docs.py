"""The model tables of README.md and docs/models.md equal the cards."""

import pathlib
import re

import module_files

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
    links = re.findall(r"docs/models\.md#([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
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
