"""Embeddings: the page, nearest neighbours, and the files of the embedding projector."""

import numpy as np
import pytest

from kapps import visualize
from kapps.visualize import embeddings as module

RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(40, 6)).astype("float32")
LABELS = [f"{letter}{i}" for i in range(10) for letter in "abcd"]


def test_neighbours_have_the_largest_cosines(monkeypatch):
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    cosine = unit @ unit.T - 2 * np.eye(40)
    monkeypatch.setattr(module, "ROWS", 16)
    for count in (5, 39, 100):
        indices, cosines = visualize.nearest_neighbours(VECTORS, count)
        expected = np.argsort(-cosine, axis=1)[:, :count][:, :39]
        np.testing.assert_array_equal(indices, expected)
        np.testing.assert_allclose(cosines, np.take_along_axis(cosine, expected, 1), atol=1e-6)
    assert visualize.nearest_neighbours(VECTORS, 0)[0].shape == (40, 0)


def test_the_page_has_places_and_neighbours(page_data, monkeypatch):
    data = page_data(visualize.embedding_page(VECTORS, ["</script>", *LABELS[1:]], neighbours=3))
    assert data["labels"][0] == "</script>" and data["shape"] == [40, 6]
    np.testing.assert_allclose(data["points"], visualize.principal_components(VECTORS), rtol=1e-3)
    assert data["neighbours"] == visualize.nearest_neighbours(VECTORS, 3)[0].tolist()
    values = np.linalg.svd(VECTORS - VECTORS.mean(axis=0), compute_uv=False) ** 2
    assert data["share"] == pytest.approx(values[:2].sum() / values.sum(), rel=1e-4)
    places = RANDOM.random((40, 2))
    assert page_data(visualize.embedding_page(VECTORS, LABELS, layout=places))["share"] is None
    monkeypatch.setattr(module, "MOST", 30)
    for call, words in (
        (lambda: visualize.embedding_page(VECTORS, LABELS), "at most 30"),
        (lambda: visualize.embedding_page(VECTORS[:9], LABELS), "one for each"),
        (lambda: visualize.embedding_page(VECTORS[:9], LABELS[:9], layout=places), "one place"),
        (lambda: visualize.embedding_page(VECTORS[:9], LABELS[:9], neighbours=-1), "neighbours=-1"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.browser
def test_the_page_in_a_browser(visit, page_data):
    html = visualize.embedding_page(VECTORS, LABELS, title="words")
    content, data = visit("embedding", html), page_data(html)
    labels, neighbours = data["labels"], data["neighbours"]
    assert content["found"] == ["10 labels found", [x for x in labels if x.startswith("b")]]
    first = labels.index("b0")
    assert content["chosen"] == "b0" and content["next"] == labels[neighbours[first][0]]
    expected = [
        f"{labels[i]}{cosine:.3f}"
        for i, cosine in zip(neighbours[first], data["cosines"][first], strict=True)
    ]
    assert content["neighbours"] == expected
    assert content["hover"] == content["clicked"] == "a0"
    assert content["name"] == content["title"] == "words"


def test_projector_files(tmp_path):
    vectors = np.arange(6.0).reshape(3, 2) / 3
    files = visualize.projector(vectors, ["a", "b\tc", "d\ne"], tmp_path / "out")
    assert [path.name for path in files] == [
        "vectors.tsv",
        "metadata.tsv",
        "projector_config.pbtxt",
        "embedding.html",
    ]
    np.testing.assert_allclose(np.loadtxt(files[0], delimiter="\t"), vectors, rtol=1e-5)
    assert files[1].read_text(encoding="utf-8").splitlines() == ["a", "b c", "d e"]
    assert 'tensor_path: "vectors.tsv"' in files[2].read_text(encoding="utf-8")
    visualize.projector(vectors, {"word": list("abc"), "count": [1, 2, 3]}, tmp_path / "out")
    assert files[1].read_text(encoding="utf-8").splitlines()[:2] == ["word\tcount", "a\t1"]
    with pytest.raises(ValueError, match="2 labels for 3 vectors"):
        visualize.projector(vectors, ["a", "b"], tmp_path)
