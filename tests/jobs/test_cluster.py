"""cluster.yaml is one that ``ray up`` accepts, and a submitted job ends as its exit code says."""

import contextlib
import json
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from tests.support import ROOT
from tests.support.network import Listener, is_loopback
from tests.support.processes import family
from tests.support.waiting import until

RAY = str(Path(sys.executable).parent / "ray")


@pytest.mark.parametrize("name", ["cluster.yaml", "deploy/cluster-aws.yaml"])
def test_cluster_yaml_is_valid_for_ray_up(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((ROOT / name).read_text())
    validate_config(prepare_config(config))
    with pytest.raises(Exception, match="Additional properties|additionalProperties|is not valid|unexpected"):
        validate_config(prepare_config(config | {"no_such_key": 1}))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


LOOPBACK = ("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1")


def documented(pattern: str) -> str:
    """The line of docs/cluster.md that matches."""
    found = re.search(pattern, (ROOT / "docs/cluster.md").read_text(), re.MULTILINE)
    assert found, pattern
    return found[1]


@pytest.fixture(scope="module")
def proxy() -> Iterator[Listener]:
    """What the head would ask of other machines is asked here."""
    with Listener() as listener:
        yield listener


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory, proxy: Listener) -> Iterator[dict[str, str]]:
    """A head as docs/cluster.md starts it on one machine; the environment of its clients."""
    with started(tmp_path_factory.mktemp("head"), proxy, alone=True) as environment:
        yield environment


