"""The nights of a fortnight: each is given to the job as cron does, and its last line is compared with the books."""

import argparse
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from os import killpg
from pathlib import Path
from typing import Any

from benchmarks import fortnight_checks as checking
from benchmarks.fortnight_books import Books, Key, Run
from benchmarks.fortnight_checks import Checks
from benchmarks.fortnight_scans import CELLS, Scans
from mnist_batch.models import bundle
from mnist_batch.store import locations

FIRST = 15  # of November, the first night
LATE_NIGHTS = 2  # that the labels of two scans in three take
BAD, KILLED = 6, 11  # nights
SHARDS = 12  # of a night
Said = dict[str, Any]


def date(night: int) -> str:
    """The date of a night."""
    return f"2026-11-{FIRST + night - 1:02}"


class Fortnight:
    """The nights of an output, and the books about them."""

    def __init__(self, base: str, folder: Path, given: argparse.Namespace) -> None:
        self.books, self.checks = Books(), Checks()
        self.scans, self.count = Scans(base, self.books, given.seed), given.scans
        self.out, self.folder, self.target_error = locations.absolute(f"{base}/out"), folder, given.target_error
        self.ids: dict[str, str] = {}  # of runs, by night
        self.due: dict[int, list[tuple[Key, bytes]]] = {}  # labels that become known, by night, each for some bytes
        self.drift: dict[str, int] = {}
        self.locations = {"shipped": bundle.SHIPPED}
        self.last: Said = {}
        self.lines: list[Said] = []
        self.sample_error: Said = {}
        self.settings = folder / "night.toml"
        self.settings.write_text(
            f"scans = {json.dumps(list(self.scans.sources.values()))}\nout = {json.dumps(self.out)}\n"
            f'labels = "truth.csv"\ntarget-error = {self.target_error}\n\n'
            f"[gates]\nmin-accuracy = 0.95\nmax-drift = 0\n\n[cluster]\nshard-size = {-(-3 * self.count // SHARDS)}\n"
        )

    def job(self, name: str, *arguments: object) -> Said:
        """Run a job to its end; returns its last line."""
        command = [sys.executable, "-m", f"jobs.{name}", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        said: Said = json.loads(done.stdout.splitlines()[-1])
        self.checks.same(f"the exit code of {name}", said["exit_code"], done.returncode)
        if done.returncode not in (0, 4):
            print(done.stderr[-3_000:], file=sys.stderr)
        return said

    def operate(self, name: str, *arguments: object) -> Said:
        """Run a job that has to end well."""
        said = self.job(name, *arguments, "--out", self.out)
        self.checks.same(f"{name} {arguments}", said["exit_code"], 0)
        return said

    def deliver(self, night: int, name: str, count: int, folder: int | None = None, darker: bool = False) -> list[Key]:
        """New scans of a source, whose labels become known tonight or some nights later."""
        keys = self.scans.deliver(name, date(folder or night), count, darker)
        for number, key in enumerate(keys):
            known = night + (LATE_NIGHTS if number % 3 else 0)
            self.due.setdefault(known, []).append((key, self.books.files[key].content))
        return keys

    def usual(self, night: int) -> None:
        """What the sources deliver in a night."""
        for name in CELLS:
            self.deliver(night, name, self.count, darker=(night, name) == (BAD, "station"))

    def night(self, night: int, remark: str, as_night: int | None = None, again: bool = False) -> None:
        """Score a night with the job, and compare its last line with the books."""
        of = date(as_night or night)
        for key, content in self.due.pop(night, []):
            self.books.truth[key] = self.scans.written[content][1]
        (self.folder / "truth.csv").write_bytes(self.scans.label_file())
        self.scans.read(self.books.model, self.locations[self.books.model], self.target_error)
        run = self.books.night(of)
        late = self.books.late()
        command = ("--config", self.settings, "--run-date", of)
        if night == KILLED:
            self.kill(of, command)
        said = self.job("night", *command)
        self.checks.same(f"_last/night.json of {of}", checking.read_json(f"{self.out}/_last/night.json"), said)
        self.last = said
        self.checks.same(f"scans of {of}", said["scans"], self.books.increment)
        held = night == BAD
        state = "nothing_new" if run is None else "held" if held else "published"
        self.checks.same(f"state of {of}", (said["state"], said["exit_code"]), (state, 4 if held else 0))
        if run is not None:
            self.ids[of] = said["run_id"]
            self._check_run(of, run, said, held)
        self._check_late(of, said, late)
        page = locations.read(*locations.resolve(f"{self.out}/index.html"))
        (self.folder / f"overview-{len(self.lines) + 1:02}.html").write_bytes(page)
        if not again:
            self._line(str(night if as_night is None else f"{as_night}, again"), of, said, remark)

    def _check_late(self, of: str, said: Said, late: Mapping[str, tuple[int, float | None]]) -> None:
        told = {each.pop("run_id"): each for each in map(dict, said.get("late_truth", []))}
        expected = {}
        for night, (labelled, accuracy) in late.items():
            run = self.books.runs[night]
            now = {"labelled": len(run.labelled), "accuracy": run.accuracy}
            expected[self.ids[night]] = {"labelled_before": labelled, "accuracy_before": accuracy, **now}
        self.checks.same(f"late labels on {of}", told, expected)

    def _check_run(self, of: str, run: Run, said: Said, held: bool) -> None:
        run.published = not held
        alerts = {alert["source"].rpartition("/")[2] for alert in said["alerts"]}
        self.checks.same(f"sources that drift on {of}", alerts, {"station"} if held else set())
        gates = {gate["name"]: gate["kept"] for gate in said["gates"]}
        self.checks.same(f"gates of {of}", gates, {"min_accuracy": True, "max_drift": not held})
        self.drift[of] = len(said["alerts"])
        if not held:
            expected = checking.counts(run)
            self.checks.same(f"last line of {of}", {name: said[name] for name in expected}, expected)

    def kill(self, of: str, command: Sequence[object]) -> None:
        """Begin the night, and kill the job with all its processes when some of its shards are done."""
        quiet, filesystem, staged = subprocess.DEVNULL, *locations.resolve(f"{self.out}/_staging")
        arguments = [sys.executable, "-m", "jobs.night", *map(str, command)]
        job = subprocess.Popen(arguments, stdout=quiet, stderr=quiet, start_new_session=True)  # noqa: S603
        done: list[str] = []
        while job.poll() is None and len(done) < SHARDS // 6:
            time.sleep(0.02)  # looking without a pause would take a core from the job
            runs = [name for name in locations.names(filesystem, staged) if re.fullmatch(f"{of}-[0-9a-f]+", name)]
            done = locations.names(filesystem, f"{staged}/{runs[0]}/receipts") if runs else []
        with suppress(ProcessLookupError):  # it has ended: the next line says so
            killpg(job.pid, signal.SIGKILL)
        self.checks.same(f"how the first job of {of} ended", job.wait(), -signal.SIGKILL)
        self.checks.same(f"_last/night.json of {of}", checking.read_json(f"{self.out}/_last/night.json"), self.last)
        self.checks.same("runs that are unfinished", self.operate("list")["states"].get("unfinished"), 1)

    def _line(self, night: str, of: str, said: Said, remark: str) -> None:
        counts = {name: said["scans"][name] for name in ("listed", "known", "moved", "repeated", "scored")}
        review = said["review"] / said["rows"] if "review" in said else None
        drift = self.drift[of] if said["run_id"] else None
        ended = {name: said[name] for name in ("state", "exit_code", "run_id")}
        line = {"night": night, **counts, "accuracy": said.get("accuracy"), "review": review, "drift": drift, **ended}
        self.lines.append({**line, "remark": remark})
        print(json.dumps(self.lines[-1]), flush=True)
