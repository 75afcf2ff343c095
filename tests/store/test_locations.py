"""Object stores that throttle, refuse and cut: asked again, or told in a sentence, and never a row lost."""

import json
import os
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from jobs import discard, export, report, score, verify
from jobs import list as list_job
from mnist_batch import scoring
from mnist_batch.errors import InputError, Locked, StorageError
from mnist_batch.intake import listing, scans, user_tables
from mnist_batch.learning.listed import list_data
from mnist_batch.learning.recipe import Data
from mnist_batch.models.answers import ModelSpec
from mnist_batch.pipeline import actors, auditing
from mnist_batch.pipeline.settings import Settings
from mnist_batch.pixels import decoding
from mnist_batch.reading import isolated, preprocessing, reading_ahead, serving
from mnist_batch.runs import discarding, opening, publishing, series, verifying
from mnist_batch.runs.command import Command
from mnist_batch.runs.run import Run, parquet
from mnist_batch.schemas.facts import Receipt
from mnist_batch.store import changing, conditional, locations, retry
from tests.support import s3, static_s3
from tests.support.pictures import write_labelled
from tests.support.ruler import picture_of, write_scan
from tests.support.run_facts import commit, frozen
from tests.support.waiting import until

pytestmark = pytest.mark.long


def put_scans(store: s3.Proxy, count: int) -> str:
    """Digits of the ruler below ``scans/``, and their location."""
    for number in range(count):
        content = decoding.encode(picture_of(number % 10))
        store.send("PUT", f"/{store.bucket}/scans/{number % 10}/{number:04}.png", content)
    return f"s3://{store.bucket}/scans"


def first(times: int, fault: s3.Fault, method: str = "GET") -> Callable[[str, str], s3.Fault]:
    """The fault for so many requests of a kind, then none."""
    left = [fault] * times
    return lambda asked, path: left.pop() if asked == method and left else None


UNKNOWN = "Unable to parse ExceptionName: {} Message: The token EXPIRED."
SAID = "When uploading object with key 'token/EXPIRED ACCESS_DENIED.png' in bucket 'SIGNATURE': AWS Error "


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("AWS Error INTERNAL_FAILURE during GetObject operation: Failed to flush response stream (eof: 0, bad: 1)", ""),
        ("AWS Error SERVICE_UNAVAILABLE during GetObject operation: ", "passing"),
        (SAID + "SLOW_DOWN during PutObject operation: Please reduce your request rate. (Request ID: 4)", "passing"),
        (SAID + "UNKNOWN (HTTP status 503) during HeadObject operation: No response body.", "passing"),
        (SAID + "UNKNOWN (HTTP status 429) during HeadObject operation: No response body.", "passing"),
        (SAID + "NETWORK_CONNECTION during HeadObject operation: curlCode: 56, Recv failure", "passing"),
        (SAID + "NETWORK_CONNECTION during PutObject operation: curlCode: 7, Couldn't connect to server", "passing"),
        (SAID + "ACCESS_DENIED during HeadObject operation: No response body.", "denied"),
        (SAID + "SIGNATURE_DOES_NOT_MATCH during PutObject operation: The request signature we", "credentials"),
        (SAID + "INVALID_ACCESS_KEY_ID during ListObjectsV2 operation: The AWS Access Key Id", "credentials"),
        (SAID + "UNKNOWN (HTTP status 400) during GetObject operation: " + UNKNOWN.format("ExpiredToken"), "expired"),
        (SAID + "UNKNOWN (HTTP status 403) during GetObject operation: " + UNKNOWN.format("RequestExpired"), "expired"),
        (
            SAID + "UNKNOWN (HTTP status 400) during GetObject operation: " + UNKNOWN.format("InvalidToken"),
            "credentials",
        ),
        (SAID + "UNKNOWN (HTTP status 403) during GetObject operation: " + UNKNOWN.format("Other"), "denied"),
        (SAID + "NO_SUCH_BUCKET during ListObjectsV2 operation: The specified bucket does not exist", "bucket"),
        (SAID + "NO_SUCH_KEY during CopyObject operation: The specified key does not exist.", "absent"),
        (SAID + "UNKNOWN (HTTP status 400) during HeadObject operation: No response body.", "refused"),
        (SAID + "UNKNOWN (HTTP status 301) during HeadObject operation: No response body.", "refused"),
        ("Path does not exist 'bucket/token.png'. Detail: [errno 2] No such file or directory", "absent"),
    ],
)
def test_what_a_store_says_is_understood_whatever_its_files_are_called(text: str, kind: str) -> None:
    assert retry.kind_of(OSError(text)) == (kind or "passing")


