"""Ray clusters as docs/cluster.md starts them: a head with a token, and workers that do not see all of its disk."""

import contextlib
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.support import ROOT
from tests.support.network import Listener
from tests.support.waiting import until

RAY = str(Path(sys.executable).parent / "ray")
TOKEN = "0123456789abcdef0123456789abcdef"


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


@contextlib.contextmanager
def started(folder: Path, proxy: Listener, alone: bool, cpus: int = 2) -> Iterator[dict[str, str]]:
    """A head as docs/cluster.md starts it, on ports of its own; the environment of its clients.

    One that is ``alone`` keeps to the loopback interface, and no other node can join it.
    """
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    dashboard, own_folder = free_port(), short_folder(folder)
    exports, line = documented(r"^    export (RAY_.*)$"), documented(r"^    (.*ray start --head .*)$")
    *assignments, ray, start, is_head = shlex.split(line)[: -len(LOOPBACK)]
    assert (ray, start, is_head) == ("ray", "start", "--head")
    assert tuple(shlex.split(line)[-len(LOOPBACK) :]) == LOOPBACK
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= dict(one.split("=", 1) for one in shlex.split(exports)) | {"RAY_AUTH_TOKEN_PATH": str(token)}
    environment["PATH"] = f"{Path(RAY).parent}:{environment['PATH']}"  # as in an activated .venv
    names = ("--port", "--ray-client-server-port", "--dashboard-agent-listen-port", "--metrics-export-port")
    ports = {"--dashboard-port": dashboard} | {name: free_port() for name in names}
    command = [RAY, start, is_head, *(LOOPBACK if alone else LOOPBACK[1:]), "--block", f"--num-cpus={cpus}"]
    command += [f"--temp-dir={own_folder}", *(f"{flag}={port}" for flag, port in ports.items())]
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
        facts |= {"FOLDER": own_folder, "METRICS": f"http://127.0.0.1:{ports['--metrics-export-port']}/metrics"}
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


@contextlib.contextmanager
def worker(head: dict[str, str], hidden: Sequence[Path]) -> Iterator[int]:
    """One more node of the cluster, to which some folders are empty: it does not share them with the driver.

    Yields the process from which all others of the node descend.
    """
    names = ("--dashboard-agent-listen-port", "--metrics-export-port", "--node-manager-port", "--object-manager-port")
    ports = " ".join(f"{name}={free_port()}" for name in names)
    # Ray's own folder has the name that the head gave it, and is another folder on each node.
    folder = Path(head["FOLDER"]).resolve()
    hide = "".join(f"mount -t tmpfs none {shlex.quote(str(each))} && " for each in hidden)
    start = f"mkdir -p {shlex.quote(str(folder))} && exec {RAY} start --address=127.0.0.1:{head['GCS']} --block"
    before = alive(head)
    with (folder.parent / f"worker-{secrets.token_hex(2)}.log").open("w") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", f"{hide}{start} --num-cpus=2 {ports}"],
            env=head | {"RAY_AUTH_TOKEN": TOKEN},  # its file may be in a hidden folder
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until(lambda: alive(head) > before, "the node joins", process)
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def alive(head: dict[str, str]) -> int:
    """How many nodes the cluster has."""
    count = "import ray; ray.init('auto', log_to_driver=False); print('alive:', sum(n['Alive'] for n in ray.nodes()))"
    environment = head | {"RAY_ADDRESS": f"127.0.0.1:{head['GCS']}"}
    command = [sys.executable, "-c", count]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
    found = re.search(r"alive: (\d+)", told)  # Ray prints there, too
    return int(found[1]) if found else 0
