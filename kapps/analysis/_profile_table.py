"""A profile as plain records, and as aligned text."""

import dataclasses

HEADINGS = {
    "level": ("level", "layers", "output", "field", "MACs", "additions", "others", "parameters", "activations"),
    "block": ("block", "times", "output", "field", "MACs", "additions", "others", "parameters", "activations"),
    "layer": (
        "layer", "kind", "output", "kernel", "field", "MACs", "additions", "others", "parameters", "activations"
    ),
}  # fmt: skip
SUMS = (
    "macs", "additions", "elementwise", "trainable", "non_trainable", "activations", "weight_bytes", "output_bytes"
)  # fmt: skip


def records(profile, by):
    """Returns dictionaries of plain values, one a row or group."""
    return [
        row(group.rows[0]) if by == "layer" else summed(group, by) for group in profile.groups(by)
    ]


def row(each):
    """Returns a row as a dictionary; the window's parts stand beside the others."""
    window = each.window
    parts = ("kernel", "strides", "padding", "dilation", "groups", "transposed")
    record = {}
    for field in dataclasses.fields(each):
        value = getattr(each, field.name)
        if field.name == "window":
            record |= {part: _plain(getattr(window, part)) if window else None for part in parts}
        elif field.name == "receptive_field":
            record |= _fields(value)
        else:
            record[field.name] = _plain(value)
    return record


def summed(group, by):
    """Returns a group as a dictionary."""
    named = {by: group.name, "times": group.times, "layers": len(group.rows)}
    sums = {name: getattr(group, name) for name in SUMS}
    return named | {"outputs": _plain(group.outputs)} | sums | _fields(group.receptive_field)


def _fields(fields):
    return {
        f"receptive_field_{name}": None
        if fields is None
        else [getattr(field, name) for field in fields]
        for name in ("size", "stride", "offset")
    }


def _plain(value):
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def text(profile, by):
    """Returns the groups and the totals as aligned text; the first column is the name."""
    headings = HEADINGS.get(by, ())
    lines = [_line(group) for group in profile.groups(by)]
    total = dict.fromkeys(headings, "")
    total |= {headings[0]: "total", **_sums(profile)}
    cells = [headings, *([line[heading] for heading in headings] for line in [*lines, total])]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    text_lines = [_aligned(row, widths, len(headings)) for row in cells]
    shapes = ", ".join("x".join(map(str, shape)) for shape in profile.inputs)
    text_lines.insert(0, f"{profile.name}, input {shapes}")
    return "\n".join([*text_lines, *_totals(profile)])


def _line(group):
    last = group.rows[-1]
    line = {
        "level": group.name,
        "block": group.name,
        "layer": group.name,
        "layers": str(len(group.rows)),
        "times": str(group.times),
        "kind": last.kind + (f" x {last.repeat}" if last.repeat > 1 else ""),
        "output": shape(group.outputs),
        "kernel": kernel(last.window),
        "field": field(group.receptive_field),
    }
    return line | _sums(group)


def _sums(group):
    return {
        "MACs": f"{group.macs:,}",
        "additions": f"{group.additions:,}",
        "others": f"{group.elementwise:,}",
        "parameters": f"{group.parameters:,}",
        "activations": f"{group.activations:,}",
    }


def _totals(profile):
    megabytes = {
        "weights": profile.weight_bytes,
        "activations at inference": profile.inference_bytes,
        "in a training step": profile.training_bytes,
    }
    memory = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in megabytes.items())
    parameters = f"{profile.trainable:,} trainable parameters, {profile.non_trainable:,} others"
    return [
        f"{parameters}; {profile.macs / 1e9:,.3f} G multiply-accumulates",
        f"memory at {profile.dtype}: {memory}",
    ]


def shape(shapes):
    """Returns 8x8x4 for the first of several shapes, the batch left out."""
    return "x".join(map(str, shapes[0][1:])) if shapes else ""


def kernel(window):
    """Returns kernel, stride, dilation and groups in short: 3x3/2 d2 g32, a transposed one as 3x3*2."""
    if window is None or (set(window.kernel) == {1} and any(any(pad) for pad in window.padding)):
        return ""
    text = "x".join(map(str, window.kernel))
    if max(window.strides) > 1:
        text += ("*" if window.transposed else "/") + str(max(window.strides))
    if max(window.dilation) > 1:
        text += f" d{max(window.dilation)}"
    return text + (f" g{window.groups}" if window.groups > 1 else "")


def field(fields):
    """Returns 11x11 for a receptive field, "" where it is not known."""
    return "x".join(str(field.size) for field in fields) if fields else ""


def _aligned(row, widths, count):
    """Returns one line: text to the left, numbers to the right."""
    numbers = 5  # the last columns
    return "  ".join(
        cell.ljust(width) if i < count - numbers else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
