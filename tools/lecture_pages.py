"""The lecture companion, a page of the site, from docs/lectures.csv: builders, family pages and tests of each slide.

Columns of the file: the lecture, the slide by its number or title, the position of the title among those of the
lecture's text, what it shows, names, and the test that holds it. A name is a builder, a name of kapps such as
`kapps.profile`, or a recipe.
"""

import csv
import pathlib
import re

import api_pages
import model_tables

from kapps import cards

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAMES = {
    "000": "Modern CNN; recurrent neural networks",
    "001": "Introduction to deep learning, week 12b",
    "002": "Advanced deep learning architectures",
    "003": "Convolutional and recurrent neural networks",
    "004": "Design",
}
"""Titles of the lectures."""
COURSES = {
    "000": "DSCI 565", "001": "CENG 403", "002": "COMP 5214 and ELEC 5680, Q. Chen", "003": "",
    "004": "A. J. Redfern",
}  # fmt: skip
"""Course or lecturer, as far as the slides name one."""
INTRODUCTION = """---
hide: [navigation]
---

# Lecture companion

This page walks five lectures slide by slide. Each row links the networks of a slide to their family pages, which have
parameters, multiply-accumulates, papers and departures, and names the test that compares the slide's content with
the code. Figures are numbers that the slide prints and that the test holds. `kapps profile NAME --block` prints the
profile of a network, `kapps profile NAME --html page.html` draws its graph for a projector.

Rows are in the order of the lecture. Slides are named by their number in the first lecture, and by their title in the
others, whose texts have no slide numbers; (2) after a title is the second slide with that title. In the last two
lectures the number in brackets counts the titles of the text from the beginning: it is the slide's number if every
slide has a title. The texts of the second and the third lecture do not mark titles, so that a slide is found by its
title. What the lectures call the tail is the stem here: the [glossary](glossary.md) has all such words."""


def rows() -> list[dict]:
    """Returns the rows of docs/lectures.csv."""
    with open(ROOT / "docs/lectures.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def published() -> list[dict]:
    """Returns the rows of tests/reference/published.csv."""
    with open(ROOT / "tests/reference/published.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def link(name: str, places: dict[str, str]) -> str:
    """Returns a link to the page of a builder or of a name of kapps; a recipe has none."""
    if name.startswith("recipes/"):
        return f"`{name}`"
    if not name.startswith("kapps."):
        return f"[`{name}`](families/{model_tables.file_name(cards.card(name).module)}.md)"
    module, _, short = name.rpartition(".")
    if module == "kapps.families":
        file = model_tables.file_name(cards.family_modules()[short])
        return f"[`{name}`](families/{file}.md)"
    if module == "kapps" and short in api_pages.top_level_names():
        module = f"kapps.{api_pages.top_level_names()[short]}"
    target = api_pages.definition(module, short)
    if target in places:
        return f"[`{name}`]({api_pages.path_of(places[target])}#{target})"
    package = name.removeprefix("kapps.")
    return (
        f"[`{name}`]({api_pages.path_of(package)})"
        if package in api_pages.PACKAGES
        else f"`{name}`"
    )


def figures(row: dict, references: list[dict]) -> str:
    """Returns how many figures of a slide tests/reference/published.csv has, with links to the families."""
    if row["test"] != "tests/analysis/test_published_costs.py":
        return ""
    names = row["names"].split()
    files, count = {}, 0
    for reference in references:
        if reference["seed"] == row["lecture"] and reference["builder"] in names:
            count += 1
            file = model_tables.file_name(cards.card(reference["builder"]).module)
            files[file] = f"[{file}](families/{file}.md#published-figures)"
    return f"{count}: {', '.join(files.values())}" if count else ""


def page() -> str:
    """Returns the page."""
    places, references, parts = api_pages.documented(), published(), [INTRODUCTION]
    for lecture, title in NAMES.items():
        heading = f"## {title}" + (f" ({COURSES[lecture]})" if COURSES[lecture] else "")
        lines = [
            "| slide | content | networks and functions | figures | test |",
            "|---|---|---|---|---|",
        ]
        for row in rows():
            if row["lecture"] == lecture:
                names = ", ".join(link(name, places) for name in row["names"].split())
                subject = re.sub(r"([*<^])", r"\\\1", row["subject"])
                test = row["test"].removeprefix("tests/")
                slide = row["slide"] + f" [{row['position']}]" * bool(row["position"])
                lines.append(
                    f"| {slide} | {subject} | {names} | {figures(row, references)} | `{test}` |"
                )
        parts += [heading, "\n".join(lines)]
    return "\n\n".join(parts) + "\n"
