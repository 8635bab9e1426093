"""Signatures of text, and exports of models of tokens, sequences, frames and several inputs."""

import json
import pathlib
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import kapps
from kapps.export import runtime
from kapps.export.tflite import file_operations

GOLDEN = pathlib.Path(__file__).parents[2] / "reference" / "signatures.json"
POEM = "the time traveller for so it will be convenient to speak of him was expounding a recondite matter to us"
"""The first words of H. G. Wells, The Time Machine (1895)."""


@pytest.fixture(scope="module")
def tokenizer():
    """Characters as numbers."""
    layer = keras.layers.TextVectorization(split="character", standardize=None)
    layer.adapt([POEM])
    return layer


@pytest.fixture(scope="module")
def language_model(tokenizer):
    """A network trained to reproduce the poem: tokens [batch, time] to the logits of the next token."""
    keras.utils.set_random_seed(0)
    size = tokenizer.vocabulary_size()
    tokens = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(size, 16)(tokens)
    x = keras.layers.GRU(48, return_sequences=True)(x)
    model = keras.Model(tokens, keras.layers.Dense(size)(x), name="poem")
    numbers = np.asarray(tokenizer([POEM]))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss, metrics=["accuracy"], jit_compile=False)
    data = tf.data.Dataset.from_tensors((numbers[:, :-1], numbers[:, 1:])).repeat(150)
    model.fit(data, verbose=0)
    assert model.evaluate(numbers[:, :-1], numbers[:, 1:], verbose=0)[1] > 0.95
    return model


@pytest.fixture(scope="module")
def classifier():
    """A network that classifies words [batch, 6], padded with zeros, as about time or about space."""
    keras.utils.set_random_seed(0)
    words = ["time hour day year clock", "space star sky moon far", "of the and"]
    layer = keras.layers.TextVectorization(output_sequence_length=6)
    layer.adapt(words)
    generator = np.random.default_rng(0)
    topics, common = [line.split() for line in words[:2]], words[2].split()
    labels = generator.integers(0, 2, 200)
    lines = [
        " ".join(
            generator.permutation([*generator.choice(topics[y], 2), *generator.choice(common, n)])
        )
        for y, n in zip(labels, generator.integers(0, 4, 200), strict=True)
    ]
    tokens = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(layer.vocabulary_size(), 8, mask_zero=True)(tokens)
    x = keras.layers.Bidirectional(keras.layers.LSTM(32))(x)
    model = keras.Model(tokens, keras.layers.Dense(2, "softmax")(x), name="about")
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(0.03), loss, metrics=["accuracy"], jit_compile=False)
    numbers = np.asarray(layer(lines))
    model.fit(numbers, labels, epochs=6, verbose=0)
    assert model.evaluate(numbers, labels, verbose=0)[1] > 0.95
    return model, layer, lines


def load(path):
    return runtime.load_saved_model(path).signatures  # with a check of its operations


def test_a_text_classifier_takes_text_and_returns_labels(classifier, signatures, tmp_path):
    model, tokenizer, lines = classifier
    names = ["time", "space"]
    path = kapps.export.saved_model(model, tmp_path, class_names=names, tokenizer=tokenizer)
    assert signatures(path) == json.loads(GOLDEN.read_text(encoding="utf-8"))["text"]
    outputs = load(path)["serve_text"](text=tf.constant(lines[:20]))
    expected = model.predict(np.asarray(tokenizer(lines[:20])), verbose=0)
    np.testing.assert_allclose(outputs["probabilities"], expected, rtol=1e-5, atol=1e-5)
    labels = [label.decode() for label in outputs["labels"].numpy()[:, 0]]
    assert labels == [names[i] for i in expected.argmax(-1)] and set(labels) == set(names)
    report = kapps.export.verify(model, path, np.asarray(tokenizer(lines)))
    assert report.failure() is None and report.examples == len(lines)