def test_an_error_of_a_file_system_is_known_by_its_kind_or_number() -> None:
    assert retry.kind_of(FileNotFoundError("/some/path")) == "absent"
    assert retry.kind_of(PermissionError(13, "Permission denied")) == "denied"
    assert retry.kind_of(OSError(28, "No space left on device")) == "disk"
    assert retry.kind_of(ConnectionResetError(104, "Connection reset by peer")) == "passing"
    assert retry.kind_of(OSError(113, "No route to host")) == "passing"


@s3.on_both_servers
@pytest.mark.parametrize("fault", [503, 500, "cut"])
@pytest.mark.parametrize("size", [16, 4_000])
def test_a_read_that_is_throttled_or_cut_is_repeated(store: s3.Proxy, fault: s3.Fault, size: int) -> None:
    """pyarrow's own client does not repeat a throttled GET of an object that is smaller than the error's text."""
    filesystem, path = locations.resolve(f"s3://{store.bucket}/x")
    changing.write_whole(filesystem, path, bytes(size))
    store.fault = first(2, fault)
    assert locations.read(filesystem, path) == bytes(size)
    assert sum(request.startswith("GET") for request in store.seen) == 3


@s3.on_both_servers
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("rows", [1, 200_000])
def test_a_table_of_a_user_that_is_throttled_is_read_whole(store: s3.Proxy, rows: int, kind: str) -> None:
    content = b"scan,label\n" + b"a.png,7\n" * rows
    if kind == "parquet":
        names = [secrets.token_hex(8) for _ in range(rows)]  # of more than one part
        content = bytes(parquet(pa.table({"scan": names, "label": [7] * rows})))
    store.send("PUT", f"/{store.bucket}/truth.csv", content)
    refusals = iter([503] * 5)  # more than pyarrow's own three tries
    store.fault = lambda method, path: next(refusals, None) if method == "GET" and "truth" in path else None
    read = user_tables.read("--labels", f"s3://{store.bucket}/truth.csv", ["scan", "label"])
    assert sum(len(batch.numbers) for batch in read) == rows
    assert next(refusals, None) is None


def test_asking_again_is_said_once(store: s3.Proxy, caplog: pytest.LogCaptureFixture) -> None:
    filesystem, path = locations.resolve(f"s3://{store.bucket}/x")
    changing.write_whole(filesystem, path, b"x")
    for _ in range(3):
        store.fault = first(1, 503)
        assert locations.read(filesystem, path) == b"x"
    [said] = caplog.messages
    assert f"s3://{store.bucket}: " in said
    assert "requests are repeated" in said


