"""Writes kapps/weights/manifest.csv and docs/weights.md from what the installed libraries state of their weights.

    python tools/weights.py

It takes torchvision, timm and Keras (`pip install -e '.[peers]'`) and no network. A file is listed where its library
states a hash of it: torchvision and timm end a file's name in the first digits of its SHA-256, Keras Applications has
the MD5 that it checks. What a library does not state stays empty.
"""

import csv
import importlib.metadata
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from kapps import cards  # noqa: E402

TORCHVISION = {
    "alexnet_owt": "alexnet",
    "densenet121": "densenet121",
    "densenet161": "densenet161",
    "densenet169": "densenet169",
    "densenet201": "densenet201",
    "googlenet_bn_3x3": "googlenet",
    "inception_v3": "inception_v3",
    "mobilenet_v2": "mobilenet_v2",
    "regnetx_008": "regnet_x_800mf",
    "regnetx_016": "regnet_x_1_6gf",
    "regnetx_032": "regnet_x_3_2gf",
    "regnetx_080": "regnet_x_8gf",
    "regnetx_160": "regnet_x_16gf",
    "regnetx_320": "regnet_x_32gf",
    "regnety_004": "regnet_y_400mf",
    "regnety_016": "regnet_y_1_6gf",
    "regnety_032": "regnet_y_3_2gf",
    "regnety_160": "regnet_y_16gf",
    "regnety_320": "regnet_y_32gf",
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnet152": "resnet152",
    "resnext50": "resnext50_32x4d",
    "resnext101_32x8d": "resnext101_32x8d",
    "resnext101_64x4d": "resnext101_64x4d",
    "shufflenet_v2_050": "shufflenet_v2_x0_5",
    "shufflenet_v2": "shufflenet_v2_x1_0",
    "shufflenet_v2_150": "shufflenet_v2_x1_5",
    "shufflenet_v2_200": "shufflenet_v2_x2_0",
    "squeezenet": "squeezenet1_0",
    "squeezenet1_1": "squeezenet1_1",
    "vgg11": "vgg11",
    "vgg13": "vgg13",
    "vgg16": "vgg16",
    "vgg19": "vgg19",
    "vgg11_bn": "vgg11_bn",
    "vgg13_bn": "vgg13_bn",
    "vgg16_bn": "vgg16_bn",
    "vgg19_bn": "vgg19_bn",
    "wide_resnet50": "wide_resnet50_2",
    "wide_resnet101": "wide_resnet101_2",
}
TIMM = {
    "efficientnet_b0": ("tf_efficientnet_b0.aa_in1k", "76.882"),
    "efficientnet_b1": ("tf_efficientnet_b1.aa_in1k", "78.840"),
    "efficientnet_b2": ("tf_efficientnet_b2.aa_in1k", "80.074"),
    "efficientnet_b3": ("tf_efficientnet_b3.aa_in1k", "81.648"),
    "efficientnet_b4": ("tf_efficientnet_b4.aa_in1k", "83.040"),
    "efficientnet_b5": ("tf_efficientnet_b5.aa_in1k", "83.696"),
    "efficientnet_b6": ("tf_efficientnet_b6.aa_in1k", "84.124"),
    "efficientnet_b7": ("tf_efficientnet_b7.aa_in1k", "84.424"),
    "mobilenet_v2_050": ("mobilenetv2_050.lamb_in1k", "65.928"),
    "mobilenet_v2_140": ("mobilenetv2_140.ra_in1k", "76.528"),
    "resnext101": ("resnext101_32x4d.gluon_in1k", "80.336"),
    "se_resnet50": ("seresnet50.ra2_in1k", "80.260"),
    "se_resnext50": ("seresnext50_32x4d.racm_in1k", "81.268"),
    "se_resnext101": ("seresnext101_32x4d.gluon_in1k", "80.886"),
    "senet154": ("senet154.gluon_in1k", "81.258"),
}
"""The builder, timm's checkpoint, and its top-1 in timm's results/results-imagenet.csv, which no package holds."""
KERAS = {
    "inception_resnet_v2": ("inception_resnet_v2", "InceptionResNetV2"),
    "resnet50_v1": ("resnet", "ResNet50"),
    "resnet101_v1": ("resnet", "ResNet101"),
    "resnet152_v1": ("resnet", "ResNet152"),
    "xception": ("xception", "Xception"),
}
"""The builder, and where Keras Applications has it: module and name."""

HUB = {
    "dpn68": "dpn68.mx_in1k",
    "dpn92": "dpn92.mx_in1k",
    "dpn98": "dpn98.mx_in1k",
    "dpn107": "dpn107.mx_in1k",
    "dpn131": "dpn131.mx_in1k",
    "inception_v4": "inception_v4.tf_in1k",
    "mobilenet_v1": "mobilenetv1_100.ra4_e3600_r224_in1k",
    "resnet50_v2": "resnetv2_50.a1h_in1k",
    "resnet101_v2": "resnetv2_101.a1h_in1k",
}
"""What timm has on its hub alone, and states no hash of."""

INSIDE = ("googlenet", "inception_v3")
"""torchvision's networks that, with these weights, turn its own preprocessing into that of the Inceptions inside."""


