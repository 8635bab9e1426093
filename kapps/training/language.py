"""What training a language model needs beside `fit`: perplexity, and states that begin anew with each pass."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kapps")
class Perplexity(keras.metrics.Mean):
    """exp(-1/n sum log P) of the n tokens that came, whatever batches they came in; weights of 0 leave out padding.

    Args:
        from_logits: whether the model ends in logits; probabilities else.
    """

    def __init__(self, from_logits=True, name="perplexity", **kwargs):
        super().__init__(name=name, **kwargs)
        self.from_logits = from_logits

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_pred = ops.cast(y_pred, "float32")
        losses = ops.sparse_categorical_crossentropy(y_true, y_pred, self.from_logits)
        return super().update_state(losses, sample_weight)

    def result(self):
        return ops.exp(super().result())

    def get_config(self):
        return {**super().get_config(), "from_logits": self.from_logits}


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
