"""What a Ray of a job's own lets in, what a job lets out, what it leaves behind, and how it ends."""

import contextlib
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from jobs import cluster, session
from mnist_batch import background
from mnist_batch.errors import BooksError, InputError, JobError, StorageError
from mnist_batch.store import locations
from tests.support import ROOT
from tests.support.network import Listener, is_loopback
from tests.support.processes import family
from tests.support.ruler import write_scan
from tests.support.waiting import until

pytestmark = pytest.mark.long

LISTENING = """
import os
from contextlib import suppress
from tests.support.processes import descendants
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
            address, _, port = local.partition(":")
            print("address", address)
            print("port", int(port, 16))
print("authentication", os.environ["RAY_AUTH_MODE"])
print("mode", oct(os.stat(os.path.expanduser("~/.ray/auth_token")).st_mode & 0o777))
"""
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}


@pytest.mark.ray
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
    assert ["port", "52365"] not in told  # of the agent of a cluster that is begun on this machine meanwhile
    assert ["authentication", "token"] in told
    assert ["mode", "0o600"] in told


@pytest.mark.ray
def test_secrets_of_the_environment_and_of_names_reach_nothing_that_is_kept(
    scans_folder: Callable[..., Path], ruler: str, tmp_path: Path
) -> None:
    """Searched for in what is printed, in all that is published and staged, and in the logs that a fault leaves."""
    secret = "canary-5f0e1d2c"
    (tmp_path / "in").mkdir()
    write_scan(scans_folder(30) / "\x1b[31mred\n.png", 1)
    (tmp_path / "points").mkdir()
    (tmp_path / "points/write night_run.json").write_text("io_error")
    command = [sys.executable, "-m", "jobs.score", "scans", "--model", ruler, "--out", "out", "--run-id", "night"]
    command += ["--address", "local"]
    with short_folder() as temporary:
        environment = os.environ | {"AWS_SECRET_ACCESS_KEY": secret, "DATABASE_PASSWORD": secret}
        environment |= {"RAY_TMPDIR": str(temporary), "MNIST_BATCH_FAILPOINTS": str(tmp_path / "points")}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *sys.path])
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 5, done.stderr
        told = re.search(r"Ray's processes have logged is kept in (\S+) for a week", done.stderr)
        assert told
        assert Path(told[1]).parent == temporary
        assert Path(told[1]).stat().st_mode & 0o777 == 0o700
        kept = [path for folder in (tmp_path / "out", temporary) for path in folder.rglob("*") if path.is_file()]
        assert any(path.name.startswith("raylet") for path in Path(told[1]).rglob("*"))
        assert any(path.name == "opened.json" for path in kept)
        assert [path for path in kept if secret.encode() in path.read_bytes()] == []
        assert [path.name for path in temporary.iterdir()] == [Path(told[1]).name]  # the logs, and nothing else

        again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        assert [path.name for path in temporary.iterdir()] == [Path(told[1]).name]
    assert "\x1b" not in done.stdout + done.stderr + again.stdout + again.stderr
    published = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert any(path.name == "run.json" for path in published)
    assert [path for path in published if secret.encode() in path.read_bytes()] == []
    assert secret not in done.stdout + done.stderr + again.stdout + again.stderr


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose name is short enough for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/tmp") as folder:
        yield Path(folder)


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


ONE_RAY = """
import sys
from jobs import cluster, score, session, train
session.connect(None)
code = train.main("--model linear --epochs 1 --workers 1 --out out/model".split())
code = code or score.main("scans --model out/model --out out".split())
cluster.stop()
sys.exit(code)
"""
NAMED_IN_HOME = {".ray/auth_token", ".keras/keras.json"}  # and the list of fonts; docs/reliability.md


