"""Encoder-decoders without attention: the papers' numbers of parameters, causality, and decoding."""

import numpy as np
from small_networks import array, build, random_inputs

import kapps
from kapps import families


def test_sutskevers_384_million_parameters():
    """384M parameters, 64M of them recurrent, as the paper says; a network of 7 units has the same sum."""

    def parameters(source, target, units):
        recurrent = 2 * 4 * 4 * (units + units) * units
        biases = 2 * 4 * 4 * units + target
        return recurrent, source * units + 2 * target * units + recurrent + biases, biases

    recurrent, total, biases = parameters(160_000, 80_000, 1000)
    assert (recurrent, total - biases) == (64_000_000, 384_000_000)
    assert total == kapps.sutskever2014.card.params
    row = {**kapps.sutskever2014.builder.row, "units": (7,) * 4, "source_vocabulary": 11}
    small = families.encoder_decoder(vocabulary=5, embedding=7, **row)
    assert small.count_params() == parameters(11, 5, 7)[1]


def test_chos_parameters():
    """Embeddings of 100; gates of 100 inputs, in the decoder with the context; V'; the words."""
    encoder, decoder = (3 * (width + 1000 + 1) * 1000 for width in (100, 100 + 1000))
    total = 2 * 15_000 * 100 + encoder + decoder + 1001 * 1000 + 1001 * 15_000
    assert kapps.cho2014.card.params == total
    assert kapps.cho2014(vocabulary=10).count_params() == total - 14_990 * (200 + 1001)


def test_a_decoder_reads_no_later_token_and_translates_by_its_own_scores():
    model = build("translator")
    source, target = random_inputs(model)
    scores = array(model([source, target]))
    target[:, 4:] = 8
    np.testing.assert_allclose(array(model([source, target]))[:, :4], scores[:, :4], atol=1e-6)
    tokens = kapps.translate(model, source, start=1, end=99, steps=5, beam=None)
    decoder_inputs = np.concatenate([np.ones((2, 1), "int32"), tokens[:, :-1]], axis=1)
    best = 1 + array(model([source, decoder_inputs]))[..., 1:].argmax(axis=-1)
    assert tokens.tolist() == best.tolist() and tokens.min() > 0
    end = int(tokens[0, 2])
    first = tokens[0].tolist().index(end)
    ended = kapps.translate(model, source, start=1, end=end, steps=5, beam=None)
    assert ended[0].tolist() == [*tokens[0, :first], *[0] * (5 - first)]


def test_sutskevers_encoder_reads_the_source_from_its_last_word():
    options = dict(embedding=4, units=(5, 5), source_vocabulary=11, vocabulary=7)
    forwards = families.encoder_decoder(reverse=False, **options)
    backwards = families.encoder_decoder(reverse=True, **options)
    assert [x.name for x in backwards.layers if "reversed" in x.name] == ["source_reversed"]
    assert not [x.name for x in forwards.layers if "reversed" in x.name]
    backwards.set_weights(forwards.get_weights())
    source, target = np.array([[3, 4, 5, 6]]), np.array([[1, 2, 3]])
    expected = array(forwards([source[:, ::-1], target]))
    np.testing.assert_allclose(array(backwards([source, target])), expected, atol=1e-6)
    assert kapps.sutskever2014.builder.row["reverse"]
