"""What the benchmarks measure with."""

import os
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from benchmarks import chaos, processes


def test_what_a_process_takes_counts_for_the_name_that_it_ended_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray's workers do, which become actors when there is work: each name is seen before the next step."""
    gates = {"bash": tmp_path / "rename", "renamed": tmp_path / "end"}
    for gate in gates.values():
        os.mkfifo(gate)
    seen: list[str] = []
    family = processes.family

    def looked(job: int) -> list[psutil.Process]:
        if seen and (gate := gates.pop(seen[-1], None)):
            gate.write_bytes(b"")  # the look before has seen the process under this name; it waits here to go on
        there = family(job)
        for one in there[:1]:
            with suppress(psutil.Error):  # it has ended
                seen.extend(one.cmdline()[:1])  # nothing, while it becomes another program
        return there

    monkeypatch.setattr(processes, "family", looked)
    monkeypatch.setattr(processes, "EVERY_SECONDS", 0.01)
    script = f"read < {gates['bash']}; exec -a renamed cat {gates['renamed']}"
    usage = processes.measured(["bash", "-c", script], tmp_path / "log", tmp_path)
    assert {"bash", "renamed"} <= set(seen)
    [name] = usage.by_process
    assert name.startswith("renamed ")


def test_chaos_ends_by_the_number_of_kills_or_of_runs() -> None:
    runs = [{"kills": {"driver": 2, "raylet": 1}}, {"kills": {}}, {"kills": {"driver": 1}}]
    assert [chaos.enough(runs[:number], 2, None) for number in range(4)] == [False, False, True, True]
    assert [chaos.enough(runs[:number], 0, 4) for number in range(4)] == [False, False, False, True]
