"""The Ray of a job: a cluster that it joins, or a Ray of its own that leaves nothing behind."""

import atexit
import logging
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from mnist_batch.errors import InputError, JobError
from mnist_batch.store import temporary

# Read when Ray is imported: otherwise a thread that uses Ray after the end of the job would join or start another.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

FOLDER, LOGS = "mnist-batch-ray-", "mnist-batch-logs-"  # prefixes of folders in the folder for temporary files
LOGS_KEPT_SECONDS = 7 * 24 * 3600
# The path of a socket may have 107 bytes, and Ray needs some of them.
SOCKET_BYTES = 107 - len(f"/{FOLDER}12345678/session_4194304/sockets/plasma_store")

_connecting = threading.Lock()
_own: tuple[Path, int] | None = None  # the folder of this job's own Ray, and the descriptor that locks it


def checked(address: str) -> str:
    """Return the address; raises InputError unless it is auto, local or host:port."""
    if re.fullmatch(r"auto|local|(ray://)?([^/:\s]+|\[[0-9a-fA-F:]+\]):\d+", address):
        return address
    if address.startswith(("http://", "https://")):
        raise InputError(
            f"{address} (from --address or RAY_ADDRESS) is where jobs are submitted to, and none that a job joins. "
            f"Submit this one, ray job submit --address {address} ..., or give --address auto on a machine of the "
            "cluster or --address HOST:PORT, the port being that of ray start, such as 6379"
        )
    raise InputError(f"{address!r} (from --address or RAY_ADDRESS) is no address; give auto, or HOST:PORT")


def connect(address: str | None) -> None:
    """Join the Ray cluster at ``address``, or start one on this machine; a Ray that is connected already is kept.

    Left out, it is the address in RAY_ADDRESS, where ``ray job submit`` tells a job which cluster took it. Of two
    threads the second one waits for the first. Raises InputError where no cluster answers.
    """
    with _connecting:
        import ray
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # its errors reach the job as exceptions
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        if ray.is_initialized():
            return
        # For the C++ part of Ray, which otherwise prints a line for every actor that can restart.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        address = checked(address or os.environ.get("RAY_ADDRESS") or "local")
        with _own_sigterm(), quiet():
            _start() if address == "local" else _join(address)


def _join(address: str) -> None:
    import ray
    from ray._private import services

    if os.environ.get("RAY_ADDRESS", "").startswith("http"):
        del os.environ["RAY_ADDRESS"]  # otherwise auto would mean this address
    try:
        where = services.get_ray_address_from_environment(address, None) if address == "auto" else address
        if found := re.fullmatch(r"(?:ray://)?\[?(.+?)\]?:(\d+)", where):
            socket.create_connection((found[1], int(found[2])), timeout=10).close()  # Ray itself would try for minutes
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        raise InputError(
            f"--address {address}: no Ray cluster answers there ({error}); start one, or leave it out"
        ) from None


def _start() -> None:
    """Start a Ray for this job alone, which listens on 127.0.0.1 only and admits nobody without its token.

    Ray gives its processes 15 to 30 seconds, which they exceed on a machine that is very busy: it is tried twice.
    """
    import ray

    # Ray's watcher for machines that are about to be taken away: here the job would go with its machine.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    folder = _own_folder()
    for last in (False, True):
        try:
            _start_in(folder)
            break
        except Exception as error:  # Ray may raise anything
            if last:
                raise JobError(
                    f"Ray does not start on this machine ({str(error).partition('. ')[0]}); look whether it is too "
                    "busy or its memory or disk is full, then give the same command again"
                ) from error
            ray.shutdown()
            shutil.rmtree(folder / _session(), ignore_errors=True)
    token = Path("~/.ray/auth_token").expanduser()
    with suppress(OSError):
        token.chmod(0o600)  # Ray makes it readable to everybody


def _start_in(folder: Path) -> None:
    from unittest.mock import patch  # imported here because that takes a while

    import ray
    from ray._private import node, parameter, ray_constants

    # ray.init has no arguments for these. Without clusters Ray stays on loopback. Its agent would take a port that a
    # cluster on this machine needs. Without a dashboard its server only reports usage, and asks the network which cloud
    # it is in even if that is switched off. Its monitors add nodes and print logs, which are not wanted here.
    arguments = partial(
        parameter.RayParams,
        dashboard_agent_listen_port=0,
        session_name=_session(),
        no_monitor=True,
        include_log_monitor=False,
    )
    with (
        patch.object(ray_constants, "ENABLE_RAY_CLUSTER", False),
        patch.object(parameter, "RayParams", arguments),
        patch.object(node.Node, "start_api_server", lambda *_, **__: None),
        _environment_of_own(folder),
    ):
        ray.init(
            "local",  # otherwise Ray would join any cluster that was started on this machine
            num_cpus=max(2, os.cpu_count() or 2),  # scoring needs two, even if the machine has one
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder),
        )


