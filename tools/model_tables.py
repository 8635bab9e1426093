"""Writes the model tables of README.md and docs/models.md from the cards.

    python tools/model_tables.py

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
FOLDERS = {"cnn": "images", "recurrent": "sequences", "attention": "sequences, with attention"}
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


def family_tables() -> str:
    """Returns one table for each folder of families: title, builders, papers."""
    parts = []
    for folder, heading in FOLDERS.items():
        lines = [f"| {heading} | builders | papers |", "|---|---|---|"]
        for members in families():
            if members[0].module.split(".")[1] == folder:
                builders = " ".join(f"`{card.name}`" for card in members)
                papers = ", ".join(dict.fromkeys(paper(card.paper) for card in members))
                lines.append(f"| {title(members[0].module)} | {builders} | {papers} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def readme() -> str:
    """Returns README.md with its tables written again."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
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
