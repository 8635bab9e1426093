"""Trainings of equal processor time."""

import time

import keras


class ProcessorTime(keras.callbacks.Callback):
    """Ends a training after a number of seconds of processor time.

    Args:
        seconds: of processor time after the first step.
    """

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.steps, self.start, self.elapsed = seconds, 0, None, 0.0

    def on_train_batch_end(self, batch, logs=None):
        now = time.process_time()
        if self.start is None:
            self.start = now
            return
        self.steps, self.elapsed = self.steps + 1, now - self.start
        if self.elapsed >= self.seconds:
            self.model.stop_training = True
