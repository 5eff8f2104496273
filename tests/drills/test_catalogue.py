"""The catalogue: what is in it, and combinations that are repeatable and judged soundly."""

import subprocess
import threading
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.catalogue import FAULTS, FEWEST, MOST, combinations, drills
from drills.contest_plan import ContestPlan
from drills.fault import Fault, LogState, Place, together
from drills.judge import Check, judge
from drills.leftovers import Held, left_behind
from drills.play import play
from numina_infer.core.errors import ConfigError
from tests.examples import costly

ASKED_FOR = {
    *("servers-never-start", "servers-start-late", "servers-die", "servers-die-twice", "servers-hang"),
    *("garbage-tokens", "empty-completions", "out-of-memory", "slows-down", "replica-dies"),
    *("zygote-dies", "slots-stuck", "self-test-fails", "disk-full", "read-only-folder", "log-removed"),
    *("wall-clock-jumps", "loop-blocked", "asks-twice", "asks-late", "drops-connection", "empty-statement"),
    *("long-statement", "nul-bytes", "unbalanced-latex", "duplicate-id", "extra-columns", "fewer-problems"),
    *("more-problems", "several-threads", "endless-loops", "real-floods", "huge-answers"),
    *("answers-in-outputs-only", "one-token-for-ever", "attacks", "session-no-descriptor", "sessions-left-at-once"),
}
VIRTUAL = [fault for fault in FAULTS.values() if fault.place is Place.VIRTUAL]


def test_what_was_asked_for_is_there() -> None:
    """Every fault has a name, a sentence, and a line that says what is expected of it."""
    assert set(FAULTS) >= ASKED_FOR
    for fault in FAULTS.values():
        assert fault.story.endswith(".")
        assert "in time" in fault.expected.line


def test_a_name_that_nobody_has_is_told() -> None:
    """With the way to all names."""
    with pytest.raises(ConfigError, match="no fault is called 'flood'"):
        drills(["flood"])
    assert [drill.name for drill in drills(["servers-die", "asks-twice"])] == ["servers-die", "asks-twice"]


def test_combinations_are_those_of_their_seed() -> None:
    """Two to four different faults each."""
    names = [drill.name for drill in combinations(30, 4)]
    assert names == [drill.name for drill in combinations(30, 4)]
    assert names != [drill.name for drill in combinations(30, 5)]
    sizes = {len(set(name.split(" + "))) for name in names}
    assert min(sizes) >= FEWEST
    assert max(sizes) <= MOST
    for number, seed in ((0, 1), (3, -1)):
        with pytest.raises(ConfigError):
            next(combinations(number, seed))


@costly(12)
@given(
    faults=st.lists(st.sampled_from(VIRTUAL), min_size=1, max_size=3, unique_by=lambda fault: fault.name),
    plan=st.builds(ContestPlan, st.integers(3, 15), st.integers(0, 14), st.integers(0, 10**6)),
)
def test_whatever_comes_together_no_contest_is_lost(faults: list[Fault], plan: ContestPlan) -> None:
    """In contests of any size, wherever the faults strike."""
    nothing_said = [
        replace(fault, expected=replace(fault.expected, says=(), says_once=(), max_fallbacks=50)) for fault in faults
    ]
    drill = together(nothing_said, plan, play)
    assert judge(drill, drill.play()) == ()


def test_the_bound_of_a_combination_is_what_its_faults_touch() -> None:
    """A contest with twice as many as they touch would fail, though the number alone is bounded by nothing."""
    drill = together([FAULTS["servers-hang"], FAULTS["garbage-tokens"]], ContestPlan(10), play)
    seen = drill.play()
    touched = {reply.number for reply in seen.first_replies if drill.touches(reply, seen)}
    assert touched == ContestPlan(10).at((0.2, 1.0)) | ContestPlan(10).at((0.1, 0.4, 0.8))
    assert {reply.number for reply in seen.first_replies if reply.is_fallback} == touched
    nothing_is_touched = replace(drill, touches=lambda *_: False)
    assert [finding.check for finding in judge(nothing_is_touched, seen)] == [Check.RIGHT]


def test_the_log_of_a_combination_is_the_worst_of_its_faults() -> None:
    """A disk that is full beside a log that is removed leaves none."""
    states = {
        LogState.WHOLE: ["servers-die", "asks-twice"],
        LogState.PART: ["servers-die", "disk-full"],
        LogState.GONE: ["log-removed", "disk-full"],
    }
    for state, names in states.items():
        faults = [FAULTS[name] for name in names]
        assert together(faults, ContestPlan(), play).expected.log is state


def test_what_a_drill_left_behind_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread, a descriptor and a process, by name; nothing where all is as before."""
    monkeypatch.setattr("drills.leftovers._PATIENCE_S", 0.0)
    before = Held()
    assert left_behind(before).everything == ()
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="left over")
    thread.start()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:  # noqa: S607 (any program that waits)
        left = left_behind(before)
    over.set()
    thread.join()
    assert left.threads == ("left over",)
    assert left.descriptors == ("pipe",)
    assert left.processes == (str(child.pid),)


def test_problems_are_struck_at_shares_of_the_contest_wherever_it_is_shifted() -> None:
    """The first and the last included."""
    assert ContestPlan(50).at((0.0, 1.0)) == {1, 50}
    assert ContestPlan(10, 3).at((0.0, 1.0)) == {4, 3}
    assert next(islice(ContestPlan(3).problems, 2, 3)).statement == "What is 3 + 100?"
