"""What every job does around its work: log, connect to Ray, end with an exit code and a line of JSON."""

import argparse
import datetime
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any, NoReturn

import mnist_batch
from mnist_batch.errors import InputError, JobError

from . import cluster

log = logging.getLogger("mnist_batch")
_whole_process = False
_log_format = "text"
connect = cluster.connect


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of a description, and shows the default of each flag that has one and does not say it itself."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = action.default not in (None, argparse.SUPPRESS) and not isinstance(action.default, bool)
        if not shown or not action.option_strings or "if left out" in (action.help or ""):
            return action.help
        return f"{action.help}; {action.default} if left out"


class Parser(argparse.ArgumentParser):
    """Ends with a line of JSON and exit code 2 if a flag is wrong or its value is blank."""

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        # An unset variable makes "$DAY" blank, which would be a path: the current directory.
        if not arg_string.strip() and action.nargs != argparse.REMAINDER:
            name = action.option_strings[-1] if action.option_strings else action.metavar or action.dest
            self.error(f"{name} is empty; is a variable unset?")
        return super()._get_value(action, arg_string)

    def error(self, message: str) -> NoReturn:
        """Print the usage, the message and the summary, and exit."""
        self.print_usage(sys.stderr)
        if not _one_place():
            print(message, file=sys.stderr)
        print(json.dumps({"status": "failed", "exit_code": 2, "error": message}), flush=True)
        sys.exit(2)