@pytest.mark.ray
def test_nothing_leaves_this_machine_and_nothing_stays_on_it(tmp_path: Path) -> None:
    """Training and scoring, with a home, a temporary folder and a current one to themselves."""
    for number in range(12):
        write_scan(tmp_path / f"work/scans/{number}.png", number % 10)
    (tmp_path / "home").mkdir()
    own = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "ORT_", "RAY_", "XDG_", "KERAS", "MPL")
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(own)}
    with short_folder() as temporary, Listener() as proxy:
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), proxy.url)
        environment |= proxies | {name.lower(): url for name, url in proxies.items()}
        environment |= {"HOME": str(tmp_path / "home"), "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
        with (tmp_path / "said").open("w") as said:
            job = subprocess.Popen(
                [sys.executable, "-c", ONE_RAY], cwd=tmp_path / "work", env=environment, stdout=said, stderr=said
            )
            strangers, looks = set(), 0
            while job.poll() is None:
                strangers |= connected_elsewhere(job.pid)
                looks += 1
                time.sleep(0.2)  # between two looks: without a pause they would take a core
        assert job.returncode == 0, (tmp_path / "said").read_text()
        assert looks > 10
        assert strangers == set()
        assert proxy.asked == []
        home = {str(path.relative_to(tmp_path / "home")) for path in (tmp_path / "home").rglob("*") if path.is_file()}
        assert ".ray/auth_token" in home
        assert {name for name in home - NAMED_IN_HOME if not name.startswith(".cache/matplotlib/fontlist-")} == set()
        assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["out", "scans"]
        assert list(temporary.rglob("*")) == []


def connected_elsewhere(job: int) -> set[str]:
    """The addresses of other machines that a process of the job has a connection with, or is asking for one."""
    ours = {process.pid for process in family(job)}
    # Of the whole machine in one look, which takes a seventh of one into each process.
    found = {(one.type, one.raddr.ip) for one in psutil.net_connections("inet") if one.raddr and one.pid in ours}
    # Ray asks the kernel which address would be used to get there, and sends nothing.
    found.discard((socket.SOCK_DGRAM, "8.8.8.8"))
    return {ip for _, ip in found if not is_loopback(ip)}


def test_every_process_that_imports_the_package_has_telemetry_off_unless_its_user_says_otherwise() -> None:
    code = "import mnist_batch, os; print(os.environ['ORT_DISABLE_TELEMETRY'], os.environ['RAY_USAGE_STATS_ENABLED'])"
    off = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "RAY_"))}
    for environment, said in (
        (off, "1 0"),
        (off | {"RAY_USAGE_STATS_ENABLED": "1", "ORT_DISABLE_TELEMETRY": ""}, " 1"),
    ):
        told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert told.stdout == f"{said}\n"


