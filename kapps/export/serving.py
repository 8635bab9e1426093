"""SavedModels for TensorFlow Serving: whole, versioned, never overwritten."""

import os
import pathlib

import keras

from kapps.cards import Preprocessing
from kapps.export import network
from kapps.export.places import folder_for, local
from kapps.export.quiet import quiet
from kapps.files import flush, sync


def saved_model(
    model: keras.Model,
    directory: str | os.PathLike,
    *,
    preprocessing: Preprocessing | None = None,
) -> pathlib.Path:
    """Writes `model` as a TensorFlow SavedModel, laid out for TensorFlow Serving.

    The model is rebuilt in float32 and traced with training off. The signature `serving_default`
    takes `image`, float32 [batch, height, width, channels] with any batch, and gives
    `probabilities` where the last layer ends in softmax or sigmoid, else `logits`; outputs that
    come in a dictionary keep its names, other several outputs have those of their layers.

    Args:
        model: a functional or sequential model of one such input, under any precision policy.
        directory: holds `<model.name>/<n>/`, n one above the highest there; made where missing.
        preprocessing: where given, `image` is raw pixels in [0, 255], at the size the model takes.

    Returns:
        The new `<directory>/<model.name>/<n>`: it appears whole or not at all, in place of none.

    Raises:
        ValueError: for a model that cannot be exported, or a directory that cannot be written.
    """
    exported = network.serving(model, preprocessing)
    signature = network.signature(exported, batch=None)
    network.refuse_random(exported, signature)
    versions = local(directory) / model.name
    with folder_for(versions) as aside:
        written = aside / "version"
        with quiet():
            exported.export(
                str(written), "tf_saved_model", verbose=False, input_signature=[signature]
            )
        flush(written)
        while True:
            path = versions / str(_next_version(versions))
            try:
                os.rename(written, path)
                break
            except OSError:
                # Another process may have taken the number since; any other fault is a fault.
                if not path.exists():
                    raise
        sync(versions)
    return path


def _next_version(versions: pathlib.Path) -> int:
    return 1 + max((int(p.name) for p in versions.iterdir() if p.name.isdecimal()), default=0)
