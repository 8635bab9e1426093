"""Views of attention: the heads of one layer, all layers of a model, and what reaches a layer from the input.

[1] Vig 2019, arXiv:1906.05714 (the head view and the model view)     [2] Abnar 2020, arXiv:2005.00928 (rollout)
"""

from collections.abc import Mapping, Sequence

import numpy as np

from kapps._names import nearest
from kapps.visualize.attention_weights import AttentionMap


def head_view(maps: Mapping[str, AttentionMap], layer: str, example: int = 0) -> np.ndarray:
    """Returns the weights of each head of a layer for one example, without padding: float32 (heads, queries, keys) [1].

    The lengths are those of the masks: a step that the mask leaves out has no row and no column.

    Args:
        maps: of `attention_maps`.
        layer: name of a layer.
        example: index in the batch.

    Raises:
        ValueError: for a layer or an example that is not there.
    """
    if layer not in maps:
        raise ValueError(f"there are no weights of {layer!r}.{nearest(layer, maps)}")
    values = maps[layer]
    if not 0 <= example < len(values.weights):
        raise ValueError(f"example={example}: {layer} has weights of {len(values.weights)}")
    rows, columns = values.query_mask[example], values.key_mask[example]
    return values.weights[example][:, rows][:, :, columns]


def model_view(
    maps: Mapping[str, AttentionMap], layers: Sequence[str] | None = None, example: int = 0
) -> np.ndarray:
    """Returns the weights of all heads of several layers for one example, without padding [1].

    Args:
        maps: of `attention_maps`.
        layers: names; None for all.
        example: index in the batch.

    Returns:
        float32 (layers, heads, queries, keys).

    Raises:
        ValueError: for no layers, or layers with other numbers of heads, queries or keys.
    """
    names = list(maps) if layers is None else list(layers)
    views = [head_view(maps, name, example) for name in names]
    shapes = {view.shape for view in views}
    if len(shapes) != 1:
        listed = ", ".join(f"{name} {view.shape}" for name, view in zip(names, views, strict=True))
        raise ValueError(
            f"layers of one shape (heads, queries, keys) make a view, and here are {listed or 'none'}; pass layers"
        )
    return np.stack(views)


def attention_rollout(
    maps: Mapping[str, AttentionMap], layers: Sequence[str] | None = None, *, residual: float = 0.5
) -> np.ndarray:
    """Returns how much of each input step is in each step after several layers of self-attention [2].

    The mean over heads of each layer, A, is mixed with the residual connection, r I + (1 - r) A; rows are normalised,
    and the matrices of the layers multiplied. Rows of padding are those of the identity.

    Args:
        maps: of `attention_maps`.
        layers: names, in the order of the layers; None for all.
        residual: r, the fraction of the residual connection, in [0, 1].

    Returns:
        float32 (batch, steps, steps); the rows sum to 1.

    Raises:
        ValueError: for no layers, layers that are no self-attention of the same steps, and a share outside [0, 1].
    """
    names = list(maps) if layers is None else list(layers)
    for name in names:
        if name not in maps:
            raise ValueError(f"there are no weights of {name!r}.{nearest(name, maps)}")
    shapes = {maps[name].weights.shape[-2:] for name in names}
    if len(shapes) != 1 or len(set(*shapes)) != 1:
        raise ValueError(
            f"layers with (queries, keys) of {sorted(shapes)}: pass layers of self-attention of the same steps"
        )
    if not 0 <= residual <= 1:
        raise ValueError(f"residual={residual}: pass a number from 0 to 1")
    steps = np.eye(*next(iter(shapes)))
    result = steps[None]
    for name in names:
        mean = maps[name].weights.mean(axis=1, dtype="float64")
        # A query without a step to attend to keeps itself.
        mixed = residual * steps + (1 - residual) * mean
        sums = mixed.sum(axis=-1, keepdims=True)
        mixed = np.where(sums > 0, mixed / np.where(sums > 0, sums, 1), steps)
        mixed = np.where(maps[name].query_mask[..., None], mixed, steps)
        result = mixed @ result
    return result.astype("float32")
