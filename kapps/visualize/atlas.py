"""Layouts of activations in two dimensions, and an activation atlas.

Carter 2019, distill.pub/2019/activation-atlas.
"""

import dataclasses

import keras
import numpy as np

from kapps.visualize._batches import BATCH
from kapps.visualize.features import feature_maps


@dataclasses.dataclass(frozen=True)
class Atlas:
    """The range of a layer's activations on a grid.

    Args:
        vectors: mean activation of each cell, float32 (cells, channels). `maximise` makes images of them.
        cells: row and column of each cell in the grid, (cells, 2).
        counts: number of activations in each cell of the grid, (grid, grid).
        members: for each cell the indices of its images.
        places: row and column in the feature map of the activation that was taken of each image, (images, 2).
        layout: place of each image in the grid's square, float32 (images, 2), from 0 to 1 for most of them.
    """

    vectors: np.ndarray
    cells: np.ndarray
    counts: np.ndarray
    members: list[np.ndarray]
    places: np.ndarray
    layout: np.ndarray


def atlas(
    model: keras.Model, images, layer: str, *, grid: int = 10, least: int = 5, layout=None, seed: int = 0,
    batch_size: int = BATCH,
) -> Atlas:  # fmt: skip
    """Returns an activation atlas: activations that are alike are near each other, and each cell has their mean.

    Args:
        model: a `keras.Model` of images, also a nested one.
        images: what the model takes: (batch, height, width, channels).
        layer: name of a layer with feature maps.
        grid: cells along each side.
        least: smallest number of activations of a cell.
        layout: places of the images, (batch, 2), by another method such as t-SNE; None for principal components.
        seed: of the random place that is taken of each image's feature map.
        batch_size: number of images at a time.

    Returns:
        The atlas. Places beyond the percentiles 1 and 99, with a margin of a tenth, are in no cell.

    Raises:
        ValueError: for images, a layer or a layout that do not fit, and where no cell has `least` activations.
    """
    if grid < 1 or least < 1:
        raise ValueError(f"grid={grid}, least={least}: pass numbers of 1 or more")
    (maps,) = feature_maps(model, images, layer, batch_size=batch_size).values()
    random = np.random.default_rng(seed)
    places = random.integers(0, maps.shape[1:3], (len(maps), 2))
    vectors = maps[np.arange(len(maps)), places[:, 0], places[:, 1]]
    points = principal_components(vectors) if layout is None else np.asarray(layout, "float32")
    if points.shape != (len(maps), 2):
        raise ValueError(
            f"layout of shape {points.shape}: pass one place for each of the {len(maps)} images"
        )
    low, high = np.percentile(points, (1, 99), axis=0)
    margin = 0.1 * (high - low)
    span = np.where(high > low, high - low + 2 * margin, 1)
    points = ((points - low + margin) / span).astype("float32")
    cells = np.floor(points * grid).astype(int)
    is_inside = ((points >= 0) & (points < 1)).all(axis=1)
    counts = np.zeros((grid, grid), int)
    np.add.at(counts, tuple(cells[is_inside].T), 1)
    chosen = np.argwhere(counts >= least)
    if not len(chosen):
        raise ValueError(
            f"no cell has {least} of the {len(maps)} activations; pass more images or a smaller grid"
        )
    members = [np.flatnonzero(is_inside & (cells == cell).all(axis=1)) for cell in chosen]
    means = np.stack([vectors[rows].mean(axis=0) for rows in members])
    return Atlas(means, chosen, counts, members, places, points)


def principal_components(vectors, dimensions: int = 2) -> np.ndarray:
    """Returns the first principal components of vectors, float32 (count, dimensions).

    The sign of each component makes the largest absolute value positive.

    Args:
        vectors: (count, features).
        dimensions: number of components.

    Raises:
        ValueError: for fewer vectors or features than dimensions.
    """
    vectors = np.asarray(vectors, "float64")
    if vectors.ndim != 2 or min(vectors.shape) < dimensions:
        raise ValueError(f"vectors of shape {vectors.shape} have no {dimensions} components")
    centred = vectors - vectors.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    points = left[:, :dimensions] * values[:dimensions]
    largest = points[np.abs(points).argmax(axis=0), np.arange(dimensions)]
    return (points * np.where(largest < 0, -1, 1)).astype("float32")
