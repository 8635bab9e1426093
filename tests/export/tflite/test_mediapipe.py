"""MediaPipe, a runtime for phones, classifies raw images with the metadata of a .tflite file."""

import json

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import kapps
from kapps import export
from kapps.cards import IMAGENET

NAMES = [f"kind {i}" for i in range(10)]

CLASSIFY = """
import json, sys
import mediapipe, numpy as np
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions

options = ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]), max_results=10)
with ImageClassifier.create_from_options(options) as classifier:
    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.load(sys.argv[2]))
    categories = classifier.classify(image).classifications[0].categories
print(json.dumps({category.category_name: category.score for category in categories}))
"""


@pytest.mark.browser
@pytest.mark.tensorflow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_mediapipe_reads_the_labels_and_the_range(precision, randomise, fresh, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), "uint8")
    model = randomise(kapps.resnet20_cifar())
    calibration = {"calibration": images.astype("float32")} if precision == "int8" else {}
    path = export.tflite(
        model,
        tmp_path / "net.tflite",
        preprocessing=IMAGENET.at((32, 32)),
        class_names=NAMES,
        precision=precision,
        **calibration,
    )
    np.save(tmp_path / "image.npy", images[0])
    scores = json.loads(fresh(CLASSIFY, path, tmp_path / "image.npy").splitlines()[-1])
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], images[:1].astype("float32")
    )
    interpreter.invoke()
    expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
    assert set(scores) == set(NAMES) and expected.max() > 2 * expected.min()
    np.testing.assert_allclose([scores[name] for name in NAMES], expected, rtol=1e-5, atol=1e-5)
    scaled = (images[:1] / 255 - IMAGENET.mean) / IMAGENET.std
    logits = keras.ops.convert_to_numpy(model(scaled.astype("float32"), training=False))[0]
    np.testing.assert_allclose(expected, logits, atol=1e-4 if precision == "float32" else 0.1)
