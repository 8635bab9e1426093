"""Runs the command line: `python -m kapps` is the console script `kapps`."""

import sys

from kapps.cli import main

sys.exit(main())
