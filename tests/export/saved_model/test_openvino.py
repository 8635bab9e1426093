"""The SavedModel read by a second implementation of TensorFlow's operations: OpenVINO."""

import covering
import numpy as np
import openvino
import pytest

import kapps
from kapps.cards import Preprocessing

PIXELS = Preprocessing(size=(40, 40))


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        "resnet20_cifar",
        pytest.param("resnext50", marks=pytest.mark.long),
        pytest.param("resnet50_v2", marks=pytest.mark.long),
    ],
)
def test_openvino_gives_the_same_outputs(name, randomise, tmp_path):
    model = randomise(covering.member(name)(input_shape=(40, 40, 3), classes=7))
    path = kapps.export.saved_model(model, tmp_path, preprocessing=PIXELS)
    # By default OpenVINO computes in bfloat16 on CPUs that support it.
    compiled = openvino.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    images = np.random.default_rng(0).uniform(0, 255, (3, 40, 40, 3)).astype("float32")
    outputs = {port.any_name: values for port, values in compiled(images).to_dict().items()}
    expected = model.predict((images / 255 - PIXELS.mean) / PIXELS.std, verbose=0)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(outputs["probabilities"], expected, rtol=1e-5, atol=1e-5)
