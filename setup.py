"""Builds and installs kapps; the metadata is in pyproject.toml, except the description, which is made of README.md.

The page of the package has no other files of the project. Its links lead to the repository, if pyproject.toml has the
address as `Repository` under `[project.urls]`; without an address images are left out, and links are their text.
"""

import pathlib
import re
import tomllib

from setuptools import setup

ROOT = pathlib.Path(__file__).parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]+)?\)")


def repository() -> str | None:
    """Returns the address of the repository in pyproject.toml, without a slash at its end."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address = project.get("urls", {}).get("Repository")
    return address and address.rstrip("/")


def description(text: str, address: str | None) -> str:
    """Returns the text of README.md for a page that has no other files.

    Args:
        text: Markdown with links to files of the project.
        address: of the repository, with the paths of GitHub: raw/HEAD/FILE and blob/HEAD/FILE.
    """

    def replace(match):
        is_image, label, path, anchor = match.groups()
        if not (ROOT / path).exists():
            return match[0]
        if address is None:
            return "" if is_image else label
        return f"{is_image}[{label}]({address}/{'raw' if is_image else 'blob'}/HEAD/{path}{anchor or ''})"

    text = re.sub(r"^<!--.*?-->\n", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"[ \t]+$", "", LINK.sub(replace, text), flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text)


if __name__ == "__main__":
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    setup(
        long_description=description(readme, repository()),
        long_description_content_type="text/markdown",
    )
