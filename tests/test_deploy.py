"""What deploy/ has is what the jobs take: commands that parse, fields that KubeRay knows, metrics that there are."""

import importlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs import config, night, session
from mnist_batch.pipeline import metrics
from tests.support import ROOT

MANIFESTS = [path for path in sorted((ROOT / "deploy").glob("*.yaml")) if path.name != "cluster-aws.yaml"]

# The fields of ray.io/v1 in KubeRay 1.6.
RAY_JOB = {
    "activeDeadlineSeconds", "backoffLimit", "clusterSelector", "deletionStrategy", "entrypoint", "entrypointNumCpus",
    "entrypointNumGpus", "entrypointResources", "jobId", "managedBy", "metadata",
    "rayClusterSpec", "runtimeEnvYAML", "shutdownAfterJobFinishes", "submissionMode", "submitterConfig",
    "submitterPodTemplate", "suspend", "ttlSecondsAfterFinished",
}  # fmt: skip
RAY_CRON_JOB = {"jobTemplate", "schedule", "suspend"}
RAY_CLUSTER = {
    "authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "gcsFaultToleranceOptions", "headGroupSpec",
    "headServiceAnnotations", "managedBy", "rayVersion", "suspend", "upgradeStrategy", "workerGroupSpecs",
}  # fmt: skip
HEAD_GROUP = {"enableIngress", "headService", "rayStartParams", "serviceType", "template"}
WORKER_GROUP = {
    "groupName", "idleTimeoutSeconds", "maxReplicas", "minReplicas", "numOfHosts", "rayStartParams",
    "replicas", "scaleStrategy", "suspend", "template",
}  # fmt: skip


def documents() -> list[Any]:
    """Each document of each manifest, with its name."""
    found = [(path.name, one) for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())]
    return [pytest.param(one, id=f"{name} {one['kind']}") for name, one in found]


def commands(tree: Any) -> list[list[str]]:
    """Every command of mnist-batch in a document."""
    if isinstance(tree, dict):
        found = [shlex.split(tree["entrypoint"])] if "entrypoint" in tree else []
        found += [tree["command"]] if "command" in tree else []
        return found + [each for value in tree.values() for each in commands(value)]
    return [each for value in tree for each in commands(value)] if isinstance(tree, list) else []


@pytest.mark.parametrize("document", documents())
def test_every_command_of_a_manifest_is_one_that_its_job_takes(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if document["kind"] == "ConfigMap":
        return
    [command] = commands(document)
    assert command[0] == "mnist-batch"
    job = importlib.import_module(f"jobs.{command[1]}")
    begun: list[object] = []
    monkeypatch.setattr(session, "run", lambda work, *_: begun.append(work) or 0)
    assert job.main(command[2:]) == 0
    assert len(begun) == 1


@pytest.mark.parametrize("document", documents())
def test_the_settings_of_a_night_are_ones_that_it_takes(document: dict[str, Any], tmp_path: Path) -> None:
    if document["kind"] != "ConfigMap":
        return
    [(name, text)] = document["data"].items()
    (tmp_path / name).write_text(text)
    told = config.read(str(tmp_path / name), night._parser(), night.PATHS)
    assert {"NewScans.sources", "NewScans.target_error", "out"} <= told.keys()


@pytest.mark.parametrize("document", documents())
def test_every_field_is_one_that_kuberay_knows(document: dict[str, Any]) -> None:
    if not document["apiVersion"].startswith("ray.io/"):
        return
    assert document["apiVersion"] == "ray.io/v1"
    spec = document["spec"]
    if document["kind"] == "RayCronJob":
        assert spec.keys() <= RAY_CRON_JOB
        assert re.fullmatch(r"\S+ \S+ \S+ \S+ \S+", spec["schedule"])
        spec = spec["jobTemplate"]
    assert spec.keys() <= RAY_JOB
    cluster = spec["rayClusterSpec"]
    assert cluster.keys() <= RAY_CLUSTER
    assert cluster["headGroupSpec"].keys() <= HEAD_GROUP
    assert cluster["authOptions"] == {"mode": "token"}
    images = {each["image"] for each in cluster["headGroupSpec"]["template"]["spec"]["containers"]}
    for group in cluster["workerGroupSpecs"]:
        assert group.keys() <= WORKER_GROUP
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        images |= {each["image"] for each in group["template"]["spec"]["containers"]}
    assert len(images) == 1
    locked = re.search(r"^ray(?:\[[^]]*\])?==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked
    assert cluster["rayVersion"] == locked[1]


def test_the_image_has_what_the_build_needs() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    for name in " ".join(copied).split():
        assert (ROOT / name.rstrip("/")).exists()
        assert f"!{name.rstrip('/')}" in ignored


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana.json").read_text())
    asked = set(re.findall(r"ray_(mnist_batch_\w+)", json.dumps(dashboard)))
    assert asked == {f"{name}_total" for name in metrics.COUNTERS} | set(metrics.GAUGES)
