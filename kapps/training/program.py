"""The flags that all recipes share, and the function that runs a recipe's `main`."""

import functools
import os
import sys
from collections.abc import Callable

import tensorflow as tf
from absl import app, flags

from kapps import _errors, _interrupts
from kapps.training.checkpoints import TrainingStopped
from kapps.training.distribution.cluster import describe_lost_worker
from kapps.training.distribution.devices import PRECISIONS, STRATEGIES, is_chief
from kapps.training.distribution.worker_facts import compare_facts
from kapps.training.flag_parsing import parse_or_exit
from kapps.training.flag_types import define_path, path_flags, try_output_folders

flags.disclaim_key_flags()  # the flags below are flags of the recipe: in its --help and its run.json

_MEMORY_FLAGS = ("batch_size", "tokens", "image_size", "length", "units", "limit", "longest")
"""Flags whose smaller values need less memory."""


def define_flags(model_dir: str, export_dir: str = "saved_models") -> None:
    """Defines the flags that all recipes share: devices, precision, seed, checkpoints and output directories.

    Args:
        model_dir: default of --model_dir.
        export_dir: default of --export_dir.
    """
    flags.DEFINE_enum("precision", "auto", list(PRECISIONS), "precision of the computation")
    flags.DEFINE_enum("strategy", "default", list(STRATEGIES), "devices of the training")
    flags.DEFINE_integer(
        "worker_timeout",
        300,
        "seconds that multi_worker waits for the other workers",
        lower_bound=1,
    )
    flags.DEFINE_integer("checkpoint_every", 500, "steps between two checkpoints", lower_bound=1)
    flags.DEFINE_bool(
        "deterministic", False, "repeat results bit for bit on a GPU too, which is slower"
    )
    flags.DEFINE_integer(
        "seed",
        0,
        "seed of the weights, of the order of the examples and of their augmentation",
        lower_bound=0,
    )
    flags.DEFINE_bool(
        "strict_data", False, "stop at an example that cannot be decoded instead of skipping it"
    )
    define_path(
        "model_dir",
        model_dir,
        "directory of checkpoints, model, curves and record, for all workers",
        "output",
    )
    define_path("export_dir", export_dir, "directory of the SavedModel and .tflite files", "output")
    flags.DEFINE_multi_enum(
        "tflite",
        ["float32"],
        ["float32", "float16", "dynamic", "int8", "int16"],
        "precision of a .tflite file; repeat the flag for several files",
    )


def get_flag_values() -> dict:
    """Returns the current values of the recipe's flags by name."""
    recipe_flags = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    return {flag.name: flag.value for flag in recipe_flags}


def compare_workers(strategy: tf.distribute.Strategy, data: dict) -> None:
    """Compares the flags and the data of all workers, and tries the output folders of the first one.

    A recipe calls this on every worker, before it builds its model. Paths may differ between machines.

    Args:
        strategy: the strategy. Without several workers the function does nothing.
        data: identity of each dataset by its name, such as that of `kapps.data.images_identity`.

    Raises:
        ClusterError: the workers differ; the error names what differs and the workers.
        ValueError: the first worker cannot write to an output folder.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return
    values = flags.FLAGS
    own = [flag.name for flag in path_flags(values)]
    recipe_flags = {
        f"--{name}": value
        for name, value in get_flag_values().items()
        if name not in (*own, "worker_timeout")
    }
    compare_facts(strategy, recipe_flags | data)
    if is_chief(strategy):
        try_output_folders(values)


def run_main(
    main: Callable[[list[str]], None],
    writes: Callable[[], bool] = lambda: True,
    arguments: str | None = None,
) -> None:
    """Parses absl's flags and runs the `main` of a recipe; an error is printed on one line.

    The exit code is 0 on success, 143 after SIGTERM and 130 after Ctrl-C, and 1 after an error.

    Args:
        main: function of a list: the name of the program, and the arguments that are not flags.
        writes: returns whether `main` will write to the output folders with these flags. If it will, they are created
            and written to before `main` is called.
        arguments: what the program takes in addition to flags, such as "images"; `None` if it takes flags only.
    """
    _interrupts.install()
    parse = functools.partial(parse_or_exit, arguments=arguments)
    app.run(functools.partial(_run, main, writes), flags_parser=parse)


def _program():
    return os.path.basename(sys.argv[0])


def _run(main, writes, argv):
    """Calls `main`, prints its errors on one line without a traceback, and exits."""
    tf.get_logger().setLevel("WARNING")  # otherwise a line for every collective operation
    values = flags.FLAGS
    if not values["verbosity"].present:
        values.verbosity = -1  # warnings: absl would print the informational lines of all libraries
    try:
        strategy = values["strategy"].value if "strategy" in values else "default"
        if writes() and strategy != "multi_worker":  # of several workers only the first one writes
            try_output_folders(values)
        main(argv)
        sys.stdout.flush()
    except TrainingStopped as error:
        _exit(error.code, str(error))
    except (Exception, KeyboardInterrupt) as error:
        _interrupts.wait_if_exiting()
        lost = describe_lost_worker(error)
        if lost:
            _exit(1, lost)
        names = [f"--{name}" for name in _MEMORY_FLAGS if name in values]
        _errors.print_error(
            _program(),
            error,
            folder=values["model_dir"].value if "model_dir" in values else None,
            memory_advice=f"lower {' or '.join(names)}" if names else "",
        )
        _exit(_errors.INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1)


def _exit(code, message=None):
    if message is not None:
        _errors.print_line(_program(), message)
    # A regular exit of TensorFlow would wait for workers that no longer run.
    os._exit(code)
