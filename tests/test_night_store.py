"""Nights whose scans and output are at a store keep the laws of those on a disk."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

import mnist_batch
from jobs import discard, night, prune, verify
from jobs import list as list_job
from mnist_batch import nights
from mnist_batch.reading import images
from mnist_batch.store import locations
from tests.support import s3
from tests.support.ruler import picture_of
from tests.support.running import Capture, ran

pytestmark = pytest.mark.usefixtures("without_ray")


class Bucket:
    """The scans and the output of nights at a store."""

    def __init__(self, store: s3.Proxy, ruler: str, capsys: Capture) -> None:
        self.store, self.capsys = store, capsys
        self.scans, self.out = (f"s3://{store.bucket}/{name}" for name in ("scans", "out"))
        self.asked = [self.scans, "--model", ruler, "--shard-size", 4, "--out", self.out]

    def put(self, name: str, digit: int, confidence: float = 1.0, folder: str = "scans") -> None:
        self.write(f"{folder}/{name}", images.encode(picture_of(digit, confidence)))

    def write(self, path: str, content: bytes) -> None:
        self.store.send("PUT", f"/{self.store.bucket}/{path}", content)

    def delete(self, name: str) -> None:
        self.store.send("DELETE", f"/{self.store.bucket}/scans/{name}")

    def night(self, *more: object) -> tuple[int, dict[str, Any]]:
        code, _, summary = ran(self.capsys, night, *self.asked, *more)
        return code, summary

    def rows(self, run: str | None = None) -> dict[str, dict[str, Any]]:
        found = mnist_batch.read_predictions(self.out).to_table().to_pylist()
        return {row["scan"]: row for row in found if run in (None, row["run"])}


@pytest.fixture
def bucket(store: s3.Proxy, ruler: str, capsys: Capture) -> Bucket:
    found = Bucket(store, ruler, capsys)
    for digit in range(8):
        found.put(f"{digit}.png", digit)
    return found


@pytest.mark.slow
def test_what_is_known_by_its_bytes_is_not_scored_again_at_a_store(bucket: Bucket) -> None:
    assert bucket.night("--run-date", "2026-11-21")[1]["scored"] == 8
    code, summary = bucket.night("--run-date", "2026-11-22")
    assert (code, summary["state"], summary["scans"]["known"]) == (0, "nothing_new", 8)
    bucket.delete("0.png")
    bucket.put("renamed.png", 0)
    bucket.put("copied.png", 1)
    before = time_of(bucket, "3.png")
    while time_of(bucket, "3.png") == before:  # a store counts in seconds
        bucket.put("3.png", 3)  # the same bytes, touched
    bucket.put("4.png", 5, confidence=0.9)
    for name in ("new.png", "new-again.png"):
        bucket.put(name, 7, confidence=0.7)
    code, summary = bucket.night("--run-date", "2026-11-22")
    assert (code, summary["scans"]) == (
        0,
        {**{"listed": 11, "known": 5, "former": 0, "held": 0, "moved": 3, "repeated": 1, "scored": 2}},
    )
    found = bucket.rows(summary["run_id"])
    assert {scan: (row["status"], row["digit"], row["copies"]) for scan, row in found.items()} == {
        **dict.fromkeys(("renamed.png", "copied.png", "3.png"), ("known", None, None)),
        **{"4.png": ("ok", 5, 1), "new-again.png": ("ok", 7, 2), "new.png": ("repeated", None, None)},
    }
    assert (found["renamed.png"]["same_as_source"], found["renamed.png"]["same_as"]) == (bucket.scans, "0.png")
    assert ran(bucket.capsys, verify, "--out", bucket.out)[0] == 0
    assert bucket.night("--run-date", "2026-11-23")[1]["state"] == "nothing_new"


def time_of(bucket: Bucket, name: str) -> int | None:
    filesystem, root = locations.resolve(bucket.scans)
    at: int | None = locations.info(filesystem, f"{root}/{name}").mtime_ns
    return at


@pytest.mark.slow
def test_held_published_anyway_late_labels_discarded_and_pruned_at_a_store(bucket: Bucket) -> None:
    bucket.write("truth.csv", b"scan,label\n" + b"".join(b"%d.png,%d\n" % (digit, 9 - digit) for digit in range(8)))
    labels = ["--labels", f"s3://{bucket.store.bucket}/truth.csv", "--min-accuracy", 0.9]
    code, held = bucket.night(*labels, "--run-date", "2026-11-21")
    assert (code, held["state"]) == (4, "held")
    assert bucket.rows() == {}
    assert bucket.night(*labels, "--run-date", "2026-11-21") == (4, held)
    bucket.put("new.png", 3, confidence=0.6)
    code, second = bucket.night("--run-date", "2026-11-22")
    assert (code, second["rows"], second["scans"]["held"]) == (0, 1, 8)
    assert ran(bucket.capsys, list_job, "--out", bucket.out)[2]["states"] == {"held": 1, "published": 1}
    code, _, summary = ran(
        bucket.capsys, night, "--publish-anyway", held["run_id"], "--reason", "upside down", "--out", bucket.out
    )
    assert (code, summary["state"], summary["rows"], summary["accuracy"]) == (0, "published", 8, 0.0)

    bucket.write("truth.csv", b"scan,label\n" + b"".join(b"%d.png,%d\n" % (digit, digit) for digit in range(8)))
    code, summary = bucket.night(*labels, "--run-date", "2026-11-23")
    assert (code, summary["state"]) == (0, "nothing_new")
    [late] = summary["late_truth"]
    assert (late["run_id"], late["accuracy_before"], late["accuracy"]) == (held["run_id"], 0.0, 1.0)
    filesystem, root = locations.resolve(bucket.out)
    said = json.loads(locations.read(filesystem, f"{root}/runs/{held['run_id']}/run.json"))
    assert [former["accuracy"] for former in said["former_reports"]] == [0.0]
    assert ran(bucket.capsys, verify, "--out", bucket.out)[0] == 0

    assert ran(bucket.capsys, discard, "--out", bucket.out, "--run", held["run_id"])[0] == 0
    code, again = bucket.night("--run-date", "2026-11-24")
    assert (code, again["scans"]["known"], again["rows"], again["scored"]) == (0, 1, 8, 8)
    code, _, pruned = ran(bucket.capsys, prune, "--out", bucket.out, "--keep-days", 0, "--grace-hours", 0)
    assert (code, pruned["deleted"]) == (0, [second["run_id"]])
    code, last = bucket.night()
    assert (code, last["rows"], last["scans"]["known"]) == (0, 1, 8)
    assert sorted(bucket.rows()) == sorted([*(f"{digit}.png" for digit in range(8)), "new.png"])


@pytest.mark.slow
def test_of_two_nights_at_once_at_an_output_one_ends_with_a_sentence(bucket: Bucket, tmp_path: Path) -> None:
    """The other one, of another date, publishes all scans once."""
    begun, ended = threading.Event(), threading.Event()

    def hold() -> None:
        with nights._alone(bucket.out):
            begun.set()
            ended.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    assert begun.wait(60)
    code, summary = bucket.night("--run-date", "2026-11-21")
    ended.set()
    other.join()
    assert code == 75
    assert f"the night of {bucket.out} is locked by process " in summary["error"]
    assert "wait for it to end" in summary["error"]
    assert bucket.night("--run-date", "2026-11-22")[1]["scored"] == 8
