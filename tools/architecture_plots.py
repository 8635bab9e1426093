"""Plots of architectures for the site, as SVG, from docs/architectures.csv: a box for each part of a network.

Arrows lead from a part to those that read it. Colours of the text and the boxes are those of the page, so that a plot
is readable in light and dark. Keras is not needed.
"""

import csv
import functools
import html
import importlib.util
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
BOX, HEIGHT, GAP, LANE, TEXT = 282, 44, 22, 12, 212
"""Width and height of a box, distance of boxes, distance of the lines next to them, width of the text on the right."""
TIMES = "\N{MULTIPLICATION SIGN}"
LETTERS = 44
"""Letters of a line of operations that a box has room for."""


@functools.cache
def networks() -> dict[str, dict[str, list[dict]]]:
    """Returns {module: {network: parts}}."""
    modules = {}
    with open(ROOT / "docs/architectures.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            modules.setdefault(row["module"], {}).setdefault(row["network"], []).append(row)
    return modules


@functools.cache
def level_colours() -> tuple[tuple[str, ...], str]:
    """Returns the colours of levels and of other parts in profiles. Their package is not imported: it needs Keras."""
    path = ROOT / "kapps/analysis/levels_and_blocks.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LEVEL_COLOURS, module.HEAD_COLOUR


def colour(part: str) -> str:
    """Returns the colour of a part: that of its level."""
    colours, other = level_colours()
    match = re.search(r"level (\d+)", part)
    return colours[min(int(match[1]), len(colours) - 1)] if match else other


def title(row: dict) -> str:
    """Returns the name of a part with the number of its blocks."""
    name, _, _ = row["part"].partition(" #")
    if row["blocks"] in ("", "1"):
        return name
    return (
        f"{name}, {row['blocks']} blocks" if "level" in name else f"{name} {TIMES} {row['blocks']}"
    )


def shape(row: dict) -> str:
    """Returns the shape of a part's output, without the batch."""
    return row["output"].replace("x", TIMES)


def count_text(count: int) -> str:
    """Returns a number with three digits: "9,408", "25.6 M"."""
    if count < 10_000:
        return f"{count:,}"
    unit, factor = ("k", 1e3) if count < 1_000_000 else ("M", 1e6)
    return f"{count / factor:,.3g} {unit}" if count < 1e9 else f"{count / 1e9:.3g} G"


def operations_text(row: dict) -> str:
    """Returns the operations of a part in short words."""
    text = re.sub(r"(?<=\d)x(?=\d)", TIMES, row["operations"].replace("; ", ", "))
    text = text.replace("depthwise convolution", "depthwise").replace("convolution", "conv")
    if len(text) <= LETTERS:
        return text
    return text[:LETTERS].rpartition(", ")[0] + ", …" if ", " in text[:LETTERS] else text[:LETTERS]


def is_open(rows: list[dict]) -> bool:
    """Returns whether a network leaves a length open."""
    return any("n" in row["output"].split(" x ") for row in rows)


def nodes(rows: list[dict]) -> list[tuple[str, dict | None]]:
    """Returns the boxes of a plot, [(name, part)], from the top: inputs, without a part, before their first reader.

    Inputs with the same readers are one, "source, target".
    """
    parts, readers = {row["part"] for row in rows}, {}
    for row in rows:
        for source in sources(row):
            if source not in parts:
                readers.setdefault(source, []).append(row["part"])
    result = []
    for row in rows:
        groups = {}
        for source, names in readers.items():
            if names[0] == row["part"]:
                groups.setdefault(tuple(names), []).append(source)
        result += [(", ".join(group), None) for group in groups.values()]
        result.append((row["part"], row))
    return result


def sources(row: dict | None) -> list[str]:
    """Returns the names of the parts and inputs that a part reads."""
    return row["reads"].split("; ") if row and row["reads"] else []


def links(boxes: list[tuple[str, dict | None]]) -> tuple[list[int], list[tuple[int, int, int]]]:
    """Returns the boxes that the next one reads, and (source, reader, lane) of the lines next to the boxes."""
    places = {name: i for i, (name, row) in enumerate(boxes) if row}
    places |= {x: i for i, (name, row) in enumerate(boxes) if not row for x in name.split(", ")}
    readers = {}
    for i, (_, row) in enumerate(boxes):
        for source in dict.fromkeys(places[source] for source in sources(row)):
            readers.setdefault(source, []).append(i)
    direct = [source for source, targets in readers.items() if source + 1 in targets]
    far, ends = [], []  # the end of the last line of each lane
    for source, targets in sorted(readers.items()):
        targets = [target for target in targets if target != source + 1]
        if targets:
            lane = next((i for i, end in enumerate(ends) if end <= source), len(ends))
            ends[lane : lane + 1] = [max(targets)]
            far += [(source, target, lane) for target in targets]
    return direct, far


def description(name: str, rows: list[dict]) -> str:
    """Returns the alternative text of a plot."""
    parts = [title(row) + (f" to {shape(row)}" if row["output"] else "") for row in rows]
    return f"Architecture of {name}: {'; '.join(parts)}"


def arrow(x: float, y: float, *, down: bool) -> str:
    """Returns the head of an arrow that ends at a point."""
    points = (x - 4, y - 7, x + 4, y - 7) if down else (x - 7, y - 4, x - 7, y + 4)
    return "<polygon points='{:g},{:g} {:g},{:g} {:g},{:g}'/>".format(*points, x, y)


def box(row: dict, left: float, top: float, macs: int) -> str:
    """Returns the box of a part with its texts.

    Args:
        row: the part.
        left, top: its corner.
        macs: multiply-accumulates of the network, or 0 if its length is open.
    """
    operations, right = operations_text(row), left + BOX + 12
    middle = top + (19 if operations else 27)
    numbers = f"{count_text(int(row['params']))} parameters" if int(row["params"]) else ""
    percentage = 100 * int(row["macs"]) / macs if macs else 0
    if percentage >= 0.5:
        numbers += ", " * bool(numbers) + f"{percentage:.0f} % of MACs"
    full = html.escape(row["operations"].replace("; ", ", "))
    texts = [
        f"<g><title>{full}</title>" if full else "<g>",
        f"<rect x='{left:g}' y='{top:g}' width='{BOX}' height='{HEIGHT}' rx='4'/>",
        f"<rect class='level' x='{left:g}' y='{top:g}' width='6' height='{HEIGHT}' fill='{colour(row['part'])}'/>",
        f"<text class='part' x='{left + 16:g}' y='{middle:g}'>{html.escape(title(row))}</text>",
        f"<text class='small' x='{left + 16:g}' y='{top + 35:g}'>{html.escape(operations)}</text>",
        f"<text x='{right:g}' y='{top + 19:g}'>{shape(row)}</text>",
        f"<text class='small' x='{right:g}' y='{top + 35:g}'>{numbers}</text></g>",
    ]
    return "".join(texts)


def plot(name: str, rows: list[dict]) -> str:
    """Returns the plot of a network as an element of a page, without line breaks.

    Args:
        name: of the network.
        rows: its parts, from `networks`.
    """
    boxes = nodes(rows)
    direct, far = links(boxes)
    macs = 0 if is_open(rows) else sum(int(row["macs"]) for row in rows)
    left = 4 + LANE * (1 + max((lane for _, _, lane in far), default=-1))
    tops, y = [], 2
    for _, row in boxes:
        tops.append(y)
        y += (HEIGHT if row else 16) + GAP
    bottoms = [top + (HEIGHT if row else 16) for top, (_, row) in zip(tops, boxes, strict=True)]
    middles = [(top + bottom) / 2 for top, bottom in zip(tops, bottoms, strict=True)]
    centre = left + BOX / 2
    lines, heads, texts = [], [], []
    for i in direct:
        lines.append(f"M{centre:g} {bottoms[i]:g}V{tops[i + 1] - 2:g}")
        heads.append(arrow(centre, tops[i + 1] - 1, down=True))
    for source, target, lane in far:
        x = left - LANE * (lane + 1)
        start = centre - 40 if boxes[source][1] is None else left
        lines.append(
            f"M{start:g} {middles[source] + 6:g}H{x:g}V{middles[target] - 6:g}H{left - 3:g}"
        )
        heads.append(arrow(left - 1, middles[target] - 6, down=False))
    for (label, row), top in zip(boxes, tops, strict=True):
        if row is None:
            texts.append(
                f"<text class='input' x='{centre:g}' y='{top + 12:g}'>{html.escape(label)}</text>"
            )
        else:
            texts.append(box(row, left, top, macs))
    alternative = html.escape(description(name, rows), quote=True)
    return (
        f'<div class="architecture" data-search-exclude=""><svg viewBox="0 0 {left + BOX + TEXT:g} {y - GAP + 2:g}" '
        f'style="max-width:{left + BOX + TEXT:g}px" role="img" aria-label="{alternative}">'
        f"<path d='{''.join(lines)}'/><g class='heads'>{''.join(heads)}</g>{''.join(texts)}</svg></div>"
    )
