"""From a trained model to a file that other programs run, and the check of that file.

    path = kapps.export.saved_model(model, "saved_models", preprocessing=card.preprocessing)
    path = kapps.export.tflite(model, "saved_models/net.tflite", preprocessing=card.preprocessing)
    print(kapps.export.verify(model, path, images, preprocessing=card.preprocessing))

Both files take `image`, and give `probabilities` or `logits`; with `preprocessing` they take raw
pixels in [0, 255].
"""

from kapps.export.export_and_verify import export_and_verify
from kapps.export.fold import fold
from kapps.export.runtime.tflite_step_model import TFLiteStepModel, load_tflite_encoder_and_step
from kapps.export.saved_model import saved_model
from kapps.export.tflite import tflite
from kapps.export.tflite._encoder_and_step import tflite_encoder_and_step
from kapps.export.verify import Report, verify

__all__ = [
    "Report",
    "TFLiteStepModel",
    "export_and_verify",
    "fold",
    "load_tflite_encoder_and_step",
    "saved_model",
    "tflite",
    "tflite_encoder_and_step",
    "verify",
]
