"""What every recipe does around its main: its flags, determinism before anything runs, faults in one line."""

import os
import sys

import tensorflow as tf
from absl import app, flags

from kapps.training.checkpoints import TrainingStopped
from kapps.training.distribution.cluster import describe_lost_worker
from kapps.training.distribution.devices import PRECISIONS, STRATEGIES

flags.disclaim_key_flags()  # what is defined below belongs to the recipe: its --help, its run.json


def define_flags(model_dir: str, export_dir: str = "saved_models") -> None:
    """Defines the flags that every recipe has: what it runs on, how it repeats, where it writes.

    Args:
        model_dir: default of the flag.
        export_dir: default of the flag.
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
        "deterministic", False, "repeat bit for bit also where that is slower, as on a GPU"
    )
    flags.DEFINE_integer(
        "seed", 0, "of the weights, the order of the examples and all that is drawn for them"
    )
    flags.DEFINE_bool(
        "strict_data", False, "stop at an example that cannot be decoded, rather than skip it"
    )
    flags.DEFINE_string(
        "model_dir", model_dir, "where checkpoints, model, curves and record go, for all workers"
    )
    flags.DEFINE_string("export_dir", export_dir, "where SavedModel and .tflite go")
    flags.DEFINE_multi_enum(
        "tflite",
        ["float32"],
        ["float32", "float16", "dynamic", "int8", "int16"],
        "precision of a .tflite file; give it again for another file",
    )


def get_flag_values() -> dict:
    """Returns the recipe's flags by name, as they stand now."""
    recipe = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    return {flag.name: flag.value for flag in recipe}


def run_main(main) -> None:
    """Runs a recipe's `main` with absl's flags; what its user can mend is told in one line, without a traceback.

    The exit code is 0 at the end, 143 after SIGTERM with everything saved, and 1 for a fault.
    """
    app.run(_Guarded(main))


class _Guarded:
    """A main whose faults are one line."""

    def __init__(self, main):
        self.main = main

    def __call__(self, argv):
        tf.get_logger().setLevel("WARNING")  # of every collective it says a line
        try:
            self.main(argv)
        except TrainingStopped as stopped:
            self.leave(str(stopped), stopped.code)
        except (ValueError, TypeError, OSError) as error:
            if "\n" in str(error):
                raise
            self.leave(str(error))
        except tf.errors.OpError as error:
            told = describe_lost_worker(error)
            if told is None:
                raise
            self.leave(told)

    def leave(self, line, code=1):
        print(f"{os.path.basename(sys.argv[0])}: {line}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        # TensorFlow, leaving, would wait for workers that are gone.
        os._exit(code)
