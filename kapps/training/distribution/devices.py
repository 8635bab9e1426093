"""Precision, seed and devices of a training."""

from collections.abc import Callable

import keras
import tensorflow as tf

from kapps._checked import checked
from kapps._errors import main_sentence
from kapps._names import nearest
from kapps.training.distribution import cluster

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
STRATEGIES = ("default", "mirrored", "multi_worker", "tpu")


@checked
def set_precision(name: str) -> str:
    """Sets Keras's global dtype policy and returns its name.

    Args:
        name: one of `PRECISIONS`. "auto" selects mixed_bfloat16 on GPUs of compute capability 8 or higher,
            mixed_float16 on GPUs of 7, and float32 elsewhere: other GPUs and most CPUs are not faster in 16 bits. On
            a CPU with AVX512-BF16, mixed_bfloat16 is: a U-shaped network trains in two thirds of the time.

    Raises:
        ValueError: for an unknown name, with the allowed names and the nearest match.
    """
    if name not in PRECISIONS:
        raise ValueError(_unknown("precision", name, PRECISIONS))
    if name == "auto":
        name = {8: "mixed_bfloat16", 7: "mixed_float16"}.get(min(_capability(), 8), "float32")
    keras.config.set_dtype_policy(name)
    return name


def _capability():
    gpus = tf.config.list_physical_devices("GPU")
    capabilities = [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0,))
        for gpu in gpus
    ]
    return min((major for major, *_ in capabilities), default=0)


@checked
def set_seed(seed: int, deterministic: bool = False) -> None:
    """Sets the random seed of Python, NumPy and TensorFlow.

    Args:
        seed: the seed.
        deterministic: whether operations are deterministic bit for bit, which is slower on a GPU.
    """
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
        # RandAugment of keras_cv takes this generator, which has no default value in deterministic programs.
        tf.random.set_global_generator(tf.random.Generator.from_seed(seed))


@checked
def make_strategy(name: str, *, worker_timeout: float = 300.0) -> tf.distribute.Strategy:
    """Returns the distribution strategy to build and fit models under.

    Args:
        name: "default" (one device), "mirrored" (all GPUs of this machine, or its logical CPUs without GPUs),
            "multi_worker" (all GPUs of all machines in TF_CONFIG, Slurm or Kubernetes), or "tpu" (the TPU of
            TensorFlow's resolver).
        worker_timeout: seconds that "multi_worker" waits for the other workers.

    Raises:
        ValueError: for an unknown name, for an invalid description of the cluster, and without a TPU.
    """
    if name == "default":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multi_worker":
        return cluster.connect_workers(cluster.resolve_cluster(), worker_timeout)
    if name == "tpu":
        return _tpu()
    raise ValueError(_unknown("strategy", name, STRATEGIES))


def _unknown(option, name, allowed):
    return f"{option}={name!r} does not exist.{nearest(str(name), allowed)} Allowed: {', '.join(allowed)}"


def _tpu():
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        reason = main_sentence(str(error))
        raise ValueError(f"strategy tpu: TensorFlow finds no TPU here ({reason})") from None
    return tf.distribute.TPUStrategy(resolver)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes files: it is the first worker, or the only one."""
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.task_id


def distribute_dataset(
    dataset_of_shard: Callable[[tuple[int, int]], tf.data.Dataset], strategy: tf.distribute.Strategy
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Returns the dataset for `fit` under a strategy.

    Args:
        dataset_of_shard: function of (i, n) that returns part i of n of the batches, such as `kapps.data.train_dataset`
            with `shard`.
        strategy: the strategy. The batch size must be divisible by its number of replicas.
    """
    workers = 1
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        workers = strategy.cluster_resolver.cluster_spec().num_tasks("worker")
    if workers == 1:
        return dataset_of_shard((0, 1))
    replicas = strategy.num_replicas_in_sync // workers

    def dataset_of_worker(context):
        dataset = dataset_of_shard((context.input_pipeline_id, workers))
        if replicas == 1:
            return dataset
        # TensorFlow expects the batches of one replica each.
        return dataset.rebatch(dataset.element_spec[0].shape[0] // replicas)

    return strategy.distribute_datasets_from_function(dataset_of_worker)
