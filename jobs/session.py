"""What every job does around its work: log, join or start Ray, end with an exit code and a line of JSON."""

import argparse
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import mnist_batch
from mnist_batch.errors import InputError, JobError

log = logging.getLogger("mnist_batch")
_connecting = threading.Lock()


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the description's lines, and shows a default wherever a flag has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = action.default not in (None, argparse.SUPPRESS) and not isinstance(action.default, bool)
        return f"{action.help} (default: {action.default})" if shown and action.option_strings else action.help


class Parser(argparse.ArgumentParser):
    """Ends on a wrong flag, or a blank value of any, as every job ends: a line of JSON, exit code 2."""

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        # What an unset variable leaves of "$DAY" would otherwise be a path: the current directory.
        if not arg_string.strip() and action.nargs != argparse.REMAINDER:
            name = action.option_strings[-1] if action.option_strings else action.metavar or action.dest
            self.error(f"{name} is empty; is a variable unset?")
        return super()._get_value(action, arg_string)

    def error(self, message: str) -> NoReturn:
        """Print the usage, the message and the summary, and exit."""
        self.print_usage(sys.stderr)
        print(message, file=sys.stderr)
        print(json.dumps({"status": "failed", "exit_code": 2, "error": message}), flush=True)
        sys.exit(2)


# What is typed to start a job, before its name: by module in a checkout, by command where the wheel is installed.
BY_MODULE = "python -m jobs."
COMMAND = BY_MODULE if __package__ == "jobs" else "mnist-batch "


def parser(module: str | None, description: str) -> argparse.ArgumentParser:
    """An argument parser for the job ``jobs.<name>``, None for the command that starts any of them.

    Help is written in the project's way, and names the command as it is typed where this is installed.
    """
    arguments = Parser(
        prog=COMMAND + module.removeprefix("jobs.") if module else "mnist-batch",
        description=description.replace(BY_MODULE, COMMAND),
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    arguments.add_argument("--version", action=_Version, nargs=0, help="show the version of mnist_batch and exit")
    return arguments


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"mnist-batch {mnist_batch.__version__}")
        parser.exit()


def add_address(arguments: argparse._ActionsContainer) -> None:
    """The flag that says which Ray to use."""
    arguments.add_argument(
        "--address",
        metavar="WHERE",
        help="auto joins the Ray cluster this machine belongs to, host:port another; left out, a Ray of its own "
        "is started here and stopped at the end",
    )


def connect(address: str | None) -> None:
    """Join the Ray cluster at ``address``, or start one on this machine; a Ray that is there already is kept.

    Of two threads the second one waits for the first.
    """
    with _connecting:
        _connect(address)


def _connect(address: str | None) -> None:
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it has to say of an error, the error says
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    if ray.is_initialized():
        return
    # Under `ray job submit` the job runs inside the cluster that took it.
    address = address or os.environ.get("RAY_ADDRESS")
    # Read by Ray's C++ part, which otherwise tells the terminal of every actor that can restart.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if not address:
        _start()
        return
    try:
        if found := re.fullmatch(r"(?:ray://)?([^/]+):(\d+)", address):
            socket.create_connection((found[1], int(found[2])), timeout=10).close()  # Ray itself tries for minutes
        with quiet_stderr():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        raise InputError(
            f"--address {address}: no Ray cluster answers there ({error}); start one, or leave it out"
        ) from None


def _start() -> None:
    """Start a Ray of this job's own, which listens on 127.0.0.1 only and lets nobody in without its token."""
    import ray
    from ray._private import ray_constants

    clusters = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False  # without clusters Ray stays on loopback: there is no argument for it
    try:
        with quiet_stderr():
            ray.init(
                "local",  # or Ray would join whatever cluster was started on this machine
                num_cpus=max(2, os.cpu_count() or 2),  # scoring needs two, even where the machine has one
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters
    token = Path("~/.ray/auth_token").expanduser()
    with suppress(OSError):
        token.chmod(0o600)  # Ray makes it readable for everybody


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Nothing reaches the terminal's stderr inside, not even from C++, which sys.stderr does not govern."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def run(work: Callable[[], Mapping[str, Any]]) -> int:
    """Do a job's work and return its exit code; the last line printed is one JSON summary.

    0 done, 2 bad arguments or input, 3 too many unreadable scans, 5 books that do not balance or an internal
    fault, 75 another process is at work on the run, 130 or 143 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path need not be UTF-8
    joined = _ray_runs()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("mnist_batch").setLevel(logging.INFO)
    try:
        summary = {"status": "done", "exit_code": 0, **work()}
    except JobError as error:
        log.error("%s", error)
        summary = {"status": "failed", "exit_code": error.exit_code, "error": str(error)}
    except KeyboardInterrupt:
        summary = {"status": "interrupted", "exit_code": 130}
    except SystemExit:  # from the handler of SIGTERM, Ray's or ours
        summary = {"status": "interrupted", "exit_code": 143}
    except Exception as error:  # whatever it is, the last line is JSON, and what is known is told without a trace
        if (known := _cause(error)) is not None:
            log.error("%s", known)
            summary = {"status": "failed", "exit_code": known.exit_code, "error": str(known)}
        else:
            log.exception("internal fault")
            summary = {"status": "failed", "exit_code": 5, "error": f"{type(error).__name__}: {error}"[:500]}
    if _ray_runs() and not joined:
        sys.modules["ray"].shutdown()  # or a late message of Ray's would follow the last line
    print(json.dumps(summary), flush=True)
    return int(summary["exit_code"])


def _ray_runs() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _cause(error: BaseException | None) -> JobError | None:
    # What an actor or a write task raised arrives wrapped in Ray's own errors.
    while error is not None:
        error = getattr(error, "cause", None) or error.__cause__
        if isinstance(error, JobError):
            return error
    return None