@contextmanager
def _environment_of_own(folder: Path) -> Iterator[None]:
    """The environment of the job's own Ray: its processes put their temporary files into its folder.

    They are killed in the end, and leave these, such as TensorFlow's, behind.
    """
    # gRPC, also in this process, would otherwise ask a proxy for this machine.
    no_proxy = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "127.0.0.1", "localhost"]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, no_proxy))
    before = os.environ.get("TMPDIR")
    tempfile.gettempdir()  # cached, so that this process keeps its own
    os.environ["TMPDIR"] = str(folder / "tmp")
    (folder / "tmp").mkdir(exist_ok=True)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


def is_there() -> bool:
    """Whether this process is connected to a Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def logs_to_keep() -> Path | None:
    """Where the logs of the job's own Ray will be after its end; None if it has no Ray of its own."""
    return _own[0].with_name(_own[0].name.replace(FOLDER, LOGS)) if _own else None


def stop(logs: Path | None = None) -> None:
    """Disconnect from Ray; a Ray that the job started ends, its logs go to ``logs``, and its folder is removed."""
    global _own
    with _connecting:  # otherwise a Ray that is starting in another thread would be left behind
        if is_there():
            sys.modules["ray"].shutdown()
        if _own:
            folder, lock = _own
            if logs:
                with suppress(OSError):
                    written = folder / _session() / "logs"
                    written.chmod(0o700)  # nobody else could enter its parent either
                    written.rename(logs)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
            _own = None


def leave(code: int, logs: Path | None) -> NoReturn:
    """End this process with an exit code, and its own Ray, although threads of Ray may still be at work.

    ``logs`` is where the logs of that Ray go, if they are to be kept. The process becomes ``leaving.py``.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if _own is None:
        os._exit(code)
    folder, lock = _own
    os.set_inheritable(lock, True)  # so that nobody else removes the folder
    program = [sys.executable, "-I", "-S", str(Path(__file__).with_name("leaving.py"))]
    os.execv(program[0], [*program, str(code), str(folder), _session(), str(logs or "")])  # noqa: S606 - this Python


def _session() -> str:
    return f"session_{os.getpid()}"  # shorter than the name that Ray gives


def _own_folder() -> Path:
    """Make a folder for the job's own Ray, locked as long as the process lives."""
    global _own
    if _own is None:
        parent = _short_folder()
        temporary.remove_left_behind(parent, FOLDER)
        temporary.remove_left_behind(parent, LOGS, LOGS_KEPT_SECONDS)
        _own = temporary.locked_folder(parent, FOLDER)
        atexit.register(stop)
    return _own[0]


def _short_folder() -> Path:
    """The folder for temporary files, or /tmp if the paths of Ray's sockets in it would be too long."""
    if chosen := os.environ.get("RAY_TMPDIR"):
        folder = Path(chosen).absolute()
        if len(os.fsencode(folder)) > SOCKET_BYTES:
            raise InputError(
                f"RAY_TMPDIR is {folder}, {len(os.fsencode(folder))} bytes long; Ray's sockets lie below it and it may "
                f"have {SOCKET_BYTES}: choose a shorter one"
            )
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    folder = Path(tempfile.gettempdir()).absolute()
    return folder if len(os.fsencode(folder)) <= SOCKET_BYTES else Path("/tmp")  # noqa: S108 - mkdtemp is safe there


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep the process's own handler of SIGTERM, which Ray replaces."""
    in_main = threading.current_thread() is threading.main_thread()
    kept = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if in_main and kept is not None:
            signal.signal(signal.SIGTERM, kept)


@contextmanager
def quiet(*descriptors: int) -> Iterator[None]:
    """Silence stderr, or these descriptors, inside the block, also for C++ code, which bypasses sys.stderr."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptors = descriptors or (2,)
    kept, nowhere = [os.dup(descriptor) for descriptor in descriptors], os.open(os.devnull, os.O_WRONLY)
    try:
        for descriptor in descriptors:
            os.dup2(nowhere, descriptor)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, before in zip(descriptors, kept, strict=True):
            os.dup2(before, descriptor)
            os.close(before)
        os.close(nowhere)
