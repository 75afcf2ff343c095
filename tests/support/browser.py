"""A headless Chromium that tests drive as a person would: keys, clicks, downloads. No Python package is needed."""

import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
PATIENCE_SECONDS = 60
KEYS = {"Enter": 13, "Backspace": 8, "ArrowLeft": 37, "ArrowRight": 39, "Tab": 9}


class Page:
    """A page in a browser, which is spoken to by the DevTools protocol over two pipes."""

    def __init__(self, into: int, out: int) -> None:
        self.into, self.out, self.number, self.buffer = into, out, 0, b""
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session: str | None = None
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> Any:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        session = getattr(self, "session", None)
        os.write(self.into, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while (said := self._next()).get("id") != self.number:
            self.events.append(said)
        assert "error" not in said, said
        return said["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            got = os.read(self.out, 1 << 20)
            assert got, "the browser has gone"
            self.buffer += got
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path: Path) -> None:
        """Open a file, and wait until it and its pictures are there."""
        self.ask("Page.navigate", url=path.as_uri())
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """What a JavaScript expression is on the page; an exception there is one here."""
        said = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until an expression is true, and return it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := self.run(script)):
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.02)
        return found

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            code = KEYS.get(key, ord(key[0].upper()))
            common = {"key": key, "windowsVirtualKeyCode": code}
            self.ask("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str) -> None:
        """Click in the middle of an element with the mouse."""
        box = self.run(
            f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView(); "
            "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def text(self, selector: str) -> str:
        return str(self.run(f"document.querySelector({selector!r}).textContent"))

    def downloaded(self, selector: str, folder: Path, name: str) -> bytes:
        """Click what downloads a file, and return its content."""
        self.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), eventsEnabled=True)
        (folder / name).unlink(missing_ok=True)
        began = len(self.events)
        self.click(selector)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not any(  # the file is there before, and empty
            event.get("method") == "Browser.downloadProgress" and event["params"]["state"] == "completed"
            for event in self.events[began:]
        ):
            assert time.monotonic() < deadline, f"{name} was never saved"
            self.run("1")
            time.sleep(0.02)
        return (folder / name).read_bytes()

    def requests(self) -> list[str]:
        """The addresses that the page has asked for so far."""
        self.run("1")
        sent = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [each["request"]["url"] for each in sent]

    def complaints(self) -> list[str]:
        """What the browser's console says: exceptions, and what it has refused to load."""
        self.run("1")
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in kinds]


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A page in a Chromium of its own, which keeps what pages store in ``profile``."""
    assert PROGRAM is not None
    there, into = os.pipe()
    out, here = os.pipe()
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"]

    def connect() -> None:  # the browser reads from its descriptor 3 and writes to 4
        reads, writes = (fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10) for descriptor in (there, here))
        os.dup2(reads, 3)
        os.dup2(writes, 4)

    process = subprocess.Popen(
        [PROGRAM, *flags, f"--user-data-dir={profile}", "about:blank"],
        preexec_fn=connect,
        close_fds=False,  # what Python opened closes itself
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(there)
    os.close(here)
    try:
        yield Page(into, out)
    finally:
        process.terminate()
        process.wait(30)
        os.close(into)
        os.close(out)
