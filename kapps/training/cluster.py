"""Who trains together: the workers of TF_CONFIG, Slurm or Kubernetes, each fault in one line and in time."""

import json
import os
import re
import socket
import sys
import threading
import time

import tensorflow as tf

resolvers = tf.distribute.cluster_resolver


class ClusterError(ValueError):
    """A cluster that cannot train: one line of what was found, and what to do."""


def resolve() -> resolvers.ClusterResolver:
    """Returns TensorFlow's resolver of the cluster that this process is a worker of.

    TF_CONFIG comes first, then Slurm (a step that `srun` began), then Kubernetes (the pods labelled as
    KAPPS_POD_LABEL says, "job-name=kapps" without it; it takes the package `kubernetes`).

    Raises:
        ClusterError: where nothing tells of a cluster, or what tells of it is wrong.
    """
    if "TF_CONFIG" in os.environ:
        check(os.environ["TF_CONFIG"])
        return resolvers.TFConfigClusterResolver()
    try:
        if "SLURM_STEP_NODELIST" in os.environ:
            gpus = len(tf.config.list_physical_devices("GPU"))
            # Without these the resolver asks nvidia-smi, which a machine without GPUs does not have; Slurm itself
            # gives a task its GPUs (--gpus-per-task).
            resolver = resolvers.SlurmClusterResolver(
                gpus_per_node=max(1, gpus), gpus_per_task=max(1, gpus), auto_set_gpu=False
            )
            resolver.cluster_spec()  # which finds this process's own place
            return resolver
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            label = os.environ.get("KAPPS_POD_LABEL", "job-name=kapps")
            return place(resolvers.KubernetesClusterResolver({"worker": [label]}))
    except (RuntimeError, ImportError, ValueError) as error:
        raise ClusterError(f"cluster: {str(error).splitlines()[0]}") from None
    raise ClusterError(
        "strategy multi_worker: there is no TF_CONFIG, and this is no Slurm step and no Kubernetes pod; set TF_CONFIG "
        'to {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    )


def place(resolver, host: str | None = None):
    """Gives a Kubernetes resolver, which does not know it, the place of this machine among the workers."""
    workers = resolver.cluster_spec().job_tasks("worker")
    host = host or socket.gethostbyname(socket.gethostname())
    here = [number for number, worker in enumerate(workers) if worker.rpartition(":")[0] == host]
    if not here:
        raise ClusterError(
            f"cluster: {host} is none of the workers {', '.join(workers)}; set TF_CONFIG"
        )
    resolver.task_type, resolver.task_id = "worker", here[0]
    return resolver


def check(text: str) -> None:
    """Raises ClusterError for a TF_CONFIG that no worker can use.

    Args:
        text: the variable's value, JSON.
    """
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ClusterError(f"TF_CONFIG is not JSON: {error}") from None
    cluster = config.get("cluster") if isinstance(config, dict) else None
    workers = cluster.get("worker") if isinstance(cluster, dict) else None
    if not workers or not isinstance(workers, list):
        raise ClusterError('TF_CONFIG has no list of "host:port" under "cluster", "worker"')
    other = sorted(set(cluster) - {"worker"})
    if other:
        raise ClusterError(
            f'TF_CONFIG names {", ".join(other)}; here all are workers: list them under "worker", the first leads'
        )
    for address in workers:
        host, _, port = str(address).rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 2**16:
            raise ClusterError(f'TF_CONFIG has the worker {address!r}; each is "host:port"')
    if len(set(workers)) < len(workers):
        raise ClusterError("TF_CONFIG has a worker twice; each needs an address of its own")
    task = config.get("task")
    index = task.get("index") if isinstance(task, dict) else None
    if index is None or not isinstance(index, int) or task.get("type") != "worker":
        raise ClusterError(
            'TF_CONFIG has no "task": {"type": "worker", "index": ...} to say which worker this is'
        )
    if not 0 <= index < len(workers):
        raise ClusterError(
            f"TF_CONFIG says worker {index}, but there are {len(workers)}, from 0 to {len(workers) - 1}"
        )


def connect(resolver, timeout: float) -> tf.distribute.Strategy:
    """Returns MultiWorkerMirroredStrategy once all workers have come.

    TensorFlow would wait for a missing one without end and without a word. Here the process ends with one line
    and exit code 1 instead: nothing less can leave TensorFlow's own waiting.

    Args:
        resolver: what `resolve` returned.
        timeout: seconds to wait for the others.

    Raises:
        ClusterError: where the port is taken.
    """
    workers = resolver.cluster_spec().job_tasks("worker")
    own = workers[resolver.task_id]
    if len(workers) > 1:
        port = int(own.rpartition(":")[2])
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("", port))
            except OSError:
                raise ClusterError(
                    f"worker {resolver.task_id}: port {port} of {own} is taken; free it, or name another"
                ) from None
    connected = threading.Event()
    watch = threading.Thread(
        target=_watch, args=(connected, workers, resolver.task_id, timeout), daemon=True
    )
    watch.start()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except tf.errors.OpError as error:
        raise ClusterError(
            f"worker {resolver.task_id} at {own}: {error.message.splitlines()[0]}"
        ) from None
    finally:
        connected.set()


def _watch(connected, workers, own, timeout):
    ends = time.monotonic() + timeout
    if not connected.wait(min(10.0, timeout / 2)):
        missing = _silent(workers, own)
        print(f"waiting for {missing or 'the other workers'}, {timeout:.0f} s at most", flush=True)
    if not connected.wait(max(0.0, ends - time.monotonic())):
        missing = _silent(workers, own)
        what = f"{missing} did not come" if missing else "the workers did not agree on the cluster"
        print(
            f"{what} within {timeout:.0f} s; start every worker with the same list of addresses, each with its index",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)


def _silent(workers, own):
    """Returns the workers that nothing listens for, as text."""
    silent = []
    for number, address in enumerate(workers):
        host, _, port = address.rpartition(":")
        try:
            if number != own:
                socket.create_connection((host, int(port)), timeout=2).close()
        except OSError:
            silent.append(f"worker {number} ({address})")
    return " and ".join(silent)


def lost(error: Exception) -> str | None:
    """Returns one line where an error means that another worker is gone, None where it does not.

    Args:
        error: what `fit` raised.
    """
    if not isinstance(error, tf.errors.OpError) or not any(sign in error.message for sign in _LOST):
        return None
    gone = sorted(
        set(re.findall(r"^/job:worker/replica:0/task:(\d+)", error.message, re.MULTILINE))
    )
    named = f"worker {' and '.join(gone)}" if gone else "another worker"
    return (
        f"{named} stopped answering, so this one stops too; start all of them again with the same command, and they "
        "go on from the last checkpoint"
    )


# TensorFlow has no error class of its own for it.
_LOST = (
    "Collective ops is aborted",
    "unhealthy",
    "Connection reset by peer",
    "Socket closed",
    "failed to connect to all addresses",
)
