"""Exports trained models as files for other programs, and verifies the files.

    path = kapps.export.saved_model(model, "saved_models", preprocessing=card.preprocessing)
    path = kapps.export.tflite(model, "saved_models/net.tflite", preprocessing=card.preprocessing)
    print(kapps.export.verify(model, path, images, preprocessing=card.preprocessing))

Every format goes the same way: `inference_model` makes the float32 model for inference, the format's package writes
it, `runtime` runs the file, and `verify` compares the file with the model.

For an image model, both formats have the input `image` and the output `probabilities` or `logits`. With
`preprocessing`, `image` is raw pixels in [0, 255].
"""

from kapps._names import attribute_finder
from kapps.export.exit_stages import exit_stages
from kapps.export.export_and_verify import export_and_verify
from kapps.export.fold import fold
from kapps.export.pack import pack
from kapps.export.runtime.tflite_exits_model import TFLiteExits, load_tflite_exits
from kapps.export.runtime.tflite_step_model import TFLiteStepModel, load_tflite_encoder_and_step
from kapps.export.saved_model import saved_model
from kapps.export.tflite import tflite
from kapps.export.tflite._encoder_and_step import tflite_encoder_and_step
from kapps.export.tflite._exits import tflite_exits
from kapps.export.verify import Report, verify

__all__ = [
    "Report",
    "TFLiteExits",
    "TFLiteStepModel",
    "exit_stages",
    "export_and_verify",
    "fold",
    "load_tflite_encoder_and_step",
    "load_tflite_exits",
    "pack",
    "saved_model",
    "tflite",
    "tflite_encoder_and_step",
    "tflite_exits",
    "verify",
]

__getattr__ = attribute_finder(__name__)
