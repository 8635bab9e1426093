"""A profile as plain records and as a table of text."""

import dataclasses

from kapps.tables import Column, Table

COSTS = (
    Column("macs", "MACs", ",d"),
    Column("additions", "additions", ",d"),
    Column("elementwise", "other operations", ",d"),
    Column("parameters", "parameters", ",d"),
    Column("activations", "activations", ",d"),
)
COLUMNS = {
    "level": (
        Column("name", "level"),
        Column("layers", "layers", "d"),
        Column("output", "output"),
        Column("receptive_field", "receptive field"),
        *COSTS,
    ),
    "block": (
        Column("name", "block"),
        Column("times", "times", "d"),
        Column("output", "output"),
        Column("receptive_field", "receptive field"),
        *COSTS,
    ),
    "layer": (
        Column("name", "layer"),
        Column("kind", "kind"),
        Column("output", "output"),
        Column("kernel", "kernel"),
        Column("receptive_field", "receptive field"),
        *COSTS,
    ),
}
GROUP_SUMS = (
    "macs", "additions", "elementwise", "trainable", "non_trainable", "activations", "weight_bytes", "output_bytes"
)  # fmt: skip


def records(profile, by):
    """Returns dictionaries of plain values, one for each row or group."""
    groups = profile.groups(by)
    if by == "layer":
        return [_row_record(group.rows[0]) for group in groups]
    return [_group_record(group, by) for group in groups]


def _row_record(row):
    """Returns a row as a dictionary; the parts of its window are entries of their own."""
    parts = ("kernel", "strides", "padding", "dilation", "groups", "transposed")
    record = {}
    for field in dataclasses.fields(row):
        value = getattr(row, field.name)
        if field.name == "window":
            record |= {part: _plain(getattr(value, part)) if value else None for part in parts}
        elif field.name == "receptive_field":
            record |= _receptive_field_record(value)
        else:
            record[field.name] = _plain(value)
    return record


def _group_record(group, by):
    record = {by: group.name, "times": group.times, "layers": len(group.rows)}
    record["outputs"] = _plain(group.outputs)
    record |= {name: getattr(group, name) for name in GROUP_SUMS}
    return record | _receptive_field_record(group.receptive_field)


def _receptive_field_record(axes):
    return {
        f"receptive_field_{name}": None if axes is None else [getattr(axis, name) for axis in axes]
        for name in ("size", "stride", "offset")
    }


def _plain(value):
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def table(profile, by):
    """Returns the groups and their totals as a `Table`."""
    rows = [_table_row(group) for group in profile.groups(by)]
    total = {
        "name": "total",
        "layers": len(profile.rows),
        "times": sum(row["times"] for row in rows),
    }
    total |= dict.fromkeys(("kind", "output", "kernel", "receptive_field"), "") | _costs(profile)
    shapes = ", ".join("x".join(map(str, shape)) for shape in profile.inputs)
    title = f"{profile.name}, input {shapes}"
    return Table(title, COLUMNS[by], (*rows, total), _notes(profile))


def _table_row(group):
    last = group.rows[-1]
    return {
        "name": group.name,
        "layers": len(group.rows),
        "times": group.times,
        "kind": kind_text(last),
        "output": shape_text(group.outputs),
        "kernel": kernel_text(last.window),
        "receptive_field": receptive_field_text(group.receptive_field),
        **_costs(group),
    }


def _costs(group):
    return {column.key: getattr(group, column.key) for column in COSTS}


def _notes(profile):
    megabytes = {
        "weights": profile.weight_bytes,
        "activations at inference": profile.inference_bytes,
        "in a training step": profile.training_bytes,
    }
    memory = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in megabytes.items())
    parameters = (
        f"{profile.trainable:,} trainable parameters, {profile.non_trainable:,} non-trainable"
    )
    notes = (
        f"{parameters}; {profile.macs / 1e9:,.3f} G multiply-accumulates",
        f"memory at {profile.dtype}: {memory}",
    )
    if not profile.binary_weights:
        return notes
    size, packed = 4 * profile.binary_weights, profile.packed_bytes
    binary = (
        f"{profile.binary_weights:,} binary weights: {packed / 1e6:,.1f} MB at one bit each, {size / packed:.1f} times "
        f"less than {size / 1e6:,.1f} MB in float32; {profile.signed_macs / 1e9:,.3f} G multiply-accumulates without a "
        f"multiplication, {profile.binary_macs / 1e9:,.3f} G of them are XNOR and bit count"
    )
    return (*notes, binary)


def kind_text(row) -> str:
    """Returns the class name of a row's layer, with the number of repetitions: "LSTMCell x 12"."""
    return row.kind + (f" x {row.repeat}" if row.repeat > 1 else "")


def shape_text(shapes) -> str:
    """Returns the first of several shapes without the batch: "8x8x4"."""
    return "x".join(map(str, shapes[0][1:])) if shapes else ""


def kernel_text(window) -> str:
    """Returns kernel, stride, dilation and groups: "3x3/2 d2 g32"; "3x3*2" for a transposed convolution."""
    if window is None or (set(window.kernel) == {1} and any(any(pad) for pad in window.padding)):
        return ""
    text = "x".join(map(str, window.kernel))
    if max(window.strides) > 1:
        text += ("*" if window.transposed else "/") + str(max(window.strides))
    if max(window.dilation) > 1:
        text += f" d{max(window.dilation)}"
    return text + (f" g{window.groups}" if window.groups > 1 else "")


def receptive_field_text(axes) -> str:
    """Returns the sizes of a receptive field: "11x11"; "" if it is not known."""
    return "x".join(str(axis.size) for axis in axes) if axes else ""
