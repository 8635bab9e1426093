"""Code that several recipes share. The first import of it in a recipe also makes Ctrl-C end the recipe."""

import os
import signal
import sys

IS_RECIPE = os.path.dirname(os.path.abspath(sys.argv[0])) == os.path.dirname(
    os.path.dirname(os.path.abspath(__file__))
)
"""Whether a recipe is the program that runs; otherwise, for example, a test imports this package."""

# `kapps._interrupts` replaces this handler. Until then Ctrl-C would print a traceback of an import.
if IS_RECIPE and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
