"""obstore's clients: a scan is one request, and what goes wrong is told as with pyarrow."""

import json
import os
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest

from mnist_batch.errors import InputError, StorageError
from mnist_batch.reading import images
from mnist_batch.reading.images import Unreadable
from mnist_batch.store import changing, clients, conditional, locations, retry
from tests.support import s3, seaweed
from tests.support.processes import descendants


@pytest.fixture
def content(store: s3.Proxy) -> bytes:
    """What is at ``scan.png`` of the store."""
    content = bytes(range(256)) * 400
    store.send("PUT", quote(f"/{store.bucket}/scans/a scan+1%.png"), content)
    store.seen.clear()
    return content


def read(store: s3.Proxy, most: int = 1_000_000, name: str = "a scan+1%.png") -> tuple[bytes, int]:
    return clients.read_first(f"s3://{store.bucket}/scans", f"{store.bucket}/scans/{name}", most)


@s3.on_both_servers
def test_a_scan_is_one_request_and_no_more_of_it_is_read_than_asked_for(store: s3.Proxy, content: bytes) -> None:
    for most in (1, 5_000, len(content), 10 * len(content)):
        assert read(store, most) == (content[:most], len(content))
    assert [request.split()[0] for request in store.seen] == ["GET"] * 4
    for name in ("empty.png", "#?%41\x7f\x01 [~].png"):
        store.send("PUT", quote(f"/{store.bucket}/scans/{name}"), name.encode() * (name != "empty.png"))
        assert read(store, name=name) == (name.encode() * (name != "empty.png"), len(name) * (name != "empty.png"))


@s3.on_both_servers
def test_a_large_file_is_written_by_one_request_so_that_a_kill_leaves_no_part_of_it(store: s3.Proxy) -> None:
    filesystem, path = locations.resolve(f"s3://{store.bucket}/out/large")
    content = bytes(range(256)) * 50_000
    store.seen.clear()
    changing.write_whole(filesystem, path, content)
    assert store.seen == [f"PUT /{store.bucket}/out/large"]
    assert locations.read(filesystem, path) == content
    store.fault = lambda method, _path: 503 if method == "PUT" and len(store.seen) < 3 else None
    store.seen.clear()
    changing.write_whole(filesystem, path, pa.py_buffer(content[::-1]))
    assert [request.split()[0] for request in store.seen] == ["PUT"] * 3
    assert locations.read(filesystem, path) == content[::-1]


@s3.on_both_servers
def test_a_scan_that_grew_or_is_too_large_is_told_without_being_read_whole(store: s3.Proxy, content: bytes) -> None:
    path = f"{store.bucket}/scans/a scan+1%.png".encode()
    for size, most, status in ((5, 1_000_000, "changed"), (len(content), 1_000, "too_large"), (None, 99, "too_large")):
        store.seen.clear()
        with pytest.raises(Unreadable) as told:
            images.read_scan(f"s3://{store.bucket}/scans", path, size, None, most)
        assert told.value.status == status
        assert [request.split()[0] for request in store.seen] == ["GET"]


XML = "<Error><Code>{}</Code><Message>The ACCESS_DENIED token</Message></Error>"


@s3.on_both_servers
@pytest.mark.parametrize(
    ("fault", "raised", "said"),
    [
        (503, StorageError, r"the store kept failing \(HTTP status 503 Service Unavailable: SlowDown: Please reduce"),
        (429, StorageError, r"the store kept failing \(HTTP status 429"),
        ("cut", StorageError, r"the store kept failing \(error sending request\)"),
        ((400, XML.format("ExpiredToken").encode()), StorageError, r"have expired \(HTTP status 400 Bad Request: Exp"),
        ((403, XML.format("SignatureDoesNotMatch").encode()), StorageError, "does not accept these credentials"),
        ((403, b""), retry.Denied, "does not allow this access"),
        ((404, XML.format("NoSuchBucket").encode()), InputError, "there is no such bucket"),
        ((404, XML.format("NoSuchKey").encode()), FileNotFoundError, "No such file"),
        ((404, b""), FileNotFoundError, "No such file"),
        ((301, XML.format("PermanentRedirect").encode()), retry.Refused, "incorrectly configured region"),
        ((405, XML.format("MethodNotAllowed").encode()), retry.Refused, "MethodNotAllowed"),
    ],
)
def test_an_error_says_what_it_is_whatever_the_scan_is_called(
    store: s3.Proxy, content: bytes, fault: s3.Fault, raised: type[Exception], said: str
) -> None:
    name = "status code: 503 <Code>ExpiredToken - 404.png"
    store.fault = lambda method, _: fault if method == "GET" and "list-type" not in _ else None
    with retry.patience(0), pytest.raises(raised, match=said) as told:
        read(store, name=name)
    assert type(told.value) is raised
    assert "Debug source" not in str(told.value)
    assert "\n" not in str(told.value)


def test_where_obstore_finds_no_keys_scans_are_read_with_those_of_pyarrow(
    store: s3.Proxy, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that gives keys, as of a single sign-on; two requests a scan, and obstore is asked once."""
    keys = {"Version": 1, "AccessKeyId": "OFPROGRAM", "SecretAccessKey": "secret"}
    (tmp_path / "keys").write_text(f"#!/bin/sh\necho '{json.dumps(keys)}'\n")
    (tmp_path / "keys").chmod(0o700)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {tmp_path}/keys\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(clients, "_without_keys", set())
    for _ in range(2):
        assert read(store) == (content, len(content))
    assert [request.split()[0] for request in store.seen] == ["HEAD", "GET"] * 2
    assert set(store.keys) >= {"OFPROGRAM"}


def test_a_store_is_reached_past_a_proxy_as_pyarrow_does(
    store: s3.Proxy, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    location = f"s3://{store.bucket}/scans"
    with retry.patience(0):
        assert locations.read(locations.resolve(location)[0], f"{store.bucket}/scans/a scan+1%.png") == content
        assert read(store) == (content, len(content))
        assert conditional.at(location).client is not None


@pytest.mark.slow
def test_seaweedfs_leaves_no_process_and_no_socket(tmp_path: Path) -> None:
    before = {*Path("/tmp").glob("seaweedfs-*.sock")}
    with seaweed.store(tmp_path) as server:
        server.send("PUT", "/bucket")
        made = {*Path("/tmp").glob("seaweedfs-*.sock")} - before
        ours = {path for path in made if str(server.behind + seaweed.GRPC) in path.name}
    assert ours
    assert not {path for path in ours if path.exists()}
    assert not [command for _, command in descendants(os.getpid()) if str(tmp_path) in command]
