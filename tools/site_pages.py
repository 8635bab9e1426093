"""Pages of the site that are written when it is built: families, API, lectures, changelog. A hook of mkdocs.

    mkdocs build --strict

Nothing is imported that needs Keras: families are read from the cards, the docstrings and tests/reference/, the API
from the packages' `__init__` files.
"""

import ast
import csv
import pathlib
import re
import sys

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import api_pages  # noqa: E402
import lecture_pages  # noqa: E402
import model_tables  # noqa: E402

from kapps import cards  # noqa: E402

NOTE = "\n<!-- written by tools/site_pages.py -->\n"
SHIM = "https://unpkg.com/iframe-worker/shim"
"""The script that mkdocs-material loads from another host, so that search works in a page without a server."""
FIGURES = (
    "Figures that lectures print; `tests/analysis/test_published_costs.py` compares them with the networks. A figure "
    "that is not tested is wrong where it is printed, as the note explains."
)
COLUMNS = (
    "Parameters are trainable ones; MACs are multiply-accumulates of convolutions and dense layers at the input shape. "
    "[Models](../models.md) has all families."
)
TEXTS = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
"""Pages that are files of the project's root."""


def rows(path: str) -> list[dict]:
    """Returns the rows of a .csv file of the project."""
    with open(ROOT / path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def docstring(module: str) -> str:
    """Returns the docstring of a module, which is not imported."""
    path = ROOT / (module.replace(".", "/") + ".py")
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def markdown(text: str) -> str:
    """Returns the text of a docstring as Markdown: lists, indented code, citations as a list."""
    lines, fence = [], False
    for line in text.splitlines():
        is_code = line.startswith("    ") and (fence or not lines or not lines[-1].strip())
        if is_code != fence and (is_code or line.strip()):
            lines.append("```python" if is_code else "```\n")
            fence = is_code
        if is_code or (fence and not line.strip()):
            lines.append(line[4:])
            continue
        for part in re.split(r"\s{2,}(?=\[\d+\])", line) if line.startswith("[") else [line]:
            item = f"- {part}" if re.match(r"\[\d+\]", part) else part
            previous = lines[-1] if lines else ""
            if item.startswith("- ") and previous.strip() and not previous.startswith(("- ", "  ")):
                lines.append("")
            lines.append(escape(item))
    return "\n".join([*lines, "```"] if fence else lines)


def escape(line: str) -> str:
    """Returns a line whose stars and brackets are text, except in code."""
    parts = re.split(r"(`[^`]*`)", line)
    for i in range(0, len(parts), 2):
        text = re.sub(r"([*<])", r"\\\1", parts[i]).replace("arXiv:", "")
        text = re.sub(
            r"(?<![\w/.])(\d{4}\.\d{4,5})\b", r"[arXiv:\1](https://arxiv.org/abs/\1)", text
        )
        parts[i] = re.sub(r"(?<![(\w])(https?://[^\s,;)]+[^\s,;).])", r"<\1>", text)
    return "".join(parts)


def table(heads: dict[str, str], lines: list[list]) -> str:
    """Returns a Markdown table from {column: alignment} and rows of cells."""
    text = ["| " + " | ".join(heads) + " |", "|" + "|".join(heads.values()) + "|"]
    text += ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]
    return "\n".join(text)


def variants(members: list[cards.Card]) -> str:
    """Returns the table of a family's builders."""
    sources = {row["name"]: row["source"] for row in rows("tests/reference/models.csv")}
    heads = {"builder": "---", "input shape": "---", "classes": "---:", "parameters": "---:", "MACs": "---:",
             "paper": "---", "source of the numbers": "---", "pretrained weights from": "---"}  # fmt: skip
    lines = []
    for card in members:
        checkpoint = cards.checkpoints().get(card.name)
        lines.append([
            f"`{card.name}`", "x".join(str(length or "any") for length in card.input_shape), card.classes or "",
            f"{card.params:,}", f"{card.macs:,}" if card.macs else "", model_tables.paper(card.paper),
            escape(sources.get(card.name, "")), checkpoint.source if checkpoint else "",
        ])  # fmt: skip
    used = [i for i in range(len(heads)) if any(line[i] for line in lines)]
    items = list(heads.items())
    return table(dict(items[i] for i in used), [[line[i] for i in used] for line in lines])


def published(members: list[cards.Card]) -> str:
    """Returns the published figures of a family's builders, which tests compare with the networks."""
    names = [card.name for card in members]
    parts = []
    accuracy = [
        row for row in rows("kapps/analysis/published/accuracy.csv") if row["builder"] in names
    ]
    if accuracy:
        lines = [[f"`{row['builder']}`", row["top1"], row["top5"]] for row in accuracy]
        heads = {"builder": "---", "top-1 (%)": "---:", "top-5 (%)": "---:"}
        parts += [
            'Accuracy on ImageNet, as printed in A. J. Redfern\'s lecture "Design":',
            table(heads, lines),
        ]
    figures = [row for row in rows("tests/reference/published.csv") if row["builder"] in names]
    if figures:
        heads = {"builder": "---", "figure": "---", "printed": "---:", "allowed difference": "---:",
                 "lecture": "---", "note": "---"}  # fmt: skip
        lines = [
            [f"`{row['builder']}`", escape(row["metric"]), row["value"], row["tolerance"] or "not tested",
             lecture_pages.NAMES[row["seed"]], escape(row["note"])]
            for row in figures
        ]  # fmt: skip
        parts += [FIGURES, table(heads, lines)]
    return "\n\n".join(["## Published figures", *parts]) if parts else ""