def torchvision(name, other):
    """Returns the row of torchvision's best weights."""
    import torchvision.models

    best = torchvision.models.get_model_weights(other).DEFAULT
    steps = best.transforms()
    inside = other in INSIDE
    return {
        "name": name,
        "source": "torchvision",
        "checkpoint": str(best),
        "url": best.url,
        "digest": "sha256:" + re.search(r"-([0-9a-f]{8,})\.pth$", best.url)[1],
        "megabytes": f"{best.meta['_file_size']:.3f}",
        "top1": f"{best.meta['_metrics']['ImageNet-1K']['acc@1']:.3f}",
        "licence": "BSD-3-Clause",
        "stated": "package",
        "size": steps.crop_size[0],
        "crop": f"{steps.crop_size[0]}/{steps.resize_size[0]}",
        "interpolation": steps.interpolation.value,
        "scale": "1/255",
        "mean": numbers(cards.INCEPTION.mean if inside else steps.mean),
        "std": numbers(cards.INCEPTION.std if inside else steps.std),
    }


def timm(name, other, top1):
    """Returns the row of weights of timm."""
    import timm

    config = timm.get_pretrained_cfg(other)
    return {
        "name": name,
        "source": "timm",
        "checkpoint": other,
        "url": config.url,
        "digest": "sha256:" + re.search(r"-([0-9a-f]{8,})\.pth$", config.url)[1],
        "megabytes": "",
        "top1": top1,
        "licence": {"apache-2.0": "Apache-2.0"}[config.license],
        "stated": "weights",
        "size": config.input_size[1],
        "crop": config.crop_pct,
        "interpolation": config.interpolation,
        "scale": "1/255",
        "mean": numbers(config.mean),
        "std": numbers(config.std),
    }


def keras(name, module, other):
    """Returns the row of a network of Keras Applications, which states no crop: the card's stays."""
    import keras

    module = getattr(keras.applications, module)
    url, md5 = asked(getattr(module, other))
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
    }


def asked(function):
    """Returns address and MD5 of the file that a function of Keras Applications asks for."""
    files = sys.modules[function.__module__].file_utils

    class Asked(Exception):  # noqa: N818
        pass

    def get_file(name, url, *, file_hash, **options):  # noqa: ARG001
        raise Asked(url, file_hash)

    original, files.get_file = files.get_file, get_file
    try:
        function(weights="imagenet")
    except Asked as found:
        return found.args
    finally:
        files.get_file = original
    raise ValueError(f"{function.__name__} asks for no file")


def arithmetic(preprocess):
    """Returns scale, mean and std of a `preprocess_input`, red first, from what it makes of a few pixels."""
    import numpy as np

    pixels = np.zeros((4, 1, 1, 3), "float32")
    pixels[1:, 0, 0] = 255 * np.eye(3)
    zero, *ones = preprocess(pixels.copy())[:, 0, 0].astype(float)
    steps = [each - zero for each in ones]  # of red, of green, of blue
    places = [int(abs(step).argmax()) for step in steps]  # where each comes out: 2, 1, 0 in BGR
    factors = [float(step[place]) / 255 for step, place in zip(steps, places, strict=True)]
    first = [float(zero[place]) for place in places]
    if max(factors) > 0.5:  # Caffe's: the mean is taken away, and that is all
        return "1", [round(-value, 3) for value in first], [1.0, 1.0, 1.0]
    stds = [round(1 / 255 / factor, 3) for factor in factors]
    return "1/255", [round(-a * s, 3) for a, s in zip(first, stds, strict=True)], stds


def numbers(values):
    """Returns numbers as a cell of the manifest has them."""
    return " ".join(str(value) for value in values)


def rows():
    """Returns the manifest's rows, in the order of the tables."""
    found = [torchvision(*each) for each in TORCHVISION.items()]
    found += [timm(name, *other) for name, other in TIMM.items()]
    found += [keras(name, *where) for name, where in KERAS.items()]
    order = cards.list_models()
    return sorted(found, key=lambda row: order.index(row["name"]))


def document(found):
    """Returns docs/weights.md."""
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name).partition('+')[0]}"
        for name in ("torchvision", "timm", "keras")
    )
    lines = [
        f"| `{row['name']}` | {row['source']} | [{row['url'].rpartition('/')[2]}]({row['url']}) "
        f"| {row['top1'] or '-'} | {row['megabytes'] or '-'} "
        f"| {row['licence']}{'' if row['stated'] == 'weights' else ' *'} |"
        for row in found
    ]
    lines = [
        "| builder | published by | file | top-1 | MB | licence |",
        "|---|---|---|---|---|---|",
        *lines,
    ]
    hub = "\n".join(f"- `{name}`: `timm/{checkpoint}`" for name, checkpoint in HUB.items())
    text = (ROOT / "tools" / "weights.md").read_text()
    for word, what in (("VERSIONS", versions), ("TABLE", "\n".join(lines)), ("HUB", hub)):
        text = text.replace(word, what)
    return text


def main():
    """Writes both files."""
    found = rows()
    with open(ROOT / "kapps/weights/manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, found[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    (ROOT / "docs/weights.md").write_text(document(found))
    print(f"{len(found)} rows")


if __name__ == "__main__":
    main()
