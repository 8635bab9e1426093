"""One interactive HTML page for a model: the graph of its blocks, charts by depth, sortable tables.

The page loads no other file. The graph is laid out by dagre, version 3.1.3 of the npm package @dagrejs/dagre: the
unchanged file is `web/dagre.min.js`, and its licence (MIT) is in the same directory.
"""

import html
from importlib import resources

from kapps._checked import checked
from kapps._html import embedded_json, fill
from kapps.analysis._profile_table import kernel_text, kind_text, receptive_field_text, shape_text
from kapps.analysis.levels_and_blocks import HEAD_COLOUR, LEVEL_COLOURS
from kapps.analysis.results import Profile

TOTALS = (
    "macs", "additions", "elementwise", "trainable", "non_trainable", "weight_bytes", "output_bytes",
    "inference_bytes", "training_bytes",
)  # fmt: skip
ROW_VALUES = (
    "macs", "additions", "elementwise", "parameters", "activations", "weight_bytes", "output_bytes"
)  # fmt: skip


@checked
def html_page(profile: Profile) -> str:
    """Returns an interactive HTML page of a profile. It works offline.

    Args:
        profile: from `kapps.profile`.
    """
    library = _file("dagre.min.js").partition("//# sourceMappingURL")[0]
    parts = {
        "title": html.escape(profile.name),
        "style": _file("page.css"),
        "licence": _file("dagre.LICENSE"),
        "library": library,
        "data": embedded_json(page_data(profile)),
        "script": _file("page.js"),
    }
    return fill(_file("page.html"), parts)


def page_data(profile: Profile) -> dict:
    """Returns the data of the page in JSON types: rows, links between rows, and groups as lists of row indices."""
    indices = {id(row): i for i, row in enumerate(profile.rows)}
    return {
        "name": profile.name,
        "dtype": profile.dtype,
        "inputs": ["x".join(map(str, shape)) for shape in profile.inputs],
        "outputs": ["x".join(map(str, shape)) for shape in profile.outputs],
        "totals": {name: getattr(profile, name) for name in TOTALS},
        "rows": [_row_data(row) for row in profile.rows],
        "links": profile.links,
        "blocks": [_group_data(group, indices) for group in profile.blocks()],
        "levels": [_group_data(group, indices) for group in profile.levels()],
        "level_colours": LEVEL_COLOURS,
        "head_colour": HEAD_COLOUR,
    }


def _row_data(row):
    sizes = [axis.size for axis in row.receptive_field or ()]
    return {
        "name": row.name,
        "kind": kind_text(row),
        "level": row.level,
        "output": shape_text(row.outputs),
        "kernel": kernel_text(row.window),
        "receptive_field": receptive_field_text(row.receptive_field),
        "receptive_field_size": max(sizes, default=None),
        **{name: getattr(row, name) for name in ROW_VALUES},
    }


def _group_data(group, indices):
    return {
        "name": group.name,
        "times": group.times,
        "rows": [indices[id(row)] for row in group.rows],
    }


def _file(name):
    return resources.files("kapps.analysis").joinpath("web", name).read_text(encoding="utf-8")
