"""What binary layers save, by the arithmetic of Rastegari 2016, arXiv:1603.05279, figure 1 and section 3.3."""

from kapps.analysis.results import Profile
from kapps.tables import Column, Table

BITS = 64
"""Binary operations in one instruction of a CPU, as in section 3.3."""
COLUMNS = (
    Column("name", "layer"),
    Column("binary_weights", "weights", ",d"),
    Column("float_bytes", "float32 (MB)", ",.3f", 1e6),
    Column("packed_bytes", "packed (MB)", ",.3f", 1e6),
    Column("memory_saving", "memory saving", ".2f"),
    Column("macs", "MACs (M)", ",.1f", 1e6),
    Column("operations", "operations"),
    Column("time_saving", "time saving", ".2f"),
)
NOTE = (
    "Packed weights have one bit each and a float32 scale for each filter. The time saving is a count of operations, "
    "not a measurement. With binary weights, a multiplication and an addition become one addition, and each output has "
    f"one multiplication by its scale. With binary inputs too, {BITS} multiply-accumulates become one operation, and "
    "each output has one more."
)


def binary_savings(profile: Profile) -> Table:
    """Returns the memory and the operations that the binary layers of a model save, layer by layer and in total.

    Args:
        profile: of `kapps.profile`, of a model with `kapps.layers.BinaryConv2D`.

    Raises:
        ValueError: if the model has no binary layer.
    """
    rows = [row for row in profile.rows if row.binary_weights]
    if not rows:
        raise ValueError(
            f"{profile.name} has no binary layer: profile a model with kapps.layers.BinaryConv2D"
        )
    records = [_record(row.name, [row]) for row in rows]
    title = f"Savings of the binary layers of {profile.name}"
    return Table(title, COLUMNS, (*records, _record("total", rows)), (NOTE,))


def _record(name, rows):
    weights = sum(row.binary_weights for row in rows)
    packed = sum(row.packed_bytes for row in rows)
    before = sum(row.macs if row.binary_macs else 2 * row.macs for row in rows)
    after = sum(row.macs / (BITS if row.binary_macs else 1) + row.activations for row in rows)
    kinds = dict.fromkeys("XNOR, bit count" if row.binary_macs else "+, -" for row in rows)
    return {
        "name": name,
        "binary_weights": weights,
        "float_bytes": 4 * weights,
        "packed_bytes": packed,
        "memory_saving": 4 * weights / packed,
        "macs": sum(row.macs for row in rows),
        "operations": "; ".join(kinds),
        "time_saving": before / after,
    }
