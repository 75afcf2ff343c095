"""What the tests share: one Ray, a model whose answers are known by construction, scans to write."""

import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support import s3
from tests.support.ruler import write_ruler, write_scan

hypothesis.settings.register_profile("any machine", deadline=None)  # a busy one is slow, not wrong
hypothesis.settings.load_profile("any machine")


def pytest_configure() -> None:
    """Heed interrupts, as the jobs that tests start then do: a shell makes programs in the background ignore them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the shared Ray is marked, so that make test-fast leaves it out; files with most of it come first.

    A process takes a file at a time: what takes longest is begun first, and short files fill the end.
    """
    for item in items:
        if "shared_ray" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.ray)
    ray = Counter(item.path for item in items if any(map(item.get_closest_marker, ("ray", "slow"))))
    long = Counter(item.path for item in items if item.get_closest_marker("long"))
    items.sort(key=lambda item: (-ray[item.path], -long[item.path]))


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[None]:
    """One Ray for the whole run, with four logical CPUs so that three workers fit, and a logical GPU."""
    import ray

    for name, value in s3.CREDENTIALS.items():  # for workers that go to a store, which a test names with its address
        os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # as on a job's own Ray
    ray.init(
        "local",
        num_cpus=4,
        num_gpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=400_000_000,
    )
    yield
    ray.shutdown()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without their pictures, for tests that look at none."""
    from mnist_batch.reports import plots, report

    monkeypatch.setattr(plots, "import_ahead", lambda: None)
    drawn = dict.fromkeys(("heatmap", "reliability", "risk"), b"\x89PNG")
    monkeypatch.setattr(report, "_pictures", lambda *_: drawn)


@pytest.fixture
def without_ray(undrawn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scoring does what the actors do in this process, one shard after the other; no Ray is started, nothing drawn."""
    from mnist_batch import scoring
    from mnist_batch.pipeline.settings import Settings
    from tests.support import alone

    monkeypatch.setattr(scoring, "run_here", alone.run_here)
    monkeypatch.setattr(Settings, "scored_here", lambda *_: True)
    from jobs import session

    monkeypatch.setattr(session, "connect", lambda _: None)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Scans of these names, while they are in the set, are on a disk that cannot be read; together with without_ray."""
    from mnist_batch.reading import preprocessing

    names: set[str] = set()
    read = preprocessing.images.read_scan

    def read_scan(source: str, path: bytes, *rest: Any, **more: Any) -> bytes:
        if Path(os.fsdecode(path)).name in names:
            raise preprocessing.images.Unreadable("missing", "[Errno 5] Input/output error")
        return read(source, path, *rest, **more)

    monkeypatch.setattr(preprocessing.images, "read_scan", read_scan)
    return names


@pytest.fixture(scope="session")
def ruler(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The bundle of ``support.ruler``, whose answers are known by construction."""
    return write_ruler(tmp_path_factory.mktemp("ruler"))


@pytest.fixture
def scans_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of ``count`` scans, ``<digit>/scan-<n>.png``, that the ruler reads rightly but for a few.

    Every 7th is read as the next digit, every 23rd is a file that is no image.
    """

    def make(count: int, name: str = "scans") -> Path:
        folder = tmp_path / name
        for number in range(count):
            digit = number % 10
            path = folder / str(digit) / f"scan-{number:04d}.png"
            write_scan(path, (digit + (number % 7 == 6)) % 10, confidence=0.4 + 0.5 * (number % 13) / 13)
            if number % 23 == 22:
                path.write_bytes(b"this is no image")
        return folder

    return make


@pytest.fixture(scope="module")
def moto() -> Iterator[s3.Proxy]:
    """moto as an S3 server."""
    with s3.store() as proxy:
        yield proxy


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Proxy]:
    """SeaweedFS as an S3 server; without its program the test is skipped."""
    from tests.support import seaweed

    with seaweed.store(tmp_path_factory.mktemp("weed")) as proxy:
        yield proxy


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[s3.Proxy]:
    """A store without a bucket but ``bucket-<n>``, a new one for each test; ``s3.on_both_servers`` says which server.

    Its address and credentials are in the environment.
    """
    with _prepared(request.getfixturevalue(getattr(request, "param", "moto"))) as server:
        yield server


@pytest.fixture
def seaweed_store(seaweedfs: s3.Proxy) -> Iterator[s3.Proxy]:
    """``store`` of SeaweedFS, for tests with several kinds of places."""
    with _prepared(seaweedfs) as server:
        yield server


@contextmanager
def _prepared(server: s3.Proxy) -> Iterator[s3.Proxy]:
    server.bucket = f"bucket-{time.monotonic_ns()}"
    server.undisturbed()
    server.send("PUT", f"/{server.bucket}")
    server.seen.clear()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**s3.CREDENTIALS, "AWS_ENDPOINT_URL": server.url}.items():
            environment.setenv(name, value)
        yield server
    server.undisturbed()