def test_a_folder_too_long_for_sockets_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("y" * 101)
    long.mkdir()
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(long))
    assert cluster._short_folder() == Path("/tmp")
    monkeypatch.setattr("tempfile.tempdir", "/var/tmp")
    assert cluster._short_folder() == Path("/var/tmp")
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    with pytest.raises(InputError, match=r"RAY_TMPDIR is /.*y, \d{3} bytes long; .*choose a shorter one"):
        cluster._short_folder()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://127.0.0.1:8265", "is where jobs are submitted to"),
        ("https://head.example", "is where jobs are submitted to"),
        ("nonsense", "is no address; give auto, or HOST:PORT"),
        ("head:port", "is no address; give auto, or HOST:PORT"),
        pytest.param("", "is a variable unset?", id="empty"),
    ],
)
@pytest.mark.parametrize("given", ["flag", "environment"])
def test_an_address_that_no_job_can_join_is_refused_before_anything_begins(
    address: str, told: str, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from jobs import score, train

    monkeypatch.chdir(tmp_path)
    flags = ["--address", address]
    if given == "environment" and address:  # where it is empty, it is not set
        monkeypatch.setenv("RAY_ADDRESS", address)
        flags = []
    for job, arguments in ((score, ["scans"]), (train, ["--out", "model"])):
        with pytest.raises(SystemExit) as end:
            job.main([*arguments, *flags])
        assert end.value.code == 2
        summary = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert told in summary["error"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [InputError, StorageError, BooksError])
def test_a_mistake_found_by_an_actor_is_told_in_its_own_sentence(
    shared_ray: None, kind: type[JobError], capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    sentence = "part 3 is not what was written: mend it"
    of_rays = "\nFailed to execute map task after 1/1 attempts (total backoff 0.0s).\nTo change retry attempts, ..."

    class Actor:
        def fail(self) -> None:
            raise kind(sentence + of_rays)  # Ray Data adds it where a task of its fails

    def work() -> Any:
        ray.get(ray.remote(Actor).remote().fail.remote())

    code = session.run(work)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"status": "failed", "exit_code": code, "error": sentence}
    assert code == kind.exit_code
    assert "ray::" not in printed.err


@pytest.mark.ray
def test_a_mistake_found_by_a_worker_of_a_training_is_known() -> None:
    """As Ray Train hands it on: by rank, each with a trace."""
    from ray.train import ControllerError, WorkerGroupError
    from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

    mistake = InputError("--data nowhere: no scans")
    told = UserExceptionWithTraceback(mistake, "a long trace")
    assert session._known(WorkerGroupError("rank 0 failed", {0: told})) is mistake
    assert session._known(ControllerError(WorkerGroupError("rank 0 failed", {1: told}))) is mistake
    assert session._known(ControllerError(ValueError("a fault"))) is None
    local = BooksError("the rows are not the scans listed")
    local.__cause__ = mistake
    assert session._known(local) is local


def ended(code: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    """A job in a process of its own, whose work is this function body."""
    program = (
        f"import sys\nfrom jobs import session\nfrom mnist_batch.errors import InputError\ndef work():\n    {code}\n"
    )
    command = [sys.executable, "-c", f"{program}sys.exit(session.run(work))"]
    return subprocess.run(command, text=True, check=False, cwd=ROOT, **streams)


def test_what_nobody_reads_any_more_does_not_change_how_a_job_ends() -> None:
    """As after ``| head -1`` and ``2>&1 | head -1``."""
    read, write = os.pipe()
    os.close(read)
    code = "print('x' * 100_000, flush=True); print(1, file=sys.stderr, flush=True); return {}"
    for streams in ({"stdout": write, "stderr": subprocess.PIPE}, {"stdout": write, "stderr": write}):
        done = ended(code, **streams)
        assert (done.returncode, done.stderr) in [(0, "1\n"), (0, None)]
    failed = ended("raise InputError('no')", stdout=write, stderr=subprocess.PIPE)
    assert (failed.returncode, failed.stderr.count("no")) == (2, 1)
    os.close(write)


def test_each_line_of_the_log_is_an_object_where_that_is_asked_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.discard", "--out", str(tmp_path), "--run", "typo", "--log-format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["logger"]) for line in said] == [("error", "mnist_batch")]
    assert said[0]["message"] == json.loads(done.stdout)["error"]
    assert datetime.datetime.fromisoformat(said[0]["at"]).utcoffset() == datetime.timedelta()


