"""Losses that layers add to the task's loss, such as the ponder cost, in a column of their own."""

import keras
from keras import ops

from kapps._keras_compat import all_layers


class AddedLossModel(keras.Model):
    """A functional model that trains on the sum of all losses, and reports two of them.

    "loss" is the mean loss of `compile`, "added_loss" the mean sum of what layers and regularisers add. An evaluation
    whose layers add nothing has "loss" only. `separate_added_losses` makes the model.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.added_loss = keras.metrics.Mean(name="added_loss")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the sum of all losses, as `keras.Model.compute_loss` does."""
        total = super().compute_loss(x, y, y_pred, sample_weight, training)
        if self.losses:
            # Keras weights the mean of "loss" by the examples of a batch.
            examples = ops.shape(keras.tree.flatten(x)[0])[0]
            added = sum(ops.cast(loss, "float32") for loss in self.losses)
            self.added_loss.update_state(added, sample_weight=examples)
        return total

    def get_metrics_result(self) -> dict:
        """Returns the metrics, the loss without what layers added."""
        results = super().get_metrics_result()
        results["loss"] = results["loss"] - results["added_loss"]
        return results

    def test_step(self, data) -> dict:
        """Returns the metrics of an evaluation, without "added_loss" if no layer adds a loss in it."""
        results = super().test_step(data)
        if not self.losses:
            results.pop("added_loss")
        return results


def separate_added_losses(model: keras.Model) -> keras.Model:
    """Returns a functional model with the same layers whose training reports the losses that its layers add apart.

    The layers that add a loss have the attribute `adds_loss`. A model without one is returned as it is.

    Args:
        model: a functional model that is not compiled.
    """
    if not any(getattr(layer, "adds_loss", False) for layer in all_layers(model)):
        return model
    return AddedLossModel(model.input, model.output, name=model.name)
