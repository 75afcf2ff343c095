"""What the benchmarks measure with."""

from pathlib import Path

from benchmarks.processes import measured


def test_what_a_process_takes_counts_for_the_name_that_it_ended_with(tmp_path: Path) -> None:
    # As Ray's workers do, which become actors when there is work.
    usage = measured(["bash", "-c", "sleep 1; exec -a renamed sleep 2"], tmp_path / "log", tmp_path)
    assert "renamed 2" in usage.by_process
    assert not any("exec" in name for name in usage.by_process)
