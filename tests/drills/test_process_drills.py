"""Drills of real processes: two are played, and one in which something is lost is found out."""

import os
import signal
from dataclasses import replace
from functools import partial

import pytest

from drills.fault import Drill, Expected
from drills.judge import Check, judge
from drills.process_faults import PROCESS_FAULTS, process_drills
from drills.process_play import ProcessFault, play
from drills.processes import DrilledProcesses

ASKED_FOR = {
    *("sigterm", "sigint", "sigkill", "zygote-killed", "no-descriptors", "relay-drops", "relay-killed"),
    *("replica-killed", "replica-ends", "replica-hangs", "replica-stopped", "file-size-limit", "run-removed"),
}
DRILLS = {drill.name: drill for drill in process_drills()}


def test_what_was_asked_for_is_there() -> None:
    """Each with a sentence, and an end of its own where it has one."""
    assert set(DRILLS) >= ASKED_FOR
    assert len(DRILLS) == len(PROCESS_FAULTS)
    assert all(drill.story.endswith(".") for drill in DRILLS.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sigint", "zygote-killed"])
def test_a_drill_comes_out_as_expected(name: str) -> None:
    """What was done is on disk and resuming completes it; a zygote that died is told of."""
    assert not judge(DRILLS[name], DRILLS[name].play())


@pytest.mark.slow
def test_a_verdict_that_was_not_on_disk_is_missed() -> None:
    """The process is killed and its last verdict taken away: the judge says which check fails."""

    def rob(processes: DrilledProcesses) -> None:
        os.kill(processes.pid, signal.SIGKILL)
        processes.wait_for_end()
        file = processes.run / "solutions.jsonl"
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))

    fault = ProcessFault("robbed", "A verdict is lost.", {3: rob}, Expected(ends="SIGKILL"))
    seen = play(fault)
    drill = Drill(fault.name, fault.story, fault.expected, lambda *_: False, lambda *_: False, partial(play, fault))
    found = {finding.check for finding in judge(drill, seen)}
    assert Check.DISK in found
    assert found <= {Check.DISK, Check.ONCE}  # the next problem may have come too late for the log to open it twice
    otherwise = replace(drill, expected=Expected(ends="SIGTERM"))
    assert {finding.check for finding in judge(otherwise, seen)} == {*found, Check.ENDED}
