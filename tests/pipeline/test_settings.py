"""A setting that breaks a rule is named by its flag."""

from math import inf, nan

import pytest

from mnist_batch.errors import InputError
from mnist_batch.pipeline.settings import Settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_unreadable": 1.5}, "--max-unreadable is 1.5; it has to be a share"),
        ({"max_unreadable": nan}, "--max-unreadable is nan; it has to be a share"),
        ({"scan_timeout_seconds": 0}, "--scan-timeout is 0; it has to be above 0"),
        ({"scan_timeout_seconds": nan}, "--scan-timeout is nan; it has to be above 0"),
        ({"scan_timeout_seconds": inf}, "--scan-timeout is inf; it has to be above 0"),
        ({"wait_for_cpus_seconds": -1}, "--wait-for-cpus is -1; it has to be at least 0"),
        ({"no_progress_timeout_seconds": 0}, "--no-progress-timeout is 0; it has to be above 60"),
        ({"no_progress_timeout_seconds": nan}, "--no-progress-timeout is nan; it has to be above 60"),
        ({"no_progress_timeout_seconds": inf}, "--no-progress-timeout is inf; it has to be above 60"),
    ],
)
def test_a_setting_that_breaks_a_rule_is_named(given: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings(**given)
