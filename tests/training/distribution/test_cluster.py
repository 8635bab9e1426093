"""An invalid description of a cluster, or a worker that does not start, is an error of one line."""

import json
import socket
import time
import types

import pytest

from kapps.training.distribution import cluster

ADDRESSES = ["localhost:4001", "localhost:4002"]


def config(workers=ADDRESSES, task=None, **more):
    task = {"type": "worker", "index": 0} if task is None else task
    return json.dumps({"cluster": {"worker": workers}, "task": task, **more})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"cluster": ', "is not JSON"),
        ("[]", '"cluster", "worker"'),
        ("{}", '"cluster", "worker"'),
        (config(workers=[]), '"cluster", "worker"'),
        (config(workers=["localhost"]), "'localhost'; each is \"host:port\""),
        (config(workers=["localhost:70000"]), "localhost:70000"),
        (config(workers=ADDRESSES[:1] * 2), "twice"),
        (config(task={}), '"index"'),
        (config(task={"type": "worker"}), '"index"'),
        (config(task={"type": "ps", "index": 0}), '"index"'),
        (config(task={"type": "worker", "index": 2}), "index 2, but there are 2 workers"),
        (json.dumps({"cluster": {"worker": ADDRESSES, "ps": ["a:1"]}}), "names ps"),
    ],
)
def test_an_invalid_tf_config_is_an_error_of_one_line(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(cluster.ClusterError) as error:
        cluster.resolve_cluster()
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_valid_tf_config_is_resolved(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config(task={"type": "worker", "index": 1}))
    resolver = cluster.resolve_cluster()
    assert resolver.task_id == 1 and resolver.cluster_spec().job_tasks("worker") == ADDRESSES


def test_no_cluster_is_an_error(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_STEP_NODELIST", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(cluster.ClusterError, match="there is no TF_CONFIG"):
        cluster.resolve_cluster()


def test_slurm_is_resolved(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    slurm = {"PROCID": "2", "STEP_NUM_TASKS": "3", "STEP_NODELIST": "n[1-3]"}
    for name, value in {**slurm, "STEP_TASKS_PER_NODE": "1(x3)"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    resolver = cluster.resolve_cluster()
    assert resolver.cluster_spec().job_tasks("worker") == ["n1:8888", "n2:8888", "n3:8888"]
    assert (resolver.task_type, resolver.task_id) == ("worker", 2)
    monkeypatch.delenv("SLURM_PROCID")
    with pytest.raises(cluster.ClusterError, match="SLURM_PROCID"):
        cluster.resolve_cluster()


def test_a_pod_has_its_index_among_the_workers():
    pods = [
        types.SimpleNamespace(
            metadata=types.SimpleNamespace(name=f"pod{i}"),
            status=types.SimpleNamespace(phase="Running", host_ip=f"10.0.0.{i}"),
        )
        for i in (2, 1)
    ]
    selectors = []

    def pods_of(label_selector):
        selectors.append(label_selector)
        return types.SimpleNamespace(items=pods)

    client = types.SimpleNamespace(list_pod_for_all_namespaces=pods_of)
    resolver = cluster.resolvers.KubernetesClusterResolver(
        {"worker": ["job-name=kapps"]}, override_client=client
    )
    assert cluster.set_worker_index(resolver, "10.0.0.2").task_id == 1 and selectors == [
        "job-name=kapps"
    ]
    assert resolver.cluster_spec().job_tasks("worker")[1] == "10.0.0.2:8470"
    with pytest.raises(cluster.ClusterError, match=r"10\.0\.0\.3 is not one of the workers"):
        cluster.set_worker_index(resolver, "10.0.0.3")


@pytest.mark.long
def test_a_port_in_use_is_an_error_of_one_line(trainings):
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        own = f"localhost:{other.getsockname()[1]}"
        (process,) = trainings(
            "taken", "multi_worker", cluster=config(workers=[own, "localhost:1"])
        )
        last = process.wait(code=1)
    assert (
        last.startswith("worker.py: worker 0: ") and f"port {own[10:]} of {own} is in use" in last
    )
    assert "Traceback" not in process.output()


@pytest.mark.long
def test_a_missing_worker_is_an_error_after_the_timeout(trainings, free):
    start_time = time.monotonic()
    addresses = free(2)
    (process,) = trainings(
        "missing", "multi_worker", "--timeout=4", cluster=config(workers=addresses)
    )
    last = process.wait(code=1, seconds=120)
    assert last.startswith(f"worker.py: worker 1 ({addresses[1]}) did not start within 4 s")
    assert "Traceback" not in process.output() and time.monotonic() - start_time < 120


@pytest.mark.long
def test_another_program_at_the_address_of_a_worker_is_an_error_after_the_timeout(trainings, free):
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        workers = [*free(1), f"localhost:{other.getsockname()[1]}"]
        cluster = config(workers=workers)
        (process,) = trainings("other", "multi_worker", "--timeout=5", cluster=cluster)
        last = process.wait(code=-9, seconds=120)
    assert last.endswith(f"{workers[1]} did not form a cluster within 5 s")