@pytest.mark.long
def test_a_language_model_continues_text(language_model, tokenizer, signatures, tmp_path):
    path = kapps.export.saved_model(language_model, tmp_path, tokenizer=tokenizer, new_tokens=40)
    assert signatures(path) == json.loads(GOLDEN.read_text(encoding="utf-8"))["language model"]
    starts = [POEM[:30], POEM[:12], ""]
    continue_text = load(path)["continue_text"]
    texts = continue_text(text=tf.constant(starts))["text"].numpy()
    assert [text.decode() for text in texts[:2]] == [POEM[:70], POEM[:52]]
    assert len(texts[2]) == 40
    # A batch of one text, without padding, gives the same text.
    for start, text in zip(starts, texts, strict=True):
        assert continue_text(text=tf.constant([start]))["text"].numpy()[0] == text


@pytest.mark.long
def test_a_bidirectional_network_has_no_continue_text(tokenizer, tmp_path):
    size = tokenizer.vocabulary_size()
    tokens = keras.Input((None,), dtype="int32")
    x = keras.layers.Bidirectional(keras.layers.GRU(3, return_sequences=True))(
        keras.layers.Embedding(size, 2)(tokens)
    )
    model = keras.Model(tokens, keras.layers.Dense(size)(x), name="both")
    path = kapps.export.saved_model(model, tmp_path, tokenizer=tokenizer)
    assert set(load(path)) == {"serving_default", "serve_text"}


@pytest.mark.long
def test_warm_up_requests_have_text(classifier, tmp_path):
    from tensorflow_serving.apis import prediction_log_pb2

    model, tokenizer, _ = classifier
    path = kapps.export.saved_model(model, tmp_path, tokenizer=tokenizer, warm_up=True)
    file = path / "assets.extra/tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(file)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        tensors = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        tensors = {name: tf.constant(value) for name, value in tensors.items()}
        outputs = load(path)[request.model_spec.signature_name](**tensors)
        assert np.isfinite(outputs["probabilities"]).all()


@pytest.mark.parametrize(
    "precision",
    ["float32", *(pytest.param(x, marks=pytest.mark.long) for x in ("float16", "dynamic"))],
)
def test_tflite_of_tokens_agrees(classifier, tmp_path, precision):
    model, tokenizer, lines = classifier
    vocabulary = tokenizer.get_vocabulary()
    path = tmp_path / "about.tflite"
    kapps.export.tflite(model, path, precision=precision, vocabulary=vocabulary)
    numbers = np.asarray(tokenizer(lines))
    # Twice: the recurrent state must not be carried to the next sequence.
    reports = [kapps.export.verify(model, path, numbers[::step]) for step in (1, -1)]
    for report in reports:
        assert report.failure() is None and report.top1_agreement > 0.98
        assert precision != "float32" or report.largest_difference < 1e-5
    assert reports[0].precision == precision
    assert not [name for name in file_operations(path) if name.startswith(("CUSTOM", "Flex"))]
    with zipfile.ZipFile(path) as archive:
        assert archive.read("vocabulary.txt").decode().split("\n")[:-1] == vocabulary


@pytest.mark.long
def test_tflite_of_a_variable_length(language_model, tokenizer, tmp_path):
    path = kapps.export.tflite(language_model, tmp_path / "poem.tflite", length=24)
    numbers = np.asarray(tokenizer([POEM]))[0, :96].reshape(4, 24)
    report = kapps.export.verify(language_model, path, numbers)
    assert report.largest_difference < 1e-4 and report.top1_agreement == 1


@pytest.mark.long
def test_sequences_of_vectors(tmp_path):
    x = keras.Input((None, 3))
    model = keras.Model(x, keras.layers.Dense(4)(keras.layers.LSTM(5)(x)), name="vectors")
    values = np.random.default_rng(0).normal(size=(5, 9, 3)).astype("float32")
    for path in (
        kapps.export.saved_model(model, tmp_path),
        kapps.export.tflite(model, tmp_path / "net.tflite", length=9),
    ):
        report = kapps.export.verify(model, path, values)
        assert report.largest_difference < 1e-5 and report.largest_value > 0.01


