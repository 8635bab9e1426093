"""The page of a model of texts: its arrays are those of the functions, and its behaviour in a browser."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kapps import visualize
from kapps.visualize import page_of_text as module

TEXT = list('ab "c\nd" (E')
TOKENS = np.arange(1, 1 + len(TEXT))[None]
VOCABULARY = ["", *TEXT]


@pytest.fixture(scope="module")
def model():
    """Two recurrent layers and attention."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(len(VOCABULARY), 8, mask_zero=True)(x)
    x = layers.LSTM(6, return_sequences=True, name="cells")(x)
    x = layers.GRU(8, return_sequences=True, name="more")(x)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x, use_causal_mask=True)
    return keras.Model(inputs, layers.Dense(len(VOCABULARY), activation="softmax")(x), name="both")


@pytest.fixture(scope="module")
def html(model):
    return visualize.text_page(model, TOKENS, TEXT, class_names=VOCABULARY, notes=["a note"])


def test_the_page_has_the_states_and_the_weights(model, html, page_data, unpack):
    data = page_data(html)
    cells, more = data["recurrent"]
    states = visualize.cell_states(model, TOKENS, "cells")
    assert list(cells["states"]) == ["tanh(c)", *states] and cells["shown"] == "tanh(c)"
    for name, values in {**states, "tanh(c)": np.tanh(states["c"])}.items():
        np.testing.assert_allclose(
            unpack(cells["states"][name]), values[0], atol=np.abs(values).max() / 200
        )
    assert more["main"] == "h" and more["layer"] == "more"
    marks = module.marks(TEXT)
    assert set(cells["cells"]) == {"varies most", *marks}
    expected = visualize.find_cells(states["c"], marks["inside quotes"][None], 6)
    assert [cell for cell, _ in cells["cells"]["inside quotes"]] == [cell for cell, _ in expected]
    attention, rollout = data["attention"]
    maps = visualize.attention_maps(model, TOKENS)
    np.testing.assert_allclose(
        unpack(attention["weights"]), maps["attention"].weights[0], atol=0.005
    )
    np.testing.assert_allclose(
        unpack(rollout["weights"])[0], visualize.attention_rollout(maps)[0], atol=0.005
    )
    best = ops.convert_to_numpy(model(TOKENS))[0].argmax(axis=-1)
    assert [row[0]["name"] for row in data["outputs"]["steps"]] == [VOCABULARY[i] for i in best]


def test_marks_of_a_text():
    marks = module.marks(TEXT)
    assert marks["position in the line"].tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4]
    assert marks["inside quotes"].tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]
    assert marks["depth of brackets"].tolist() == [0] * 9 + [1, 1]
    assert marks["capital letter"].tolist() == [0] * 10 + [1]
    assert "depth of brackets" not in module.marks(["a", "b "])


def test_an_encoder_decoder_has_texts_of_both_sides(page_data):
    keras.utils.set_random_seed(0)
    source, target = (keras.Input((None,), dtype="int32") for _ in range(2))
    embed = layers.Embedding(9, 8, mask_zero=True)
    x = layers.MultiHeadAttention(2, 4, name="cross")(embed(target), embed(source))
    model = keras.Model([source, target], layers.Dense(9)(x))
    inputs = [np.array([[3, 4, 5, 0]]), np.array([[1, 2]])]
    html = visualize.text_page(model, inputs, [*list("abc"), ""], targets=list("de"))
    data = page_data(html)
    assert data["attention"][0]["weights"]["shape"] == [2, 2, 3] and data["targets"] == ["d", "e"]


def test_bad_arguments_are_errors(model):
    with pytest.raises(ValueError, match="text of each token"):
        visualize.text_page(model, TOKENS, TEXT[:3])
    inputs = keras.Input((11,), dtype="int32")
    plain = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.Embedding(20, 2)(inputs))))
    with pytest.raises(ValueError, match="no recurrent layer"):
        visualize.text_page(plain, TOKENS, TEXT)


@pytest.mark.browser
def test_the_page_in_a_browser(model, html, visit, page_data):
    content, data = visit("text", html), page_data(html)
    assert content["layers"] == ["Cells of cells", "Cells of more", "Attention"]
    assert content["states"] == list(data["recurrent"][0]["states"])
    assert "".join(content["tokens"]) == 'ab "c↵d" (E' and content["breaks"] == 1
    assert content["first"] == str(data["recurrent"][0]["cells"]["varies most"][0][0])
    assert content["typed"] == "3" and content["clicked"][0] == content["clicked"][1]
    # The token with the largest absolute value has the strongest colour, red if it is positive.
    values = np.tanh(visualize.cell_states(model, TOKENS, "cells")["c"])[0, :, 3]
    colours = [list(map(int, x[4:-1].split(", "))) for x in content["colours"]]
    strongest = int(np.abs(values).argmax())
    assert colours[strongest] == ([178, 24, 43] if values[strongest] > 0 else [33, 102, 172])
    assert "step 3: forget" in content["status"] and 'of step 3 ("\\"")' in content["similar"]
    assert content["rows"] == ["attention", "rollout of all layers"] and content["heads"] == [2, 1]
    assert content["head"] == ["attention", "1"] and len(content["labels"]) == 22
    # The first query of causal attention attends to the first key only.
    assert content["lineOfFirst"] == 1 and '"a" 1.00' in content["best"] and content["lines"] > 11
    assert len(content["outputs"]) == len(TEXT)
