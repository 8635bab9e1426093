"""Embeddings: one HTML page with a plane, search and nearest neighbours, and files for TensorBoard's projector."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from kapps._files import write_atomically
from kapps.visualize._page_parts import page
from kapps.visualize.atlas import principal_components

MOST = 20_000
"""Largest number of vectors of a page."""
ROWS = 512
"""Vectors that are compared with all others at a time."""


def embedding_page(
    vectors, labels: Sequence[str], *, layout=None, neighbours: int = 10, title: str = "Embedding"
) -> str:
    """Returns an interactive HTML page of vectors. It works offline.

    Each vector is a point of a plane, with its label; the page searches labels and lists nearest neighbours by the
    cosine in all dimensions.

    Args:
        vectors: (count, features).
        labels: text of each vector.
        layout: places in the plane, (count, 2), by another method such as t-SNE; None for principal components.
        neighbours: number of neighbours of each vector.
        title: of the page.

    Raises:
        ValueError: for numbers of labels or places that do not fit, and for more than 20,000 vectors.
    """
    vectors = np.asarray(vectors, "float32")
    if vectors.ndim != 2 or len(labels) != len(vectors):
        raise ValueError(
            f"vectors of shape {vectors.shape} and {len(labels)} labels: pass one for each vector"
        )
    if len(vectors) > MOST:
        raise ValueError(
            f"{len(vectors):,} vectors: a page has at most {MOST:,}; pass the most frequent ones"
        )
    if neighbours < 0:
        raise ValueError(f"neighbours={neighbours}: pass a number of 0 or more")
    points = principal_components(vectors) if layout is None else np.asarray(layout, "float32")
    if points.shape != (len(vectors), 2):
        raise ValueError(
            f"layout of shape {points.shape}: pass one place for each of the {len(vectors)} vectors"
        )
    share = None
    if layout is None:
        centred = vectors - vectors.mean(axis=0, dtype="float64")
        share = float((points.astype("float64") ** 2).sum() / max((centred**2).sum(), 1e-30))
    indices, cosines = nearest_neighbours(vectors, neighbours)
    data = {
        "name": title,
        "shape": list(vectors.shape),
        "share": share,
        "labels": [str(label) for label in labels],
        "points": [[float(f"{value:.4g}") for value in point] for point in points],
        "neighbours": indices.tolist(),
        "cosines": np.round(cosines.astype("float64"), 3).tolist(),
    }
    return page("embedding", title, data)


def nearest_neighbours(vectors, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nearest other vectors of each vector by the cosine, the nearest first.

    Args:
        vectors: (vectors, features).
        count: number of neighbours; fewer if there are fewer other vectors.

    Returns:
        Indices, int (vectors, count), and cosines, float32 (vectors, count).
    """
    vectors = np.asarray(vectors, "float32")
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    count = max(0, min(count, len(vectors) - 1))
    indices, cosines = [], []
    for start in range(0, len(unit), ROWS):
        cosine = unit[start : start + ROWS] @ unit.T
        cosine[np.arange(len(cosine)), start + np.arange(len(cosine))] = -np.inf
        order = np.argpartition(-cosine, max(count - 1, 0), axis=1)[:, :count]
        sort = np.argsort(-np.take_along_axis(cosine, order, axis=1), axis=1, kind="stable")
        order = np.take_along_axis(order, sort, axis=1)
        indices.append(order)
        cosines.append(np.take_along_axis(cosine, order, axis=1))
    return np.concatenate(indices), np.concatenate(cosines)


def projector(vectors, labels, folder: str | os.PathLike) -> list[pathlib.Path]:
    """Writes the files that TensorBoard's embedding projector reads, `tensorboard --logdir FOLDER`, and our own page.

    Args:
        vectors: (count, features).
        labels: text of each vector, or a dictionary {column: texts}.
        folder: output folder.

    Returns:
        The files: vectors.tsv, metadata.tsv, projector_config.pbtxt and embedding.html, the page of `embedding_page`
        with the first column of labels. A page has at most 20,000 vectors; there is none for more.

    Raises:
        ValueError: for numbers of labels that do not fit.
        OSError: if a file cannot be written.
    """
    vectors, folder = np.asarray(vectors), pathlib.Path(folder)
    columns = labels if isinstance(labels, dict) else {"label": labels}
    for name, texts in columns.items():
        if len(texts) != len(vectors):
            raise ValueError(f"{name}: {len(texts)} labels for {len(vectors)} vectors")
    rows = ["\t".join(f"{value:.6g}" for value in row) for row in vectors]
    texts = list(zip(*(map(_one_line, texts) for texts in columns.values()), strict=True))
    # A file of one column has no header in the projector's format.
    header = [] if len(columns) == 1 else ["\t".join(columns)]
    fields = {
        "tensor_name": "vectors",
        "tensor_path": "vectors.tsv",
        "metadata_path": "metadata.tsv",
    }
    config = "".join(f'  {key}: "{value}"\n' for key, value in fields.items())
    contents = {
        "vectors.tsv": "\n".join(rows) + "\n",
        "metadata.tsv": "\n".join([*header, *map("\t".join, texts)]) + "\n",
        "projector_config.pbtxt": f"embeddings {{\n{config}}}\n",
    }
    if len(vectors) <= MOST and vectors.ndim == 2 and min(vectors.shape) > 1:
        first = [str(text) for text in next(iter(columns.values()))]
        contents["embedding.html"] = embedding_page(vectors, first)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        with write_atomically(folder / name) as path:
            path.write_text(content, encoding="utf-8")
    return [folder / name for name in contents]


def _one_line(text):
    """Returns a label without tabs and line ends, which would end a field of the file."""
    return " ".join(str(text).split()) or " "
