"""Writes the model tables of README.md and docs/models.md from the cards.

    python tools/model_tables.py

README.md has one row for each kind of network, with links to the families; docs/models.md has one row for each builder.
A family's title is the first line of its file's docstring, up to the colon. A test compares both files with the cards.
"""

import ast
import itertools
import pathlib
import re
import sys

from kapps import _errors, cards
from kapps._arguments import Parser

ROOT = pathlib.Path(__file__).parents[1]
# fmt: off
KINDS = {
    "Searched, and sampled from design spaces": (
        "amoebanet", "anynet", "darts", "darts_cifar", "enas", "enas_macro", "nasnet", "pnasnet", "randwire", "regnet",
        "snas", "snas_cifar",
    ),
    "For phones": (
        "as_resnet", "as_resnet_cifar", "efficientnet", "efficientnet_lite", "efficientnet_v2", "mnasnet",
        "mobilenet_v1", "mobilenet_v2", "mobilenet_v3", "proxylessnas", "shift_resnet", "shiftnet", "shufflenet_v1",
        "shufflenet_v2", "squeezenet",
    ),
    "Convolutions with attention or gates": (
        "a2net", "accuracy_booster", "attention_augmented", "attention_augmented_cifar", "bam", "cbam", "inner_imaging",
        "macnn", "quadratic_attention", "residual_attention", "senet", "sknet",
    ),
    "Early exits, and binary weights": (
        "msdnet", "msdnet_cifar", "xnor_alexnet", "xnor_lenet", "xnor_resnet", "xnor_resnet_cifar",
    ),
    "Translation with attention": (
        "area_attention", "bahdanau", "britz", "depth_adaptive_transformer", "evolved_transformer", "lightconv",
        "luong", "synthesizer", "transformer", "universal_transformer",
    ),
    "Language models with attention": (
        "adaptive_span_transformer", "all_attention_transformer", "lstmn", "product_key_memory", "reformer",
        "sparse_transformer",
    ),
}
"""Files of the families of each kind of network. A family of no kind is in the row of its folder."""
FOLDERS = {
    "cnn": "Convolutional networks", "recurrent": "Recurrent and convolutional sequence models",
    "attention": "Memory, pointers, captions, few-shot learning",
}
ROWS = (
    "cnn", "Convolutions with attention or gates", "Searched, and sampled from design spaces", "For phones",
    "Early exits, and binary weights", "recurrent", "Translation with attention", "Language models with attention",
    "attention",
)
"""Order of the rows of README.md."""
OTHER_ROWS = (
    ("Segmentation", "[FCN, DeepLabV3, U-shaped, FPN on any body; FCN-8s, SegNet](docs/segmentation_models.md)",
     "segmentation"),
    ("Generative", "[Self-attention GAN](docs/gan.md)", "generative"),
)
"""Rows of networks without cards: kind, families, package."""
OTHER_FAMILIES = {
    "Segmentation": {
        "kapps.segmentation.fcn": ("fcn", "fcn_resnet50", "fcn_resnet101"),
        "kapps.segmentation.deeplab": ("deeplab_v3", "deeplab_v3_resnet50", "deeplab_v3_resnet101"),
        "kapps.segmentation.unet": ("unet",),
        "kapps.segmentation.fpn": ("fpn", "fpn_decoder"),
        "kapps.segmentation.fcn_vgg": ("fcn32s", "fcn16s", "fcn8s"),
        "kapps.segmentation.segnet": ("segnet", "segnet_basic"),
    },
    "Generative": {"kapps.generative.sagan": ("sagan_generator", "sagan_discriminator")},
}
"""Families without cards: {kind: {module: functions}}."""
NAMES = {
    "adaptive_span_transformer": "Adaptive attention span", "alexnet_owt": "AlexNet in one tower",
    "alexnet_single": "AlexNet of d2l.ai", "all_attention_transformer": "All-attention network",
    "britz": "Britz's translators", "lstmn": "LSTMN", "mixture_of_experts": "Mixture of experts",
    "product_key_memory": "Product-key memory", "quadratic_attention": "Quadratic attention",
    "resnet_cifar": "ResNet for CIFAR", "self_attentive_embedding": "Self-attentive sentence embedding",
}
"""Names for README.md of families whose title is a sentence."""
# fmt: on
START, END = "<!-- models: written by tools/model_tables.py -->", "<!-- end of models -->"
ARXIV = re.compile(r"(?:arXiv:)?(\d{4}\.\d{4,5})")


