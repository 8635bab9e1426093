"""An interrupted run resumes exactly."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kapps import training
from kapps.data import translation


class Stop(keras.callbacks.Callback):
    """Stops a training in a step."""

    def __init__(self, step):
        super().__init__()
        self.steps_left = step

    def on_train_batch_end(self, batch, logs=None):
        self.steps_left -= 1
        if not self.steps_left:
            raise training.TrainingStopped("gone")


@pytest.mark.long
def test_a_run_on_sentence_pairs_resumes_exactly(tmp_path):
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 9, 60)
    flat, ends = draw.integers(2, 9, lengths.sum()).astype("int32"), np.cumsum(lengths)
    plan = translation.TokenBatches(
        translation.EncodedPairs(flat, ends, flat, ends, start=9, end=10), 80, ranges=(2, 1)
    )

    def fit(folder, *callbacks, epochs=3):
        keras.utils.set_random_seed(1)
        source, target = (keras.Input((None,), dtype="int32") for _ in range(2))
        read, written = (keras.layers.Embedding(11, 4)(tokens) for tokens in (source, target))
        x = keras.layers.Add()([written, keras.layers.GlobalAveragePooling1D(keepdims=True)(read)])
        x = keras.layers.Dense(11)(keras.layers.Dropout(0.3)(x))
        model = keras.Model([source, target], x)
        model.compile(
            keras.optimizers.Adam(training.transformer_schedule(4, 5), beta_2=0.98, epsilon=1e-9),
            training.SmoothedSparseCrossentropy(), weighted_metrics=[training.Perplexity()], jit_compile=False,
        )  # fmt: skip
        run = training.Run(
            folder, tf.distribute.get_strategy(), epochs=epochs, steps_per_epoch=plan.steps_per_epoch,
            batch_size=plan.tokens / plan.steps_per_epoch, identity={}, checkpoint_interval=2, epoch_ends=2,
            unit="tokens",
        )  # fmt: skip
        _, after = run.fit(model, plan.train_dataset, plan.eval_dataset(), callbacks=callbacks)
        training.average_checkpoints(model, run.checkpoints.epoch_files())
        return model.get_weights(), after, run.history

    whole, after, history = fit(tmp_path / "whole")
    assert history[-1]["loss"] < history[0]["loss"] and history[-1]["tokens_per_second"] > 0
    with pytest.raises(training.TrainingStopped):
        fit(tmp_path / "parts", Stop(plan.steps_per_epoch + 5))
    _, beyond, rows = fit(tmp_path / "parts", epochs=1)
    assert beyond["loss"] < rows[-1]["val_loss"], (
        "evaluated after the last step, not after the epoch"
    )
    again, same, _ = fit(tmp_path / "parts")
    assert same == pytest.approx(after, rel=1e-6)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one, other)
