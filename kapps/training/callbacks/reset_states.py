"""Resets the states of stateful recurrent layers."""

import keras


class ResetStates(keras.callbacks.Callback):
    """Has the states of stateful layers be zeros before each pass over a text and each evaluation.

    Args:
        steps: of a pass, where an epoch is several of them; None where it is one.
    """

    def __init__(self, steps: int | None = None):
        super().__init__()
        self.steps = steps

    def on_epoch_begin(self, epoch, logs=None):
        del epoch, logs
        self.reset()

    def on_train_batch_begin(self, batch, logs=None):
        del batch, logs
        if self.steps and int(self.model.optimizer.iterations) % self.steps == 0:
            self.reset()

    def on_test_begin(self, logs=None):
        del logs
        self.reset()

    def reset(self):
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.RNN) and layer.stateful:
                layer.reset_state()
