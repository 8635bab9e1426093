"""Prints a command of the README: the bash block directly under the comment `<!-- NAME -->`.

python3 .ci/readme_command.py README.md run
"""

import pathlib
import re
import sys


def command(text, name):
    """Returns the block under the comment. There is exactly one, and it is not empty."""
    blocks = re.findall(
        rf"^<!-- {re.escape(name)} -->\n```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    )
    if len(blocks) != 1 or not blocks[0].strip():
        sys.exit(f"one bash block under <!-- {name} --> is needed, but there are {len(blocks)}")
    return blocks[0].strip()


if __name__ == "__main__":
    path, name = sys.argv[1:]
    print(command(pathlib.Path(path).read_text(encoding="utf-8"), name))
