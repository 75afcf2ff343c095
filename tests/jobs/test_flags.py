"""Flags are made of the fields of dataclasses; ``--help`` and the pages state the defaults that the fields have."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from jobs import (
    calibrate,
    compare,
    demo,
    discard,
    export,
    flags,
    form,
    inspect,
    night,
    promote,
    prune,
    report,
    review,
    score,
    session,
    train,
    verify,
)
from jobs import list as list_job
from mnist_batch.described import described
from mnist_batch.errors import InputError
from mnist_batch.intake import scans
from mnist_batch.learning import recipe
from mnist_batch.models import bundle, ladder
from mnist_batch.pipeline.pools import Pools
from mnist_batch.pipeline.settings import Settings
from mnist_batch.reading.preprocessing import Limits
from mnist_batch.runs.command import Command

DOCS = Path(__file__).parent.parent.parent / "docs"
OF_SCORE = (Command, Pools, Limits, Settings)
OF_TRAIN = (recipe.Recipe, recipe.Settings)
DESCRIBED = [(kind, field) for kind in OF_SCORE for field in fields(kind) if field.metadata]

# The flags that are a job's own, whose defaults stand in the job alone; all others are made of fields.
OWN: dict[Any, set[str]] = {
    night: {"--config", "--dry-run", "--out", "--publish-anyway", "--reason", "--address"},
    score: {"--retry", "--dry-run", "--out", "--address"},
    report: {"--out", "--run", "--labels", "--ignore-unlisted-labels", "--audit", "--audit-labels"},
    calibrate: {"--out", "--run", "--labels", "--ignore-unlisted-labels", "--model", "--by", "--to"},
    review: {"--out", "--run", "--merge", "--to", "--to-label-studio", "--most", "--audit", "--people", "--overlap"},
    verify: {"--out", "--run"},
    inspect: {"SCAN", "--page", "--out", "--model"},
    form: {"PAGE", "--out", "--name", "--dots-per-inch", "--from-omrchecker", "--print-marks", "--replace"}
    | {"--check", "--page", "--model"},
    list_job: {"--out", "--last"},
    compare: {"--out", "--a", "--b", "--to"},
    promote: {"BUNDLE", "--back", "--out"},
    prune: {"--out", "--keep-days", "--keep-last", "--grace-hours", "--dry-run"},
    discard: {"--out", "--run", "--dry-run"},
    export: {"--out", "--run", "--csv", "--rows", "--table"},
    demo: {"--folder", "--scans", "--epochs", "--pages"},
    train: {"--out", "--data", "--weight", "--from", "--address"},
}


@dataclass(frozen=True)
class Oven:
    """What the tests make flags of."""

    breads: Sequence[str] = described((), "what to bake", metavar="BREADS", positional=True)
    heat: int = described(220, "degrees, 90 % of them from below", metavar="N")
    wait_seconds: float = described(0, "time before that", metavar="SECONDS")
    mode: str = described("fan", "how it heats", choices=("fan", "grill"))
    share: float | None = described(None, "of the oven that is filled", left_out="all of it")
    name: str | None = described(None, "what it is called")
    steam: bool = described(False, "with steam")
    extra: Sequence[str] = described((), "what else goes in; may be given again")
    wired: bool = True


@dataclass(frozen=True)
class Shop:
    """Another, that has a field of the same name."""

    name: str = described("corner", "what it is called")


OF_OVEN = [field.name for field in fields(Oven) if field.metadata]


def of_oven(*names: str) -> argparse.ArgumentParser:
    parser = session.Parser(formatter_class=session.HelpFormatter)
    flags.add(parser, Oven, *names)
    return parser


def parser_of(job: Any, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    """The parser that a job makes."""
    parsers: list[argparse.ArgumentParser] = []
    make = session.parser
    with monkeypatch.context() as patched:
        patched.setattr(session, "parser", lambda *given: parsers.append(make(*given)) or parsers[-1])
        with pytest.raises(SystemExit, match="0"):
            job.main(["--help"])
    return parsers[0]


@pytest.mark.parametrize("job", OWN)
def test_what_is_left_out_is_said_once_of_each_flag(job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    formatter = parser_of(job, monkeypatch)._get_formatter()
    for action in parser_of(job, monkeypatch)._actions:
        if action.help != argparse.SUPPRESS and action.option_strings:
            assert formatter._expand_help(action).count("if left out") <= 1, action.option_strings


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ([], {}),
        (["rye", "oat"], {"breads": ["rye", "oat"]}),
        (["--heat", "220"], {"heat": 220}),
        (["--wait", "0"], {"wait_seconds": 0.0}),
        (["--mode", "grill", "--share", "0.5", "rye"], {"breads": ["rye"], "mode": "grill", "share": 0.5}),
        (["--steam", "--name", "big"], {"steam": True, "name": "big"}),
        (["--extra", "salt", "--extra", "malt"], {"extra": ["salt", "malt"]}),
    ],
)
def test_what_is_given_is_told_from_what_is_left_out(arguments: list[str], given: dict[str, Any]) -> None:
    """A default that is given is given, too."""
    found = flags.given(of_oven(*OF_OVEN).parse_args(arguments), Oven)
    assert found == given
    assert {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in given.items()}


def test_fields_of_one_name_do_not_mix() -> None:
    parser = argparse.ArgumentParser()
    flags.add(parser, Oven, "steam", "heat")
    flags.add(parser, Shop, "name")
    given = parser.parse_args(["--name", "square"])
    assert (flags.given(given, Oven), flags.given(given, Shop)) == ({}, {"name": "square"})


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("breads", "BREADS what to bake"),
        ("heat", "--heat N degrees, 90 % of them from below; 220 if left out"),
        ("wait_seconds", "--wait SECONDS time before that; 0 if left out"),
        ("mode", "--mode {fan,grill} how it heats; fan if left out"),
        ("share", "--share SHARE of the oven that is filled; all of it if left out"),
        ("name", "--name NAME what it is called"),
        ("steam", "--steam with steam"),
        ("extra", "--extra EXTRA what else goes in; may be given again"),
    ],
)
def test_help_ends_with_the_default_where_there_is_one(name: str, line: str) -> None:
    help_page = " ".join(of_oven(name).format_help().split())
    assert re.search(rf"{re.escape(line)}( options: |$)", help_page)


def test_users_know_a_field_by_its_flag() -> None:
    assert [flags.argument(Oven, name) for name in ("breads", "wait_seconds")] == ["BREADS", "--wait"]


@pytest.mark.parametrize("arguments", [["--heat", "hot"], ["--mode", "gas"], ["--wired"], ["--wait-seconds", "1"]])
def test_what_is_no_value_of_a_field_is_exit_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        of_oven(*OF_OVEN).parse_args(arguments)


def test_score_states_the_defaults_that_the_fields_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each described field is a flag, and what the help says last of it is what the field has."""
    actions = {action.dest: action for action in parser_of(score, monkeypatch)._actions}
    assert len(DESCRIBED) >= 20
    for kind, field in DESCRIBED:
        action = actions[f"{kind.__name__}.{field.name}"]
        assert action.default == argparse.SUPPRESS
        [stated] = re.findall(r"; ([^;]*) if left out$", str(action.help)) or [None]
        worded = field.metadata["left_out"]
        if isinstance(field.default, bool) or field.default in ((), None):
            assert stated == worded, field.name
        elif field.name != "model":  # the path of the one in this package
            assert stated == f"{field.default}", field.name


