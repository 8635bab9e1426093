"""What a training runs on, and in which precision."""

import keras
import tensorflow as tf

from kapps.training.distribution import cluster

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
STRATEGIES = ("default", "mirrored", "multi_worker", "tpu")


def set_precision(name: str) -> str:
    """Sets Keras's global dtype policy and returns its name.

    Args:
        name: one of `PRECISIONS`. "auto" takes mixed_bfloat16 on GPUs of compute capability 8 and up,
            mixed_float16 on those of 7, float32 elsewhere: older GPUs and CPUs gain nothing.
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, not {name!r}")
    if name == "auto":
        name = {8: "mixed_bfloat16", 7: "mixed_float16"}.get(min(_capability(), 8), "float32")
    keras.config.set_dtype_policy(name)
    return name


def _capability():
    gpus = tf.config.list_physical_devices("GPU")
    found = [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0,))
        for gpu in gpus
    ]
    return min((major for major, *_ in found), default=0)


def set_seed(number: int, deterministic: bool = False) -> None:
    """Seeds Python, NumPy and TensorFlow.

    Args:
        number: the seed.
        deterministic: whether operations repeat bit for bit too, which costs speed on a GPU.
    """
    keras.utils.set_random_seed(number)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def make_strategy(name: str, *, worker_timeout: float = 300.0) -> tf.distribute.Strategy:
    """Returns the strategy to build and fit under.

    Args:
        name: "default", one device; "mirrored", all GPUs of this machine, or its logical CPUs where there is none;
            "multi_worker", all GPUs of all machines that TF_CONFIG, Slurm or Kubernetes names; "tpu", the TPU that
            TensorFlow's resolver finds.
        worker_timeout: seconds that "multi_worker" waits for the other workers.

    Raises:
        ValueError: for another name, for a cluster that is described wrong, and where there is no TPU.
    """
    if name == "default":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multi_worker":
        return cluster.connect(cluster.resolve(), worker_timeout)
    if name == "tpu":
        return _tpu()
    raise ValueError(f"strategy is one of {', '.join(STRATEGIES)}, not {name!r}")


def _tpu():
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"strategy tpu: TensorFlow finds no TPU here ({reason})") from None
    return tf.distribute.TPUStrategy(resolver)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files: the first worker, or the only one."""
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.task_id


def distribute_dataset(dataset_of_shard, strategy: tf.distribute.Strategy):
    """Returns what `fit` takes for training under a strategy.

    Args:
        dataset_of_shard: a function of (i, n) that returns the i-th of n parts of the batches, such as
            `kapps.data.train_dataset` with `shard`.
        strategy: the strategy; a batch must divide among its replicas.
    """
    workers = (
        strategy.cluster_resolver.cluster_spec().num_tasks("worker") if _spans(strategy) else 1
    )
    if workers == 1:
        return dataset_of_shard((0, 1))
    replicas = strategy.num_replicas_in_sync // workers

    def local(context):
        dataset = dataset_of_shard((context.input_pipeline_id, workers))
        # What a worker's function returns is taken for batches of one replica each.
        return (
            dataset.rebatch(dataset.element_spec[0].shape[0] // replicas)
            if replicas > 1
            else dataset
        )

    return strategy.distribute_datasets_from_function(local)


def _spans(strategy):
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
