"""Pages of the families, for the site: docstring, architecture, variants, figures, options, source.

They are made from the cards, the docstrings, tests/reference/, the tables of results in docs/ and
docs/architectures.csv. Keras is not needed.
"""

import ast
import csv
import pathlib
import re

import api_pages
import architecture_plots
import lecture_pages
import measured_tables
import model_tables

from kapps import cards

ROOT = pathlib.Path(__file__).resolve().parents[1]
FIGURES = (
    "Figures that lectures print; `tests/analysis/test_published_costs.py` compares them with the networks. A figure "
    "that is not tested is wrong where it is printed, as the note explains."
)
COLUMNS = (
    "Parameters are trainable ones; MACs are multiply-accumulates of convolutions and dense layers at the input shape. "
    "[Models](../models.md) has all families."
)
MEASURED = (
    "Rows of the pages of results, which have the commands, the machines and what the columns are. Times of different "
    "pages are not comparable."
)
ARCHITECTURE = (
    "Each box is a part of {name}, with its operations, the shape of its output, its parameters"
)
OPEN_LENGTH = "; n is the number of steps."
FIXED_LENGTH = " and its percentage of the multiply-accumulates."


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
            f"`{card.name}`", " x ".join(str(length or "any") for length in card.input_shape), card.classes or "",
            f"{card.params:,}", f"{card.macs:,}" if card.macs else "", model_tables.paper(card.paper),
            escape(sources.get(card.name, "")), checkpoint.source if checkpoint else "",
        ])  # fmt: skip
    return used_columns(heads, lines)


def used_columns(heads: dict[str, str], lines: list[list]) -> str:
    """Returns a table without the columns that are empty; arguments as for `table`."""
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


def measured(names: set[str], papers: str) -> str:
    """Returns the rows of the pages of results that are about a family.

    Args:
        names: of the family and its builders.
        papers: citations of its papers.
    """
    parts = []
    for result in measured_tables.of_family(names):
        section = f": {result.heading}" if result.heading else ""
        parts.append(f"[{escape(result.title + section)}](../{result.link}):")
        parts.append("\n".join([*result.head, *result.rows]))
    others = measured_tables.other_pages(names, papers)
    if others:
        links = ", ".join(f"[{escape(text)}](../{page})" for page, text in others.items())
        parts.append(
            f"{'More pages' if parts else 'Pages'} about the family or its paper: {links}."
        )
    if not parts:
        return ""
    note = MEASURED if measured_tables.of_family(names) else ""
    return "\n\n".join(part for part in ["## Measured figures", note, *parts] if part)


def architecture(module: str) -> str:
    """Returns the plots of a family's networks in docs/architectures.csv."""
    plots = architecture_plots.networks()[module]
    names = [re.sub(r"(\w+)", r"`\1`", name, count=1) for name in plots]
    is_open = any(architecture_plots.is_open(rows) for rows in plots.values())
    text = ARCHITECTURE.format(name=" and ".join(names)) + (
        OPEN_LENGTH if is_open else FIXED_LENGTH
    )
    first = next(iter(plots))
    if first in cards.list_models():
        text += f" `kapps profile {first} --html page.html` shows every layer."
    parts = []
    for name, (network, rows) in zip(names, plots.items(), strict=True):
        parts += [f"{name}:"] * (len(plots) > 1) + [architecture_plots.plot(network, rows)]
    return "\n\n".join(["## Architecture", text, *parts])


def opening(module: str) -> tuple[str, str, str]:
    """Returns a family's title, what its file is, and the rest of its docstring."""
    first, _, rest = docstring(module).partition("\n")
    explanation = first.partition(":")[2].strip()
    return model_tables.title(module), explanation[:1].upper() + explanation[1:], rest.strip()


def join(parts: list[str]) -> str:
    """Returns a page of parts; those that are empty are left out."""
    return "\n\n".join(part for part in parts if part) + "\n"


def source(module: str) -> str:
    """Returns the section with the family's file."""
    name = model_tables.file_name(module)
    return f"## Source\n\n[`{module.replace('.', '/')}.py`]({name}.py.txt)"


def family_page(members: list[cards.Card]) -> str:
    """Returns the page of a family: docstring, architecture, variants, figures, options, source."""
    module = members[0].module
    name = model_tables.file_name(module)
    title, explanation, rest = opening(module)
    families = dict.fromkeys(card.family for card in members)
    names = {card.name for card in members} | set(families)
    cells = sorted(
        path.name for path in (ROOT / "docs/cells").glob(f"{name.removesuffix('_cifar')}*.svg")
    )
    return join([
        f"---\nhide: [toc]\n---\n\n# {title}",
        escape(explanation),
        f"```python\nfrom kapps import {members[0].name}\n\nmodel = {members[0].name}()\n```",
        architecture(module),
        "## Variants",
        variants(members),
        COLUMNS,
        published(members),
        measured(names, " ".join(card.paper for card in members)),
        "## Papers and departures",
        markdown(rest),
        *(f"![A cell of {path.removesuffix('.svg')}](../cells/{path})" for path in cells),
        *(options(family) for family in families),
        source(module),
    ])  # fmt: skip


def other_family_page(module: str, functions: tuple[str, ...]) -> str:
    """Returns the page of a family without cards: its functions, reference counts, architecture, figures, source."""
    title, explanation, rest = opening(module)
    package = module.rpartition(".")[0]
    places = api_pages.documented()
    lines = []
    for name in functions:
        target = api_pages.definition(package, name)
        path = f"../{api_pages.path_of(places[target])}#{target}"
        lines.append([f"[`{package}.{name}`]({path})", escape(api_pages.summary(target))])
    counts = [
        [f"`{row['name']}`", f"{row['height']} x {row['width']}", row["classes"], f"{int(row['params']):,}",
         f"{int(row['macs']):,}" if row["macs"] else "", escape(row["source"])]
        for path in ("tests/reference/segmentation.csv", "tests/reference/generative.csv")
        for row in rows(path) if row["name"] in functions
    ]  # fmt: skip
    heads = {"network": "---", "image": "---", "classes": "---:", "parameters": "---:", "MACs": "---:",
             "source of the numbers": "---"}  # fmt: skip
    guide = next(
        re.search(r"docs/(\S+\.md)", text)[1]
        for _, text, name in model_tables.OTHER_ROWS
        if package == f"kapps.{name}"
    )
    return join([
        f"---\nhide: [toc]\n---\n\n# {title}",
        escape(explanation),
        table({"function": "---", "what it returns": "---"}, lines),
        architecture(module),
        "## Variants" if counts else "",
        used_columns(heads, counts) if counts else "",
        f"An example is in [{measured_tables.page_title(ROOT / 'docs' / guide)}](../{guide}).",
        measured(set(functions), ""),
        "## Papers and departures",
        markdown(rest),
        source(module),
    ])  # fmt: skip


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
    for kind, _, package in model_tables.OTHER_ROWS:
        links = ", ".join(
            f"[{model_tables.short_title(module)}]({model_tables.file_name(module)}.md)"
            for module in model_tables.OTHER_FAMILIES[kind]
        )
        text = re.sub(rf"\| {kind} \|.*", f"| {kind} | {links} | `kapps.{package}` |", text)
    return (
        "# Families\n\nA page of each family has its variants, published figures, papers, departures and source. "
        f"[Models](../models.md) has all {len(cards.list_models())} builders in one page.\n\n{text}\n"
    )
