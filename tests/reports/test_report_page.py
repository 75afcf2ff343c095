"""The page of a run in a real browser: what a small window does to it."""

import os
import re
from pathlib import Path

import pytest

from mnist_batch import reports
from tests.support import browser

pytestmark = pytest.mark.long

STYLE = re.compile("<style>.*?</style>", re.DOTALL)
HEAD = ["form", "field", "fields", "read", "accepted", "checks failed", "right", "95 % interval", "wrong"]
LINES = "(of => { const all = document.createRange(); all.selectNodeContents(of); return all.getClientRects().length })"


def test_a_name_keeps_its_line_in_a_small_window_and_only_a_long_one_is_broken(tmp_path: Path) -> None:
    if browser.PROGRAM is None:
        assert "CI" not in os.environ, "no Chromium, and CI has to try the page in one"
        pytest.skip("no Chromium is installed")
    [style] = STYLE.findall((Path(reports.__file__).parent / "report.html.j2").read_text())
    head = "".join(f"<th>{each}</th>" for each in HEAD)
    rows = "".join(
        f'<tr><td class="left">turnout</td><td class="left name">{name}</td>{"<td>1,000</td>" * 7}</tr>'
        for name in ("contract", "n" * 90)
    )
    (tmp_path / "page.html").write_text(
        f'<!doctype html><meta name="viewport" content="width=device-width">{style}'
        f'<main><div class="wide"><table><tr>{head}</tr>{rows}</table></div></main>'
    )
    with browser.browser(tmp_path / "profile") as page:
        page.ask("Emulation.setDeviceMetricsOverride", width=400, height=500, deviceScaleFactor=1, mobile=False)
        page.open(tmp_path / "page.html")
        short, long = (page.run(f"{LINES}(document.querySelectorAll('td.name')[{at}])") for at in range(2))
        assert short == 1
        assert long > 1
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
