"""The laws of leases and of publishing at stores, on a second server: SeaweedFS, where it is installed."""

from collections.abc import Iterator

import pytest

from tests.runs.test_publishing import (  # noqa: F401
    out,
    test_a_refused_run_leaves_nothing_once_another_is_published,
    test_a_run_that_was_taken_over_is_not_published,
    test_a_store_holds_what_run_json_lists_and_nothing_else,
    test_an_attempt_that_lost_changes_nothing_that_the_other_committed,
    test_of_two_reports_at_once_the_second_is_refused,
    test_what_killed_and_lost_attempts_left_is_cleared_and_nothing_else,
    test_where_run_json_was_deleted_the_run_is_scored_again,
)
from tests.store.test_leases import (  # noqa: F401
    any_objects,
    objects,
    path,
    test_a_holder_that_was_overtaken_knows_and_leaves_the_lease_of_the_other,
    test_a_lease_has_one_holder_who_is_named_and_leaves_nothing,
    test_a_lease_of_elsewhere_that_nobody_renews_is_taken_over,
    test_a_put_whose_answer_is_lost_is_known_for_ones_own,
    test_of_many_who_find_a_lease_that_was_left_one_gets_it,
)
from tests.support import s3, seaweed
from tests.test_kills import test_killed_at_every_step_in_turn  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_ray")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Proxy]:
    """In place of moto."""
    with pytest.MonkeyPatch.context() as environment, seaweed.store(tmp_path_factory.mktemp("weed")) as proxy:
        for name, value in s3.CREDENTIALS.items():
            environment.setenv(name, value)
        environment.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy
