"""Workarounds for `fit` on several replicas, active during a training only.

- Batch norm has separate moving statistics on each replica, and those of the first one are saved: the workaround
  synchronises them.
- All replicas sample the same dropout masks: the workaround adds the index of the replica to the seed.
- On several workers `fit` fails (Keras 3.0 to 3.15 at least, keras issue 20585): it builds the model from a batch of
  all replicas, which it cannot reduce across workers, and it averages metrics along an axis that scalars do not have.
  `fit_is_correct` tests the installed Keras; the workaround is applied only if the test fails.
"""

import contextlib
import functools
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from kapps._keras_compat import (
    all_layers,
    delete_traced_functions,
    replace_symbolic_build,
    restore_symbolic_build,
    symbolic_build,
)


@contextlib.contextmanager
def replica_workarounds(model: keras.Model, strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Makes `model.fit` and `model.evaluate` correct on all replicas of a strategy, inside the `with` block.

    The model is unchanged after the block, and the workarounds are not saved with it. With one replica the context
    does nothing.

    Args:
        model: model that is built and compiled in the strategy's scope, and not fitted yet.
        strategy: that strategy.

    Raises:
        RuntimeError: if this version of Keras trains incorrectly on several workers even with the workaround.
    """
    with contextlib.ExitStack() as undo:
        if strategy.num_replicas_in_sync > 1:
            for layer in all_layers(model):
                if isinstance(layer, keras.layers.BatchNormalization):
                    undo.callback(setattr, layer, "synchronized", layer.synchronized)
                    layer.synchronized = True
                for generator in vars(layer).values():
                    if isinstance(generator, keras.random.SeedGenerator):
                        generator.next = functools.partial(_next_seed, generator.next)
                        undo.callback(delattr, generator, "next")
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            undo.enter_context(_several_workers(model, strategy))
        yield model
    delete_traced_functions(model)


def _next_seed(next_seed, ordered=True):
    """Returns the next seed of a generator, a different one on each replica."""
    seed, context = next_seed(ordered), tf.distribute.get_replica_context()
    if context is None:
        return seed
    replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
    # A prime, so that the seeds of different layers, which are random below 10^9, remain different.
    return seed + tf.stack([replica * 1_000_003, tf.zeros_like(replica)])


@contextlib.contextmanager
def _several_workers(model, strategy):
    if fit_is_correct(strategy):
        yield
        return
    if not fit_is_correct(strategy, workaround=True):
        raise RuntimeError(
            f"Keras {keras.__version__} trains incorrectly on several workers, and the workaround of kapps does not "
            "fit it; use Keras 3.15, or --strategy=mirrored on one machine"
        )
    apply_workaround(model, strategy)
    yield
    restore_symbolic_build(model)
    for name in ("train_step", "test_step"):
        delattr(model, name)


def fit_is_correct(strategy: tf.distribute.Strategy, workaround: bool = False) -> bool:
    """Returns whether `fit` under a strategy makes one exact training step of a model with one weight.

    All workers must call this at the same time.

    Args:
        strategy: the strategy to test.
        workaround: whether to apply the workaround.
    """
    replicas = strategy.num_replicas_in_sync
    x = np.arange(1.0, replicas + 1, dtype="float32")[:, None]
    with strategy.scope():
        model = keras.Sequential(
            [keras.Input((1,)), keras.layers.Dense(1, "linear", False, "ones")]
        )
        model.compile(keras.optimizers.SGD(0.01), "mean_squared_error", jit_compile=False)
    if workaround:
        apply_workaround(model, strategy)
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    data = tf.data.Dataset.from_tensor_slices((x, 0 * x)).batch(replicas).with_options(options)
    try:
        loss = model.fit(data, shuffle=False, verbose=0).history["loss"][0]
    except (ValueError, TypeError):
        return False
    # The loss is the mean of (w x)^2 over all replicas with w = 1, and the step subtracts 0.01 of its gradient.
    square = np.mean(x**2)
    return bool(np.allclose([loss, model.get_weights()[0][0, 0]], [square, 1 - 0.02 * square]))


def apply_workaround(model: keras.Model, strategy: tf.distribute.Strategy) -> None:
    """Makes `fit` and `evaluate` of one model work on several workers.

    Args:
        model: model that is compiled in the strategy's scope.
        strategy: a MultiWorkerMirroredStrategy.
    """
    replace_symbolic_build(model, functools.partial(_build, model, strategy))
    model.train_step = functools.partial(_as_vectors, model.train_step)
    model.test_step = functools.partial(_as_vectors, model.test_step)


def _build(model, strategy, iterator=None, data_batch=None):
    """Builds the model from the batch of one replica instead of Keras's mean over replicas."""
    for _, _, batches in iterator or ():
        data_batch = tf.nest.map_structure(
            lambda value: strategy.experimental_local_results(value)[0], next(batches)
        )
        break
    with strategy.scope():
        symbolic_build(model, data_batch)


def _as_vectors(step, data):
    """Returns the metrics of a step with the axis along which Keras averages them over workers."""
    return tf.nest.map_structure(lambda value: tf.reshape(value, [1]), step(data))
