"""Resets the states of stateful recurrent layers."""

import keras

from kapps.training.checkpoint_state import list_carried_states


class ResetStates(keras.callbacks.Callback):
    """Sets the states of stateful recurrent layers to zero before each epoch and each evaluation.

    `Checkpoints`, which must be after this callback, restores the states in an epoch that is resumed in its middle.

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
        for state in list_carried_states(self.model):
            state.assign(keras.ops.zeros_like(state))
