"""Plain English: the words of the project's glossary, over every tracked text file.

    python tests/test_language.py [PATH...]  # prints the lines to rewrite, and the word to use

A pattern that has a plain use as well as the one that the glossary rejects matches the latter only.
"""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
WORDS = {
    r"pictur(e|es|ed|ing)": "image, plot or figure",
    r"tails?": "stem",
    r"floors?(?!\(|\"|,|\.)": "stage, level",
    r"vectoris(e|es|ed)": "flatten",
    r"heads\.(average|vectorised|vote|evidence|weighted|pyramid|several)": "the field's name of the head",
    r"vot(e|es|ing)": "per-pixel classifier",
    r"likeliest": "most likely, top-k",
    r"is looked for": "search",
    r"remembers|remembered": "recurrent state, KV cache",
    r"halves(?! the\b| its\b| each\b| both\b| every\b)": "encoder and step, encoder-decoder",
    r"looks? at": "attends to, examines",
    r"(without|as many) places": "without positions",
    r"many to as many": "sequence labelling",
    r"alone": "only, just",
    r"besides?": "compared with, next to, alongside",
    r"(?<!there )is no(?= )(?! longer\b| more\b)": "is not a, has no",
    r"anew": "again, from scratch",
    r"aloud": "prints, raises",
    r"refus(e|es|ed|ing|als?)": "raises ValueError, reports an error",
    r"falls? short|fell short": "fails verification, differs from the model by",
    r"(go|goes|going|went) on|gone on": "resume, continue",
    r"tak(e|en|es) up again|took up again": "resume",
    r"not whole|damaged|broken": "incomplete, corrupt",
    r"mend(s|ed|ing)?": "workaround, fix",
    r"drawn": "sampled, randomly initialised, plotted",
    r"whole numbers?": "integer",
    r"as wide|how deep|as deep": "width multiplier, width, depth",
    r"shares? of": "fraction of",
    r"published weights?|what was learnt": "pretrained weights",
    r"speeds?": "throughput, latency",
    r"how fast": "throughput, latency",
    r"somebody|anybody|nobody|whoever|strangers?": "user, caller",
    r"(is|are|was|were) asked for|asked for": "argument, option, requested",
    r"heaven|kin|of which": "plain words: a relative clause with its subject first",
    r"passed over": "skipped",
}
"""What not to write, and what to write instead."""
NAMES = {
    "found",
    "each",
    "its",
    "how",
    "given",
    "told",
    "said",
    "wanted",
    "asked",
    "known",
    "taken",
    "kept",
}
"""What no variable, argument or function is called: a name says the value's type and role."""
ALLOWED = {
    "LICENSE": ".*",
    "*.LICENSE": ".*",
    "kapps/data/image/digits/*": ".*",
    "tests/test_language.py": ".*",
    "docs/glossary.md": r"\| tail \|",
    "docs/lectures.csv": ".*",  # titles of slides
    "tools/lecture_pages.py": "call the tail",
    ".ci/run": r"tail -n|broken",
}
"""Files and the matches in them that stay: other people's words, and shell commands."""
TEXT = {
    ".py",
    ".pyi",
    ".md",
    ".toml",
    ".yaml",
    ".html",
    ".js",
    ".mjs",
    ".css",
    ".csv",
    ".bzl",
    ".sh",
    ".txt",
    "",
}
SKIPPED = ("dagre.min.js", "manifest.csv", "index.json")
PATTERN = re.compile(  # the start of a word is in front of all of them: a third of the time
    r"(?<![A-Za-z_])(?:"
    + "|".join(rf"(?P<w{i}>(?:{word})(?![A-Za-z_]))" for i, word in enumerate(WORDS))
    + ")",
    re.IGNORECASE,
)


def tracked(paths=()):
    """Returns the tracked text files below paths, relative to the project's root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths],
        cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8"
    ).stdout.split("\n")  # fmt: skip
    names = [pathlib.PurePosixPath(name) for name in listed if name]
    return [
        name for name in names if name.suffix in TEXT and name.name not in SKIPPED and (ROOT / name).is_file()
    ]  # fmt: skip


def allowed(name):
    """Returns the pattern of the matches that a file may have, or None."""
    return next((pattern for glob, pattern in ALLOWED.items() if name.match(glob)), None)


def matches(name):
    """Returns (line number, match, what to write, the line) of each match in a file."""
    exception = allowed(name)
    rows = []
    if exception == ".*":
        return rows
    for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), start=1):
        for match in PATTERN.finditer(line):
            if exception and re.search(exception, line):
                continue
            rows.append(
                (number, match[0], list(WORDS.values())[int(match.lastgroup[1:])], line.strip())
            )
    return rows


def names(name):
    """Returns (line number, identifier) of each name in a Python file that says neither type nor role."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    bound = {
        ast.Name: lambda node: isinstance(node.ctx, ast.Store) and node.id,
        ast.arg: lambda node: node.arg,
        ast.FunctionDef: lambda node: node.name,
    }
    rows = [
        (node.lineno, bound[type(node)](node)) for node in ast.walk(tree) if type(node) in bound
    ]
    return sorted((number, identifier) for number, identifier in rows if identifier in NAMES)


def lines(paths=()):
    """Returns a line of text for each match below paths."""
    words = [
        f"{name}:{number}: {word!r}: write {instead}: {line[:100]}"
        for name in tracked(paths)
        for number, word, instead, line in matches(name)
    ]
    return words + [
        f"{name}:{number}: {identifier} is not a name: say type and role"
        for name in tracked(paths)
        if name.suffix == ".py"
        for number, identifier in names(name)
    ]


def test_text_has_the_words_of_the_glossary():
    rejected = lines()
    assert not rejected, "\n".join(rejected[:40])


@pytest.mark.parametrize(
    "text, number",
    [
        ("a picture of the tail", 2),
        ("the numbers alone", 1),
        ("output_tail", 0),
        ("is no longer", 0),
        ("is no file", 1),
    ],
)
def test_the_pattern_matches_words_and_not_parts_of_them(text, number):
    assert len(list(PATTERN.finditer(text))) == number


if __name__ == "__main__":
    rows = lines(sys.argv[1:])
    print(*rows, f"{len(rows)} lines", sep="\n")