@contextlib.contextmanager
def started(folder: Path, proxy: Listener, alone: bool) -> Iterator[dict[str, str]]:
    """A head as docs/cluster.md starts it, on ports of its own; the environment of its clients.

    One that is ``alone`` keeps to the loopback interface, and no other node can join it.
    """
    token = folder / "token"
    token.write_text("0123456789abcdef0123456789abcdef")
    token.chmod(0o600)
    dashboard = free_port()
    exports, line = documented(r"^    export (RAY_.*)$"), documented(r"^    (.*ray start --head .*)$")
    *assignments, ray, start, is_head = shlex.split(line)[: -len(LOOPBACK)]
    assert (ray, start, is_head) == ("ray", "start", "--head")
    assert tuple(shlex.split(line)[-len(LOOPBACK) :]) == LOOPBACK
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= dict(one.split("=", 1) for one in shlex.split(exports)) | {"RAY_AUTH_TOKEN_PATH": str(token)}
    environment["PATH"] = f"{Path(RAY).parent}:{environment['PATH']}"  # as in an activated .venv
    names = ("--port", "--ray-client-server-port", "--dashboard-agent-listen-port", "--metrics-export-port")
    ports = {"--dashboard-port": dashboard} | {name: free_port() for name in names}
    command = [RAY, start, is_head, *(LOOPBACK if alone else LOOPBACK[1:]), "--block", "--num-cpus=2"]
    command += [f"--temp-dir={short_folder(folder)}", *(f"{flag}={port}" for flag, port in ports.items())]
    (folder / "ray_bootstrap_config.yaml").touch()  # as the page says
    own = environment | {"HOME": str(folder)}
    own |= dict(one.split("=", 1) for one in assignments) if alone else {}
    own |= {"HTTP_PROXY": proxy.url, "HTTPS_PROXY": proxy.url, "NO_PROXY": "127.0.0.1,localhost"}
    own |= {name.lower(): value for name, value in own.items() if name.endswith("_PROXY")}
    with (folder / "head.log").open("w") as log:
        process = subprocess.Popen(command, env=own, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{dashboard}"
    try:
        # What submits a job takes seconds of CPU to find out that no dashboard listens.
        until(lambda: answers(dashboard), "the head's dashboard listens", process)
        ready = [RAY, "job", "submit", "--address", address, "--", "true"]
        # A head takes jobs some seconds after it answers, and says so only by taking one.
        takes = partial(subprocess.run, ready, env=environment, capture_output=True, check=False)
        until(lambda: takes().returncode == 0, "the head takes a job", process)
        facts = {"RAY_API_SERVER_ADDRESS": address, "HEAD": str(process.pid), "GCS": str(ports["--port"])}
        yield environment | facts
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def short_folder(folder: Path) -> str:
    """Ray puts sockets below its folder, whose names may not be long."""
    link = Path(f"/tmp/mb-{os.getpid()}-{secrets.token_hex(2)}")
    link.unlink(missing_ok=True)
    (folder / "ray").mkdir()
    link.symlink_to(folder / "ray")
    return str(link)


def submitted(head: dict[str, str], scans: Path, model: str, out: Path) -> tuple[int, str]:
    """The command of docs/cluster.md with these paths, from the project's folder."""
    line = documented(r"^    (ray job submit .*)$")
    line = line.replace("/data/scans", str(scans)).replace("/data/models/hidden", model)
    arguments = shlex.split(line.replace("/data/out", str(out)))
    done = subprocess.run([RAY, *arguments[1:]], cwd=ROOT, env=head, capture_output=True, text=True, check=False)
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
def test_a_submitted_job_that_is_stopped_says_so_in_its_last_line(
    head: dict[str, str], scans_folder: Callable[..., Path], ruler: str, tmp_path: Path
) -> None:
    (tmp_path / "read scan-0005.png").write_text("hold")
    variables = json.dumps({"env_vars": {"MNIST_BATCH_FAILPOINTS": str(tmp_path), "PYTHONPATH": str(ROOT)}})
    job = ["python", "-m", "jobs.score", str(scans_folder(20)), "--model", ruler, "--out", str(tmp_path / "out")]
    submit = [RAY, "job", "submit", "--submission-id", "night", "--runtime-env-json", variables, "--", *job]
    client = subprocess.Popen(submit, cwd=ROOT, env=head, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until((tmp_path / "read scan-0005.png.fired").exists, "a process of the job reads the fifth scan", client)
    subprocess.run([RAY, "job", "stop", "night"], cwd=ROOT, env=head, capture_output=True, check=True)
    printed, _ = client.communicate()
    assert client.returncode == 0  # as docs/cluster.md warns
    told = [line for line in printed.splitlines() if line.startswith('{"status"')]
    assert told == [json.dumps({"status": "interrupted", "exit_code": 143})], printed
    assert "Connecting to existing Ray cluster" not in printed


@contextlib.contextmanager
def worker(head: dict[str, str], *hidden: Path) -> Iterator[None]:
    """A second node of the cluster, to which some folders are empty: it does not share them with the driver."""
    names = ("--dashboard-agent-listen-port", "--metrics-export-port", "--node-manager-port", "--object-manager-port")
    ports = " ".join(f"{name}={free_port()}" for name in names)
    hide = "".join(f"mount -t tmpfs none {shlex.quote(str(folder))} && " for folder in hidden)
    start = f"{RAY} start --address=127.0.0.1:{head['GCS']} --block --num-cpus=2 {ports}"
    with (hidden[0].parent / "worker.log").open("w") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", f"{hide} exec {start}"],
            env=head,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        count = "import ray; ray.init('auto', log_to_driver=False); print(sum(node['Alive'] for node in ray.nodes()))"
        environment = head | {"RAY_ADDRESS": f"127.0.0.1:{head['GCS']}"}
        asked = partial(
            subprocess.run, [sys.executable, "-c", count], env=environment, capture_output=True, text=True, check=False
        )
        until(lambda: asked().stdout.strip() == "2", "the node joins", process)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may hide a folder from a process")
def test_a_node_that_does_not_see_a_path_is_named_before_anything_is_scored(
    proxy: Listener, scans_folder: Callable[..., Path], ruler: str, tmp_path: Path
) -> None:
    scans, folder = scans_folder(50), tmp_path / "head"
    folder.mkdir()
    with started(folder, proxy, alone=False) as head, worker(head, scans):
        code, printed = submitted(head, scans, ruler, tmp_path / "out")
    assert code == 1
    assert re.search(r"SCANS: node [0-9.]+ of the cluster does not see .*png, which this job sees", printed), printed
    assert '"exit_code": 2' in printed
    assert not list((tmp_path / "out").rglob("run.json"))
