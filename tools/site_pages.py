"""Pages of the site that are written when it is built: families, API, lectures, changelog. A hook of mkdocs.

    mkdocs build --strict

Nothing is imported that needs Keras: families are read from the cards, the docstrings, tests/reference/, the tables of
results in docs/ and docs/architectures.csv, the API from the packages' `__init__` files.
"""

import ast
import csv
import functools
import pathlib
import posixpath
import re
import sys

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import api_pages  # noqa: E402
import architecture_plots  # noqa: E402
import lecture_pages  # noqa: E402
import measured_tables  # noqa: E402
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
MEASURED = (
    "Rows of the pages of results, which have the commands, the machines and what the columns are. Times of different "
    "pages are not comparable."
)
ARCHITECTURE = (
    "Each box is a part of {name}, with its operations, the shape of its output, its parameters"
)
OPEN_LENGTH = "; n is the number of steps."
SHAPE = re.compile(r"(?<=\w) x (?=\d|any)")
NO_BREAK = "\N{NO-BREAK SPACE}x\N{NO-BREAK SPACE}"
FIXED_LENGTH = " and its percentage of the multiply-accumulates."
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


@functools.cache
def pages_of_files() -> dict[str, str]:
    """Returns {file of the project: page that the site has in its place}. Documents link to the file, as on GitHub."""
    files = {name: page for page, name in TEXTS.items()}
    files |= {"README.md": "families/index.md", "docs/lectures.csv": "lectures.md"}
    for package in api_pages.PACKAGES:
        path = "kapps/" + package.replace(".", "/")
        is_package = (ROOT / path).is_dir()
        files[f"{path}/__init__.py" if is_package else f"{path}.py"] = api_pages.path_of(package)
    files["kapps/__init__.py"] = "api/index.md"
    modules = [members[0].module for members in model_tables.families()]
    for module in modules + [
        module for kind in model_tables.OTHER_FAMILIES.values() for module in kind
    ]:
        files[module.replace(".", "/") + ".py"] = f"families/{model_tables.file_name(module)}.md"
    return files


def site_links(text: str, place: str, folder: str) -> str:
    """Returns a text whose links to files of the project lead to the pages that the site has in their place.

    Args:
        text: Markdown.
        place: the file's folder in the project.
        folder: the page's folder in the site, relative to docs/.
    """

    def replace(match):
        file = posixpath.normpath(posixpath.join(place, match[1]))
        page = pages_of_files().get(file)
        anchor = match[2] or "" if page is None or file in TEXTS.values() else ""
        if page is None and file.startswith("docs/"):
            page = file.removeprefix("docs/")
        return match[0] if page is None else f"]({posixpath.relpath(page, folder or '.')}{anchor})"

    return re.sub(r"\]\(([^)#\s:]+)(#[^)\s]+)?\)", replace, text)


def root_page(name: str) -> str:
    """Returns a text of the project's root, with its links to pages of the site."""
    return site_links((ROOT / name).read_text(encoding="utf-8"), "", "")


def pages() -> dict[str, str]:
    """Returns {path: text} of all pages that this file writes."""
    texts = {page: root_page(name) for page, name in TEXTS.items()}
    texts["families/index.md"] = families_index()
    families = {members[0].module: family_page(members) for members in model_tables.families()}
    for kind in model_tables.OTHER_FAMILIES.values():
        families |= {module: other_family_page(module, names) for module, names in kind.items()}
    for module, text in families.items():
        name = model_tables.file_name(module)
        texts[f"families/{name}.md"] = text
        file = ROOT / (module.replace(".", "/") + ".py")
        texts[f"families/{name}.py.txt"] = file.read_text(encoding="utf-8")
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
                for kind, modules in model_tables.OTHER_FAMILIES.items():
                    pages_of_kind = [
                        {
                            model_tables.short_title(
                                module
                            ): f"families/{model_tables.file_name(module)}.md"
                        }
                        for module in modules
                    ]
                    entries.append({kind: pages_of_kind})
            elif title == "Reference":
                entries += [path for path in api_pages.pages() if path != "api/index.md"]
    return config


def on_files(files, config):
    """Adds the pages to the files of docs/."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Makes links to files of the project, which GitHub shows, links to pages of the site; keeps shapes in a line."""
    if not page.file.generated_by:
        folder = posixpath.dirname(page.file.src_uri)
        markdown = site_links(markdown, posixpath.join("docs", folder), folder)
    return re.sub(r"^\|.*", lambda row: SHAPE.sub(NO_BREAK, row[0]), markdown, flags=re.MULTILINE)


def on_post_page(output, page, config):
    """Replaces the script of another host by the copy in docs/javascripts."""
    return output.replace(SHIM, "../" * page.url.count("/") + "javascripts/iframe_worker.js")


def on_post_template(output_content, template_name, config):
    """Does so in 404.html."""
    return output_content.replace(SHIM, "javascripts/iframe_worker.js")
