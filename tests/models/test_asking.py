"""The first net is asked where it certifies what is to be promised as well as the others do."""

from dataclasses import replace

import pytest

from mnist_batch.errors import InputError
from mnist_batch.models import asking, bundle, certifying
from mnist_batch.runs.command import Command
from mnist_batch.schemas.bundle_facts import BundleFacts

SHIPPED = bundle.open_bundle(bundle.SHIPPED).facts


@pytest.mark.parametrize(
    ("facts", "target_error", "with_forms", "asks"),
    [
        (SHIPPED, None, False, True),
        (SHIPPED, 0.005, False, True),
        (SHIPPED, 0.001, False, False),  # that only the larger nets certify
        (SHIPPED, 1e-6, False, False),  # that neither does
        (SHIPPED, None, True, True),
        (SHIPPED, 0.01, True, False),  # which each digit of a number has a share of
        (replace(SHIPPED, first_calibration=None), 0.005, False, False),
        (replace(SHIPPED, first_calibration=None), None, False, False),
        (replace(SHIPPED, calibration=None), 1e-6, False, True),  # by a run of the user's own, which asked it
    ],
)
def test_the_first_net_is_asked_where_it_certifies_what_the_others_do(
    facts: BundleFacts, target_error: float | None, with_forms: bool, asks: bool
) -> None:
    assert asking.asks_first(facts, target_error, with_forms) == asks


def test_what_a_run_promises_rests_on_the_answers_that_it_gives() -> None:
    every, first = SHIPPED.calibrations
    for target, calibration in ((0.001, every), (0.005, first)):
        command = Command(sources=["scans"], out="out", target_error=target)
        assert command.rule["threshold"] == certifying.strictest_certified(calibration, target)
        assert command.rule["temperature"] == calibration.temperature
        assert command.profiles == {each.name: each.profile for each in calibration.sets}
    command = Command(sources=["scans"], out="out", target_error=0.005, all_nets=True)
    assert command.rule["threshold"] == certifying.strictest_certified(every, 0.005)
    assert not command.asks_first
    made = replace(bundle.open_bundle(bundle.SHIPPED), facts=replace(SHIPPED, calibration=None))
    command.__dict__.pop("asks_first")
    command.__dict__["bundle"] = made
    with pytest.raises(InputError, match="--all-nets: .* was calibrated on a run in which its small net answered"):
        _ = command.asks_first


def test_a_run_says_that_it_takes_longer_where_that_is_for_its_promise(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mnist_batch")
    for target, message in ((0.0005, r"give 0\.001 or more"), (0.0, "has to be a share above 0")):
        with pytest.raises(InputError, match=message):
            Command(sources=["scans"], out="out", target_error=target)
    for target, all_nets in ((0.005, False), (0.001, True), (None, False)):
        Command(sources=["scans"], out="out", target_error=target, all_nets=all_nets)
    assert caplog.messages == []
    Command(sources=["scans"], out="out", target_error=0.001)
    [said] = caplog.messages
    assert said.startswith("--target-error 0.001 is certified only where the larger nets answer every digit")
