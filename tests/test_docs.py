"""The model tables of README.md and docs/models.md equal the cards."""

import importlib.util
import pathlib

ROOT = pathlib.Path(__file__).parents[1]


def model_tables():
    """Returns tools/model_tables.py as a module."""
    spec = importlib.util.spec_from_file_location("model_tables", ROOT / "tools/model_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_model_tables_equal_the_cards():
    tables = model_tables()
    assert (ROOT / "README.md").read_text(encoding="utf-8") == tables.readme(), (
        "run python tools/model_tables.py"
    )
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    assert page == tables.models_page(), "run python tools/model_tables.py"
