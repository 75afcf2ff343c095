"""Leases at stores: one holder at a time, taken over when it has ended, on stores that keep conditions or not."""

import json
import logging
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from mnist_batch.errors import Locked
from mnist_batch.store import clients, conditional, leases
from mnist_batch.store.conditional import Objects
from tests.support import s3


@pytest.fixture
def objects(store: s3.Proxy) -> Objects:
    return conditional.at(f"s3://{store.bucket}/out")


@pytest.fixture
def path(store: s3.Proxy) -> str:
    return f"{store.bucket}/out/_staging/night.lock"


@pytest.fixture(params=["kept", "ignored", "refused"])
def any_objects(request: pytest.FixtureRequest, store: s3.Proxy) -> Objects:
    """At a store that keeps conditions, ignores them, or refuses them."""
    store.conditions = request.param
    found = conditional.at(f"s3://{store.bucket}/out")
    assert (found.client is None) == (request.param != "kept")
    return found


def left(objects: Objects, path: str, **said: Any) -> None:
    """A lease of another machine, which nobody renews."""
    content = {"holder": "process 7 on elsewhere", "seconds": 0.2, "token": "theirs", "process": ["boot", "space"]}
    assert objects.create(path, json.dumps(content | said).encode())


@s3.on_both_servers
def test_a_lease_has_one_holder_who_is_named_and_leaves_nothing(
    store: s3.Proxy, any_objects: Objects, path: str
) -> None:
    with leases.held(any_objects, path, "run night"):
        leases.check(path)
        with pytest.raises(Locked, match=r"^run night is locked by process \d+ on \S+, which is working on it"):
            leases.held(any_objects, path, "run night").__enter__()
        assert any_objects.read(path) is not None
    assert any_objects.read(path) is None
    with leases.held(any_objects, path, "run night"):
        pass


