"""Prints a command of the README: the one bash block right under the comment `<!-- NAME -->`.

python3 .ci/readme_command.py README.md run
"""

import pathlib
import re
import sys


def command(text, name):
    """Returns the block under the mark; there is exactly one, and it holds something."""
    found = re.findall(
        rf"^<!-- {re.escape(name)} -->\n```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    )
    if len(found) != 1 or not found[0].strip():
        sys.exit(f"one bash block under <!-- {name} --> is needed, found {len(found)}")
    return found[0].strip()


if __name__ == "__main__":
    path, name = sys.argv[1:]
    print(command(pathlib.Path(path).read_text(), name))
