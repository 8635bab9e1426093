"""Who trains together: the workers of TF_CONFIG, Slurm or Kubernetes, each fault in one line and in time."""

import json
import os
import re
import socket
import subprocess
import sys
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

    TensorFlow waits for a missing worker without end and without a word, and lets no other thread of Python run
    meanwhile. So the workers meet here first, each listening at its address until it has reached all others.

    Args:
        resolver: what `resolve` returned.
        timeout: seconds to wait for the others.

    Raises:
        ClusterError: where a port is taken, and for a worker that does not come in time.
    """
    workers = resolver.cluster_spec().job_tasks("worker")
    if len(workers) > 1:
        meet(workers, resolver.task_id, timeout)
    unresolved = (
        f"the workers {', '.join(workers)} did not agree on their cluster within {timeout:.0f} s"
    )
    watch = subprocess.Popen([sys.executable, "-S", "-c", _WATCH, str(timeout), unresolved])
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except tf.errors.OpError as error:
        raise ClusterError(
            f"worker {resolver.task_id} at {workers[resolver.task_id]}: {error.message.splitlines()[0]}"
        ) from None
    finally:
        watch.kill()
        watch.wait()


# Nothing less than another process can end one that waits inside TensorFlow.
_WATCH = """
import os, sys, time
parent, ends = os.getppid(), time.monotonic() + float(sys.argv[1])
while time.monotonic() < ends and os.getppid() == parent:
    time.sleep(0.2)
if os.getppid() == parent:
    print(sys.argv[2], file=sys.stderr, flush=True)
    os.kill(parent, 9)
"""


def meet(workers: list[str], own: int, timeout: float) -> None:
    """Waits until something listens at the address of every worker.

    Args:
        workers: "host:port" of each.
        own: the number of this one.
        timeout: seconds.

    Raises:
        ClusterError: where this one's port is taken, and for a worker that does not come in time.
    """
    began, told = time.monotonic(), False
    port = int(workers[own].rpartition(":")[2])
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
            listener.listen()
        except OSError:
            raise ClusterError(
                f"worker {own}: port {port} of {workers[own]} is taken; free it, or name another"
            ) from None
        missing = [number for number in range(len(workers)) if number != own]
        while missing := [number for number in missing if not _listens(workers[number])]:
            waited = time.monotonic() - began
            names = " and ".join(f"worker {number} ({workers[number]})" for number in missing)
            if waited > timeout:
                raise ClusterError(
                    f"{names} did not come within {timeout:.0f} s; start every worker with the same list of addresses, "
                    "each with its own index"
                )
            if waited > 10 and not told:
                told = True
                print(f"worker {own} waits for {names}, {timeout:.0f} s at most", flush=True)
            time.sleep(0.2)


def _listens(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def describe_lost_worker(error: Exception) -> str | None:
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
