"""The builder of one row of a family's table."""

from collections.abc import Callable

import keras

from kapps.builders._builder_arguments import check_names
from kapps.cards import Card
from kapps.preprocessing import Preprocessing


def variant(
    body: Callable[..., keras.Model],
    name: str,
    *,
    paper: str,
    params: int,
    macs: int | None = None,
    minimum: int | None = None,
    preprocessing: Preprocessing | None = None,
    head: Callable | None = None,
    shape: tuple[int | None, ...] | None = None,
    vocabulary: int | None = None,
    classes: int | None = None,
    **row,
) -> Callable[..., keras.Model]:
    """Returns the builder of one row of a family's table.

        resnet50 = variant(body, "resnet50", depths=(3, 4, 6, 3), paper="arXiv:1512.03385", params=25_557_032)

    Args:
        body: the family function, decorated with `image_family` or `sequence_family`.
        name: the builder's public name.
        paper: arXiv number or citation.
        params: number of trainable parameters at the default number of classes, from the paper or a second
            implementation. The tests compare the built model with it.
        macs: multiply-accumulates of convolutions and dense layers on one image of the default input shape, from the
            paper or a second implementation; None if there is no source.
        minimum: smallest height and width in pixels, if it differs from the family's.
        preprocessing: preprocessing of the row's images, if it differs from the family's. Its size becomes the
            default height and width.
        head: the row's head, if it differs from the family's.
        shape: default input shape, if it differs from the family's.
        vocabulary: default number of tokens, if it differs from the family's.
        classes: default number of classes, if it differs from the family's.
        **row: options of the body.

    Raises:
        TypeError: for an option that the body does not have.
    """
    builder = body.builder
    check_names(f"{name}: the body", row, builder.options())
    for key, value in row.items():
        builder.examples.setdefault(key, []).append(value)
    defaults = dict(builder.defaults)
    heads = {**builder.heads, "head": head} if head else builder.heads
    if preprocessing:
        shape = shape or (*preprocessing.size, defaults["input_shape"][-1])
        defaults["preprocessing"] = preprocessing
    changes = dict(input_shape=shape, vocabulary=vocabulary, classes=classes, minimum=minimum)
    defaults |= {key: value for key, value in changes.items() if value is not None}
    if shape is not None and "inputs" in defaults:
        defaults["any_size"] = shape[0] is None
    fields = {
        key: value for key, value in defaults.items() if key not in ("inputs", "target_shape")
    }
    card = Card(name, builder.name, builder.body.__module__, paper, params, macs=macs, **fields)
    return type(builder)(builder.body, name, row, card, defaults, heads).function()
