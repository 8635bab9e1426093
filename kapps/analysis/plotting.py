"""Images: what a model takes by depth, accuracy against what networks take, and what they learn over time."""

import itertools
import math
import os

from kapps._files import write_atomically
from kapps.analysis.results import Profile

# Of the levels, from the image's resolution down, and of what has no map.
COLOURS = ("#4e79a7", "#76b7b2", "#59a14f", "#edc948", "#f28e2b", "#e15759", "#b07aa1", "#9c755f")
HEAD = "#7f7f7f"


def colour(level: int | None) -> str:
    """Returns the colour of a level; of the head for None."""
    return HEAD if level is None else COLOURS[level % len(COLOURS)]


def plot(profile: Profile, path: str | os.PathLike) -> None:
    """Draws what a model takes, one bar a layer from the input to the output; see `Profile.plot`."""
    rows = profile.rows
    figure = blank(figsize=(min(max(7, len(rows) / 16), 14), 9))
    axes = figure.subplots(4, sharex=True)
    panels = (
        ("feature maps (MB)", [row.output_bytes / 1e6 for row in rows]),
        ("weights (MB)", [row.weight_bytes / 1e6 for row in rows]),
        ("MACs (M)", [row.macs / 1e6 for row in rows]),
    )
    places, colours = range(1, len(rows) + 1), [colour(row.level) for row in rows]
    for axis, (label, values) in zip(axes, panels, strict=False):
        axis.bar(places, values, width=1, color=colours, edgecolor="white", linewidth=0.2)
        axis.set_ylabel(label)
    _fields(axes[3], profile, places)
    axes[3].set(xlabel="layer, in the graph's order", xlim=(0.5, max(len(rows), 1) + 0.5))
    for axis in axes:
        _bands(axis, rows)
        axis.grid(axis="y", alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(y=0.08)
    _levels(axes[0], rows)
    shape = ", ".join("x".join(map(str, x)) for x in profile.inputs)
    figure.suptitle(
        f"{profile.name}, input {shape}: {profile.macs / 1e9:,.3g} G multiply-accumulates, "
        f"{profile.parameters / 1e6:,.3g} M parameters,\n{profile.inference_bytes / 1e6:,.1f} MB of activations at "
        f"once at inference, {profile.training_bytes / 1e6:,.1f} MB in training ({profile.dtype})",
        fontsize=10,
    )
    save(figure, path)


def _fields(axis, profile, places):
    """Draws how many of the input's pixels, or steps, a unit of each layer sees."""
    maps = [i for i, row in enumerate(profile.rows) if row.level is not None]  # the head sees all
    chosen = maps or range(len(profile.rows))
    rows = [(places[i], profile.rows[i].fields) for i in chosen]
    known = [(place, max(field.size for field in fields)) for place, fields in rows if fields]
    axis.set_ylabel("receptive field")
    if not known:
        axis.text(0.5, 0.5, "not known", transform=axis.transAxes, ha="center", color=HEAD)
        return
    axis.plot(*zip(*known, strict=True), drawstyle="steps-mid", color="#1c2733", linewidth=1.5)
    side = max(profile.inputs[0][1:-1], default=0)
    if side:
        axis.axhline(side, color=HEAD, linestyle="--", linewidth=1)
        axis.annotate(
            f"the input's {side}", (0, side), xytext=(4, 3), textcoords="offset points",
            xycoords=("axes fraction", "data"), fontsize=8, color=HEAD,
        )  # fmt: skip


def _bands(axis, rows):
    """Shades the stretches of layers that stand at one level, every other level darker."""
    for level, first, last in _stretches(rows):
        axis.axvspan(first - 0.5, last + 0.5, color=colour(level), alpha=0.09, linewidth=0)


def _stretches(rows):
    """Returns (level, first, last) of the stretches of layers at one level."""
    found, place = [], 1
    for level, same in itertools.groupby(rows, key=lambda row: row.level):
        count = len(list(same))
        found.append((level, place, place + count - 1))
        place += count
    return found


def _levels(axis, rows):
    """Writes the levels' names above the stretches that are wide enough for them."""
    for level, first, last in _stretches(rows):
        if last - first + 1 >= len(rows) / 20:
            name = "head" if level is None else f"level {level}"
            axis.annotate(
                name, ((first + last) / 2, 1), xytext=(0, 3), textcoords="offset points",
                xycoords=("data", "axes fraction"), ha="center", fontsize=8, color="#4a5866",
            )  # fmt: skip


def zoo(points: list[dict], path: str | os.PathLike) -> None:
    """Draws accuracy against multiply-accumulates and against parameters, a point a network.

    Args:
        points: one mapping a network: "network", "top1" in percent, "macs", "parameters", and "source", which says
            whose accuracy it is; points of one source have one colour.
        path: of the image; its suffix says what it is: .png, .svg, .pdf.

    Raises:
        ValueError: where there is no point, or for a suffix that matplotlib does not write.
        OSError: where the file cannot be written.
    """
    if not points:
        raise ValueError("there is no network to draw")
    figure = blank(figsize=(13, 7))
    from matplotlib.ticker import LogLocator

    axes = figure.subplots(1, 2, sharey=True)
    for axis, (key, label) in zip(
        axes, (("macs", "multiply-accumulates (G)"), ("parameters", "parameters (M)")), strict=True
    ):
        unit = 1e9 if key == "macs" else 1e6
        for source, chosen in zip(
            dict.fromkeys(point["source"] for point in points), COLOURS, strict=False
        ):
            some = [point for point in points if point["source"] == source]
            across = [point[key] / unit for point in some]
            axis.scatter(
                across, [point["top1"] for point in some], s=30, color=chosen, label=source
            )
        axis.set(xscale="log", xlabel=label)
        axis.margins(x=0.15, y=0.08)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
        axis.grid(alpha=0.25, which="both")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("top-1 accuracy on ImageNet (%)")
    axes[0].legend(loc="lower right", fontsize=8)
    figure.draw_without_rendering()  # places everything, so that names find their room
    for axis, key, unit in zip(axes, ("macs", "parameters"), (1e9, 1e6), strict=True):
        _named(axis, [(point[key] / unit, point["top1"], point["network"]) for point in points])
    save(figure, path)


def curves(lines: dict[str, list], path: str | os.PathLike, across: str, up: str) -> None:
    """Draws a panel a line, with all the others behind it in grey.

    Args:
        lines: points (across, up) by name.
        path: of the image; its suffix says what it is: .png, .svg, .pdf.
        across: what the axis to the right is.
        up: what the axis upwards is.

    Raises:
        ValueError: where there is no line, or for a suffix that matplotlib does not write.
        OSError: where the file cannot be written.
    """
    if not lines:
        raise ValueError("there is no curve to draw")
    wide = min(len(lines), 5)
    high = -(-len(lines) // wide)
    figure = blank(figsize=(2.6 * wide + 0.8, 2.1 * high + 0.6))
    panels = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, (name, points) in zip(panels, lines.items(), strict=False):
        for other in lines.values():
            panel.plot(*zip(*other, strict=True), color=HEAD, alpha=0.25, linewidth=0.7)
        panel.plot(*zip(*points, strict=True), color=COLOURS[0], marker=".", markersize=4)
        panel.set_title(f"{name}  {points[-1][1]:.3g}", fontsize=SIZE)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=SIZE)
    for panel in panels[len(lines) :]:
        panel.set_axis_off()
    figure.supxlabel(across, fontsize=SIZE + 1)
    figure.supylabel(up, fontsize=SIZE + 1)
    save(figure, path)


SIZE = 8  # of names, in points
OFFSETS = sorted(
    ((x, y) for x in range(-90, 91, 6) for y in range(-60, 61, 6) if max(abs(x), abs(y)) > 5),
    key=lambda offset: math.hypot(offset[0], 1.5 * offset[1]) - (offset[0] > 0),
)


def _named(axis, points):
    """Writes each point's name where it covers no other name and no point, with a line to it where it is far."""
    scale = 72 / axis.figure.dpi
    spots = [scale * axis.transData.transform(point[:2]) for point in points]
    (left, low), (right, high) = scale * axis.transAxes.transform([(0, 0), (1, 1)])
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in spots]
    for (x, y, name), (across, up) in zip(points, spots, strict=True):
        wide = 0.56 * SIZE * len(name)
        for dx, dy in OFFSETS:
            start = across + dx - (wide if dx < 0 else 0)  # beside the point, not over it
            box = (start, up + dy - SIZE / 2, start + wide, up + dy + SIZE / 2 + 1)
            inside = left < box[0] and box[2] < right and low < box[1] and box[3] < high
            if inside and not any(_overlap(box, other) for other in taken):
                break
        else:
            dx, dy = 6, 0
        taken.append(box)
        axis.annotate(
            name, (x, y), xytext=(dx, dy), textcoords="offset points", fontsize=SIZE, va="center",
            ha="right" if dx < 0 else "left",
            arrowprops={"arrowstyle": "-", "color": HEAD, "linewidth": 0.5} if math.hypot(dx, dy) > 15 else None,
        )  # fmt: skip


def _overlap(one, other):
    """Whether two boxes, (left, low, right, high), have a point in common."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def blank(**options):
    """Returns an empty matplotlib figure, which no window shows."""
    try:
        from matplotlib.figure import Figure  # the figure alone: no global state, no window
    except ImportError as error:
        raise ValueError("a plot needs matplotlib: pip install matplotlib") from error
    return Figure(layout="constrained", **options)


def save(figure, path):
    """Writes a figure, by the suffix: .png, .svg or .pdf."""
    suffix = os.fspath(path).rpartition(".")[2].lower()
    kinds = figure.canvas.get_supported_filetypes()
    if suffix not in kinds:
        raise ValueError(f"{os.fspath(path)}: an image ends in .png, .svg or .pdf")
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=130)