def test_an_error_is_told_once_in_each_place() -> None:
    code = "raise InputError('SCANS: nothing there')"
    apart = ended(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert apart.stderr.count("nothing there") == 1
    assert json.loads(apart.stdout)["error"] == "SCANS: nothing there"
    together = ended(code, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert json.loads(together.stdout)["error"] == "SCANS: nothing there"
    usage = [sys.executable, "-m", "jobs.score", "--no-such-flag"]
    for streams, count in ((subprocess.PIPE, 1), (subprocess.STDOUT, 1)):
        done = subprocess.run(usage, cwd=ROOT, stdout=subprocess.PIPE, stderr=streams, text=True, check=False)
        assert done.stdout.count("--no-such-flag") == count
        assert (done.stderr or "").count("--no-such-flag") in (0, 1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_decides_the_exit_code_and_the_last_line(number: int, code: int) -> None:
    """Whatever the work makes of it on its way out."""
    program = "import os, signal\nfrom jobs import session\ndef work():\n    os.write(1, b'at work\\n')\n"
    for wait in ("signal.pause()", "try: signal.pause()\n    finally: 1 / 0"):
        command = [sys.executable, "-c", f"{program}    {wait}\nsession.leave(lambda: session.run(work))"]
        job = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert job.stdout is not None
        assert job.stderr is not None
        assert job.stdout.readline() == "at work\n"
        job.send_signal(number)
        said = job.stdout.read(), job.stderr.read()
        assert (job.wait(), *said) == (code, f'{{"status": "interrupted", "exit_code": {code}}}\n', "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_a_job_is_imported_ends_it_as_later_ones_do(number: int, code: int) -> None:
    command, pipe = [sys.executable, "-m", "jobs.score", "--help"], subprocess.PIPE
    job = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
    until(lambda: "numpy" in Path(f"/proc/{job.pid}/maps").read_text(), "a module is imported", job)
    job.send_signal(number)
    said = job.communicate()
    assert (job.returncode, *said) == (code, f'{{"status": "interrupted", "exit_code": {code}}}\n', "")


@pytest.mark.ray
@pytest.mark.parametrize(
    ("signals", "pause_seconds", "code", "flags"),
    [
        ((signal.SIGINT, signal.SIGINT), 1.0, 130, ["--address", "local"]),
        ((signal.SIGTERM,), 0.0, 143, []),
        pytest.param((signal.SIGINT, signal.SIGINT), 0.2, 130, [], marks=pytest.mark.slow),
        pytest.param((signal.SIGINT, signal.SIGINT), 0.2, 130, ["--address", "local"], marks=pytest.mark.slow),
        pytest.param((signal.SIGTERM, signal.SIGINT), 0.2, 143, ["--address", "local"], marks=pytest.mark.slow),
        pytest.param((signal.SIGINT, signal.SIGTERM), 0.0, 130, ["--address", "local"], marks=pytest.mark.slow),
        pytest.param((signal.SIGTERM,), 0.0, 143, ["--address", "local"], marks=pytest.mark.slow),
    ],
)
def test_a_job_that_is_interrupted_says_so_and_leaves_nothing_behind(
    signals: tuple[int, ...],
    pause_seconds: float,
    code: int,
    flags: list[str],
    scans_folder: Callable[..., Path],
    ruler: str,
    tmp_path: Path,
) -> None:
    """In the midst of a shard, with a Ray or without, and a folder for temporary files too long for Ray's sockets."""
    points, temporary = tmp_path / "points", tmp_path / ("y" * 101)
    points.mkdir()
    temporary.mkdir()
    (points / "read scan-0005.png").write_text("hold")
    command = [sys.executable, "-m", "jobs.score", str(scans_folder(20)), "--model", ruler, "--out", "out", *flags]
    environment = os.environ | {"MNIST_BATCH_FAILPOINTS": str(points), "TMPDIR": str(temporary)}
    environment["PYTHONPATH"] = str(ROOT)
    environment.pop("RAY_TMPDIR", None)
    job = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until((points / "read scan-0005.png.fired").exists, "a process of the job reads the fifth scan", job)
    folders = {Path(one) for one in re.findall(rf"/tmp/{cluster.FOLDER}\w+", " ".join(all_commands(job.pid)))}
    assert [folder.is_dir() for folder in folders] == [True] * bool(flags)
    begun = family(job.pid)
    for number in signals:
        job.send_signal(number)
        time.sleep(pause_seconds)  # what is tried: a second signal so long after the first
    stdout, stderr = job.communicate()
    assert (job.returncode, stdout.splitlines()) == (
        code,
        [json.dumps({"status": "interrupted", "exit_code": code})],
    ), stderr
    assert [line for line in stderr.splitlines() if not re.match(r"\d\d:\d\d:\d\d (run|scored) ", line)] == []
    assert not any(folder.exists() for folder in folders)
    assert psutil.wait_procs(begun, timeout=30)[1] == []
    assert list(temporary.iterdir()) == []


@pytest.mark.ray
@pytest.mark.slow
def test_a_training_that_is_interrupted_says_so_and_goes_on_when_begun_again(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.train", "--model", "linear", "--epochs", "30", "--workers", "1"]
    with short_folder() as temporary:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
        job = subprocess.Popen(
            [*command, "--out", str(tmp_path / "model")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert job.stderr is not None
        first = next(line for line in job.stderr if "epoch 2 of 30" in line)
        job.send_signal(signal.SIGINT)
        stdout, stderr = job.communicate()
        assert (job.returncode, stdout.splitlines()) == (130, ['{"status": "interrupted", "exit_code": 130}']), stderr
        assert [line for line in stderr.splitlines() if not re.search(r" epoch \d+ of 30: ", line)] == [], first
        assert list(temporary.iterdir()) == []
        again = subprocess.run(
            [*command, "--out", str(tmp_path / "model")], env=environment, capture_output=True, text=True, check=False
        )
        assert again.returncode == 0, again.stderr
        assert "epoch 1 of 30" not in again.stderr


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("process", ["gcs_server", "raylet/raylet"])
def test_an_interrupt_while_ray_starts_is_obeyed(
    number: int, code: int, process: str, scans_folder: Callable[..., Path], ruler: str, tmp_path: Path
) -> None:
    """When the first, or the last, of Ray's processes is there."""
    command = [sys.executable, "-m", "jobs.score", str(scans_folder(20)), "--model", ruler, "--out", "out"]
    command += ["--address", "local"]
    with short_folder() as temporary:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(temporary)}
        job = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        until(lambda: any(process in one for one in all_commands(job.pid)), f"Ray starts {process}", job)
        others = family(job.pid)[1:]
        job.send_signal(number)
        stdout, stderr = job.communicate()
        assert (job.returncode, json.loads(stdout)["exit_code"]) == (code, code), stderr
        assert "Traceback" not in stderr
        psutil.wait_procs(others, timeout=60)
        assert not [one for one in others if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        assert list(temporary.iterdir()) == []


def all_commands(job: int) -> list[str]:
    commands = []
    for process in family(job):
        with contextlib.suppress(psutil.Error):
            commands += process.cmdline()
    return commands


def test_a_ray_that_does_not_start_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def fails(*_: Any, **__: Any) -> None:
        raise Exception("The current node timed out during startup. This could happen because")  # as Ray 2.60 does

    monkeypatch.setattr(ray, "init", fails)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # other tests of this process have a Ray
    with pytest.raises(JobError, match=r"\(The current node timed out during startup\); look whether it is too busy"):
        cluster.connect(None)
    kept = cluster._own
    assert kept is not None
    cluster.stop()
    assert not kept[0].exists()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_does_not_wait_for_a_ray_that_is_starting(interrupt: type[BaseException]) -> None:
    begun, end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        end.wait(60)
        ended.set()

    def interrupted() -> None:
        with background.in_background(work, after_seconds=0):
            begun.wait()
            raise interrupt

    with pytest.raises(interrupt):
        interrupted()
    assert not ended.is_set()
    end.set()


def test_a_cluster_of_this_machine_that_is_gone_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    # Ray keeps the address of the last cluster in a file; others that run on this machine would come first.
    monkeypatch.setattr(services, "get_ray_address_from_environment", lambda *_: address)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray would try for minutes"))
    with pytest.raises(InputError, match="--address auto: no Ray cluster answers there .*refused"):
        cluster.connect("auto")


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_ray_that_does_not_start_in_time_is_tried_once_more(failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []

    def start(folder: Path) -> None:
        session = folder / cluster._session()
        assert not session.exists()  # of the first try nothing is in the way
        session.mkdir()
        tried.append(folder)
        if len(tried) <= failures:
            raise RuntimeError("The current node timed out during startup. This could happen")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(shutdown=lambda: None, is_initialized=lambda: False))
    monkeypatch.setattr(cluster, "_start_in", start)
    try:
        if failures == 2:
            with pytest.raises(JobError, match=r"Ray does not start on this machine \(The current node timed out"):
                cluster._start()
        else:
            cluster._start()
    finally:
        cluster.stop()
    assert len(tried) == min(failures + 1, 2)
    assert not tried[0].exists()


@pytest.mark.parametrize("own", [True, False])
def test_what_ray_does_to_the_process_does_not_decide_its_exit_code(own: bool) -> None:
    """A job that ends with 5 while its work goes on in a thread: its children end, and its folder is removed."""
    program = """
import os, subprocess, sys, threading, time
from pathlib import Path
from jobs import cluster, session
from mnist_batch.errors import Stalled
from tests.support.network import Listener, is_loopback

def work():
    if sys.argv[1] == "True":
        folder = cluster._own_folder()
        (folder / cluster._session() / "logs").mkdir(parents=True)
        (folder / cluster._session() / "logs/raylet.out").write_text("said")
        ray = "import subprocess, time; subprocess.Popen(['sleep', '60']); print(1, flush=True); time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-c", ray], stdout=subprocess.PIPE)
        child.stdout.readline()
        threading.Thread(target=lambda: (child.wait(), os._exit(1))).start()  # as Ray's own threads do
    raise Stalled("nothing came of it")

session.leave(lambda: session.run(work))
"""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/tmp") as temporary:  # a short name, as sockets need it
        ended = subprocess.run(
            [sys.executable, "-c", program, str(own)],
            check=False,
            capture_output=True,
            text=True,
            env=os.environ | {"TMPDIR": temporary},
        )
        left = [path.name for path in Path(temporary).iterdir()]
    assert ended.returncode == 5
    assert json.loads(ended.stdout.splitlines()[-1])["error"] == "nothing came of it"
    assert [name.startswith(cluster.LOGS) for name in left] == [True] * own
