"""The books of a fortnight: what lies in the sources, what each night has to make of it, and which labels are known.

They follow docs/nightly.md and use nothing of the product, so that ``benchmarks.fortnight`` can compare the two.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Key = tuple[str, str]  # a source, and the path of a scan below it
NONE = -1  # the label of a cell without a digit


@dataclass(frozen=True)
class File:
    """A file as it lies in its source: what identifies its bytes, and a number of its own for its last change."""

    content: bytes
    stamp: int


@dataclass(frozen=True)
class Answer:
    """What the model says of some bytes: their status, the digit, and whether it is accepted."""

    status: str
    digit: int | None
    accepted: bool


@dataclass(frozen=True)
class Row:
    """A scan in a run: ``known`` and ``repeated`` rows name the run and scan ``of`` the answer."""

    file: File
    status: str
    answer: Answer
    copies: int | None = 1
    of: tuple[str, Key] | None = None
    label: int | None = None  # when it was scored


@dataclass
class Run:
    """A run of a night: its rows, its part of the listing, the labels of its report, and the reports before."""

    night: str
    model: str
    rows: dict[Key, Row]
    increment: Mapping[str, int]
    labels: dict[Key, int]
    former: list[tuple[int, float | None]] = field(default_factory=list)
    published: bool = False

    @property
    def own(self) -> dict[Key, Row]:
        """The rows whose answer is in no other row."""
        return {key: row for key, row in self.rows.items() if row.of is None}

    @property
    def labelled(self) -> dict[Key, tuple[int, int]]:
        """The label and the answer of the scans that have both a digit as label and an answer."""
        return {
            key: (self.labels[key], row.answer.digit)
            for key, row in self.own.items()
            if row.answer.digit is not None and self.labels.get(key, NONE) != NONE
        }

    @property
    def accuracy(self) -> float | None:
        """The share of right answers among the labelled."""
        pairs = self.labelled.values()
        return sum(label == digit for label, digit in pairs) / len(pairs) if pairs else None

    @property
    def statuses(self) -> Counter[str]:
        """How many rows have each status."""
        return Counter(row.status for row in self.rows.values())

    @property
    def accepted(self) -> int:
        """How many answers are accepted."""
        return sum(row.answer.accepted for row in self.own.values())

    @property
    def review(self) -> int:
        """How many rows are for review: those that are not accepted and do not have their answer in another row."""
        return len(self.own) - self.accepted


@dataclass
class Books:
    """What lies in the sources, what is known of labels, and the runs."""

    files: dict[Key, File] = field(default_factory=dict)
    truth: dict[Key, int] = field(default_factory=dict)  # the label file
    answers: dict[tuple[str, bytes], Answer] = field(default_factory=dict)  # by model and content
    runs: dict[str, Run] = field(default_factory=dict)  # by night, in the order in which they were begun
    model: str = "shipped"
    stamps: int = 0
    increment: Mapping[str, int] = field(default_factory=dict)  # of the last night

    def put(self, key: Key, content: bytes) -> None:
        """A file is written, or written over."""
        self.stamps += 1
        self.files[key] = File(content, self.stamps)

    def move(self, key: Key, to: Key) -> None:
        """A file is renamed or moved."""
        self.files[to] = self.files.pop(key)

    def night(self, night: str) -> Run | None:
        """What the run of a night has to be, with all labels that are known; None where nothing is new.

        The run is in the books from then on; ``publish``, ``discard`` or neither says what becomes of it.
        """
        published = [run for run in self.runs.values() if run.published]
        held = [run for run in self.runs.values() if not run.published]
        by_path = {(key, row.file.stamp): run for run in published for key, row in run.rows.items()}
        waiting = {(key, row.file.stamp) for run in held for key, row in run.rows.items()}
        waiting_content = {row.file.content for run in held for row in run.own.values()}
        answered = {row.file.content: (run.night, key) for run in published for key, row in run.own.items()}
        counts = Counter[str](dict.fromkeys(("listed", "known", "former", "held", "moved", "repeated", "scored"), 0))
        counts["listed"] = len(self.files)
        rows: dict[Key, Row] = {}
        first: dict[bytes, Key] = {}
        for key, file in sorted(self.files.items()):
            if run := by_path.get((key, file.stamp)):
                counts["known"] += 1
                counts["former"] += run.model != self.model
            elif (key, file.stamp) in waiting or (file.content in waiting_content and file.content not in answered):
                counts["held"] += 1
            else:
                state = "moved" if file.content in answered else "repeated" if file.content in first else "scored"
                counts[state] += 1
                of = answered.get(file.content) or ((night, first[file.content]) if file.content in first else None)
                rows[key] = self._row(key, file, of, night)
                first.setdefault(file.content, key)
        copies = Counter(row.file.content for row in rows.values())
        for key, row in rows.items():
            if row.of is None and copies[row.file.content] > 1:
                rows[key] = replace(row, copies=copies[row.file.content])
        self.increment = dict(counts)
        if not rows:
            return None
        labels = {key: self.truth[key] for key, row in rows.items() if key in self.truth}
        self.runs[night] = Run(night, self.model, rows, dict(counts), labels)
        return self.runs[night]

    def _row(self, key: Key, file: File, of: tuple[str, Key] | None, night: str) -> Row:
        label = self.truth.get(key)
        if of is None:
            answer = self.answers[self.model, file.content]
            return Row(file, answer.status, answer, label=label)
        status = "repeated" if of[0] == night else "known"
        return Row(file, status, Answer(status, None, False), None, of, label)

    def discard(self, night: str) -> None:
        """A run is thrown away."""
        del self.runs[night]

    def late(self) -> dict[str, tuple[int, float | None]]:
        """Give the labels that are known to the reports of earlier runs; returns what these were, by night.

        The label of a path is that of the bytes that lay there last. Only labels of answered rows change a report.
        """
        newest = {key: row.file.content for run in self.runs.values() for key, row in run.rows.items()}
        changed = {}
        for run in self.runs.values():
            new = {
                key: self.truth[key]
                for key, row in run.own.items()
                if run.published and key in self.truth and newest[key] == row.file.content
            }
            if any(run.labels.get(key) != label for key, label in new.items()):
                changed[run.night] = len(run.labelled), run.accuracy
                run.former.append(changed[run.night])
                run.labels |= new
        return changed
