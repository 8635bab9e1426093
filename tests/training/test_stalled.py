"""SIGTERM and Ctrl-C end a training whose data does not arrive, and name the last checkpoint."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from kapps import training

ROOT = pathlib.Path(training.__file__).parents[2]
PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import keras, numpy as np, tensorflow as tf
from kapps import training

def main(argv):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)

    def generate():
        for step in range(100):
            if step == 5:
                print("stalled", flush=True)
                time.sleep(1000)
            yield np.ones((3, 2)), np.ones((3, 1))

    signature = tf.TensorSpec((3, 2)), tf.TensorSpec((3, 1))
    batches = tf.data.Dataset.from_generator(generate, output_signature=signature)
    run = training.Run(
        "run", tf.distribute.get_strategy(), epochs=1, steps_per_epoch=50, batch_size=3, identity={},
        checkpoint_interval=2,
    )
    test = tf.data.Dataset.from_tensors((np.ones((3, 2)), np.ones((3, 1))))
    run.fit(model, lambda first_step, shard: batches, test)

sys.argv = ["recipe.py"]
training.run_main(main)
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")]
)
def test_a_stalled_training_ends_in_a_few_seconds(tmp_path, number, name):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}, encoding="utf-8"
    )  # fmt: skip
    while "stalled" not in process.stdout.readline():
        assert process.poll() is None
    while not training.list_checkpoints(tmp_path / "run" / "checkpoints"):
        time.sleep(0.1)
    time.sleep(1)
    start = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number and time.monotonic() - start < 10
    line = errors.strip().splitlines()[-1]
    assert line.startswith(f"recipe.py: step 5: {name}") and "nothing new was saved" in line
    assert "step-0000000004.npz" in line and "Traceback" not in errors
