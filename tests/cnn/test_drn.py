"""Dilated residual networks: logits of the authors' code, and stages without residual connections."""

import fingerprints
import graphs
import pytest

import kapps
from kapps.weights.names.drn import fyu

LOGITS = {
    # tensors, first four logits, last logit, norm of all
    "drn_d_22": (127, (37.7766137, 27.2384607, -45.317805, -3.11349079), 64.9824251, 1242.97974),
    "drn_c_26": (152, (-53.4894141, 112.379161, -118.057385, -27.7977521), 26.8024061, 2445.1819),
}


@pytest.mark.long
@pytest.mark.parametrize("name", LOGITS)
def test_logits_equal_those_of_the_authors_code(name):
    tensors, *fingerprint = LOGITS[name]
    output, count = fingerprints.logits(
        getattr(kapps, name), fyu, fingerprints.images(1, 224, 224), "fc", 1000
    )
    assert count == tensors
    fingerprints.assert_fingerprint(output, *fingerprint)


def test_last_stages_have_smaller_dilations_and_no_residual_connections():
    for name, blocks, convolutions in (("drn_c_26", 8, 2), ("drn_d_22", 8, 1)):
        model = graphs.graph(name).model
        names = [layer.name for layer in model.layers]
        for block, dilation in ((blocks - 1, 2), (blocks, 1)):
            place = f"level3_block{block}"
            assert f"{place}_add" not in names
            for i in range(1, convolutions + 1):
                layer = model.get_layer(f"{place}_conv{i}")
                assert layer.dilation_rate == (dilation, dilation) and layer.filters == 512
        assert f"level3_block{blocks + 1}_conv1" not in names
        assert model.get_layer("head_pool").input.shape[1:] == (28, 28, 512)


def test_options_that_are_not_allowed_raise():
    depths = (1,) * 8
    cases = [({"arch": "B", "depths": depths}, "arch='B'"), ({"depths": (1, 1)}, "8 stages")]
    for options, match in cases:
        with pytest.raises(ValueError, match=match) as caught:
            kapps.families.drn(**options)
        assert "\n" not in str(caught.value)
