"""The mappings: sizes from the papers, padding that changes nothing, CTC by all its paths, and that they learn."""

import itertools
import math

import keras
import numpy as np
import pytest

import kapps
from kapps import families
from kapps.generation import ctc_decoding

FEATURES, CLASSES = 3, 4
SMALL = dict(input_shape=(None, FEATURES), classes=CLASSES)
TEXT = dict(vocabulary=9, embedding=3)
NETWORKS = {
    "classifier": lambda: families.sequence_classifier(units=5, merge="sum", **SMALL),
    "pyramid": lambda: families.sequence_classifier(units=4, layers=2, pyramid=2, **SMALL),
    "text": lambda: families.text_classifier(units=(4, 4), merge="concat", **TEXT),
    "labeller": lambda: families.sequence_labeller(units=4, **SMALL),
    "segments": lambda: families.sequence_labeller(units=4, cell="gru", segment=2, **SMALL),
    "temporal": lambda: families.ctc(units=4, classifier_activation=None, **SMALL),
    "translator": lambda: families.encoder_decoder(units=4, layers=2, reverse=True, **TEXT),
    "translator with context": lambda: families.encoder_decoder(
        units=4, layers=2, context=True, source_vocabulary=11, **TEXT
    ),
    "bag of words": lambda: families.embedding_classifier(
        units=(5,), words="mean", input_shape=(None,), **TEXT
    ),
}


def array(x):
    return keras.ops.convert_to_numpy(x)


def inputs(model, batch=2, steps=6):
    """Values for each input, none of them padding."""
    draw = np.random.default_rng(1)
    found = [
        draw.integers(1, 9, (batch, steps)).astype("int32")
        if len(each.shape) == 2
        else draw.normal(size=(batch, steps, each.shape[-1])).astype("float32")
        for each in model.inputs
    ]
    return found if len(found) > 1 else found[0]


def padded(x, more):
    if isinstance(x, list):
        return [padded(each, more) for each in x]
    return np.pad(x, [(0, 0), (0, more), (0, 0)][: x.ndim])


def drawn(name):
    model = NETWORKS[name]()
    draw = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(draw.normal(0, 0.6, variable.shape))
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_padding_changes_no_answer_and_files_keep_them(name, tmp_path):
    model = drawn(name)
    for steps in (3, 6):
        x = inputs(model, steps=steps)
        short, long = array(model(x)), array(model(padded(x, 3)))
        if short.ndim == 3:
            long = long[:, : short.shape[1]]
        np.testing.assert_allclose(long, short, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))


def test_tables():
    """Sizes that papers or printed summaries give; where it is our sum, it is written out."""
    for builder in (
        kapps.pixel_lstm, kapps.framewise_rnn, kapps.framewise_brnn, kapps.framewise_lstm,
        kapps.framewise_blstm, kapps.digit_speller, kapps.ctc_timit, kapps.imdb_flat,
        kapps.imdb_mean,
    ):  # fmt: skip
        sizes = [math.prod(variable.shape) for variable in builder().trainable_variables]
        assert sum(sizes) == builder.card.params, builder.card.name
        if builder.card.paper == "Graves 2005":
            assert 0.985e5 < sum(sizes) < 1.03e5  # "roughly 100,000 weights"
    # Its summary at keras.io: an embedding, two of both directions, one output.
    assert kapps.imdb_blstm.card.params == 2_560_000 + 98_816 + 98_816 + 129
    # One LSTM that reads 784 values, 27 answers.
    assert kapps.digit_speller.card.params == 4 * (784 + 128 + 1) * 128 + (128 + 1) * 27


def test_sutskevers_384_million_parameters():
    """384M in all, of which 64M are purely recurrent, as the paper says; one of 7 units is built by the same sum."""

    def parameters(source, target, units):
        recurrent = 2 * 4 * 4 * (units + units) * units
        biases = 2 * 4 * 4 * units + target
        return recurrent, source * units + 2 * target * units + recurrent + biases, biases

    recurrent, every, biases = parameters(160_000, 80_000, 1000)
    assert (recurrent, every - biases) == (64_000_000, 384_000_000)
    assert every == kapps.sutskever2014.card.params
    row = {**kapps.sutskever2014.builder.row, "units": (7,) * 4, "source_vocabulary": 11}
    small = families.encoder_decoder(vocabulary=5, embedding=7, **row)
    assert small.count_params() == parameters(11, 5, 7)[1]


def test_chos_parameters():
    """Embeddings of 100; gates read 100, and in the decoder the context too; V'; words."""
    encoder, decoder = (3 * (read + 1000 + 1) * 1000 for read in (100, 100 + 1000))
    every = 2 * 15_000 * 100 + encoder + decoder + 1001 * 1000 + 1001 * 15_000
    assert kapps.cho2014.card.params == every
    assert kapps.cho2014(vocabulary=10).count_params() == every - 14_990 * (200 + 1001)


