"""One interactive HTML page a model: the graph of its blocks, charts by depth, tables that sort.

The page holds all that it needs and asks for nothing else. Its graph is laid out by dagre, version 3.1.3 of the npm
package @dagrejs/dagre, which lies unchanged in `web/dagre.min.js` with its licence (MIT) beside it.
"""

import html
import json
import re
from importlib import resources

from kapps.analysis import _profile_table
from kapps.analysis.levels import HEAD_COLOUR, LEVEL_COLOURS
from kapps.analysis.results import Profile


def html_page(profile: Profile) -> str:
    """Returns the page of a profile."""
    library = _file("dagre.min.js").partition("//# sourceMappingURL")[0]
    parts = {
        "title": html.escape(profile.name),
        "style": _file("page.css"),
        "licence": _file("dagre.LICENSE"),
        "library": library,
        "data": json.dumps(content(profile), separators=(",", ":")).replace("<", "\\u003c"),
        "script": _file("page.js"),
    }
    return re.sub(r"@(\w+)@", lambda found: parts[found[1]].strip(), _file("page.html")).strip()


def content(profile: Profile) -> dict:
    """Returns what the page shows, in JSON's types: rows, links between them, and groups of numbers of rows."""
    numbers = {id(row): i for i, row in enumerate(profile.rows)}
    names = (
        "macs",
        "additions",
        "elementwise",
        "trainable",
        "non_trainable",
        "weight_bytes",
        "output_bytes",
    )
    return {
        "name": profile.name,
        "dtype": profile.dtype,
        "inputs": ["x".join(map(str, shape)) for shape in profile.inputs],
        "outputs": ["x".join(map(str, shape)) for shape in profile.outputs],
        "totals": {
            name: getattr(profile, name) for name in (*names, "inference_bytes", "training_bytes")
        },
        "rows": [_row(row) for row in profile.rows],
        "links": profile.links,
        "blocks": [_group(group, numbers) for group in profile.blocks()],
        "levels": [_group(group, numbers) for group in profile.levels()],
        "colours": LEVEL_COLOURS,
        "head": HEAD_COLOUR,
    }


def _row(row):
    figures = (
        "macs",
        "additions",
        "elementwise",
        "parameters",
        "activations",
        "weight_bytes",
        "output_bytes",
    )
    return {
        "name": row.name,
        "kind": row.kind + (f" x {row.repeat}" if row.repeat > 1 else ""),
        "level": row.level,
        "output": _profile_table.shape(row.outputs),
        "kernel": _profile_table.kernel(row.window),
        "field": _profile_table.field(row.receptive_field),
        "seen": max((field.size for field in row.receptive_field), default=None)
        if row.receptive_field
        else None,
        **{name: getattr(row, name) for name in figures},
    }


def _group(group, numbers):
    return {
        "name": group.name,
        "times": group.times,
        "rows": [numbers[id(row)] for row in group.rows],
    }


def _file(name):
    return resources.files("kapps.analysis").joinpath("web", name).read_text()
