"""The signature `caption`: encoded images to sentences, with beam search in the graph."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kapps
from kapps.data import captions
from kapps.export import runtime
from kapps.model_preprocessing import find_preprocessing

SENTENCES = ["a large three above a small seven", "two small ones", "an eight in the top left"]
STEPS = 7
BEAM = {"beam": 3, "length_penalty": 0.6}


@pytest.fixture(scope="module")
def words():
    return captions.learn_words(SENTENCES)


def captioner(words, source):
    """Returns a model of a source and a target with random weights, large enough that captions differ."""
    keras.utils.set_random_seed(1)
    annotations = keras.layers.Reshape((-1, source.shape[-1]))(source)
    target = keras.Input((None,), dtype="int32", name="target")
    model = kapps.families.show_attend_tell(
        input_tensor=[annotations, target], vocabulary=words.size, embedding=8, units=8
    )
    for weight in model.trainable_weights:
        if "decoder" in weight.path or "output" in weight.path or "logits" in weight.path:
            weight.assign(3 * np.random.default_rng(0).normal(size=weight.shape))
    return model


@pytest.fixture(scope="module")
def model(words):
    keras.utils.set_random_seed(2)
    body = kapps.resnet20_cifar(include_top=False, input_shape=(32, 32, 3))
    return captioner(words, body.output)


@pytest.fixture(scope="module")
def exported(model, words, tmp_path_factory):
    folder = tmp_path_factory.mktemp("captions")
    return kapps.export.saved_model(model, folder, tokenizer=words, new_tokens=STEPS, **BEAM)


@pytest.fixture(scope="module")
def images():
    """Images of one colour each with noise, uint8 [n, height, width, 3]."""
    random = np.random.default_rng(0)
    colours, noise = random.integers(0, 200, (12, 1, 1, 3)), random.integers(0, 56, (12, 32, 32, 3))
    return (colours + noise).astype("uint8")


def encode(images):
    return tf.constant([tf.io.encode_png(image).numpy() for image in images])


def test_captions_equal_those_of_the_model(model, exported, words, images):
    caption = runtime.load_saved_model(exported).signatures["caption"]
    texts = [text.decode() for text in caption(image_bytes=encode(images))["text"].numpy()]
    preprocessing, _ = find_preprocessing(model)
    mean, std = map(np.asarray, preprocessing.channels(3))
    pixels = (images * preprocessing.scale - mean) / std
    tokens = kapps.translate(
        model, pixels, start=words.start, end=words.end, steps=STEPS, never=(1, words.start), **BEAM
    )
    assert texts == [words.decode(row) for row in tokens]
    assert len(set(texts)) > 3 and all(text.split() for text in texts)
    assert {word for text in texts for word in text.split()} <= set(words.vocabulary.tokens)


def test_a_batch_of_one_has_the_same_caption(exported, images):
    caption = runtime.load_saved_model(exported).signatures["caption"]
    texts = caption(image_bytes=encode(images[:3]))["text"].numpy()
    for image, text in zip(images, texts, strict=False):
        assert caption(image_bytes=encode(image[None]))["text"].numpy()[0] == text


def test_serving_default_takes_the_inputs_of_the_model(exported):
    signatures = runtime.load_saved_model(exported).signatures
    assert set(signatures) == {"serving_default", "caption"}
    assert set(signatures["serving_default"].structured_input_signature[1]) == {"image", "target"}


def test_the_words_of_another_model_are_an_error(model, tmp_path):
    other = captions.learn_words(SENTENCES[:1])
    with pytest.raises(ValueError, match=rf"scores {model.output_shape[-1]} tokens.*{other.size}"):
        kapps.export.saved_model(model, tmp_path, tokenizer=other)
    assert not list(tmp_path.rglob("*.pb"))


def test_a_model_of_vectors_is_an_error(words, tmp_path):
    source = keras.Input((4, 4, 8), name="features")
    with pytest.raises(ValueError, match=r"\[n, 4, 4, 8\].*1 or 3 channels"):
        kapps.export.saved_model(captioner(words, source), tmp_path, tokenizer=words)


@pytest.fixture(scope="module")
def model_without_record(words):
    image = keras.Input((32, 32, 3), name="image")
    return captioner(words, keras.layers.Conv2D(4, 8, 8)(image))


def test_unknown_preprocessing_is_an_error(model_without_record, words, tmp_path):
    with pytest.raises(ValueError, match="pass preprocessing="):
        kapps.export.saved_model(model_without_record, tmp_path, tokenizer=words)


@pytest.mark.long
def test_preprocessing_can_be_passed(model_without_record, words, images, tmp_path):
    model = model_without_record
    path = kapps.export.saved_model(
        model, tmp_path, tokenizer=words, preprocessing="inception", new_tokens=STEPS, beam=None
    )
    caption = runtime.load_saved_model(path).signatures["caption"]
    texts = [text.decode() for text in caption(image_bytes=encode(images))["text"].numpy()]
    tokens = kapps.translate(
        model, images / 127.5 - 1, start=words.start, end=words.end, steps=STEPS, beam=None, never=(1, words.start)
    )  # fmt: skip
    assert texts == [words.decode(row) for row in tokens]
