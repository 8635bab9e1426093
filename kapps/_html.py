"""HTML pages in one file: a template whose parts are filled in, and data as JSON inside a page."""

import json
import re
from collections.abc import Mapping
from importlib import resources


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Returns a template with each @name@ replaced by a part; @elements@ by the functions that make elements."""
    script = resources.files("kapps").joinpath("_html_elements.js").read_text(encoding="utf-8")
    parts = {"elements": script, **parts}
    return re.sub(r"@(\w+)@", lambda match: parts[match[1]].strip(), template).strip()


def embedded_json(data) -> str:
    """Returns data as JSON that can stand inside a script element."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