def test_sources_are_reversed_before_their_padding():
    found = kapps.layers.ReverseSequence()(keras.ops.array([[3, 4, 1, 0], [1, 2, 3, 4], [0, 0, 0, 0]]))
    assert array(found).tolist() == [[1, 4, 3, 0], [4, 3, 2, 1], [0, 0, 0, 0]]


def test_a_decoder_sees_no_later_word_and_writes_what_it_would_read():
    model = drawn("translator")
    source, target = inputs(model)
    scores = array(model([source, target]))
    target[:, 4:] = 8
    np.testing.assert_allclose(array(model([source, target]))[:, :4], scores[:, :4], atol=1e-6)
    found = kapps.translate(model, source, start=1, end=99, steps=5, beam=None)
    again = np.concatenate([np.ones((2, 1), "int32"), found[:, :-1]], axis=1)
    best = 1 + array(model([source, again]))[..., 1:].argmax(axis=-1)
    assert found.tolist() == best.tolist() and found.min() > 0
    end = int(found[0, 2])
    first = found[0].tolist().index(end)
    ended = kapps.translate(model, source, start=1, end=end, steps=5, beam=None)
    assert ended[0].tolist() == [*found[0, :first], *[0] * (5 - first)]


def test_a_generator_reads_one_vector():
    model = families.sequence_generator(
        steps=5, units=4, input_shape=(1, FEATURES), classes=CLASSES
    )
    x = np.random.default_rng(0).normal(size=(2, 1, FEATURES)).astype("float32")
    assert model(x).shape == (2, 5, CLASSES)
    aligned = families.sequence_labeller(units=4, cell="lstm", merge=None, **SMALL)
    aligned.set_weights(model.get_weights())
    np.testing.assert_allclose(array(model(x)), array(aligned(np.tile(x, (1, 5, 1)))), atol=1e-6)
    with pytest.raises(ValueError, match=r"input_shape is \(1, features\), not \(2, 3\)"):
        families.sequence_generator(steps=5, input_shape=(2, FEATURES))