@s3.on_both_servers
def test_a_process_of_this_machine_that_ended_is_known_at_once(
    any_objects: Objects, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with subprocess.Popen(["sleep", "60"]) as holder:
        left(any_objects, path, seconds=600, process=leases._process(holder.pid))
        with pytest.raises(Locked, match="process 7 on elsewhere"):
            leases.held(any_objects, path, "run night").__enter__()
        holder.kill()
        holder.wait()
    with leases.held(any_objects, path, "run night"):
        leases.check(path)
    assert "was left by process 7 on elsewhere, which has ended" in caplog.text


def test_a_process_that_could_not_release_its_lease_takes_it_again(objects: Objects, path: str) -> None:
    left(objects, path, seconds=600, process=leases._process(leases.os.getpid()))
    with leases.held(objects, path, "run night"):
        pass


@s3.on_both_servers
def test_a_lease_of_elsewhere_that_nobody_renews_is_taken_over(objects: Objects, path: str) -> None:
    left(objects, path)
    with leases.held(objects, path, "run night"):
        leases.check(path)
    left(objects, path, seconds="soon")  # damaged: watched for as long as any other
    assert leases._said(objects.read(path))["seconds"] == leases.LEASE_SECONDS


@s3.on_both_servers
def test_a_lease_of_elsewhere_that_is_renewed_is_not(
    objects: Objects, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(objects, path, seconds=600)
    read, times = objects.read, []

    def renewed(_: Objects, asked: str) -> Any:
        times.append(asked)
        if len(times) == 3:
            there = read(asked)
            content = json.loads(there.content) | {"renewed": 1}
            assert Objects.replace(objects, asked, json.dumps(content).encode(), there)
        return read(asked)

    monkeypatch.setattr(Objects, "read", renewed)
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.01)
    with pytest.raises(Locked, match="process 7 on elsewhere"):
        leases.held(objects, path, "run night").__enter__()
    assert len(times) == 3 or len(times) == 4


@s3.on_both_servers
def test_of_many_who_find_a_lease_that_was_left_one_gets_it(
    objects: Objects, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(objects, path)
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(leases, "_lives", lambda _: None)  # as on machines of their own
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(leases, "LEASE_SECONDS", 30.0)
    all_there, done, held, refused = threading.Barrier(4), threading.Event(), [], []

    def take(number: int) -> None:
        all_there.wait()
        try:
            with leases.held(objects, path, "run night"):
                held.append(number)
                done.wait(60)
        except Locked:
            refused.append(number)
            if len(refused) == 3:
                done.set()

    threads = [threading.Thread(target=take, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 3)


@s3.on_both_servers
@pytest.mark.parametrize("gone", [True, False])
def test_a_holder_that_was_overtaken_knows_and_leaves_the_lease_of_the_other(
    objects: Objects, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, gone: bool
) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
    with leases.held(objects, path, "run night"):
        objects.delete(path)
        if not gone:
            left(objects, path, seconds=600)
        assert said_within(caplog, "another process has taken run night over")
        with pytest.raises(Locked, match=r"^run night: another process has taken it over; wait for it to end$"):
            leases.check(path)
    there = objects.read(path)
    assert (there is None) == gone


def said_within(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    waited = threading.Event()
    return any(text in caplog.text or waited.wait(0.02) for _ in range(1_000))


def test_a_holder_that_slept_for_too_long_looks_before_it_goes_on(
    objects: Objects, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with leases.held(objects, path, "run night"):
        monkeypatch.setattr(leases, "LEASE_SECONDS", 0.0)
        leases.check(path)
        objects.delete(path)
        with pytest.raises(Locked):
            leases.check(path)


def once(fault: s3.Fault, method: str) -> Callable[[str, str], s3.Fault]:
    armed = [fault]
    return lambda asked, _: armed.pop() if asked == method and armed else None


@s3.on_both_servers
@pytest.mark.parametrize("fault", ["lost", "cut", 503])
def test_a_put_whose_answer_is_lost_is_known_for_ones_own(
    store: s3.Proxy, objects: Objects, path: str, fault: s3.Fault
) -> None:
    store.fault = once(fault, "PUT")
    assert objects.create(path, b"mine")
    assert not objects.create(path, b"theirs")
    there = objects.read(path)
    assert there is not None
    store.fault = once(fault, "PUT")
    assert objects.replace(path, b"mine again", there)
    assert not objects.replace(path, b"of one who read the first", there)
    there = objects.read(path)
    assert there is not None
    assert there.content == b"mine again"


@pytest.mark.parametrize(
    ("conditions", "why"),
    [("kept", ""), ("ignored", "it ignores If-None-Match"), ("refused", "501 Not Implemented")],
)
def test_a_store_without_conditions_is_said_once(
    store: s3.Proxy, caplog: pytest.LogCaptureFixture, conditions: str, why: str
) -> None:
    store.conditions = conditions
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            conditional.at(f"s3://{store.bucket}/out")
    assert len(caplog.messages) == bool(why)
    assert why in caplog.text
    assert f"s3://{store.bucket}/out" in caplog.text or not why
    assert not conditional.at(f"s3://{store.bucket}/out").filesystem.get_file_info(f"{store.bucket}/out").size
    keys = [entry.path for entry in conditional.at(f"s3://{store.bucket}/out").filesystem.get_file_info(
        conditional.fs.FileSelector(store.bucket, recursive=True))]  # fmt: skip
    assert keys == []  # the probe is deleted, and leaves no folder


def test_the_keys_of_a_profile_are_those_that_aws_reads(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "[default]\naws_access_key_id = A\naws_secret_access_key = B\nregion = x\n"
        "[night]\naws_access_key_id=C\naws_secret_access_key=D\naws_session_token=E\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    assert clients.profile() == {"aws_access_key_id": "A", "aws_secret_access_key": "B"}
    monkeypatch.setenv("AWS_PROFILE", "night")
    assert clients.profile() == {
        "aws_access_key_id": "C",
        "aws_secret_access_key": "D",
        "aws_session_token": "E",
    }
    monkeypatch.setenv("AWS_PROFILE", "none")
    assert clients.profile() == {}


def test_keys_of_a_profile_reach_a_store(
    store: s3.Proxy, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = testing\naws_secret_access_key = testing\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    objects = conditional.at(f"s3://{store.bucket}/out?region=us-east-1")
    assert objects.client is not None
    assert caplog.text == ""
    assert clients._profile_keys()["expires_at"] > datetime.now(UTC)
