"""Runs recipes with wrong arguments in forks of a process that has imported Keras."""

import pathlib

import child
import pytest

ROOT = pathlib.Path(__file__).parents[2]
RUN = """
import pathlib, runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def mistaken(forks):
    """`mistaken(recipe, folder, *flags)` runs a recipe that must fail with exit code 1, and returns the last line."""

    def mistaken(recipe, folder, *flags, **environment):
        arguments = RUN, [str(recipe), *flags], folder, {"PYTHONPATH": str(ROOT), **environment}
        process = forks.Process(target=child.run, args=arguments)
        process.start()
        process.join()
        printed = (folder / "output.txt").read_text(encoding="utf-8")
        assert process.exitcode == 1 and "Traceback" not in printed, printed
        return printed.strip().splitlines()[-1]

    return mistaken
