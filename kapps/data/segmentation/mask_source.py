"""`MaskSource`: a dataset of encoded images with encoded masks, whichever reader opened it."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kapps.data.errors import DataError
from kapps.data.image.source import Source
from kapps.data.segmentation.label_maps import prepare_mask
from kapps.data.segmentation.mask_classes import MaskClasses, voc_colours


@dataclasses.dataclass(frozen=True)
class MaskSource(Source):
    """A dataset of encoded images with encoded masks. The fields of `kapps.data.Source`, except `labels`, and more.

    Args:
        classes: of the pixels.
        masks: paths of the masks ("folder"), or their names ("archive"); () for shards.
        encoded_masks: the encoded masks ("archive"); () for other kinds.
    """

    classes: MaskClasses = dataclasses.field(
        default=MaskClasses(("0", "1"), (0, 1), voc_colours(2))
    )
    masks: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    encoded_masks: tuple[bytes, ...] = dataclasses.field(default=(), repr=False)

    def images(self, seed: tf.Tensor | None = None) -> tf.data.Dataset:
        """Returns a dataset of (name, encoded image, mask): string [] each. Masks are those of `prepare_mask`.

        Args:
            seed: as for `kapps.data.Source.images`.
        """

        def prepare(name, encoded, mask):
            mask = tf.io.read_file(mask) if self.kind == "folder" else mask
            prepared = tf.numpy_function(_prepare, [mask], tf.string)
            return name, encoded, tf.ensure_shape(prepared, [])

        return (
            super()
            .images(seed)
            .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        )

    def _label_tensor(self) -> tf.Tensor:
        if self.kind == "archive":
            return tf.constant(self.encoded_masks)
        return tf.constant([os.fsencode(path) for path in self.masks], tf.string)

    def _parse_record(self, record, record_number, shard_name) -> tuple[tf.Tensor, tf.Tensor]:  # noqa: ARG002
        return self.record_format.parse(record)


def merge_sources(sources: Sequence[MaskSource]) -> MaskSource:
    """Returns a source of the images of several splits of one dataset, in their order. It is called "train+val".

    Raises:
        DataError: two of them are the same split.
    """
    first, *others = sources
    if not others:
        return first
    names = [source.split for source in sources]
    if len(set(names)) < len(names):
        raise DataError(
            f"split {'+'.join(names)!r} of {first.name} has a split twice: name each split once"
        )
    fields = {
        name: sum((tuple(getattr(source, name)) for source in sources), ())
        for name in ("files", "masks", "ranges", "encoded", "encoded_masks")
    }
    compressions = [source.compressions or ("",) * len(source.shards) for source in sources]
    fields["compressions"] = sum(compressions, ()) if any(sum(compressions, ())) else ()
    for name in ("left_out", "notes"):
        fields[name] = tuple(dict.fromkeys(x for s in sources for x in getattr(s, name)))
    return dataclasses.replace(
        first,
        split="+".join(names),
        examples=sum(source.examples for source in sources),
        bytes=sum(source.bytes for source in sources),
        **fields,
    )


def _prepare(mask: bytes) -> np.ndarray:
    """Returns a prepared mask as an array of an object: one of bytes would lose zeros at the end."""
    return np.array(prepare_mask(mask), object)
