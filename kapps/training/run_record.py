"""The record of a run, `run.json`."""

import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
from importlib import metadata

from kapps._files import write_atomically

PACKAGES = ("kapps", "keras", "tensorflow", "keras-cv", "tensorflow-datasets", "numpy")


def write_run_record(path: str | os.PathLike, flags: dict, results: dict) -> None:
    """Writes `run.json`: command, flags, versions, commit, machine and results of a run.

    Args:
        path: path of the file.
        flags: values of the flags by name, defaults and seed included.
        results: measured results, of JSON's types.
    """
    content = {
        "command": sys.argv,
        "flags": flags,
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "machine": {"platform": platform.platform(), "processor": platform.processor()},
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "results": results,
    }
    with write_atomically(path) as written:
        written.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _versions():
    installed = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}


def _commit():
    """Returns the commit of the checkout, with "+" if files differ from it; None outside a checkout."""
    git = ["git", "-C", str(pathlib.Path(__file__).parent)]
    try:
        # An installed copy may be inside the checkout of another project, which does not track this file.
        subprocess.run(
            [*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True
        )
        command = [*git, "describe", "--always", "--abbrev=40", "--dirty=+"]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, encoding="utf-8"
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