def families() -> list[list[cards.Card]]:
    """Returns the cards of each family, in the order of the tables."""
    members = map(cards.card, cards.list_models())
    return [list(group) for _, group in itertools.groupby(members, key=lambda card: card.module)]


def title(module: str) -> str:
    """Returns the family's title from the docstring of its file, which is not imported."""
    path = ROOT / (module.replace(".", "/") + ".py")
    return (
        ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        .splitlines()[0]
        .partition(":")[0]
        .rstrip(".")
    )


def paper(citation: str) -> str:
    """Returns a citation as Markdown, with links for arXiv numbers."""
    return ARXIV.sub(r"[\1](https://arxiv.org/abs/\1)", citation)


def file_name(module: str) -> str:
    """Returns the name of a family's file without its suffix."""
    return module.rpartition(".")[2]


def slug(heading: str) -> str:
    """Returns the anchor that GitHub and the site give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def short_title(module: str) -> str:
    """Returns a family's name for README.md: its title without an article, an explanation and a data set."""
    if file_name(module) in NAMES:
        return NAMES[file_name(module)]
    text = re.sub(r", (?=(also|with|a|the|as|for|from) )", ": ", title(module)).partition(":")[0]
    text = re.sub("^The ", "", re.sub(r" for (CIFAR|ImageNet)$", "", text))
    return text[0].upper() + text[1:]


def kind(card: cards.Card) -> str:
    """Returns the row of README.md that a family is in."""
    folder = card.module.split(".")[1]
    return next((name for name, files in KINDS.items() if file_name(card.module) in files), folder)


def family_tables() -> str:
    """Returns a table with a row for each kind of network: families, with links to docs/models.md, and builders."""
    lines = ["| networks | families | builders |", "|---|---|---:|"]
    for row in ROWS:
        families_of_row = [members for members in families() if kind(members[0]) == row]
        links = {}
        for members in families_of_row:
            module = members[0].module
            link = f"[{short_title(module)}](docs/models.md#{slug(title(module))})"
            links.setdefault(short_title(module), link)
        count = sum(map(len, families_of_row))
        lines.append(f"| {FOLDERS.get(row, row)} | {', '.join(links.values())} | {count} |")
    for name, text, package in OTHER_ROWS:
        lines.append(f"| {name} | {text} | `kapps.{package}` |")
    return "\n".join(lines)


def readme() -> str:
    """Returns README.md with its table and its number of networks written again."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(
        r"builders of \d+ networks", f"builders of {len(cards.list_models())} networks", text
    )
    before, rest = text.split(START)
    return before + START + "\n\n" + family_tables() + "\n\n" + END + rest.partition(END)[2]


def models_page() -> str:
    """Returns docs/models.md: a line for each builder."""
    lines = [
        "# Models",
        "",
        "Written by `tools/model_tables.py` from the cards. Parameters are trainable parameters with the default",
        "number of classes; multiply-accumulates (MACs) are those of convolutions and dense layers on one image of the",
        "input shape.",
        "Both come from the paper or from a second implementation (`tests/reference/models.csv`).",
    ]
    for members in families():
        lines += ["", f"## {title(members[0].module)}", ""]
        lines += [
            "| builder | input shape | classes | parameters | MACs | paper | pretrained weights from |"
        ]
        lines += ["|---|---|---:|---:|---:|---|---|"]
        for card in members:
            shape = " x ".join(str(length or "any") for length in card.input_shape)
            macs = f"{card.macs:,}" if card.macs else ""
            weights = cards.checkpoints().get(card.name)
            lines.append(
                f"| `{card.name}` | {shape} | {card.classes or ''} | {card.params:,} | {macs} "
                f"| {paper(card.paper)} | {weights.source if weights else ''} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes both files."""
    for name, text in {"README.md": readme(), "docs/models.md": models_page()}.items():
        (ROOT / name).write_text(text, encoding="utf-8")
        print(f"wrote {name}")


if __name__ == "__main__":
    parser = Parser(description=__doc__)
    parser.parse_args()
    sys.exit(_errors.run(main, parser.prog))
