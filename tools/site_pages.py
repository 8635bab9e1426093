"""Pages of the site that are written when it is built: families, API, lectures, changelog. A hook of mkdocs.

    mkdocs build --strict

Nothing is imported that needs Keras: family_pages.py says what the families are read from; the API is read from the
packages' `__init__` files.
"""

import functools
import pathlib
import posixpath
import re
import sys

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import api_pages  # noqa: E402
import family_pages  # noqa: E402
import lecture_pages  # noqa: E402
import model_tables  # noqa: E402

NOTE = "\n<!-- written by tools/site_pages.py -->\n"
SHIM = "https://unpkg.com/iframe-worker/shim"
"""The script that mkdocs-material loads from another host, so that search works in a page without a server."""
SHAPE = re.compile(r"(?<=\w) x (?=\d|any)")
NO_BREAK = "\N{NO-BREAK SPACE}x\N{NO-BREAK SPACE}"
TEXTS = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
"""Pages that are files of the project's root."""


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
    texts["families/index.md"] = family_pages.families_index()
    families = {
        members[0].module: family_pages.family_page(members) for members in model_tables.families()
    }
    for kind in model_tables.OTHER_FAMILIES.values():
        families |= {
            module: family_pages.other_family_page(module, names) for module, names in kind.items()
        }
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