@pytest.mark.parametrize(
    "options, words",
    [
        ({"length": 7}, "length=7"),
        ({"precision": "int8", "calibration": np.ones((3, 6), int)}, "unroll=True"),
        (
            {"preprocessing": kapps.cards.IMAGENET},
            "takes tokens, and preprocessing is for image models",
        ),
    ],
)
def test_tflite_errors_of_one_line(classifier, tmp_path, options, words):
    with pytest.raises(ValueError, match=words) as error:
        kapps.export.tflite(classifier[0], tmp_path / "net.tflite", **options)
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_tokenizer_that_does_not_fit_raises(classifier, language_model, tokenizer, tmp_path):
    model, words, _ = classifier
    image = keras.Input((8, 8, 3))
    image = keras.Model(image, keras.layers.Flatten()(image), name="flat")
    multi_hot = keras.layers.TextVectorization(output_mode="multi_hot", vocabulary=["a", "b"])
    for network, layer, message in [
        (model, tokenizer, "takes 6 tokens, and the tokenizer gives any number"),
        (language_model, words, "takes any number of tokens, and the tokenizer gives 6"),
        (image, tokenizer, "flat takes image"),
        (model, str.split, "not a method_descriptor"),
        (model, multi_hot, "output_mode"),
    ]:
        with pytest.raises(ValueError, match=message) as error:
            kapps.export.saved_model(network, tmp_path / "served", tokenizer=layer)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "served").exists()


def step_model():
    """A language model's decoding step: a token and the states, to logits and the next states."""
    inputs = {
        "tokens": keras.Input((1,), dtype="int32", name="tokens"),
        "state_h": keras.Input((4,), name="h"),
        "state_c": keras.Input((4,), name="c"),
    }
    x = keras.layers.Embedding(9, 3)(inputs["tokens"])
    states = [inputs["state_h"], inputs["state_c"]]
    x, h, c = keras.layers.LSTM(4, return_state=True, unroll=True)(x, initial_state=states)
    outputs = {"logits": keras.layers.Dense(9)(x), "state_h": h, "state_c": c}
    return keras.Model(inputs, outputs, name="one_step")


@pytest.mark.parametrize("form", ["net.tflite", pytest.param("served", marks=pytest.mark.long)])
def test_several_inputs_and_outputs_keep_their_names(form, signatures, tmp_path):
    model = step_model()
    write = kapps.export.tflite if form.endswith("tflite") else kapps.export.saved_model
    path = write(model, tmp_path / form)
    generator = np.random.default_rng(0)
    inputs = {
        "tokens": generator.integers(1, 9, (5, 1)),
        "state_h": generator.uniform(-1, 1, (5, 4)),
        "state_c": generator.uniform(-1, 1, (5, 4)),
    }
    report = kapps.export.verify(model, path, inputs, timed=True)
    assert report.failure() is None and report.examples == 5 and report.largest_value > 0.1
    if write is kapps.export.tflite:
        assert not [name for name in file_operations(path) if name.startswith(("WHILE", "CUSTOM"))]
    else:
        signature = signatures(path)["serving_default"]
        assert set(signature["takes"]) == set(inputs) and set(signature["gives"]) > {
            "state_c",
            "state_h",
        }
    with pytest.raises(ValueError, match="one_step takes a dictionary"):
        kapps.export.verify(model, path, inputs["tokens"])
    with pytest.raises(ValueError, match="one_step takes a dictionary"):
        kapps.export.verify(model, path, {**inputs, "state_c": inputs["state_c"][:2]})


def test_inputs_in_a_list_have_their_own_names(tmp_path):
    zeta, alpha = keras.Input((3,), name="zeta"), keras.Input((2,), dtype="int32", name="alpha")
    x = keras.layers.Dense(2)(zeta) + keras.ops.cast(alpha, "float32")
    model = keras.Model([zeta, alpha], x, name="listed")
    inputs = {"zeta": np.eye(3)[:2], "alpha": np.array([[1, 2], [3, 4]])}
    for path in (
        kapps.export.saved_model(model, tmp_path / "served"),
        kapps.export.tflite(model, tmp_path / "net.tflite"),
    ):
        assert kapps.export.verify(model, path, inputs).failure() is None


@pytest.mark.long
def test_frames(tmp_path):
    frames = keras.Input((3, 8, 8, 1))
    model = keras.Model(
        frames, keras.layers.ConvLSTM2D(2, 3, padding="same")(frames), name="weather"
    )
    inputs = np.random.default_rng(0).uniform(0, 1, (2, 3, 8, 8, 1))
    for path in (
        kapps.export.saved_model(model, tmp_path / "served"),
        kapps.export.tflite(model, tmp_path / "net.tflite"),
    ):
        assert kapps.export.verify(model, path, inputs).failure() is None
