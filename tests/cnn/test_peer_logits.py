"""Logits equal those of torchvision, timm and pytorchcv, stored by tools/peer_logits.py: one network of each family."""

import importlib
import json

import changes
import graphs
import keras
import models
import numpy as np
import pytest
from sampled_weights import sampled_images, sampled_state

from kapps import cards, families
from kapps.weights import from_torch, to_torch
from kapps.weights.published_padding import network_padding

with open(models.REFERENCE / "peer_logits.json", encoding="utf-8") as file:
    ROWS = json.load(file)


QUICK = ("squeezenet1_1", "resnet18", "shufflenet_v2_050")
"""Networks that take a second each; the tests of the others are `long`, and
`unchanged` where their family did not change."""


def family_of(row):
    """Returns the family of a row; one with options is a member of a family, without a builder."""
    return row["name"] if "options" in row else cards.card(row["name"]).family


def marked(row):
    marks = [] if row["name"] in QUICK else [pytest.mark.long]
    if marks and changes.is_unchanged_family(family_of(row)):
        marks.append(pytest.mark.unchanged)
    return pytest.param(row, id=row["name"], marks=marks)


@pytest.mark.parametrize("row", [marked(row) for row in ROWS])
def test_logits_equal_those_of_another_library(row):
    name, size, family = row["name"], row["size"], family_of(row)
    builder = getattr(families, name) if "options" in row else graphs.builder(name)
    names = getattr(importlib.import_module(f"kapps.weights.names.{family}"), row["library"])
    options = (
        {}
        if builder.builder.defaults["padding"] == "valid"
        else {"padding": network_padding(row["other"], names)}
    )
    options |= row.get("options", {})
    model = builder(input_shape=(size, size, 3), classifier_activation=None, **options)
    shapes = {key: array.shape for key, array in to_torch(model, names).items()}
    from_torch(model, sampled_state(shapes), names)
    logits = keras.ops.convert_to_numpy(model(sampled_images(size), training=False))[:, :16]
    expected = np.array(row["logits"])
    assert np.abs(expected[0] - expected[1]).max() > 1e-3 * np.abs(expected).max()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