def options(family: str) -> str:
    """Returns the options of a family function, from the stub."""
    tree = ast.parse((ROOT / "kapps/families.pyi").read_text(encoding="utf-8"))
    function = next((node for node in tree.body if getattr(node, "name", "") == family), None)
    if function is None or not function.args.kwonlyargs:
        return ""
    arguments = [
        argument.arg + (f"={ast.unparse(default)}" if default else "")
        for argument, default in zip(
            function.args.kwonlyargs, function.args.kw_defaults, strict=True
        )
    ]
    return (
        "## Other members\n\n`kapps.families` makes members that have no builder. The options of the family, after "
        f"those of every builder:\n\n```python\nkapps.families.{family}({', '.join(arguments)})\n```"
    )


def family_page(members: list[cards.Card]) -> str:
    """Returns the page of a family: docstring, variants, published figures, options, source."""
    module = members[0].module
    name = model_tables.file_name(module)
    first, _, rest = docstring(module).partition("\n")
    explanation = first.partition(":")[2].strip()
    drawings = sorted(
        path.name for path in (ROOT / "docs/cells").glob(f"{name.removesuffix('_cifar')}*.svg")
    )
    parts = [
        f"---\nhide: [toc]\n---\n\n# {model_tables.title(module)}",
        escape(explanation[:1].upper() + explanation[1:]),
        f"```python\nfrom kapps import {members[0].name}\n\nmodel = {members[0].name}()\n```",
        "## Variants",
        variants(members),
        COLUMNS,
        published(members),
        "## Papers and departures",
        markdown(rest.strip()),
        *(f"![A cell of {path.removesuffix('.svg')}](../cells/{path})" for path in drawings),
        *(options(family) for family in dict.fromkeys(card.family for card in members)),
        f"## Source\n\n[`{module.replace('.', '/')}.py`]({name}.py.txt)",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def families_index() -> str:
    """Returns the page that lists the families by kind."""
    text = model_tables.family_tables()
    pages = {
        model_tables.slug(model_tables.title(members[0].module)): model_tables.file_name(
            members[0].module
        )
        for members in model_tables.families()
    }
    text = re.sub(r"\(docs/models\.md#([^)]+)\)", lambda match: f"({pages[match[1]]}.md)", text)
    text = text.replace("(docs/", "(../")
    return (
        "# Families\n\nA page of each family has its variants, published figures, papers, departures and source. "
        f"[Models](../models.md) has all {len(cards.list_models())} builders in one page.\n\n{text}\n"
    )


def root_page(name: str) -> str:
    """Returns a text of the project's root, with its links to files of docs/."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"\]\(docs/", "](", text)


def pages() -> dict[str, str]:
    """Returns {path: text} of all pages that this file writes."""
    texts = {page: root_page(name) for page, name in TEXTS.items()}
    texts["families/index.md"] = families_index()
    for members in model_tables.families():
        module = members[0].module
        name = model_tables.file_name(module)
        texts[f"families/{name}.md"] = family_page(members)
        source = ROOT / (module.replace(".", "/") + ".py")
        texts[f"families/{name}.py.txt"] = source.read_text(encoding="utf-8")
    texts["lectures.md"] = lecture_pages.page()
    texts |= api_pages.pages()
    return {path: text + NOTE * path.endswith(".md") for path, text in texts.items()}


def on_config(config):
    """Adds the families and the packages to the navigation."""
    for section in config.nav:
        for title, entries in section.items() if isinstance(section, dict) else ():
            if title == "Networks":
                by_kind = {}
                for members in model_tables.families():
                    kind = model_tables.kind(members[0])
                    name = model_tables.file_name(members[0].module)
                    page = {model_tables.short_title(members[0].module): f"families/{name}.md"}
                    if name.endswith("_cifar"):
                        page = f"families/{name}.md"
                    by_kind.setdefault(kind, []).append(page)
                entries += [
                    {model_tables.FOLDERS.get(kind, kind): by_kind[kind]}
                    for kind in model_tables.ROWS
                ]
            elif title == "Reference":
                entries += [path for path in api_pages.pages() if path != "api/index.md"]
    return config


def on_files(files, config):
    """Adds the pages to the files of docs/."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_post_page(output, page, config):
    """Replaces the script of another host by the copy in docs/javascripts."""
    return output.replace(SHIM, "../" * page.url.count("/") + "javascripts/iframe_worker.js")


def on_post_template(output_content, template_name, config):
    """Does so in 404.html."""
    return output_content.replace(SHIM, "javascripts/iframe_worker.js")