def test_a_process_that_reads_tells_once_that_requests_are_repeated_and_counts_each(
    store: s3.Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, told, counted = listing.list_scans([put_scans(store, 3)]), list[str](), list[int]()
    monkeypatch.setattr(retry, "_count", counted.append)
    reader = isolated.Reader()
    try:
        for _ in range(2):
            store.fault = first(1, 503)
            assert reader.read(manifest, tell=told.append)["status"].to_pylist() == ["ok"] * 3
    finally:
        reader.close()
    assert sum(counted) == 2
    [said] = told
    assert said.startswith(f"s3://{store.bucket}: ")
    assert said.endswith("requests are repeated after growing waits, for up to 60 seconds")


@s3.on_both_servers
def test_what_is_not_there_is_asked_for_once(store: s3.Proxy) -> None:
    filesystem, path = locations.resolve(f"s3://{store.bucket}/x")
    with pytest.raises(FileNotFoundError):
        locations.read(filesystem, path)
    assert store.seen == [f"HEAD /{store.bucket}/x"]
    assert locations.read_if_there(filesystem, path) is None


@s3.on_both_servers
def test_a_store_that_gives_no_good_answer_ends_as_such(store: s3.Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem, path = locations.resolve(f"s3://{store.bucket}/x")
    changing.write_whole(filesystem, path, b"x")
    monkeypatch.setattr(retry, "PATIENCE_SECONDS", 0.2)
    store.fault = lambda method, _: 503 if method == "GET" else None
    with pytest.raises(StorageError, match=rf"^s3://{store.bucket}/x: the store kept failing .*same command"):
        locations.read(filesystem, path)


@s3.on_both_servers
def test_a_small_file_is_one_request_and_a_run_leaves_no_folders_behind(store: s3.Proxy, ruler: str) -> None:
    """A life of a run at a store: a PUT is whole by itself, so there is nothing to rename and no folder to make."""
    source = put_scans(store, 5)
    run = Run(f"s3://{store.bucket}/out", "night", "2026-11-21")
    frozen(run, scans.cut(listing.list_scans([source]), 2))
    run = run.begin_attempt()
    store.seen.clear()
    run.beat(0, 1, 0)
    assert store.seen == [f"PUT /{store.bucket}/out/_staging/night/beats/0-1-0"]
    classify = actors.Classify(run, ModelSpec(ruler))
    for shard in range(3):
        classify(preprocessing.preprocess(run.shard(shard), shard))
    assert run.opened
    files = publishing.files_of(run, auditing.audit(run, run.opened)[0])
    publishing.publish(run)
    commit(run, files=files)
    run.clear_staging()
    verifying.check_predictions(run, files)
    keys = [entry.path for entry in run.filesystem.get_file_info(fs.FileSelector(store.bucket, recursive=True))
            if entry.type == fs.FileType.File and "/scans/" not in entry.path]  # fmt: skip
    assert sorted(keys) == sorted([*(f"{run.root}/{file.path}" for file in files), f"{run.folder}/run.json"])
    assert sum("/predictions/" in request for request in store.seen if request.startswith("PUT")) == 3  # never again
    made = {request.split()[1] for request in store.seen if request.startswith("PUT") and request.endswith("/")}
    assert made <= {f"/{store.bucket}/out/_staging/night/", f"/{store.bucket}/out/_staging/"}  # pyarrow, deleting below


def test_many_scans_are_read_ahead_within_the_readers_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3 * reading_ahead.MOST):
        write_scan(tmp_path / f"{number:03}.png", number % 10)
    with static_s3.served(tmp_path, delay_seconds=0.1) as server:
        for name, value in s3.CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        port = server.url.rpartition(":")[2]
        manifest = listing.list_scans([f"s3://scans?endpoint_override=127.0.0.1:{port}&scheme=http"])
        server.asked()
        reader = isolated.Reader()
        try:
            rows = reader.read(manifest)
        finally:
            reader.close()
        asked = server.asked()
    assert rows["status"].to_pylist() == ["ok"] * len(manifest)
    assert "died" not in caplog.text
    assert asked["GET object"] == len(manifest)  # none of them twice
    assert asked["most_under_way"] > 2 * reading_ahead.FEWEST


def test_as_many_scans_are_requested_ahead_as_the_store_is_slow() -> None:
    def requests(answer_seconds: float, turn_seconds: float) -> int:
        pace = reading_ahead.Pace()
        for _ in range(100):
            pace.answered(answer_seconds)
            pace.turned(turn_seconds)
        return pace.requests

    assert reading_ahead.Pace().requests == reading_ahead.FEWEST
    assert requests(0.030, 0.001) == 60
    assert requests(0.001, 0.001) == requests(0.030, 0.5) == reading_ahead.FEWEST
    assert requests(3, 0.001) == reading_ahead.MOST


def test_no_more_bytes_are_read_ahead_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        write_scan(tmp_path / f"{number}.png", number)
    manifest = listing.list_scans([f"fsspec+file://{tmp_path}"])
    most = max(manifest["size"].to_pylist())
    monkeypatch.setattr(reading_ahead, "MOST_BYTES", 2 * most)
    asked: list[bytes] = []
    read_scan = reading_ahead.images.read_scan
    monkeypatch.setattr(
        reading_ahead.images,
        "read_scan",
        lambda source, path, *rest: asked.append(path) or read_scan(source, path, *rest),
    )
    ahead: list[int] = []
    rows = preprocessing.preprocess(manifest, next_page=lambda row, page: ahead.append(len(asked) - row))
    assert rows["status"].to_pylist() == ["ok"] * 6
    assert max(ahead) <= 4


def test_waiting_for_a_store_is_no_time_of_a_scans(store: s3.Proxy, caplog: pytest.LogCaptureFixture) -> None:
    manifest = listing.list_scans([put_scans(store, 3)])
    reader = isolated.Reader(preprocessing.Limits(scan_timeout_seconds=3))
    try:
        assert reader.read(manifest)["status"].to_pylist() == ["ok"] * 3
        store.delay_seconds = 3.2
        assert reader.read(manifest)["status"].to_pylist() == ["ok"] * 3
    finally:
        reader.close()
    assert "died" not in caplog.text


@s3.on_both_servers
def test_a_scan_that_a_store_does_not_give_is_no_missing_row(store: s3.Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = listing.list_scans([put_scans(store, 4)])
    monkeypatch.setattr(retry, "PATIENCE_SECONDS", 0.2)
    store.fault = lambda method, path: 503 if method == "GET" and "0002.png" in path else None
    with pytest.raises(StorageError, match=r"0002\.png: the store kept failing"):
        preprocessing.preprocess(manifest)
    store.fault = lambda method, path: 403 if method == "GET" and "0002.png" in path else None
    store.send("DELETE", f"/{store.bucket}/scans/0/0000.png")
    store.send("PUT", f"/{store.bucket}/scans/1/0001.png", b"longer than it was")
    rows = preprocessing.preprocess(manifest)
    assert rows["status"].to_pylist() == ["missing", "changed", "missing", "ok"]
    assert rows["reason"][0].as_py() == "No such file or directory"
    assert "the store does not allow this access" in rows["reason"][2].as_py()


@pytest.mark.parametrize("sign", serving.FAULTS)
def test_what_stops_the_reading_process_is_told_as_it_is(tmp_path: Path, sign: bytes) -> None:
    write_scan(tmp_path / "1.png", 1)
    reader = isolated.Reader()
    try:
        reader.read(listing.list_scans([str(tmp_path)]))
        reader._receive = lambda: sign + b"s3://bucket/x: no answer"  # type: ignore[method-assign]
        with pytest.raises(serving.FAULTS[sign], match=r"^s3://bucket/x: no answer$"):
            reader.read(listing.list_scans([str(tmp_path)]))
    finally:
        reader.close()


class Forgetful(fs.FSSpecHandler):  # type: ignore[misc]
    """A store that goes on showing a folder which is gone, as SeaweedFS does for minutes."""

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        return [fs.FileInfo(path, fs.FileType.Directory) for path in paths]

    def delete_dir(self, path: str) -> None:
        raise FileNotFoundError(f"Path does not exist '{path}'")


@s3.on_both_servers
def test_a_folder_that_is_gone_is_deleted(store: s3.Proxy) -> None:
    import fsspec

    changing.delete_folder(fs.PyFileSystem(Forgetful(fsspec.filesystem("file"))), "bucket/gone")
    filesystem, path = locations.resolve(f"s3://{store.bucket}/x")
    changing.delete_folder(filesystem, path)
    changing.delete_file(filesystem, path)
    changing.move_file(filesystem, path, f"{path}-moved")
    changing.move_folder(filesystem, path, f"{path}-moved")
    assert not locations.exists(filesystem, f"{path}-moved")


XML = '<?xml version="1.0"?><Error><Code>{}</Code><Message>{}</Message></Error>'


def refusal(code: str, message: str) -> s3.Fault:
    return 403, XML.format(code, message).encode()


@s3.on_both_servers
@pytest.mark.parametrize(
    ("fault", "flags", "said"),
    [
        (None, ["--out", "s3://no-such-bucket/out"], "--out cannot be written to: s3://no-such-bucket/out/_staging/"),
        (None, ["--out", "s3://no-such-bucket/out"], "there is no such bucket"),
        (None, ["s3://no-such-bucket/scans"], "SCANS: s3://no-such-bucket"),
        (None, ["--model", "s3://no-such-bucket/model"], "--model: s3://no-such-bucket"),
        (None, ["--labels", "s3://no-such-bucket/truth.csv"], "--labels: s3://no-such-bucket"),
        (refusal("AccessDenied", "Access Denied"), [], "made with the key test... of AWS_ACCESS_KEY_ID: check"),
        (refusal("SignatureDoesNotMatch", "The signature"), [], "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"),
        (refusal("InvalidAccessKeyId", "The key"), [], "does not accept these credentials"),
        ((301, XML.format("PermanentRedirect", "The bucket").encode()), [], "AWS_REGION and AWS_ENDPOINT_URL"),
        pytest.param("cut", [], "AWS_REGION and AWS_ENDPOINT_URL", marks=pytest.mark.long),
    ],
)
def test_a_store_that_cannot_be_used_is_said_before_anything_is_listed(
    store: s3.Proxy,
    ruler: str,
    fault: s3.Fault,
    flags: list[str],
    said: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    source = put_scans(store, 1)
    store.seen.clear()
    store.fault = lambda *_: fault
    given = [] if flags and flags[0].startswith("s3:") else [source]
    command = ["--model", ruler, "--out", f"s3://{store.bucket}/out", *given, *flags]
    assert score.main(command) == 2
    output = capfd.readouterr()
    error = json.loads(output.out.splitlines()[-1])["error"]
    assert said in error
    assert "s3://" in error
    assert len(error) < 700
    assert "Traceback" not in output.err
    assert not [request for request in store.seen if "max-keys=1000&prefix=scans" in request]


@s3.on_both_servers
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (None, "there is no such bucket"),
        (refusal("InvalidAccessKeyId", "The key"), "does not accept these credentials"),
    ],
)
@pytest.mark.parametrize(
    ("job", "flags"),
    [
        (list_job, []),
        (verify, []),
        (report, ["--run", "night"]),
        (export, ["--run", "night", "--csv", "night.csv"]),
        (discard, ["--run", "night"]),
        (discard, ["--run", "night", "--dry-run"]),
        (score, ["--retry", "night"]),
    ],
)
def test_an_output_that_cannot_be_asked_is_not_one_without_runs(
    store: s3.Proxy, job: Any, flags: list[str], fault: s3.Fault, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    store.fault = lambda *_: fault
    out = f"s3://{store.bucket if fault else 'no-such-bucket'}/out"
    assert job.main(["--out", out, *flags]) == 2
    output = capfd.readouterr()
    error = json.loads(output.out.splitlines()[-1])["error"]
    assert error.startswith(f"--out: {out}: ")
    assert said in error
    assert "Traceback" not in output.err


def test_an_output_without_runs_is_checked_on_its_disk_or_at_its_store(
    store: s3.Proxy, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for out, check in (
        (f"s3://{store.bucket}/out", "; check the bucket and the path"),
        (str(tmp_path), "; check the path, and that its disk is mounted"),
    ):
        for job in (list_job, verify):
            assert job.main(["--out", out]) == 2
            assert json.loads(capfd.readouterr().out.splitlines()[-1])["error"].endswith(check)


@s3.on_both_servers
def test_a_run_that_a_store_has_not_is_named_with_the_whole_location(
    store: s3.Proxy, capfd: pytest.CaptureFixture[str]
) -> None:
    out = f"s3://{store.bucket}/out"
    for job in (discard, report):
        assert job.main(["--out", out, "--run", "night"]) == 2
        assert f"in {out}; there are none" in json.loads(capfd.readouterr().out.splitlines()[-1])["error"]


@pytest.mark.long
def test_an_endpoint_where_nobody_is_is_said(ruler: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    nowhere = "s3://bucket/scans?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1"
    assert score.main([nowhere, "--model", ruler, "--out", str(tmp_path)]) == 2
    output = capfd.readouterr()
    error = json.loads(output.out.splitlines()[-1])["error"]
    assert error.startswith("SCANS: s3://bucket/scans: the store kept failing")
    assert "AWS_ENDPOINT_URL" in error
    assert "Traceback" not in output.err


def test_a_run_taken_over_is_told_so_whatever_it_meets(
    tmp_path: Path, ruler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one begins while this one scores, and may have published and cleared all by the time it is noticed."""
    for number in range(3):
        write_scan(tmp_path / "in" / f"{number}.png", number)

    def overtaken(run: Run, opened: Any, pending: Any, *_: object) -> Iterator[Receipt]:
        classify = actors.Classify(run, ModelSpec(ruler, opened.model.digest))
        rows = preprocessing.preprocess(run.shard(0), 0)
        other = Run(run.out, run.run_id, run.run_date).begin_attempt()
        if cleared:
            other.clear_staging()
            run.shard(0)
        yield from (Receipt(**receipt) for receipt in classify(rows).to_pylist())

    monkeypatch.setattr(scoring, "run_here", overtaken)
    for cleared in (False, True):
        out = tmp_path / f"out-{cleared}"
        with (
            opening.open_run(Command(sources=[str(tmp_path / "in")], model=ruler, out=str(out), run_id="night")) as run,
            pytest.raises(Locked, match="another process has taken this run over") as told,
        ):
            scoring.score(run, Settings(here=True))
        assert told.value.exit_code == 75


@s3.on_both_servers
@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((400, XML.format("ExpiredToken", "The provided token has expired.").encode()), "the credentials have expired"),
        (refusal("ExpiredToken", "The provided token has expired."), "the credentials have expired"),
        (refusal("InvalidAccessKeyId", "The key"), "the store does not accept these credentials"),
        (refusal("AccessDenied", "Access Denied"), "It does not allow to list its bucket either"),
    ],
)
def test_a_run_whose_credentials_expire_ends_and_fresh_ones_finish_it(
    store: s3.Proxy, ruler: str, tmp_path: Path, fault: s3.Fault, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    put_scans(store, 30)
    command = [f"s3://{store.bucket}/scans", "--out", str(tmp_path), "--model", ruler, "--shard-size", "10"]
    command += ["--run-id", "night"]

    def expiring(method: str, path: str) -> s3.Fault:
        begun = sum(request.startswith("GET") and ".png" in request for request in store.seen) > 15
        return fault if begun else None

    store.seen.clear()
    store.fault = expiring
    assert score.main(command) == 5
    output = capfd.readouterr()
    error = json.loads(output.out.splitlines()[-1])["error"]
    assert said in error
    assert "AWS_SESSION_TOKEN" in error
    assert "Traceback" not in output.err
    store.fault = lambda *_: None
    assert score.main(command) == 0
    summary = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert (summary["rows"], summary["scored"]) == (30, 30)


def test_keys_in_a_file_that_is_renewed_are_used_at_once(
    store: s3.Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyarrow's client reads the file when it is made, and never again; obstore's does not read it at all."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    manifest, run = None, Run(f"s3://{store.bucket}/out", "night", "2026-11-21")

    def conditionally(key: str) -> bool:
        return conditional.at(run.out).create(f"{run.root}/x", b"x") and store.keys[-1] == key

    for key in ("FIRST", "SECOND"):
        file.write_text(f"[default]\naws_access_key_id={key}\naws_secret_access_key=s\naws_session_token=t\n")
        manifest = manifest or listing.list_scans([put_scans(store, 2)])
        store.keys.clear()
        assert preprocessing.preprocess(manifest)["status"].to_pylist() == ["ok", "ok"]
        run.beat(0, 0, 0)
        assert set(store.keys) == {key}
        until(partial(conditionally, key), "a conditional put with the new key")  # obstore keeps one for 0.1 s
        os.utime(file, ns=(1, 1))  # whatever the clock of the disk


@s3.on_both_servers
@pytest.mark.usefixtures("without_ray")
def test_a_run_bears_with_an_endpoint_that_goes_away_for_a_while(store: s3.Proxy, ruler: str, tmp_path: Path) -> None:
    put_scans(store, 30)
    command = [f"s3://{store.bucket}/scans", "--out", str(tmp_path), "--model", ruler, "--run-id", "night"]
    cut: dict[str, int] = {}

    def away(_method: str, path: str) -> s3.Fault:
        if ".png" not in path:
            return None
        cut[path] = cut.get(path, 0) + 1
        return "cut" if cut[path] <= 4 else None

    store.fault = away
    assert score.main(command) == 0
    assert len(cut) == 30
    assert min(cut.values()) > 4
    rows = pq.read_table(tmp_path / "predictions")
    assert rows["status"].to_pylist() == ["ok"] * 30


@s3.on_both_servers
@pytest.mark.slow
@pytest.mark.usefixtures("shared_ray")
def test_a_run_from_store_to_store_that_throttles_is_published_whole(
    store: s3.Proxy, ruler: str, capfd: pytest.CaptureFixture[str]
) -> None:
    put_scans(store, 60)
    where = f"?endpoint_override={store.url.removeprefix('http://')}&scheme=http&region=us-east-1"
    turns: dict[str, int] = {}

    def throttled(method: str, path: str) -> s3.Fault:
        turn = turns[method] = turns.get(method, 0) + 1
        return 503 if turn % 4 == 0 or (method == "GET" and "0007.png" in path and turn % 2) else None

    store.fault = throttled
    command = [f"s3://{store.bucket}/scans{where}", "--out", f"s3://{store.bucket}/out{where}", "--model", ruler]
    command += ["--labels", "parent", "--shard-size", "20", "--run-id", "night"]
    command += ["--preprocessors", "1", "--classifiers", "1"]  # each actor more takes seconds to start
    assert score.main(command) == 0
    summary = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert (summary["rows"], summary["scored"], summary["accuracy"]) == (60, 60, 1.0)
    store.fault = lambda *_: None
    for name in ("report", "predictions"):
        assert summary[name].startswith(f"s3://{store.bucket}/out/")
        assert locations.exists(*locations.resolve(summary[name]))
    filesystem, folder = locations.resolve(summary["predictions"])
    rows = pq.read_table(folder, filesystem=filesystem)
    assert rows["status"].to_pylist() == ["ok"] * 60
    assert len(set(rows["scan"].to_pylist())) == 60
    assert sum(turns.values()) > 200
    assert score.main(command) == 0


@s3.on_both_servers
@pytest.mark.usefixtures("without_ray")
def test_a_run_at_a_store_is_withdrawn_and_no_run_any_more_from_the_first_moment(
    store: s3.Proxy, ruler: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = f"s3://{store.bucket}/out"
    assert score.main([put_scans(store, 3), "--out", out, "--model", ruler, "--run-id", "night"]) == 0
    assert verify.main(["--out", out]) == 0

    def killed(point: str, *_: object) -> None:
        if point == "withdrawn":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(discarding.failpoints, "reach", killed)
        assert discard.main(["--out", out, "--run", "night"]) == 130
    assert series.published_runs(out) == []
    assert discard.main(["--out", out, "--run", "night"]) == 0
    assert f"deleted: {out}/predictions/run_date=" in capfd.readouterr().out
    assert discard.main(["--out", out, "--run", "night"]) == 2
    filesystem, root = locations.resolve(out)
    left = filesystem.get_file_info(fs.FileSelector(root, recursive=True))
    assert [entry.path for entry in left if entry.type == fs.FileType.File and entry.size] == []


@pytest.mark.parametrize("key", ["scans//1.png", "scans/a//1.png"])
def test_a_key_with_an_empty_folder_name_is_said(store: s3.Proxy, key: str) -> None:
    """pyarrow lists ``a//`` as ``a`` in itself, for ever."""
    source = put_scans(store, 2)
    store.send("PUT", f"/{store.bucket}/{key}", b"x")
    with pytest.raises(
        InputError, match=rf"^s3://{store.bucket}/{key.partition('//')[0]}: a key below it has an empty"
    ):
        listing.list_scans([source])


def test_labelled_pictures_at_a_store_are_listed_with_their_licence(store: s3.Proxy, tmp_path: Path) -> None:
    path = write_labelled(tmp_path / "own", [picture_of(1), picture_of(2)], {"licence": "CC0 1.0"}, label=[1, 2])
    store.send("PUT", f"/{store.bucket}/own.parquet", path.read_bytes())
    refusals = iter([503] * 5)
    store.fault = lambda method, path: next(refusals, None) if method == "GET" and "own" in path else None
    listed = list_data(Data(f"s3://{store.bucket}/own.parquet"))
    assert listed.scans is not None
    assert (listed.scans["label"].to_pylist(), listed.licence) == ([1, 2], "CC0 1.0")
    assert next(refusals, None) is None


def test_a_place_is_below_no_file_and_below_no_folder_that_may_not_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for below in ("", "/a", "/a/b"):
        with pytest.raises(InputError, match=rf"^--to \S+/file{below}: {tmp_path}/file is a file and no folder"):
            changing.check_place("--to", f"{tmp_path}/file{below}")
    changing.check_place("--to", f"{tmp_path}/new/folder")
    monkeypatch.setattr(os, "access", lambda folder, _: folder != str(tmp_path))  # root may write anywhere
    with pytest.raises(InputError, match=rf"{tmp_path} may not be written to; give another place"):
        changing.check_place("--to", f"{tmp_path}/new/folder")
    assert not [*tmp_path.glob("new")]
