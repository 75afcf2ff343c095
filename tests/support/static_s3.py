"""A small S3 server that only lists and reads, fast enough to measure clients with: each answer waits, on no CPU.

    python -m tests.support.static_s3 --folder scans --bucket scans --delay-seconds 0.03

It prints its port, answers each line of its standard input with what was asked of it since the last, and ends with it.
Objects are the files below the folder, held in memory. Signatures are not checked.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

MAX_KEYS = 1000  # of S3's listings
NO_SUCH_KEY = "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
MODIFIED = "2026-11-21T00:00:00.000Z", "Sat, 21 Nov 2026 00:00:00 GMT"

Answer = tuple[str, str, bytes]  # status, more headers, body


@dataclass
class Store:
    """A bucket of objects by key, and what was asked of it."""

    bucket: str
    objects: Mapping[str, bytes]
    delay_seconds: float = 0
    asked: Counter[str] = field(default_factory=Counter)
    under_way: int = 0
    most_under_way: int = 0

    def __post_init__(self) -> None:
        self.keys = sorted(self.objects)

    def answer(self, method: str, target: str, head: str) -> Answer:
        """The answer to one request, whose header lines are ``head``."""
        path, _, query = target.partition("?")
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        self.asked[f"{method} {'object' if key else 'bucket'}"] += 1
        if bucket != self.bucket or (key and key not in self.objects):
            return "404 Not Found", "", NO_SUCH_KEY.encode()
        if not key:
            return "200 OK", "", self._listed(parse_qs(query, keep_blank_values=True)).encode()
        return self._object(self.objects[key], re.search(r"\r\nrange: bytes=(\d+)-(\d*)", head, re.IGNORECASE))

    def _object(self, content: bytes, span: re.Match[str] | None) -> Answer:
        headers = f'Last-Modified: {MODIFIED[1]}\r\nETag: "0"\r\nAccept-Ranges: bytes\r\n'
        if span is None:
            return "200 OK", headers, content
        first, last = int(span[1]), min(int(span[2] or len(content)), len(content) - 1)
        if first > last:
            return "416 Range Not Satisfiable", "", b"<Error><Code>InvalidRange</Code><Message/></Error>"
        headers += f"Content-Range: bytes {first}-{last}/{len(content)}\r\n"
        return "206 Partial Content", headers, content[first : last + 1]

    def _listed(self, query: Mapping[str, list[str]]) -> str:
        if "list-type" not in query:
            return "<Empty/>"
        prefix, delimiter, most = query.get("prefix", [""])[0], query.get("delimiter", [""])[0], MAX_KEYS
        most = min(most, int(query.get("max-keys", [most])[0]))
        after = query.get("continuation-token", [""])[0]
        at = max(bisect_left(self.keys, prefix), bisect_right(self.keys, after))
        found, told = list[str](), 0
        while at < len(self.keys) and self.keys[at].startswith(prefix) and told < most:
            key = after = self.keys[at]
            folder = key.find(delimiter, len(prefix)) if delimiter else -1
            if folder >= 0:
                common = key[: folder + 1]
                after = common + "\U0010ffff"
                found.append(f"<CommonPrefixes><Prefix>{escape(common)}</Prefix></CommonPrefixes>")
                at = bisect_left(self.keys, after)
            else:
                size = len(self.objects[key])
                found.append(
                    f"<Contents><Key>{escape(key)}</Key><LastModified>{MODIFIED[0]}</LastModified>"
                    f"<Size>{size}</Size></Contents>"
                )
                at += 1
            told += 1
        more = at < len(self.keys) and self.keys[at].startswith(prefix)
        token = f"<NextContinuationToken>{escape(after)}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><Name>{self.bucket}</Name><KeyCount>{told}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(found)}</ListBucketResult>"
        )


class Connection(asyncio.Protocol):
    """One connection of a client, which sends a request when it has the answer to its last."""

    def __init__(self, store: Store) -> None:
        self.store, self.pending = store, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while (end := self.pending.find(b"\r\n\r\n")) >= 0:
            head, self.pending = self.pending[:end].decode("latin-1"), self.pending[end + 4 :]
            self.store.under_way += 1
            self.store.most_under_way = max(self.store.most_under_way, self.store.under_way)
            asyncio.get_running_loop().call_later(self.store.delay_seconds, self.reply, head)

    def reply(self, head: str) -> None:
        """Answer a request."""
        self.store.under_way -= 1
        method, target, _ = head.split(" ", 2)
        status, headers, body = self.store.answer(method, target, head)
        length = f"Content-Length: {len(body)}\r\n"
        top = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\n{headers}{length}\r\n"
        self.transport.write(top.encode() + (b"" if method == "HEAD" else body))


def read_below(folder: Path) -> dict[str, bytes]:
    """The files below a folder by their keys; equal ones are held once."""
    held: dict[bytes, bytes] = {}
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): held.setdefault(found := path.read_bytes(), found) for path in files}


def say(line: str) -> None:
    """Write a line to the process that has started this one."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def serve(store: Store) -> None:
    """Answer until standard input ends; each line there is answered with what was asked since the last."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(store), "127.0.0.1", 0, backlog=1024)
    say(str(server.sockets[0].getsockname()[1]))
    while await loop.run_in_executor(None, sys.stdin.readline):
        say(json.dumps({**store.asked, "most_under_way": store.most_under_way}))
        store.asked.clear()
        store.most_under_way = 0
    server.close()


class Served:
    """A server in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin
        assert process.stdout
        self.process, self.stdin, self.stdout = process, process.stdin, process.stdout
        self.url = f"http://127.0.0.1:{int(self.stdout.readline())}"

    def asked(self) -> dict[str, int]:
        """The requests since the last call by method and whether of the bucket or an object; ``most_under_way``."""
        self.stdin.write("\n")
        self.stdin.flush()
        asked: dict[str, int] = json.loads(self.stdout.readline())
        return asked


@contextmanager
def served(folder: Path, bucket: str = "scans", delay_seconds: float = 0) -> Iterator[Served]:
    """Serve the files below a folder."""
    command = [sys.executable, "-m", "tests.support.static_s3", "--folder", str(folder), "--bucket", bucket]
    command += ["--delay-seconds", str(delay_seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Served(process)
        assert process.stdin
        process.stdin.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--folder", type=Path, required=True)
    arguments.add_argument("--bucket", default="scans")
    arguments.add_argument("--delay-seconds", type=float, default=0)
    given = arguments.parse_args()
    asyncio.run(serve(Store(given.bucket, read_below(given.folder), given.delay_seconds)))
