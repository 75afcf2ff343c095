"""What deploy/ has is what the jobs take: commands that parse, fields that KubeRay knows, metrics that there are."""

import ast
import importlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from jobs import config, night, session
from mnist_batch.pipeline import metrics
from tests.support import ROOT

MANIFESTS = [path for path in sorted((ROOT / "deploy").glob("*.yaml")) if path.name != "cluster-aws.yaml"]

# What the manifests use of the definitions that KubeRay 1.6 publishes (helm-chart/kuberay-operator/crds); nothing else.
TEXT, WHOLE, YES_NO = {"type": "string"}, {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
TEMPLATE = {"type": "object"}  # a pod's, which the schemas of Kubernetes check


def fields(required: str, **of: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object that has these fields and no others."""
    return {"type": "object", "properties": of, "required": required.split(), "additionalProperties": False}


WORKERS = fields(
    "groupName template",
    groupName=TEXT, replicas=WHOLE, minReplicas=WHOLE, maxReplicas=WHOLE, rayStartParams=TEXTS, template=TEMPLATE,
)  # fmt: skip
RAY_CLUSTER = fields(
    "headGroupSpec rayVersion",
    rayVersion=TEXT,
    authOptions=fields("mode", mode={"enum": ["disabled", "token"]}),
    headGroupSpec=fields("template", rayStartParams=TEXTS, template=TEMPLATE),
    workerGroupSpecs={"type": "array", "items": WORKERS},
)
RAY_JOB = fields(
    "entrypoint rayClusterSpec",
    entrypoint=TEXT,
    shutdownAfterJobFinishes=YES_NO,
    ttlSecondsAfterFinished=WHOLE,
    backoffLimit=WHOLE,
    rayClusterSpec=RAY_CLUSTER,
)
SPECS = {"RayJob": RAY_JOB, "RayCronJob": fields("jobTemplate schedule", schedule=TEXT, jobTemplate=RAY_JOB)}


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
    jsonschema.validate(document["spec"], SPECS[document["kind"]])
    spec = document["spec"].get("jobTemplate", document["spec"])
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert all(group["minReplicas"] <= group["replicas"] <= group["maxReplicas"] for group in groups(document)[1:])
    containers = [one for group in groups(document) for one in group["template"]["spec"]["containers"]]
    assert len({container["image"] for container in containers}) == 1
    locked = re.search(r"^ray(?:\[[^]]*\])?==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked
    assert cluster["rayVersion"] == locked[1]


def groups(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The head of a document of KubeRay, and its groups of workers."""
    cluster = document["spec"].get("jobTemplate", document["spec"])["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


@pytest.mark.parametrize("document", documents())
def test_everything_of_kubernetes_is_as_its_published_schemas_say(document: dict[str, Any]) -> None:
    parts = [document]
    if document["apiVersion"].startswith("ray.io/"):
        pods = [{"template": group["template"]} for group in groups(document)]
        parts = [{"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}} | pod for pod in pods]
    for part in parts:
        kubernetes_validate.validate(part, kubernetes_validate.latest_version(), strict=True)
        pod = part.get("template") or part.get("spec", {}).get("jobTemplate", {}).get("spec", {}).get("template")
        if pod:
            pod["spec"]["containers"][0]["no_such_field"] = 1
            with pytest.raises(kubernetes_validate.ValidationError, match="no_such_field"):
                kubernetes_validate.validate(part, kubernetes_validate.latest_version(), strict=True)


def test_the_command_for_other_schedulers_is_one_that_its_job_takes() -> None:
    lines = re.findall(r"^    (night = .*)$", (ROOT / "docs/cluster.md").read_text(), re.MULTILINE)
    assert [re.findall("BashOperator|dagster", line)[0] for line in lines] == ["BashOperator", "dagster"]
    for line in lines:
        texts = [node.value for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Constant)]
        words = [word for text in texts if isinstance(text, str) for word in shlex.split(text)]
        command = words[words.index("mnist-batch") :]
        assert command == ["mnist-batch", "night", "--config", "/srv/night.toml"]
        assert night._parser().parse_args(command[2:]).config == "/srv/night.toml"


def test_a_submitted_job_takes_every_module_along() -> None:
    """Patterns of .rayignore are git's: ``models/`` without a slash before it is a folder anywhere."""
    modules = [str(path.relative_to(ROOT)) for room in ("mnist_batch", "jobs") for path in (ROOT / room).rglob("*.py")]
    assert len(modules) > 200
    git = ["git", "-c", f"core.excludesFile={ROOT / '.rayignore'}", "check-ignore", "--no-index", "--stdin"]
    done = subprocess.run(git, input="\n".join(modules), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 1), done.stderr  # 1: it ignores none


def test_the_image_has_what_the_build_needs() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = " ".join(re.findall(r"^COPY (.+) \S+$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)).split()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"pyproject.toml", "requirements.lock", project["readme"], *project["license-files"]} <= set(copied)
    for name in copied:
        assert (ROOT / name.rstrip("/")).exists()
        assert f"!{name.rstrip('/')}" in ignored


def test_the_image_is_built_as_hadolint_wants() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    command = [str(hadolint), "--no-color", "--disable-ignore-pragma", str(ROOT / "deploy/Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana.json").read_text())
    asked = set(re.findall(r"ray_(mnist_batch_\w+)", json.dumps(dashboard)))
    assert asked == {f"{name}_total" for name in metrics.COUNTERS} | set(metrics.GAUGES)
