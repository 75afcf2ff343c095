"""Pages of forms at a store, their form there, too, and what is done with a run of theirs: each job works."""

from pathlib import Path
from urllib.parse import quote

import pytest

import mnist_batch
from jobs import calibrate, discard, export, report, review, score, verify
from mnist_batch.models import bundle
from mnist_batch.runs import series
from mnist_batch.store import locations
from tests.support import s3, stacks
from tests.support.running import Capture, ran

KINDS = ("clean", "turned 180", "scan 150 dpi")


def put(store: s3.Proxy, folder: Path) -> None:
    """A folder's files into the bucket."""
    for path in folder.rglob("*"):
        if path.is_file():
            store.send("PUT", quote(f"/{store.bucket}/{path.relative_to(folder)}"), path.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("form_at", ["store", "disk"])
@pytest.mark.usefixtures("shared_ray")
@s3.on_both_servers
def test_every_job_on_a_run_of_forms_works_at_a_store(
    store: s3.Proxy, tmp_path: Path, capsys: Capture, form_at: str
) -> None:
    local_form, truth = stacks.stack(tmp_path / "stack", KINDS)[:2]
    put(store, tmp_path / "stack")

    def at(path: str) -> str:
        options = f"endpoint_override={store.url.removeprefix('http://')}&scheme=http&region=us-east-1"
        return f"s3://{store.bucket}/{path}?{options}"

    def there(path: Path | str) -> str:
        return at(str(Path(path).relative_to(tmp_path / "stack")))

    run, out = ["--run", "night"], ["--out", at("out")]
    form = there(local_form) if form_at == "store" else local_form
    given = ["--form", form, "--labels", there(truth), "--target-error", 0.01, "--trust-anyway", "--run-id", "night"]
    pools = ["--preprocessors", 1, "--classifiers", 1, "--shard-size", 2]
    code, printed, last = ran(capsys, score, at("pages"), *given, *out, *pools)
    assert code == 0, last
    assert "3 pages: 3 of form boxes" in printed
    assert "mnist_batch.read_predictions(" in printed
    count = last["fields"]["fields"] if "fields" in last["fields"] else len(fields(at("out")))
    assert len(fields(at("out"))) == count > 30
    assert ran(capsys, score, at("pages"), *given, *out, *pools)[0] == 0  # nothing to do

    assert ran(capsys, report, *out, *run, "--labels", there(truth))[0] == 0
    assert ran(capsys, verify, *out)[0] == 0
    for name, job, flag, to in (
        ("review", review, "--to", tmp_path / "review"),
        ("tasks.json", review, "--to-label-studio", at("tasks.json")),
        ("night.csv", export, "--csv", tmp_path / "night.csv"),
        ("model", calibrate, "--to", at("model")),
    ):
        code, _, last = ran(capsys, job, *out, *run, flag, to)
        assert code == 0, (name, last)
        assert locations.exists(*locations.resolve(str(to)))
    for job, flag in ((review, "--to"), (export, "--csv")):  # what people open is written to a disk
        code, _, last = ran(capsys, job, *out, *run, flag, at("elsewhere"))
        assert (code, "to a disk; give a path" in last["error"]) == (2, True)
    rows = (tmp_path / "night.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(rows) > count
    assert bundle.open_bundle(at("model")).digest
    assert ran(capsys, verify, *out)[0] == 0
    assert ran(capsys, discard, *out, *run)[0] == 0
    assert series.published_runs(at("out")) == []
    assert len(fields(at("out"))) == 0


def fields(out: str) -> list[dict[str, object]]:
    """The rows of fields that readers see."""
    found: list[dict[str, object]] = mnist_batch.read_predictions(out, "fields").to_table().to_pylist()
    return found
