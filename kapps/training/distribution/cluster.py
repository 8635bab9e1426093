"""The workers of a cluster from TF_CONFIG, Slurm or Kubernetes; every error is one line and comes in time."""

import json
import os
import re
import socket
import subprocess
import sys
import time

import tensorflow as tf

from kapps._errors import main_sentence

resolvers = tf.distribute.cluster_resolver


class ClusterError(ValueError):
    """A cluster that cannot train; the message is one line with the reason and what to change."""


def resolve_cluster() -> resolvers.ClusterResolver:
    """Returns TensorFlow's resolver of the cluster that this process is a worker of.

    TF_CONFIG has priority, then Slurm (a step of `srun`), then Kubernetes (the pods with the label KAPPS_POD_LABEL, by
    default "job-name=kapps"; this needs the package `kubernetes`).

    Raises:
        ClusterError: if none of them describes a cluster, or the description is invalid.
    """
    if "TF_CONFIG" in os.environ:
        check_tf_config(os.environ["TF_CONFIG"])
        return resolvers.TFConfigClusterResolver()
    try:
        if "SLURM_STEP_NODELIST" in os.environ:
            gpus = len(tf.config.list_physical_devices("GPU"))
            # Without these arguments the resolver runs nvidia-smi, which does not exist on a machine without GPUs.
            # Slurm itself assigns GPUs to a task (--gpus-per-task).
            resolver = resolvers.SlurmClusterResolver(
                gpus_per_node=max(1, gpus), gpus_per_task=max(1, gpus), auto_set_gpu=False
            )
            resolver.cluster_spec()  # sets the index of this process too
            return resolver
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            label = os.environ.get("KAPPS_POD_LABEL", "job-name=kapps")
            return set_worker_index(resolvers.KubernetesClusterResolver({"worker": [label]}))
    except (RuntimeError, ImportError, ValueError) as error:
        raise ClusterError(f"cluster: {main_sentence(str(error))}") from None
    raise ClusterError(
        "strategy multi_worker: there is no TF_CONFIG, and this is neither a Slurm step nor a Kubernetes pod; set "
        'TF_CONFIG to {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    )


def set_worker_index(
    resolver: resolvers.KubernetesClusterResolver, host: str | None = None
) -> resolvers.KubernetesClusterResolver:
    """Sets the task of a Kubernetes resolver to the index of this machine among the workers, and returns it.

    Args:
        resolver: the resolver, which does not set its task itself.
        host: address of this machine; looked up by default.

    Raises:
        ClusterError: if this machine is not one of the workers.
    """
    workers = resolver.cluster_spec().job_tasks("worker")
    host = host or socket.gethostbyname(socket.gethostname())
    indices = [i for i, worker in enumerate(workers) if worker.rpartition(":")[0] == host]
    if not indices:
        raise ClusterError(
            f"cluster: {host} is not one of the workers {', '.join(workers)}; set TF_CONFIG"
        )
    resolver.task_type, resolver.task_id = "worker", indices[0]
    return resolver


def check_tf_config(text: str) -> None:
    """Raises ClusterError for an invalid TF_CONFIG.

    Args:
        text: value of the environment variable, JSON.
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
            f'TF_CONFIG names {", ".join(other)}; list all under "worker"; the first is the chief'
        )
    for address in workers:
        host, _, port = str(address).rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 2**16:
            raise ClusterError(f'TF_CONFIG has the worker {address!r}; each is "host:port"')
    if len(set(workers)) < len(workers):
        raise ClusterError("TF_CONFIG lists a worker twice; every worker needs its own address")
    task = config.get("task")
    index = task.get("index") if isinstance(task, dict) else None
    if index is None or not isinstance(index, int) or task.get("type") != "worker":
        raise ClusterError(
            'TF_CONFIG has no "task": {"type": "worker", "index": ...} for this worker'
        )
    if not 0 <= index < len(workers):
        raise ClusterError(
            f"TF_CONFIG has the index {index}, but there are {len(workers)} workers: 0 to {len(workers) - 1}"
        )


def connect_workers(resolver: resolvers.ClusterResolver, timeout: float) -> tf.distribute.Strategy:
    """Returns a MultiWorkerMirroredStrategy after all workers have started.

    TensorFlow waits for a missing worker without a limit and without a message, and blocks all threads of Python
    meanwhile. So the workers wait for each other here first: each listens at its address until it has reached all
    others.

    Args:
        resolver: the result of `resolve_cluster`.
        timeout: seconds to wait for the other workers.

    Raises:
        ClusterError: if a port is in use, or a worker does not start in time.
    """
    workers = resolver.cluster_spec().job_tasks("worker")
    if len(workers) > 1:
        wait_for_workers(workers, resolver.task_id, timeout)
    message = f"the workers {', '.join(workers)} did not form a cluster within {timeout:.0f} s"
    watchdog = subprocess.Popen([sys.executable, "-S", "-c", _WATCHDOG, str(timeout), message])
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except tf.errors.OpError as error:
        raise ClusterError(
            f"worker {resolver.task_id} at {workers[resolver.task_id]}: {main_sentence(error.message)}"
        ) from None
    finally:
        watchdog.kill()
        watchdog.wait()


# Only another process can end a process that waits inside TensorFlow.
_WATCHDOG = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
parent, deadline = os.getppid(), time.monotonic() + float(sys.argv[1])
while time.monotonic() < deadline and os.getppid() == parent:
    time.sleep(0.2)
if os.getppid() == parent:
    print(sys.argv[2], file=sys.stderr, flush=True)
    os.kill(parent, 9)
"""


def wait_for_workers(workers: list[str], index: int, timeout: float) -> None:
    """Waits until a process listens at the address of every worker.

    Args:
        workers: "host:port" of every worker.
        index: index of this worker.
        timeout: seconds.

    Raises:
        ClusterError: if the port of this worker is in use, or a worker does not start in time.
    """
    start_time, printed = time.monotonic(), False
    port = int(workers[index].rpartition(":")[2])
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
            listener.listen()
        except OSError:
            raise ClusterError(
                f"worker {index}: port {port} of {workers[index]} is in use; free it, or choose another"
            ) from None
        missing = [i for i in range(len(workers)) if i != index]
        while missing := [i for i in missing if not _listens(workers[i])]:
            seconds = time.monotonic() - start_time
            names = " and ".join(f"worker {i} ({workers[i]})" for i in missing)
            if seconds > timeout:
                raise ClusterError(
                    f"{names} did not start within {timeout:.0f} s; start every worker with the same list of "
                    "addresses and its own index"
                )
            if seconds > 10 and not printed:
                printed = True
                print(f"worker {index} waits for {names}, at most {timeout:.0f} s", flush=True)
            time.sleep(0.2)


def _listens(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def describe_lost_worker(error: Exception) -> str | None:
    """Returns one line about a lost worker, or None if the error has another cause.

    Args:
        error: exception of `fit`.
    """
    if not isinstance(error, tf.errors.OpError) or not any(
        text in error.message for text in _LOST_WORKER
    ):
        return None
    tasks = sorted(
        set(re.findall(r"^/job:worker/replica:0/task:(\d+)", error.message, re.MULTILINE))
    )
    worker = f"worker {' and '.join(tasks)}" if tasks else "another worker"
    return (
        f"{worker} does not respond, so this one stops too; start all workers again with the same command to resume "
        "from the last checkpoint"
    )


# TensorFlow has no exception class for a lost worker, only these messages.
_LOST_WORKER = (
    "Collective ops is aborted",
    "unhealthy",
    "Connection reset by peer",
    "Socket closed",
    "failed to connect to all addresses",
)
