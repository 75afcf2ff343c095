"""cluster.yaml is one that ``ray up`` accepts, and a submitted job ends as its exit code says."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mnist_batch.models import likeness
from tests.support import ROOT, clusters, s3
from tests.support.network import Listener, is_loopback
from tests.support.processes import family
from tests.support.ruler import calibrated, picture_of
from tests.support.waiting import until


@pytest.mark.parametrize("name", ["cluster.yaml", "deploy/cluster-aws.yaml"])
def test_cluster_yaml_is_valid_for_ray_up(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((ROOT / name).read_text())
    validate_config(prepare_config(config))
    with pytest.raises(Exception, match="Additional properties|additionalProperties|is not valid|unexpected"):
        validate_config(prepare_config(config | {"no_such_key": 1}))


@pytest.fixture(scope="module")
def proxy() -> Iterator[Listener]:
    """What the head would ask of other machines is asked here."""
    with Listener() as listener:
        yield listener


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory, proxy: Listener) -> Iterator[dict[str, str]]:
    """A head as docs/cluster.md starts it on one machine; the environment of its clients."""
    with clusters.started(tmp_path_factory.mktemp("head"), proxy, alone=True) as environment:
        yield environment


def submitted(head: dict[str, str], scans: Path, model: str, out: Path) -> tuple[int, str]:
    """The command of docs/cluster.md with these paths, from the project's folder."""
    line = clusters.documented(r"^    (ray job submit .*)$")
    line = line.replace("/data/scans", str(scans)).replace("/data/models/hidden", model)
    arguments = shlex.split(line.replace("/data/out", str(out)))
    command = [clusters.RAY, *arguments[1:]]
    done = subprocess.run(command, cwd=ROOT, env=head, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.ray
def test_a_submitted_job_publishes_and_one_that_must_fail_is_failed(
    head: dict[str, str], scans_folder: Callable[..., Path], ruler: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, printed = submitted(head, scans_folder(50), ruler, out)
    assert code == 0, printed
    assert "succeeded" in printed
    predictions = pd.read_parquet(out / "predictions")
    assert len(predictions) == 50
    assert (predictions["status"] == "ok").sum() == 48
    [run] = (out / "runs").glob("*/run.json")
    assert json.loads(run.read_text())["totals"]["rows"] == 50

    code, printed = submitted(head, tmp_path / "nowhere", ruler, out)
    assert code == 1, printed
    assert "failed" in printed.lower()
    assert "SCANS: there is no file or folder" in printed
    assert '"exit_code": 2' in printed

    stranger = head | {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "no-token")}
    assert submitted(stranger, tmp_path, ruler, out)[0] != 0


@pytest.mark.ray
def test_the_head_listens_on_loopback_only_and_asks_no_other_machine_anything(
    head: dict[str, str], proxy: Listener
) -> None:
    listening = set()
    for process in family(int(head["HEAD"])):
        with contextlib.suppress(psutil.Error):  # it has ended since
            found = process.net_connections("inet")
            listening |= {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN}
    assert listening
    assert {ip for ip in listening if not is_loopback(ip)} == set()
    assert proxy.asked == []


@pytest.mark.ray
@pytest.mark.slow
def test_a_submitted_job_that_is_stopped_says_so_in_its_last_line(
    head: dict[str, str], scans_folder: Callable[..., Path], ruler: str, tmp_path: Path
) -> None:
    (tmp_path / "read scan-0005.png").write_text("hold")
    variables = json.dumps({"env_vars": {"MNIST_BATCH_FAILPOINTS": str(tmp_path), "PYTHONPATH": str(ROOT)}})
    job = ["python", "-m", "jobs.score", str(scans_folder(20)), "--model", ruler, "--out", str(tmp_path / "out")]
    submit = [clusters.RAY, "job", "submit", "--submission-id", "night", "--runtime-env-json", variables, "--", *job]
    client = subprocess.Popen(submit, cwd=ROOT, env=head, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until((tmp_path / "read scan-0005.png.fired").exists, "a process of the job reads the fifth scan", client)
    subprocess.run([clusters.RAY, "job", "stop", "night"], cwd=ROOT, env=head, capture_output=True, check=True)
    printed, _ = client.communicate()
    assert client.returncode == 0  # as docs/cluster.md warns
    told = [line for line in printed.splitlines() if line.startswith('{"status"')]
    assert told == [json.dumps({"status": "interrupted", "exit_code": 143})], printed
    assert "Connecting to existing Ray cluster" not in printed


def scraped(head: dict[str, str]) -> Counter[tuple[str, str]]:
    """What Prometheus would read of the jobs: the sum of each metric of all processes, by name and tag."""
    found = Counter[tuple[str, str]]()
    with urllib.request.urlopen(head["METRICS"]) as answer:
        for family in text_string_to_metric_families(answer.read().decode()):
            for sample in family.samples:
                tags = (sample.labels[name] for name in ("status", "stage", "what") if name in sample.labels)
                if sample.name.startswith("ray_mnist_batch_"):
                    found[sample.name, next(tags, "")] += sample.value
    return found


@pytest.mark.ray
@pytest.mark.slow
def test_the_metrics_of_a_job_are_what_its_run_says(
    head: dict[str, str], scans_folder: Callable[..., Path], ruler: str, tmp_path: Path
) -> None:
    scans, points, before = scans_folder(50), tmp_path / "points", scraped(head)
    sure = likeness.profile(np.stack([picture_of(3)] * 2_000), np.full(2_000, 0.9999), 2_000, 0)
    model = calibrated(ruler, tmp_path / "sure", profile=sure)  # no scan is as sure: they are unlike its calibration
    points.mkdir()
    (points / "read scan-0005.png").write_text("kill")
    with s3.store() as store:
        refusals = iter([503] * 3)  # of what is read before a part is written
        store.fault = lambda method, path: next(refusals, None) if (method == "GET" and "/attempt" in path) else None
        store.send("PUT", "/bucket")
        variables = s3.CREDENTIALS | {"AWS_ENDPOINT_URL": store.url, "MNIST_BATCH_FAILPOINTS": str(points)}
        command = [clusters.RAY, "job", "submit", "--working-dir", "."]
        command += ["--runtime-env-json", json.dumps({"env_vars": variables}), "--", "python", "-m", "jobs.score"]
        command += [str(scans), "--model", model, "--target-error", "0.005", "--run-id", "metrics"]
        command += ["--out", "s3://bucket/out"]
        job = subprocess.run(command, cwd=ROOT, env=head, capture_output=True, text=True, check=False)
        assert job.returncode == 0, job.stdout
        [line] = [json.loads(line) for line in job.stdout.splitlines() if line.startswith('{"status"')]
        totals = json.loads(store.send("GET", "/bucket/out/runs/metrics/run.json"))["totals"]
    assert (line["rows"], line["unlike"], sum(totals["statuses"].values())) == (50, True, 50)

    def told() -> dict[tuple[str, str], float]:
        return {name: value - before[name] for name, value in scraped(head).items()}

    exact = {("ray_mnist_batch_rows_total", status): rows for status, rows in totals["statuses"].items()}
    exact |= {("ray_mnist_batch_retries_total", "request"): 3, ("ray_mnist_batch_retries_total", "scan"): 50}
    exact |= {("ray_mnist_batch_bytes_total", ""): sum(path.stat().st_size for path in scans.rglob("*.png"))}
    exact |= {("ray_mnist_batch_shards_total", ""): 1, ("ray_mnist_batch_unlike", ""): 1}
    until(lambda: exact.items() <= told().items(), f"the metrics say {exact}")
    found = told()
    assert found["ray_mnist_batch_seconds_total", "read"] > 0
    assert found["ray_mnist_batch_seconds_total", "classify"] > 0
    asked = set(re.findall(r"ray_mnist_batch_\w+", (ROOT / "deploy/grafana.json").read_text()))
    assert asked == {name for name, _ in found}


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may hide a folder from a process")
def test_a_node_that_does_not_see_a_path_is_named_before_anything_is_scored(
    proxy: Listener, scans_folder: Callable[..., Path], ruler: str, tmp_path: Path
) -> None:
    scans, folder = scans_folder(50), tmp_path / "head"
    folder.mkdir()
    with clusters.started(folder, proxy, alone=False) as head, clusters.worker(head, [scans]):
        code, printed = submitted(head, scans, ruler, tmp_path / "out")
    assert code == 1
    assert re.search(r"SCANS: node [0-9.]+ of the cluster does not see .*png, which this job sees", printed), printed
    assert '"exit_code": 2' in printed
    assert not list((tmp_path / "out").rglob("run.json"))
