"""The model tables of README.md and docs/models.md equal the cards."""

import pathlib

import module_files

ROOT = pathlib.Path(__file__).parents[1]


def test_model_tables_equal_the_cards():
    tables = module_files.load("tools/model_tables.py")
    assert (ROOT / "README.md").read_text(encoding="utf-8") == tables.readme(), (
        "run python tools/model_tables.py"
    )
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    assert page == tables.models_page(), "run python tools/model_tables.py"
