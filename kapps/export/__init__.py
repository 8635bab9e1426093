"""From a trained model to a file that other programs run, and the check of that file.

    path = kapps.export.saved_model(model, "saved_models", preprocessing=card.preprocessing)
    path = kapps.export.litert(model, "saved_models/net.tflite", preprocessing=card.preprocessing)
    print(kapps.export.verify(path, model, images, preprocessing=card.preprocessing))

Both files take `image`, and give `probabilities` or `logits`; with `preprocessing` they take raw
pixels in [0, 255].
"""

from kapps.export.delivery import deliver
from kapps.export.fold import fold
from kapps.export.lite import litert
from kapps.export.pairs import litert_pair
from kapps.export.serving import saved_model
from kapps.export.stepped import SteppedFile, stepped_pair
from kapps.export.verification import Report, verify

__all__ = [
    "Report",
    "SteppedFile",
    "deliver",
    "fold",
    "litert",
    "litert_pair",
    "saved_model",
    "stepped_pair",
    "verify",
]
