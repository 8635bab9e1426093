"""The flags that all recipes share, and the function that runs a recipe's `main`."""

import os
import sys
from collections.abc import Callable

import tensorflow as tf
from absl import app, flags

from kapps.training.checkpoints import TrainingStopped
from kapps.training.distribution.cluster import describe_lost_worker
from kapps.training.distribution.devices import PRECISIONS, STRATEGIES

flags.disclaim_key_flags()  # the flags below are flags of the recipe: in its --help and its run.json


def define_flags(model_dir: str, export_dir: str = "saved_models") -> None:
    """Defines the flags that all recipes share: devices, precision, seed, checkpoints and output directories.

    Args:
        model_dir: default of --model_dir.
        export_dir: default of --export_dir.
    """
    flags.DEFINE_string("precision", "auto", f"one of {', '.join(PRECISIONS)}")
    flags.DEFINE_string("strategy", "default", f"one of {', '.join(STRATEGIES)}")
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
        "seed", 0, "seed of the weights, of the order of the examples and of their augmentation"
    )
    flags.DEFINE_bool(
        "strict_data", False, "stop at an example that cannot be decoded instead of skipping it"
    )
    flags.DEFINE_string(
        "model_dir",
        model_dir,
        "directory of checkpoints, model, curves and record, for all workers",
    )
    flags.DEFINE_string("export_dir", export_dir, "directory of the SavedModel and .tflite files")
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


def run_main(main: Callable[[list[str]], None]) -> None:
    """Parses absl's flags and runs the `main` of a recipe; errors of the user are printed on one line.

    The exit code is 0 on success, 143 after SIGTERM with a checkpoint saved, and 1 after an error.

    Args:
        main: function of the arguments that are not flags.
    """
    app.run(_OneLineErrors(main))


class _OneLineErrors:
    """Calls `main`, prints its expected errors on one line without a traceback, and exits."""

    def __init__(self, main):
        self.main = main

    def __call__(self, argv):
        tf.get_logger().setLevel("WARNING")  # otherwise a line for every collective operation
        try:
            self.main(argv)
        except TrainingStopped as error:
            self.exit(str(error), error.code)
        except (ValueError, TypeError, OSError) as error:
            if "\n" in str(error):
                raise
            self.exit(str(error))
        except tf.errors.OpError as error:
            message = describe_lost_worker(error)
            if message is None:
                raise
            self.exit(message)

    def exit(self, message, code=1):
        print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        # A regular exit of TensorFlow would wait for workers that no longer run.
        os._exit(code)