# What comes before the name of a job to start it: by module in a checkout, by command if the wheel is installed.
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
    if module:
        arguments.add_argument(
            "--log-format",
            action=_LogFormat,
            choices=tuple(_FORMATS),
            help="how the log is written: text, or a JSON object in each line; text if left out",
        )
    return arguments


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"mnist-batch {mnist_batch.__version__}")
        parser.exit()


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        said = {"at": at, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        return json.dumps(said | ({"trace": self.formatException(record.exc_info)} if record.exc_info else {}))


_FORMATS = {"text": logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"), "json": _JsonLines()}


class _LogFormat(argparse.Action):
    """Chooses how this process logs; no attribute of what was parsed, since no job has to know."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        global _log_format
        _log_format = "text"
        super().__init__(option_strings, dest, **options | {"default": argparse.SUPPRESS})

    def __call__(self, _parser: object, _namespace: object, value: Any, _option: object = None) -> None:
        global _log_format
        _log_format = value


def add_address(arguments: argparse._ActionsContainer) -> None:
    """Add the flag that chooses the Ray to use."""
    arguments.add_argument(
        "--address",
        metavar="WHERE",
        type=_address,
        default=os.environ.get("RAY_ADDRESS") or None,
        help="the Ray cluster to join: auto for the one that this machine belongs to, or host:port; RAY_ADDRESS if "
        "left out; without either, the job starts a Ray of its own and removes it at the end, unless it has so little "
        "to score that it needs none; local always starts one",
    )


def no_cluster(address: str | None) -> bool:
    """Whether a job with this ``--address`` would work on a Ray of its own, which it may do without."""
    return address is None and not cluster.is_there()


def _address(given: str) -> str:
    try:
        return cluster.checked(given)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def leave(main: Callable[[], int]) -> NoReturn:
    """Run a job as the whole work of this process, and end the process with its exit code."""
    global _whole_process
    _whole_process = True
    sys.exit(main())


def run(work: Callable[[], Mapping[str, Any]], keep: Callable[[Mapping[str, Any]], object] = lambda _: None) -> int:
    """Do a job's work and return its exit code; the last line printed is one JSON summary, which ``keep`` gets first.

    0 done, 2 bad arguments or input, 3 too many unreadable scans, 4 a gate was not kept, 5 books that do not balance
    or an internal fault, 75 another process is at work on the run, 130 or 143 interrupted. The line is printed before
    Ray is left, which takes seconds and heeds no signal. None is heeded afterwards, either, if the job was interrupted
    or is the whole work of its process.
    """
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)
    joined = cluster.is_there()
    logging.basicConfig(stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
            handler.setFormatter(_FORMATS[_log_format])
    logging.getLogger("mnist_batch").setLevel(logging.INFO)
    signals = _Signals()
    try:
        summary = _outcome(work, signals)
    except (KeyboardInterrupt, SystemExit):  # a second signal, while the first one is being obeyed
        summary = signals.summary(signals.first)
    signals.ignore()
    logs = cluster.logs_to_keep() if summary["exit_code"] == JobError.exit_code and not joined else None
    if logs:
        log.error("what Ray's processes have logged is kept in %s for a week", logs)
    try:
        keep(summary)
    except Exception as error:  # noqa: BLE001 - the job has ended; the last line is printed, whatever happens
        log.error("the last line could not be kept: %s", error)
    print(json.dumps(summary), flush=True)
    if not joined:
        if _whole_process and (signals.first or summary["exit_code"] == JobError.exit_code):
            cluster.leave(summary["exit_code"], logs)  # threads may still be at work
        with cluster.quiet(1, 2):  # so that no late message of Ray follows the last line
            cluster.stop(logs)
    if not (signals.first or _whole_process):
        signals.restore()
    return int(summary["exit_code"])


def _outcome(work: Callable[[], Mapping[str, Any]], signals: "_Signals") -> dict[str, Any]:
    try:
        return {"status": "done", "exit_code": 0, **work()}
    except KeyboardInterrupt:
        return signals.summary(signal.SIGINT)
    except SystemExit:
        return signals.summary(signal.SIGTERM)
    except Exception as error:  # the last line is always JSON, and a known error has no trace
        if signals.first:  # a library turned the signal into another error
            return signals.summary(signals.first)
        if (known := _known(error)) is None:
            log.exception("internal fault")
            return {"status": "failed", "exit_code": 5, "error": f"{type(error).__name__}: {error}"[:500]}
        message = str(known).partition("\nFailed to ")[0]  # Ray Data adds how to configure more tries
        if not _one_place():
            log.error("%s", message)
        return {"status": "failed", "exit_code": known.exit_code, **known.facts, "error": message}


def _known(error: BaseException | None) -> JobError | None:
    """The JobError behind an exception, if there is one: as it was raised, not as Ray passes it on.

    What an actor, a task or a worker of a training raises arrives wrapped, maybe more than once; some wrappers are
    JobErrors, too, whose text is a whole trace.
    """
    while error is not None:
        inside = [getattr(error, name, None) for name in ("cause", "controller_failure", "_base_exc")]
        inside += getattr(error, "worker_failures", {}).values()
        wrapped = next((one for one in inside if isinstance(one, BaseException)), None)
        if isinstance(error, JobError) and wrapped is None:
            return error
        error = wrapped or error.__cause__
    return None


def _one_place() -> bool:
    """Whether stdout and stderr are the same terminal or log, where an error on both would appear twice."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return False


class _Signals:
    """SIGINT and SIGTERM while a job runs; the ``first`` decides how it ends. It has no effect in other threads."""

    def __init__(self) -> None:
        self.first = 0
        in_main = threading.current_thread() is threading.main_thread()
        self.before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if in_main}
        for number, handler in self.before.items():
            if handler is not signal.SIG_IGN:  # nohup, and shells for programs in the background, make a job ignore it
                signal.signal(number, self._obey)

    def _obey(self, number: int, _: object) -> NoReturn:
        self.first = self.first or number
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def summary(self, number: int) -> dict[str, Any]:
        return {"status": "interrupted", "exit_code": 128 + (self.first or number)}

    def ignore(self) -> None:
        for number in self.before:
            signal.signal(number, signal.SIG_IGN)

    def restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


class _Outlet(FileIO):
    """A stream that drops what nobody reads any more, as after ``| head -1``, so that the job finishes its work."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            return len(content)


def _lasting(stream: Any) -> Any:
    """The stream, if it is the process's own, so that it can print any path and survives a closed pipe."""
    if stream not in (sys.__stdout__, sys.__stderr__) or not isinstance(stream, TextIOWrapper):
        return stream
    stream.flush()
    outlet = BufferedWriter(_Outlet(stream.fileno(), "w", closefd=False))
    return TextIOWrapper(
        outlet,
        encoding=stream.encoding,
        errors="backslashreplace",  # a path need not be UTF-8
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
