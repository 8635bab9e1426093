"""Writes tests/reference/peer_logits.json: logits of torchvision's, timm's and pytorchcv's networks.

    python tools/peer_logits.py

It needs `pip install -e '.[peers]'` and no network. The weights are sampled from the names of the state dict, so that
tests/cnn/test_peer_logits.py gives kapps's network the same ones where PyTorch is not installed. Two images and the
first 16 logits of each are enough to detect a difference in any layer.
"""

import itertools
import json
import pathlib
import sys

import torch

ROOT = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import models  # noqa: E402
import peer_networks  # noqa: E402
from sampled_weights import sampled_images, sampled_state  # noqa: E402

from kapps import _errors, cards  # noqa: E402
from kapps._arguments import Parser  # noqa: E402


def create(library, name):
    """Returns a network of another library, in evaluation mode."""
    declare_operations()
    return peer_networks.create(library, name).eval()


ANYNETS = (
    {"depths": (1, 2, 2, 1), "widths": (16, 32, 48, 96), "bottlenecks": (2, 1, 4, 2), "group_widths": (4, 8, 2, 16)},
    {
        "depths": (1, 3), "widths": (32, 64), "bottlenecks": (4, 4), "group_widths": (4, 4), "se_ratio": 0.25,
        "stem": 24, "space": "C",
    },
)  # fmt: skip
"""Members of AnyNet whose bottleneck ratio is not 1, which torchvision builds of its RegNets' blocks."""


def create_anynet(depths, widths, bottlenecks, group_widths, se_ratio=None, stem=32, space="A"):
    """Returns torchvision's network of the same stages as `kapps.families.anynet`, in evaluation mode."""
    declare_operations()
    from torchvision.models.regnet import BlockParams, RegNet

    del space
    ratios = [1 / bottleneck for bottleneck in bottlenecks]
    strides = [2] * len(depths)
    stages = BlockParams(depths, widths, group_widths, ratios, strides, se_ratio)
    return RegNet(stages, stem_width=stem).eval()


def declare_operations():
    """Declares two compiled operations that importing torchvision needs and no classifier uses."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operation in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operation):
            library.define(f"{operation}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    declare_operations.library = library  # the declarations last as long as this object


def logits(network, size):
    """Returns the first logits of a network with sampled weights for two images."""
    state = network.state_dict()
    shapes = {
        key: tuple(x.shape) for key, x in state.items() if not key.endswith("num_batches_tracked")
    }
    sampled = {key: torch.from_numpy(array) for key, array in sampled_state(shapes).items()}
    network.load_state_dict(sampled, strict=False)
    with torch.no_grad():
        outputs = network(torch.from_numpy(sampled_images(size).transpose(0, 3, 1, 2).copy()))
    return outputs.reshape(2, -1)[:, :16].numpy()


def stored(row, network):
    """Returns a line of the file: the row and the network's logits."""
    values = [[float(f"{x:.7g}") for x in image] for image in logits(network, row["size"])]
    print(row["library"], row["other"], values[0][:3], flush=True)
    return json.dumps({**row, "logits": values})


def main():
    """Writes the logits of the smallest network of each family."""
    smallest = {}
    for library, other, name, sizes in sorted(
        models.peers(("torchvision", "timm", "pytorchcv")),
        key=lambda row: cards.card(row[2]).params,
    ):
        smallest.setdefault(cards.card(name).family, (library, other, name, int(sizes.split()[0])))
    rows = []
    for library, other, name, size in smallest.values():
        row = {"name": name, "library": library, "other": other, "size": size}
        rows.append(stored(row, create(library, other)))
    for options, size in itertools.product(ANYNETS, (64, 97)):
        row = {
            "name": "anynet",
            "options": options,
            "library": "torchvision",
            "other": "RegNet",
            "size": size,
        }
        rows.append(stored(row, create_anynet(**options)))
    (models.REFERENCE / "peer_logits.json").write_text(
        "[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8"
    )


if __name__ == "__main__":
    parser = Parser(description=__doc__)
    parser.parse_args()
    sys.exit(_errors.run(main, parser.prog))
