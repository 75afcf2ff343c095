"""What a Ray of a job's own lets in, and what a job lets out."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mnist_batch import locations
from mnist_batch.errors import InputError
from tests.conftest import write_scan

pytestmark = pytest.mark.ray

LISTENING = """
import os
from contextlib import suppress
from benchmarks.processes import descendants
from jobs import session

session.connect(None)
import ray
ray.get(ray.remote(lambda: 1).remote())
ours = set()
for process, _ in descendants(os.getpid()):
    with suppress(OSError):  # what has ended since
        for name in os.listdir(f"/proc/{process}/fd"):
            with suppress(OSError):
                ours.add(os.readlink(f"/proc/{process}/fd/{name}"))
for file in ("tcp", "tcp6"):
    for line in open(f"/proc/net/{file}").read().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == "0A" and f"socket:[{inode}]" in ours:
            print("address", local.partition(":")[0])
print("authentication", os.environ["RAY_AUTH_MODE"])
print("mode", oct(os.stat(os.path.expanduser("~/.ray/auth_token")).st_mode & 0o777))
"""
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}


def test_a_local_ray_listens_on_loopback_only_and_asks_for_a_token(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LISTENING], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    addresses = {value for what, value in told if what == "address"}
    assert addresses
    assert addresses <= LOOPBACK
    assert ["authentication", "token"] in told
    assert ["mode", "0o600"] in told


def test_secrets_of_the_environment_and_of_names_reach_nothing_that_is_kept(
    scans_folder: Callable[..., Path], ruler: str, tmp_path: Path
) -> None:
    """Searched for in what is printed, in all that is published and staged, and in the logs of Ray's session."""
    secret = "canary-5f0e1d2c"
    (tmp_path / "in").mkdir()
    write_scan(scans_folder(30) / "\x1b[31mred\n.png", 1)
    command = [sys.executable, "-m", "jobs.score", "scans", "--model", ruler, "--out", "out"]
    temporary = Path(f"/tmp/mb-{os.getpid()}-logs")  # the names of Ray's sockets may not be long
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ
        | {"AWS_SECRET_ACCESS_KEY": secret, "DATABASE_PASSWORD": secret, "RAY_TMPDIR": str(temporary)}
        | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    kept = [path for folder in (tmp_path / "out", temporary) for path in folder.rglob("*") if path.is_file()]
    assert any(path.name.startswith("raylet") for path in kept)
    assert any(path.name == "run.json" for path in kept)
    assert [path for path in kept if secret.encode() in path.read_bytes()] == []
    assert secret not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "location",
    [
        "s3://AKIA:hunter2@bucket/scans",
        "s3://AKIA:abc/hunter2+x@bucket/scans",
        "gs://bucket/x?sig=hunter2",
        "s3://bucket/scans?region=eu-west-1&secret_key=hunter2",
        "abfs://account@container/scans?sas_token=hunter2",
    ],
)
def test_a_location_with_a_secret_is_refused_without_telling_it(location: str) -> None:
    with pytest.raises(InputError, match="it may hold no secret") as refusal:
        locations.resolve(location)
    assert "hunter2" not in str(refusal.value)
