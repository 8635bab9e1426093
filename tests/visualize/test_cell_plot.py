"""The plot of cells of searched networks."""

import pytest

from kapps import visualize
from kapps._cell_strings import cell_genotype
from kapps.cnn import darts, snas
from kapps.visualize import cell_plot


def test_nodes_are_right_of_what_they_read():
    for normal, reduction in (darts.SECOND_ORDER, snas.AGGRESSIVE):
        for rows, _ in (normal, reduction):
            places = cell_plot._places("cell", (rows, [row[0] for row in rows]))
            assert places["c_{k-2}"][0] == places["c_{k-1}"][0] == 0
            assert all(
                places[node][0] > max(places[first][0], places[second][0])
                for node, _, first, _, second in rows
            )
            assert places["concat"][0] > max(places[row[0]][0] for row in rows)
            assert len(set(places.values())) == len(places)


def test_figure_has_a_box_for_each_operation(tmp_path, monkeypatch):
    texts = []
    draw = cell_plot._operation
    monkeypatch.setattr(
        cell_plot,
        "_operation",
        lambda axis, text, place: texts.append(text) or draw(axis, text, place),
    )
    normal, reduction = snas.AGGRESSIVE
    path = tmp_path / "cells.png"
    visualize.plot_cells({"normal": normal, "reduction": reduction}, path)
    expected = [x for rows, _ in (normal, reduction) for row in rows for x in row[1::2]]
    assert sorted(texts) == sorted(expected) and texts.count("none") == 6
    assert path.read_bytes().startswith(b"\x89PNG")


def test_nodes_may_have_any_number_of_operations(tmp_path):
    genotype = cell_genotype("303141")
    places = cell_plot._places("cell", genotype)
    assert places["concat"][0] > places["3"][0] > places["1"][0] > places["0"][0] == 0
    path = tmp_path / "cell.svg"
    visualize.plot_cells({"cell": genotype}, path)
    text = path.read_text(encoding="utf-8")
    assert text.count("nor_conv_3x3") >= 2 and "avg_pool_3x3" in text


def test_wrong_genotypes_are_errors(tmp_path):
    with pytest.raises(ValueError, match="genotypes is empty"):
        visualize.plot_cells({}, tmp_path / "cells.png")
    late = ((("a", "sep3", "b", "sep3", "h0"), ("b", "avg", "h0", "avg", "h0")), ("a", "b"))
    with pytest.raises(ValueError, match="node a reads b"):
        visualize.plot_cells({"late": late}, tmp_path / "cells.png")
    assert not list(tmp_path.iterdir())