def test_left_out_flags_leave_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    given = parser_of(score, monkeypatch).parse_args([])
    assert [flags.given(given, kind) for kind in OF_SCORE] == [{}] * len(OF_SCORE)
    assert Settings().max_unreadable == 0.05
    assert Settings().scan_timeout_seconds == Limits().scan_timeout_seconds


def test_train_states_the_defaults_that_the_fields_have(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = parser_of(train, monkeypatch)
    helps = {action.dest: str(action.help) for action in parser._actions}
    for kind in OF_TRAIN:
        for field in fields(kind):
            stated = field.metadata["left_out"]
            if field.default is False:  # a flag without a value
                continue
            assert helps[f"{kind.__name__}.{field.name}"].endswith(f"; {stated} if left out")
            if field.default not in (MISSING, None):
                assert stated.startswith(str(field.default))
    given = parser.parse_args(["--out", "x"])
    assert [flags.given(given, kind) for kind in OF_TRAIN] == [{}] * 2
    hidden = ladder.LADDER["hidden"]
    left_out = recipe.Recipe(model="hidden", epochs=hidden.epochs, batch_size=hidden.batch_size)
    assert recipe.Recipe.completed({}) == left_out
    fine_tuned = recipe.Recipe.completed({"seed": 3}, "cnn")
    assert (fine_tuned.model, fine_tuned.epochs, fine_tuned.seed) == ("cnn", ladder.FINE_TUNED_EPOCHS, 3)
    assert recipe.Recipe.completed({"epochs": 2}, "cnn").epochs == 2
    with pytest.raises(InputError, match="--model 'abacus' is not on the ladder"):
        recipe.Recipe.completed({"model": "abacus"})


@pytest.mark.parametrize("job", OWN)
def test_every_flag_is_made_of_a_field_or_the_jobs_own(job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {
        action.option_strings[-1] if action.option_strings else action.metavar
        for action in parser_of(job, monkeypatch)._actions
        if "." not in action.dest  # as ``flags.add`` names them
    } - {"--help", "--version", "--log-format"}
    assert own
    assert own <= OWN[job]


def test_the_pages_state_the_defaults_that_the_fields_have() -> None:
    pages = {path.name: path.read_text() for path in DOCS.glob("*.md")}
    defaults = {flags.argument(kind, field.name): field.default for kind, field in DESCRIBED}
    limits = dict(re.findall(r"^\| `(--[a-z-]+)` \| ([\d.]+) \|", pages["inputs.md"], re.MULTILINE))
    assert limits == {flag: str(defaults[flag]) for flag in ("--max-bytes", "--max-pixels", "--scan-timeout")}
    for page, stated in (
        ("inputs.md", f"`--max-unreadable {defaults['--max-unreadable']}` is the largest share"),
        (
            "labels.md",
            f"| `{defaults['--labels']}` | unknown: answers are counted, and no accuracy is reported. This is the",
        ),
        ("accuracy.md", f"`{Path(bundle.SHIPPED).relative_to(DOCS.parent)}`, the default of `jobs.score --model`"),
        ("architecture.md", f"**shard**: some scans of the manifest, {scans.SHARD_SIZE:,} by default"),
        ("cluster.md", f"A shard is {scans.SHARD_SIZE:,} scans"),
    ):
        assert stated in pages[page]
    assert scans.SHARD_SIZE * scans.MAX_SHARDS == 10_000_000
    assert "In a run of more than ten million scans" in " ".join(pages["cluster.md"].split())


@pytest.mark.parametrize("job", [discard, night, promote, report, score, train])
def test_the_help_of_a_job_that_takes_a_lock_says_how_it_ends_where_another_has_it(job: Any) -> None:
    assert "75 another process" in " ".join(job.DESCRIPTION.split())
