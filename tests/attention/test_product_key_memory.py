"""Product-key memories in a Transformer decoder: the paper's size, their place and decoding."""

import keras
import numpy as np
import pytest

from kapps import generation, product_key_memory12
from kapps.families import product_key_memory, transformer_decoder
from kapps.generation import step_models
from kapps.layers import ProductKeyMemory

VOCABULARY, D = 13, 8
SMALL = dict(
    vocabulary=VOCABULARY, layers=3, d_model=D, ffn=12, heads=2, memory_layers=(2,), sub_keys=6, k=3, memory_heads=2,
    key_dim=4, dropout=0.0, classifier_activation=None,
)  # fmt: skip
TOKENS = np.random.default_rng(0).integers(1, VOCABULARY, (3, 7)).astype("int32")
TOKENS[0, 4:] = TOKENS[1, 6:] = 0


def array(x):
    return keras.ops.convert_to_numpy(x)


def build(**options):
    """A small model of logits with random weights."""
    model = product_key_memory(**{**SMALL, **options})
    random = np.random.default_rng(2)
    for variable in model.weights:
        if variable.name == "moving_variance":
            variable.assign(random.uniform(0.5, 2, variable.shape))
        else:
            mean = 1.0 if variable.name == "gamma" else 0.0
            variable.assign(random.normal(mean, 0.4, variable.shape))
    return model


def test_parameters_are_those_of_the_transformer_and_of_the_authors_layer():
    """12 layers of width 1,024 with biases and 11 feed-forward networks; the memory's formula is in its test."""
    attention, network, norms = 4 * 1024 * 1025, 2 * 1024 * 4096 + 4096 + 1024, 2 * 2 * 1024
    expected = 12 * (attention + norms) + 11 * network + 271_587_328 + 60_000 * 1024
    assert product_key_memory12.card.params == expected == 475_788_288
    replaced = transformer_decoder(vocabulary=50, layers=3, d_model=D, ffn=12, heads=2)
    ours = product_key_memory(**{**SMALL, "vocabulary": 50})
    feed_forward = 2 * D * 12 + 12 + D
    memory = sum(int(np.prod(v.shape)) for v in ours.get_layer("decoder2_ffn").trainable_variables)
    # n^2 d + H 2 n d_k / 2 + d H d_k + H d_k + 2 H d_k
    assert memory == 36 * D + 2 * 2 * 6 * 2 + D * 2 * 4 + 3 * 2 * 4
    trainable = sum(int(np.prod(v.shape)) for v in ours.trainable_variables)
    assert trainable == replaced.count_params() - feed_forward + memory


def test_memories_are_in_place_of_feed_forward_networks():
    model = product_key_memory(**{**SMALL, "memory_layers": (1, 3)})
    memories = [x.name for x in model.layers if isinstance(x, ProductKeyMemory)]
    assert memories == ["decoder1_ffn", "decoder3_ffn"]
    names = {x.name for x in model.layers}
    assert "decoder2_ffn1" in names and not names & {"decoder1_ffn1", "decoder3_ffn2"}
    for layers in [(4,), (0, 1)]:
        with pytest.raises(ValueError) as error:
            product_key_memory(**{**SMALL, "memory_layers": layers})
        assert "memory_layers" in str(error.value) and "\n" not in str(error.value)


def test_decoding_equals_the_whole_pass_and_a_memory_has_no_state():
    model = build()
    expected = array(model(TOKENS, training=False))
    step = generation.step_model(model)
    states = step_models.initial_states(step, 3, length=7)
    caches = {f"decoder{i}_attention_{kind}" for i in (1, 2, 3) for kind in ("keys", "values")}
    assert set(states) == {*caches, "position"}
    assert sum(states[name].size for name in caches) == 3 * 2 * 3 * 7 * D
    logits = []
    for column in TOKENS.T:
        inputs = {"tokens": column[:, None], **states}
        inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        outputs = step(inputs, training=False)
        states = {name: outputs[name] for name in states}
        logits.append(array(outputs["logits"])[:, 0])
    is_token = TOKENS > 0
    np.testing.assert_allclose(
        np.stack(logits, 1)[is_token], expected[is_token], rtol=1e-5, atol=1e-5
    )
