"""Resets the states of stateful recurrent layers."""

import keras


class ResetStates(keras.callbacks.Callback):
    """Sets the states of stateful recurrent layers to zero before each epoch and each evaluation.

    Args:
        steps: training steps of one pass over the text, if an epoch has several passes: states are reset before
            each of them. `None` (the default) if an epoch is one pass.
    """

    def __init__(self, steps: int | None = None):
        super().__init__()
        self.steps = steps

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self.reset()

    def on_train_batch_begin(self, batch, logs=None) -> None:
        if self.steps and int(self.model.optimizer.iterations) % self.steps == 0:
            self.reset()

    def on_test_begin(self, logs=None) -> None:
        self.reset()

    def reset(self) -> None:
        """Sets the states of all stateful recurrent layers of the model to zero."""
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.RNN) and layer.stateful:
                layer.reset_state()
