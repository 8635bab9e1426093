"""Writes kapps/weights/manifest.csv and docs/weights.md from what the installed libraries state of their weights.

    python tools/weights.py

The names of the networks in each library are those of tests/reference/models.csv. The program needs torchvision,
timm and Keras (`pip install -e '.[peers]'`) and no network. A file is listed where its library states a hash:
torchvision and timm end a file's name in the first digits of its SHA-256, Keras Applications has an MD5. A cell is
empty where a library states nothing.
"""

import csv
import importlib
import importlib.metadata
import pathlib
import re
import sys
import types
from unittest import mock

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from kapps import _errors, cards, preprocessing  # noqa: E402
from kapps._arguments import Parser  # noqa: E402
from kapps.weights.published_padding import network_padding  # noqa: E402

with open(ROOT / "tests/reference/models.csv", newline="", encoding="utf-8") as file:
    MODELS = list(csv.DictReader(file))

TOP1 = {
    "tf_efficientnet_b0.aa_in1k": "76.882",
    "tf_efficientnet_b1.aa_in1k": "78.840",
    "tf_efficientnet_b2.aa_in1k": "80.074",
    "tf_efficientnet_b3.aa_in1k": "81.648",
    "tf_efficientnet_b4.aa_in1k": "83.040",
    "tf_efficientnet_b5.aa_in1k": "83.696",
    "tf_efficientnet_b6.aa_in1k": "84.124",
    "tf_efficientnet_b7.aa_in1k": "84.424",
    "tf_efficientnet_lite0.in1k": "74.846",
    "tf_efficientnet_lite1.in1k": "76.674",
    "tf_efficientnet_lite2.in1k": "77.470",
    "tf_efficientnetv2_b0.in1k": "78.386",
    "tf_efficientnetv2_b1.in1k": "79.518",
    "tf_efficientnetv2_b2.in1k": "80.226",
    "tf_efficientnetv2_b3.in1k": "81.960",
    "tf_efficientnetv2_xl.in21k_ft_in1k": "86.754",
    "semnasnet_075.rmsp_in1k": "73.000",
    "semnasnet_100.rmsp_in1k": "75.452",
    "mnasnet_small.lamb_in1k": "66.204",
    "mobilenetv2_050.lamb_in1k": "65.928",
    "mobilenetv2_140.ra_in1k": "76.528",
    "tf_mobilenetv3_large_075.in1k": "73.442",
    "tf_mobilenetv3_large_minimal_100.in1k": "72.270",
    "mobilenetv3_small_050.lamb_in1k": "57.918",
    "tf_mobilenetv3_small_075.in1k": "65.706",
    "tf_mobilenetv3_small_minimal_100.in1k": "62.892",
    "nasnetalarge.tf_in1k": "82.626",
    "resnext101_32x4d.gluon_in1k": "80.336",
    "seresnet50.ra2_in1k": "80.260",
    "seresnext50_32x4d.racm_in1k": "81.268",
    "seresnext101_32x4d.gluon_in1k": "80.886",
    "senet154.gluon_in1k": "81.258",
}
"""Accuracies in percent from timm's results/results-imagenet.csv, which its package does not hold."""

HASH = r"-([0-9a-f]{8,})\.pth$"
"""The first digits of a file's SHA-256 at the end of its address."""

CONVERTING = ("googlenet", "inception_v3")
"""torchvision's networks that convert its usual preprocessing to that of the Inception papers inside the model."""


def torchvision(name, other):
    """Returns the row of torchvision's best weights."""
    import torchvision.models

    best = torchvision.models.get_model_weights(other).DEFAULT
    steps = best.transforms()
    converts = other in CONVERTING
    return {
        "name": name,
        "source": "torchvision",
        "checkpoint": str(best),
        "url": best.url,
        "digest": "sha256:" + re.search(HASH, best.url)[1],
        "megabytes": f"{best.meta['_file_size']:.3f}",
        "top1": f"{best.meta['_metrics']['ImageNet-1K']['acc@1']:.3f}",
        "licence": "BSD-3-Clause",
        "stated": "package",
        "size": steps.crop_size[0],
        "crop": f"{steps.crop_size[0]}/{steps.resize_size[0]}",
        "interpolation": steps.interpolation.value,
        "scale": "1/255",
        "mean": numbers(preprocessing.INCEPTION.mean if converts else steps.mean),
        "std": numbers(preprocessing.INCEPTION.std if converts else steps.std),
        "padding": padding(name, "torchvision", other),
    }


def timm(name, other):
    """Returns the row of weights of timm."""
    import timm

    config = timm.get_pretrained_cfg(other)
    size, crop = config.input_size[1], config.crop_pct
    evaluated = (config.test_input_size or config.input_size)[1]
    side = cards.card(name).input_shape[0]
    if size != evaluated == side:  # trained on smaller images
        size, crop = evaluated, config.test_crop_pct or crop
    return {
        "name": name,
        "source": "timm",
        "checkpoint": other,
        "url": config.url,
        "digest": "sha256:" + re.search(HASH, config.url)[1],
        "megabytes": "",
        "top1": TOP1[other]
        if size == side
        else "",  # timm's images may be larger than the authors'
        "licence": {"apache-2.0": "Apache-2.0"}[config.license],
        "stated": "weights",
        "size": side,
        "crop": crop,
        "interpolation": config.interpolation,
        "scale": "1/255",
        "mean": numbers(config.mean),
        "std": numbers(config.std),
        "padding": padding(name, "timm", other),
    }


