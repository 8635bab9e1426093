"""Training images that are held out, to fit something else than the weights on them."""

import dataclasses

from kapps import data


def hold_out(source, fraction):
    """Returns the source of the training images without the held-out ones, and the source of these.

    Of files every n-th image is held out, of shards the last images of each.

    Args:
        source: a `kapps.data.Source`.
        fraction: of the images that is held out.

    Raises:
        DataError: there are too few images.
    """
    if not 1 <= round(fraction * source.examples) < source.examples:
        raise data.DataError(
            f"{source.name}: {fraction:.1%} of {source.examples} training images are none or all: change --held_out"
        )
    if source.kind not in ("folder", "archive"):
        counts = [count - max(1, round(fraction * count)) for _, count in source.ranges]
        first = [(start, n) for (start, _), n in zip(source.ranges, counts, strict=True)]
        rest = [
            (start + n, count - n) for (start, count), n in zip(source.ranges, counts, strict=True)
        ]
        return tuple(
            dataclasses.replace(source, ranges=tuple(part), examples=sum(n for _, n in part))
            for part in (first, rest)
        )
    period = round(1 / fraction)
    indices = range(source.examples)
    parts = (
        [i for i in indices if i % period != period - 1],
        [i for i in indices if i % period == period - 1],
    )
    return tuple(_select(source, part) for part in parts)


def _select(source, indices):
    fields = {
        name: tuple(values[i] for i in indices)
        for name, values in vars(source).items()
        if name in ("files", "labels", "encoded") and values
    }
    share = len(indices) / source.examples
    return dataclasses.replace(
        source, **fields, examples=len(indices), bytes=round(share * source.bytes)
    )
