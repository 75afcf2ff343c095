"""What a command would do, without doing it: nothing is locked, written or scored."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch.intake import scans
from mnist_batch.runs import discarding, parts, series
from mnist_batch.runs.command import Command
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Opened, Published
from mnist_batch.wording import counted

MOST = 20  # endings of names that are shown


def preview(command: Command) -> dict[str, Any]:
    """The run that a command means, what the command ``would`` do with it, and how many scans that concerns.

    ``would`` is begin, resume, held (a night that waits for a person), try_again (a refused run whose sources list the
    same) or nothing. Raises InputError as the command itself would.
    """
    run, following, known = series.find_run(command.out, command.date, command.fingerprint, command.first)
    if isinstance(known, Opened) and not run.refused:
        done = len(parts.part_paths(run))
        return {
            "run_id": run.run_id,
            "would": "held" if run.held else "resume",
            "scans": known.scans,
            "shards": len(known.shard_sizes),
            "shards_done": done,
        }
    listed, left_out = command.listed()
    shards = len(scans.cut(listed, command.scans_in_a_shard))
    listing = scans.digest(listed)
    if known is None or known.listing != listing:
        would = "begin"
    else:
        would = "nothing" if isinstance(known, Published) else "try_again"
    if would == "begin":
        run = following if known else run
        if not discarding.interrupted(run):  # else its files are deleted first
            series.check_place(run, listing, shards)
    return {
        "run_id": run.run_id,
        "would": would,
        "scans": listed.num_rows,
        "shards": shards,
        "labelled": sum(
            pc.sum(pc.not_equal(labels, tables.NO_DIGIT)).as_py() or 0  # as run.json counts them
            for labels in (listed["label"], pc.list_flatten(listed["page_labels"]))
        )
        + len(pc.list_flatten(listed["field_values"])),
        "endings": _endings(listed["scan"]),
        "left_out": left_out,
    }


def _endings(names: pa.ChunkedArray) -> dict[str, int]:
    """How many scans have each ending, in lower case, the most frequent first."""
    endings = pc.struct_field(pc.extract_regex(names, r"(?P<ending>\.[^./]+)$"), "ending")
    found = pc.fill_null(pc.utf8_lower(endings), "none").value_counts().to_pylist()
    most = sorted(((each["counts"], each["values"]) for each in found), key=lambda pair: (-pair[0], pair[1]))[:MOST]
    return {ending: count for count, ending in most}


WORDS = {
    "begin": "would be begun",
    "resume": "is unfinished and would be finished",
    "held": "is held and waits for a person, who publishes it or discards it; with the same gates it stays held",
    "try_again": "was refused; scans whose failure may pass would be read again",
    "nothing": "is published and its sources list the same: nothing would be done",
}


def text(preview: dict[str, Any]) -> str:
    """The preview in a few lines for a terminal."""
    lines = [f"run {preview['run_id']} {WORDS[preview['would']]}"]
    lines.append(f"scans: {preview['scans']:,} in {counted(preview['shards'], 'shard')}")
    if "shards_done" in preview:
        return "\n".join([*lines, f"shards done: {preview['shards_done']:,}"])
    lines.append(f"labelled: {preview['labelled']:,}")
    for name in ("endings", "left_out"):
        if preview[name]:
            counts = ", ".join(f"{what} {count:,}" for what, count in preview[name].items())
            lines.append(f"{name.replace('_', ' ')}: {counts}")
    return "\n".join(lines)