def test_segments_are_means_of_their_real_steps():
    layer = kapps.layers.SegmentMean(3)
    x = np.random.default_rng(0).normal(size=(2, 7, 2)).astype("float32")
    mask = np.arange(7) < np.array([[7], [4]])
    found = array(layer(x, mask=keras.ops.array(mask)))
    for row, steps in enumerate((7, 4)):
        for i in range(-(-steps // 3)):
            expected = x[row, 3 * i : min(3 * i + 3, steps)].mean(axis=0)
            np.testing.assert_allclose(found[row, i], expected, atol=1e-6)
    assert found.shape == (2, 3, 2) and not found[1, 2].any()
    assert array(layer.compute_mask(None, mask)).tolist() == [[True] * 3, [True, True, False]]


def paths(probabilities):
    """Returns {labelling: chance}: each path of labels, repeats joined, then blanks left out."""
    found = {}
    steps, labels = probabilities.shape
    for path in itertools.product(range(labels), repeat=steps):
        joined = [label for label, _ in itertools.groupby(path)]
        labelling = tuple(label for label in joined if label)
        chance = math.prod(probabilities[t, label] for t, label in enumerate(path))
        found[labelling] = found.get(labelling, 0) + chance
    return found


def temporal(lengths, steps=5):
    """A network's logits of padded sequences, and the chances of their real steps."""
    model = drawn("temporal")
    x = inputs(model, batch=len(lengths), steps=steps)
    for row, length in zip(x, lengths, strict=True):
        row[length:] = 0
    logits = array(model(x)).astype("float64")
    exponents = np.exp(logits)
    chances = exponents / exponents.sum(axis=-1, keepdims=True)
    return logits, [row[:length] for row, length in zip(chances, lengths, strict=True)]


def test_the_loss_is_that_of_all_paths_of_the_real_steps():
    labels = np.array([[1, 2, 0], [3, 3, 0], [2, 0, 0]])
    logits, chances = temporal((5, 4, 2))
    found = keras.losses.CTC(reduction="none")(labels, logits.astype("float32"))
    for row, its, loss in zip(labels, chances, array(found), strict=True):
        chance = paths(its)[tuple(label for label in row.tolist() if label)]
        np.testing.assert_allclose(loss, -math.log(chance), rtol=1e-4)


def test_beams_find_the_likeliest_labelling():
    logits, chances = temporal((5, 3, 4))
    found = kapps.ctc_labels(logits, beams=100)
    for row, its in zip(found, chances, strict=True):
        every = paths(its)
        assert tuple(label for label in row.tolist() if label) == max(every, key=every.get)
    # Graves 2012, chapter 7, draws such a case: "a" has paths of 0.16, 0.24 and 0.24, the best path's labelling 0.36.
    two = np.log(np.array([[[0.6, 0.4], [0.6, 0.4]]]))
    assert kapps.ctc_labels(two).tolist() == [[0]] and kapps.ctc_labels(two, beams=5).tolist() == [[1]]
    best = np.log(np.eye(3)[[[1, 1, 0, 1, 2, 2, 0]]] + 1e-3)
    assert kapps.ctc_labels(best).tolist() == [[1, 1, 2]]


def test_label_errors():
    """Levenshtein's own pairs; all distances over all labels, not the mean of shares."""
    letters = {letter: i for i, letter in enumerate("kitensgauwrdy", start=1)}

    def word(text):
        return [letters[letter] for letter in text]

    for a, b, distance in [("kitten", "sitting", 3), ("", "a", 1), ("sunday", "saturday", 3)]:
        assert (
            ctc_decoding.edit_distance(word(a), word(b)) == distance == ctc_decoding.edit_distance(word(b), word(a))
        )
    padded = np.array([[1, 2, 0], [3, 0, 0]])
    assert kapps.label_error_rate(padded, [[1, 2, 4, 5], [3]]) == 2 / 5
    assert kapps.label_error_rate([[1, 2, 3]], [[4]]) == 3
    with pytest.raises(ValueError, match="2 sequences are found and 1 expected"):
        kapps.label_error_rate([[1], [2]], [[1]])
    with pytest.raises(ValueError, match="no label is expected"):
        kapps.label_error_rate([[1]], [[0]])


@pytest.mark.peers
def test_the_loss_is_torchs():
    import torch

    lengths, labels = [5, 4, 2], np.array([[1, 2, 1], [3, 3, 0], [2, 0, 0]])
    logits, _ = temporal(lengths)
    found = keras.losses.CTC(reduction="none")(labels, logits.astype("float32"))
    expected = torch.nn.functional.ctc_loss(
        torch.log_softmax(torch.from_numpy(logits), -1).transpose(0, 1),
        torch.from_numpy(labels), lengths, [3, 2, 1], blank=0, reduction="none",
    )  # fmt: skip
    np.testing.assert_allclose(array(found), expected.numpy(), rtol=1e-4)


LEARNT = {  # the loss, and what the answers are
    "temporal": ("ctc", lambda x: np.tile([[1, 2, 0]], (len(x), 1))),
    "translator": ("sparse_categorical_crossentropy", lambda x: x[0]),
}


@pytest.mark.parametrize("name", LEARNT)
def test_training_lowers_the_loss(name):
    model = NETWORKS[name]()
    loss, answers = LEARNT[name]
    x = inputs(model, batch=16, steps=4)
    model.compile(keras.optimizers.Adam(0.05), loss, jit_compile=False)
    found = [model.train_on_batch(x, answers(x)) for _ in range(20)]
    assert found[-1] < 0.85 * found[0]


def test_embeddings_share_their_weights_between_words():
    flat = families.embedding_classifier(
        vocabulary=9, embedding=3, input_shape=(2,), classifier_activation=None
    )
    vectors, kernel, bias = flat.get_weights()
    expected = vectors[4] @ kernel[:3] + vectors[7] @ kernel[3:] + bias
    np.testing.assert_allclose(array(flat(np.array([[4, 7]])))[0], expected, atol=1e-6)
    assert vectors.shape == (9, 3)


def test_one_class_is_a_sigmoid():
    one, two = (kapps.imdb_mean(classes=classes, vocabulary=9) for classes in (1, 2))
    assert one.get_layer("predictions").activation is keras.activations.sigmoid
    assert two.get_layer("predictions").activation is keras.activations.softmax


def test_refusals_are_one_line():
    for build, said in [
        (lambda: kapps.imdb_flat(input_shape=(None,)), 'words="flatten" needs a fixed number of steps'),
        (lambda: families.embedding_classifier(words="sum"), 'words is "flatten" or "mean"'),
        (lambda: kapps.layers.SegmentMean(0), "a segment has a whole number of steps from 1, not 0"),
        (lambda: kapps.ctc_labels(np.zeros((2, 3))), "logits are (batch, time, labels)"),
        (lambda: kapps.ctc_labels(np.zeros((2, 3, 4)), beams=0), "beams is a whole number from 1"),
    ]:  # fmt: skip
        with pytest.raises(ValueError) as refusal:
            build()
        assert said in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.tensorflow
def test_tflite_has_segments_with_its_own_operations(tmp_path):
    model = drawn("segments")
    path = kapps.export.tflite(model, tmp_path / "net.tflite", length=6)
    report = kapps.export.verify(model, path, inputs(model, batch=3))
    assert report.largest_difference < 1e-5 and report.largest_value > 0.1
