"""The files in `deploy/`: schemas of Kubernetes, options of sbatch, and the commands that they run."""

import functools
import json
import pathlib
import re
import shlex
import subprocess

import module_files
import pytest

ROOT = pathlib.Path(__file__).parents[1] / "deploy"
MANIFESTS = sorted((ROOT / "kubernetes").glob("*.yaml"))
SCRIPTS = sorted((ROOT / "slurm").glob("*.sbatch"))
SBATCH = {
    "job-name": r"\w+",
    "nodes": r"\d+(-\d+)?",
    "ntasks": r"\d+",
    "ntasks-per-node": r"\d+",
    "gpus-per-task": r"([a-z]\w*:)?\d+",
    "cpus-per-task": r"\d+",
    "time": r"(\d+-)?\d+:\d\d:\d\d",
    "signal": r"([RB]:)?[A-Z0-9]+(@\d+)?",
    "requeue": r"",
}
"""Options of sbatch and the form of their values, from its manual (slurm.schedmd.com/sbatch.html)."""


@functools.cache
def documents(path):
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def objects(kind):
    return {
        document["metadata"]["name"]: document
        for path in MANIFESTS
        for document in documents(path)
        if document["kind"] == kind
    }


def test_there_are_files_for_training_data_service_and_serving():
    names = {"training", "data_service", "serving"}
    assert names <= {path.stem for path in MANIFESTS} and names <= {path.stem for path in SCRIPTS}


@pytest.mark.parametrize("version", ["1.30", "1.36"])
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_match_the_schemas_of_kubernetes(path, version):
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for document in documents(path):
        kubernetes_validate.validate(document, version, strict=True)


def test_a_wrong_manifest_does_not_match():
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    job = objects("Job")["kapps"]
    wrong = json.loads(json.dumps(job).replace("parallelism", "paralelism"))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.36", strict=True)


def pods():
    for kind in ("Job", "Deployment", "StatefulSet"):
        for name, document in objects(kind).items():
            yield name, document["spec"]["template"]["spec"]


def test_claims_accounts_and_selectors_exist():
    claims, accounts = objects("PersistentVolumeClaim"), objects("ServiceAccount")
    templates = []
    for _, pod in pods():
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        assert all(
            volume["persistentVolumeClaim"]["claimName"] in claims for volume in volumes.values()
        )
        assert pod.get("serviceAccountName") in {None, *accounts}
    for kind in ("Deployment", "StatefulSet"):
        for document in objects(kind).values():
            labels = document["spec"]["template"]["metadata"]["labels"]
            assert document["spec"]["selector"]["matchLabels"] == labels
            templates.append((labels, document["spec"]["template"]["spec"]["containers"][0]))
    for service in objects("Service").values():
        selector = service["spec"]["selector"].items()
        (container,) = [container for labels, container in templates if selector <= labels.items()]
        ports = {value for port in container["ports"] for value in port.values()}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_the_training_reaches_the_data_service():
    address = f"data-service:{objects('Service')['data-service']['spec']['ports'][0]['port']}"
    commands = {name: pod["containers"][0].get("command", []) for name, pod in pods()}
    assert f"--data_service={address}" in commands["kapps"]
    assert f"--dispatcher={address}" in commands["data-service-worker"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_sbatch_files_have_valid_options_and_syntax(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/bash\n")
    subprocess.run(["bash", "-n", path], check=True)
    head, _, body = text.partition("\n\n")
    assert "#SBATCH" not in body  # sbatch ignores options after the first command
    for option in re.findall(r"^#SBATCH (.*)$", head, re.MULTILINE):
        name, _, value = option.removeprefix("--").partition("=")
        assert option.startswith("--") and re.fullmatch(SBATCH[name], value), option


def test_commands_of_the_data_service_are_valid():
    """The recipes' commands are parsed by test_commands.py."""
    from kapps.data import service

    commands = [pod["containers"][0].get("command", []) for _, pod in pods()]
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        commands += [
            shlex.split(line[line.index("python") :].rstrip(" &"))
            for line in text.splitlines()
            if "python -m" in line and not line.startswith("#")
        ]
    commands = [
        command[3:] for command in commands if command[:3] == ["python", "-m", "kapps.data.service"]
    ]
    assert len(commands) == 4
    for command in commands:
        service.parser().parse_args(command)


def test_a_plan_has_the_traffic_of_a_ring(capsys, monkeypatch):
    """Two machines with a network of 10 Gbit/s and 1e8 parameters: each sends 32 bits of each parameter once."""
    planning = module_files.load("tools/planning.py")
    plan = planning.Plan(
        gpus=8, gpus_per_node=4, params=10**8, size=100, batch_size=800, gpu_rate=100.0, core_rate=50.0, network=10.0
    )  # fmt: skip
    assert plan.nodes == 2 and plan.cores == 16 and plan.step == 1.0
    assert plan.gradients == 3.2 and plan.images == pytest.approx(800 * 240_000 / 2 / 1e9)
    assert plan.exchange == pytest.approx(3.2 / (10 - plan.images))
    monkeypatch.setattr("sys.argv", ["planning.py"])
    planning.main()
    text = "".join(capsys.readouterr().out.split()).replace("-", "")
    page = (ROOT.parent / "docs/guides/planning.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| 1,000 |")]
    assert rows and "".join(rows[0].split()) in text
