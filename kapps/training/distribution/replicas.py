"""What Keras lacks to `fit` on several replicas, put right for the time of a training and then taken back.

- Batch norm keeps moving statistics on each replica apart, and the first one's are saved: it is synchronised.
- Every replica draws the same dropout masks: the number of the replica goes into the seed.
- Several workers (Keras 3.0 to 3.15 at least, keras issue 20585): `fit` builds the model from a batch of all
  replicas, which it cannot reduce across workers, and averages metrics along an axis that scalars do not have.
  `fit_works` tries whether this Keras can; only where it cannot is it mended.
"""

import contextlib
import functools

import keras
import numpy as np
import tensorflow as tf

from kapps._keras_compat import (
    all_layers,
    replace_symbolic_build,
    restore_symbolic_build,
    symbolic_build,
)


@contextlib.contextmanager
def replica_workarounds(model: keras.Model, strategy: tf.distribute.Strategy):
    """Lets `model.fit` and `model.evaluate` of the block train right on all replicas of a strategy.

    Nothing of it stays in the model afterwards, nor is it saved. One replica needs none of it.

    Args:
        model: built and compiled within the strategy's scope, not fitted yet.
        strategy: that strategy.

    Raises:
        RuntimeError: where neither this Keras nor the mend of it trains right on several workers.
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
        # What was traced holds the above.
    model.train_function = model.test_function = model.predict_function = None


def _next_seed(draw, ordered=True):
    """Returns the generator's next seed, another one on each replica."""
    seed, context = draw(ordered), tf.distribute.get_replica_context()
    if context is None:
        return seed
    replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
    # A prime step: seeds of neighbouring layers, which are drawn below 10^9, do not meet.
    return seed + tf.stack([replica * 1_000_003, tf.zeros_like(replica)])


@contextlib.contextmanager
def _several_workers(model, strategy):
    if fit_works(strategy):
        yield
        return
    if not fit_works(strategy, mended=True):
        raise RuntimeError(
            f"Keras {keras.__version__} trains wrong on several workers, and kapps's mend does not fit it; "
            "use Keras 3.15, or --strategy=mirrored on one machine"
        )
    mend(model, strategy)
    yield
    restore_symbolic_build(model)
    for name in ("train_step", "test_step"):
        delattr(model, name)


def fit_works(strategy: tf.distribute.Strategy, mended: bool = False) -> bool:
    """Whether `fit` under a strategy takes one step exactly as it should, tried on one weight.

    Every worker has to ask at the same time.

    Args:
        strategy: whose workers are tried.
        mended: whether with `mend`.
    """
    replicas = strategy.num_replicas_in_sync
    x = np.arange(1.0, replicas + 1, dtype="float32")[:, None]
    with strategy.scope():
        model = keras.Sequential(
            [keras.Input((1,)), keras.layers.Dense(1, "linear", False, "ones")]
        )
        model.compile(keras.optimizers.SGD(0.01), "mean_squared_error", jit_compile=False)
    if mended:
        mend(model, strategy)
    options = tf.data.Options()
    sharing = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = sharing
    data = tf.data.Dataset.from_tensor_slices((x, 0 * x)).batch(replicas).with_options(options)
    try:
        loss = model.fit(data, shuffle=False, verbose=0).history["loss"][0]
    except (ValueError, TypeError):
        return False
    # The loss is the mean of (w x)^2 over all replicas, w = 1, and the step takes 0.01 of its gradient.
    square = np.mean(x**2)
    return bool(np.allclose([loss, model.get_weights()[0][0, 0]], [square, 1 - 0.02 * square]))


def mend(model: keras.Model, strategy: tf.distribute.Strategy) -> None:
    """Makes `fit` and `evaluate` of this one model work under several workers.

    Args:
        model: compiled in the strategy's scope.
        strategy: a MultiWorkerMirroredStrategy.
    """
    replace_symbolic_build(model, functools.partial(_build, model, strategy))
    model.train_step = functools.partial(_as_vectors, model.train_step)
    model.test_step = functools.partial(_as_vectors, model.test_step)


def _build(model, strategy, iterator=None, data_batch=None):
    """Builds the model from what one replica sees, in place of Keras's mean over replicas."""
    for _, _, batches in iterator or ():
        data_batch = tf.nest.map_structure(
            lambda value: strategy.experimental_local_results(value)[0], next(batches)
        )
        break
    with strategy.scope():
        symbolic_build(model, data_batch)


def _as_vectors(step, data):
    """Gives the metrics of a step the axis along which Keras averages them over workers."""
    return tf.nest.map_structure(lambda value: tf.reshape(value, [1]), step(data))
