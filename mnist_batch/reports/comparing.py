"""Two runs of the same scans beside each other: which answers differ, and whether any class is read worse."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mnist_batch.schemas.tables import NO_DIGIT
from mnist_batch.statuses import READ, Status

LEVEL = 0.05  # the chance that a comparison of equally good runs calls any class worse
TARGETS = (0.001, 0.002, 0.005, 0.01, 0.02)  # errors at which coverage is compared
NONE = "none"  # an answer, and a label: no valid digit
KEY = ("source", "scan", "page", "form", "field", "position")


@dataclass(frozen=True)
class ClassChange:
    """How the labelled answers of one class changed from run a to run b.

    ``lost`` are right in a and wrong in b, ``gained`` the other way round. ``p_value`` is that of McNemar's exact
    test, two-sided. ``worse`` says that b loses more than it gains, beyond noise.
    """

    name: str
    labelled: int
    right_a: int
    right_b: int
    lost: int
    gained: int
    p_value: float
    worse: bool = False


@dataclass(frozen=True)
class Coverage:
    """The largest share of labelled answers that can be accepted with at most ``target_error`` wrong among them."""

    target_error: float
    a: float
    b: float


@dataclass(frozen=True)
class Comparison:
    """Two runs beside each other.

    ``compared`` rows are in both, with the same content, and were read in both. ``only_a`` and ``only_b`` are in one
    run only, ``changed`` have another content, and ``unread`` could not be read in at least one run.
    """

    compared: int
    only_a: int
    only_b: int
    changed: int
    unread: int
    differing: int
    total: ClassChange
    classes: tuple[ClassChange, ...]
    coverage: tuple[Coverage, ...]

    @property
    def worse(self) -> tuple[str, ...]:
        """The names of the classes that run b reads worse, beyond noise."""
        return tuple(each.name for each in self.classes if each.worse)


def cells(rows: pa.Table) -> pa.Table:
    """Rows of predictions as ``compare`` takes them: their answers are digits, their classes the labels."""
    label = pc.if_else(pc.equal(rows["label"], NO_DIGIT), pa.scalar(NONE), rows["label"].cast(pa.string()))
    answered = pc.equal(rows["status"].cast(pa.string()), Status.OK)
    answer = pc.if_else(answered, rows["digit"].cast(pa.string()), pa.scalar(NONE))
    return _table(rows, answer, label, label, pc.is_in(rows["status"].cast(pa.string()), pa.array(READ)))


def fields(rows: pa.Table) -> pa.Table:
    """Rows of fields as ``compare`` takes them: their answers are numbers, their classes the fields."""
    name = pc.binary_join_element_wise(rows["form"].cast(pa.string()), rows["field"].cast(pa.string()), " ")
    none = pa.nulls(len(rows), pa.int16())
    rows = rows.append_column("position", none).append_column("content", pa.nulls(len(rows), pa.binary(16)))
    nothing = pc.if_else(pc.equal(rows["status"].cast(pa.string()), "empty"), pa.scalar(""), pa.scalar(NONE))
    return _table(rows, pc.coalesce(rows["value"], nothing), rows["label"], name, pa.array(np.ones(len(rows), bool)))


def _table(rows: pa.Table, answer: pa.Array, label: pa.Array, name: pa.Array, read: pa.Array) -> pa.Table:
    keys = [rows[column].cast(pa.string()).fill_null("") for column in KEY]  # a null is equal to nothing
    confidence = rows["confidence"].fill_null(0)
    columns = [*keys, answer, label, name, read, confidence, rows["content"], pa.array(range(len(rows)))]
    return pa.table(columns, names=[*KEY, "answer", "label", "class", "read", "confidence", "content", "row"])


def compare(a: pa.Table, b: pa.Table) -> tuple[Comparison, pa.Table]:
    """Compare two runs, as ``cells`` or ``fields`` give their rows; rows are joined by their keys.

    A label that only one run has is used for both; where they differ, that of b is. Returns with the comparison the
    rows that differ, labelled ones first: ``row_a`` and ``row_b``, their places in a and b, and ``lost``, ``gained``.
    """
    joined = a.join(b, list(KEY), join_type="full outer", left_suffix="_a", right_suffix="_b")
    in_a, in_b = joined["row_a"].is_valid(), joined["row_b"].is_valid()
    both = joined.filter(pc.and_(in_a, in_b))
    unchanged = pc.or_kleene(pc.is_null(both["content_a"]), pc.equal(both["content_a"], both["content_b"]))
    same = both.filter(unchanged.fill_null(False))
    rows = same.filter(pc.and_(same["read_a"], same["read_b"]))
    label = pc.coalesce(rows["label_b"], rows["label_a"])
    known = label.is_valid().to_numpy()
    right = [pc.equal(rows[f"answer_{run}"], label).fill_null(False).to_numpy() for run in "ab"]
    differ = pc.not_equal(rows["answer_a"], rows["answer_b"]).to_numpy()
    total = _change("all", known, *right)
    # A class of digits is the label, which one of the runs may lack; that of fields is the same in both.
    names = pc.coalesce(rows["class_b"], rows["class_a"]).to_pylist()
    comparison = Comparison(
        compared=len(rows),
        only_a=len(joined) - int(pc.sum(in_b).as_py() or 0),
        only_b=len(joined) - int(pc.sum(in_a).as_py() or 0),
        changed=len(both) - len(same),
        unread=len(same) - len(rows),
        differing=int(differ.sum()),
        total=total,
        classes=_judged(_by_class(names, known, *right)),
        coverage=_coverages(rows, known, *right),
    )
    lost, gained = right[0] & ~right[1] & known, right[1] & ~right[0] & known
    shown = rows.select(["row_a", "row_b"]).append_column("lost", [lost]).append_column("gained", [gained])
    keys = [("lost", "descending"), ("gained", "descending"), ("row_b", "ascending")]
    return comparison, shown.filter(pa.array(differ)).sort_by(keys)


def _by_class(
    names: Sequence[str], known: NDArray[np.bool_], right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]
) -> list[ClassChange]:
    of = np.array([name or "" for name in names], object)
    return [
        _change(str(name), known & (of == name), right_a, right_b)
        for name in sorted(set(of[known].tolist()), key=lambda name: (name == NONE, name))
    ]


def _change(name: str, of: NDArray[np.bool_], right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> ClassChange:
    lost, gained = int((of & right_a & ~right_b).sum()), int((of & right_b & ~right_a).sum())
    counts = int(of.sum()), int((of & right_a).sum()), int((of & right_b).sum())
    return ClassChange(name, *counts, lost, gained, mcnemar(lost, gained))


def mcnemar(lost: int, gained: int) -> float:
    """The two-sided p-value of McNemar's exact test, from the answers that only one of two runs has right.

    Q. McNemar, Psychometrika 12 (1947); exact by the binomial distribution of ``lost`` among both.
    """
    return min(1.0, 2 * _tail(max(lost, gained), lost + gained))


def _tail(least: int, count: int) -> float:
    """The chance of at least ``least`` heads in ``count`` throws of a fair coin."""
    from scipy import special  # scipy.stats takes a second to import

    return float(special.bdtrc(least - 1, count, 0.5))


def _judged(classes: Sequence[ClassChange]) -> tuple[ClassChange, ...]:
    """The classes with their verdicts: one-sided, and corrected for their number.

    S. Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    chances = [_tail(each.lost, each.lost + each.gained) for each in classes]
    worse: set[int] = set()
    for rank, place in enumerate(np.argsort(chances, kind="stable").tolist()):
        if chances[place] > LEVEL / (len(classes) - rank):
            break
        worse.add(place)
    return tuple(replace(each, worse=place in worse) for place, each in enumerate(classes))


def _coverages(
    rows: pa.Table, known: NDArray[np.bool_], right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]
) -> tuple[Coverage, ...]:
    if not known.any():
        return ()
    curves = []
    for run, right in (("a", right_a), ("b", right_b)):
        answered = pc.not_equal(rows[f"answer_{run}"], NONE).to_numpy() & known
        curves.append((rows[f"confidence_{run}"].to_numpy()[answered], right[answered]))
    labelled = int(known.sum())
    return tuple(
        Coverage(target, *(coverage(*curve, target) * len(curve[0]) / labelled for curve in curves))
        for target in TARGETS
    )


def coverage(confidence: NDArray[np.float32], right: NDArray[np.bool_], target_error: float) -> float:
    """The largest share of answers that a threshold of confidence accepts with at most ``target_error`` wrong."""
    order = np.argsort(-confidence, kind="stable")
    falling, wrong = confidence[order], np.cumsum(~right[order])
    accepted = np.arange(1, len(order) + 1)
    last_of_equals = np.append(falling[1:] != falling[:-1], True)[: len(order)]
    kept = accepted[last_of_equals & (wrong <= target_error * accepted)]
    return float(kept[-1] / len(order)) if len(kept) else 0.0
