"""What every recipe does around its main: determinism before anything runs, and faults in one line."""

import os
import sys

import keras
import tensorflow as tf
from absl import app

from kapps.training.checkpoints import Stopped
from kapps.training.cluster import lost


def seed(number: int, deterministic: bool = False) -> None:
    """Seeds Python, NumPy and TensorFlow.

    Args:
        number: the seed.
        deterministic: whether operations repeat bit for bit too, which costs speed on a GPU.
    """
    keras.utils.set_random_seed(number)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def program(main) -> None:
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
        except Stopped as stopped:
            self.leave(str(stopped), stopped.code)
        except (ValueError, TypeError, OSError) as error:
            if "\n" in str(error):
                raise
            self.leave(str(error))
        except tf.errors.OpError as error:
            told = lost(error)
            if told is None:
                raise
            self.leave(told)

    def leave(self, line, code=1):
        print(f"{os.path.basename(sys.argv[0])}: {line}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        # TensorFlow, leaving, would wait for workers that are gone.
        os._exit(code)