def keras(name, other):
    """Returns the row of a network of Keras Applications, which states no crop: the card's stays."""
    import keras

    function = getattr(keras.applications, other)
    module = getattr(keras.applications, function.__module__.rpartition(".")[2])
    url, md5 = requested_file(function)
    scale, mean, std = arithmetic(module.preprocess_input)
    return {
        "name": name,
        "source": "keras",
        "checkpoint": f"{module.__name__.rpartition('.')[2]}.{other}",
        "url": url,
        "digest": f"md5:{md5}",
        "megabytes": "",
        "top1": "",
        "licence": "Apache-2.0",
        "stated": "package",
        "size": cards.card(name).input_shape[0],
        "crop": cards.card(name).preprocessing.crop,
        "interpolation": cards.card(name).preprocessing.interpolation,
        "scale": scale,
        "mean": numbers(mean),
        "std": numbers(std),
        "padding": padding(name, "keras", other),
    }


def padding(name, library, other):
    """Returns the padding of the network that a library's weights were trained with."""
    card = cards.card(name)
    if card.padding == "valid":
        return "valid"
    names = importlib.import_module(f"kapps.weights.names.{card.family}")
    return network_padding(other, getattr(names, library))


def requested_file(function):
    """Returns the address and the MD5 of the file that a function of Keras Applications downloads."""
    module = sys.modules[function.__module__]

    class RequestError(Exception):
        pass

    def get_file(name, url, *, file_hash, **options):  # noqa: ARG001
        raise RequestError(url, file_hash)

    # NASNet raises an error on PyTorch, where it can be built but not run.
    backend = types.SimpleNamespace(**{**vars(module.backend), "backend": lambda: "tensorflow"})
    with (
        mock.patch.object(module.file_utils, "get_file", get_file),
        mock.patch.object(module, "backend", backend),
    ):
        try:
            function(weights="imagenet")
        except RequestError as request:
            return request.args
    raise ValueError(f"{function.__name__} requests no file")


def arithmetic(preprocess):
    """Returns scale, mean and std of a `preprocess_input`, red first, from what it makes of a few pixels."""
    import numpy as np

    pixels = np.zeros((4, 1, 1, 3), "float32")
    pixels[1:, 0, 0] = 255 * np.eye(3)
    zero, *ones = preprocess(pixels.copy())[:, 0, 0].astype(float)
    steps = [one - zero for one in ones]  # of red, green and blue
    channels = [int(abs(step).argmax()) for step in steps]  # of the output: 2, 1, 0 in BGR
    factors = [float(step[channel]) / 255 for step, channel in zip(steps, channels, strict=True)]
    offsets = [float(zero[channel]) for channel in channels]
    if max(factors) > 0.5:  # Caffe's preprocessing only subtracts the mean
        return "1", [round(-offset, 3) for offset in offsets], [1.0, 1.0, 1.0]
    stds = [round(1 / 255 / factor, 3) for factor in factors]
    return "1/255", [round(-a * s, 3) for a, s in zip(offsets, stds, strict=True)], stds


def numbers(values):
    """Returns numbers as a cell of the manifest has them."""
    return " ".join(str(value) for value in values)


def rows():
    """Returns the manifest's rows, in the order of `models.csv`: of torchvision, else of timm, else of Keras."""
    manifest = []
    for model in MODELS:
        if model["torchvision"]:
            manifest.append(torchvision(model["name"], model["torchvision"]))
        elif has_hash(model["timm"]):
            manifest.append(timm(model["name"], model["timm"]))
        elif model["keras"]:
            manifest.append(keras(model["name"], model["keras"]))
    order = cards.list_models()
    return sorted(manifest, key=lambda row: order.index(row["name"]))


def has_hash(checkpoint):
    """Returns whether timm states an address whose file name ends in a hash for weights such as "dpn68.mx_in1k"."""
    import timm

    if "." not in checkpoint:
        return False
    return re.search(HASH, timm.get_pretrained_cfg(checkpoint).url or "") is not None


def hub():
    """Returns {builder's name: timm's name} of weights that are only on timm's hub, and have no hash."""
    names = {
        model["name"]: model["timm"]
        for model in MODELS
        if "." in model["timm"] and not model["torchvision"] and not has_hash(model["timm"])
    }
    return {name: names[name] for name in cards.list_models() if name in names}


def document(manifest):
    """Returns docs/weights.md."""
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name).partition('+')[0]}"
        for name in ("torchvision", "timm", "keras")
    )
    lines = [
        f"| `{row['name']}` | {row['source']} | [{row['url'].rpartition('/')[2]}]({row['url']}) "
        f"| {row['top1'] or '-'} | {row['megabytes'] or '-'} "
        f"| {row['licence']}{'' if row['stated'] == 'weights' else ' *'} |"
        for row in manifest
    ]
    lines = [
        "| builder | published by | file | top-1 | MB | licence |",
        "|---|---|---|---|---|---|",
        *lines,
    ]
    on_hub = "\n".join(f"- `{name}`: `timm/{checkpoint}`" for name, checkpoint in hub().items())
    text = (ROOT / "tools" / "weights.md").read_text(encoding="utf-8")
    for word, value in (("VERSIONS", versions), ("TABLE", "\n".join(lines)), ("HUB", on_hub)):
        text = text.replace(word, value)
    return text


def main():
    """Writes the manifest and the page."""
    manifest = rows()
    with open(ROOT / "kapps/weights/manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, manifest[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(manifest)
    (ROOT / "docs/weights.md").write_text(document(manifest), encoding="utf-8")
    print(f"{len(manifest)} rows")


if __name__ == "__main__":
    parser = Parser(description=__doc__)
    parser.parse_args()
    sys.exit(_errors.run(main, parser.prog))
