"""What a soak is judged by: what stays counts, what passes doesn't, and a leak is a missed target."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.holdings import NAMES, Held, Sample, by_minute, held_by, trend, watch
from benchmarks.soak_contest import BOUNDS, Soaked, targets
from drills.leftovers import descendants

NOW = Held(own_mb=1000.0, children_mb=140.0, own_fds=20, children_fds=8, own_threads=9, children=1, zombies=0)


def samples(minutes: int, change: Callable[[float], Held]) -> list[Sample]:
    """One every five seconds."""
    return [Sample(at, change(at)) for at in range(0, 60 * minutes, 5)]


def soaked(taken: list[Sample], left: int = 0) -> Soaked:
    """A soak with these samples behind a warm-up of a minute."""
    after = replace(NOW, children=left)
    return Soaked(len(taken) / 12, 1.0, taken, after, problems=1, trajectories=8, tokens=100, programs=5, errors=())


def missed(of: Soaked) -> set[str]:
    """The names of the targets that aren't met."""
    return {target.name for target in targets(of) if not target.is_met}


@given(st.floats(-50, 50), st.floats(0, 2000))
def test_a_line_is_found_again(an_hour: float, start: float) -> None:
    """Its slope is the gain, and the interval closes around it."""
    found = trend(samples(20, lambda at: replace(NOW, own_mb=start + an_hour * at / 3600)), "own_mb", 60.0)
    assert found.gained == pytest.approx(an_hour, abs=1e-6)
    assert found.least <= found.most
    assert found.most - found.least == pytest.approx(0, abs=1e-3)


def test_what_passes_does_not_count() -> None:
    """A program that comes and goes is in no minute's least."""
    taken = samples(20, lambda at: replace(NOW, children=1 + (at % 60 < 40), children_mb=140.0 + at % 35))
    assert {value for _, value in by_minute(taken, "children", 60.0)} == {1.0}
    assert not missed(soaked(taken))


@pytest.mark.parametrize("name", NAMES)
def test_a_leak_misses_its_target(name: str) -> None:
    """One a minute of what is counted, a megabyte a minute of memory; and nothing else is blamed."""
    taken = samples(20, lambda at: replace(NOW, **{name: getattr(NOW, name) + at // 60}))
    assert missed(soaked(taken)) == {f"{name} gained an hour, at most"}
    assert BOUNDS.get(name, 0.5) < 60


def test_noise_that_could_hide_a_leak_misses_it_too() -> None:
    """The interval's upper end is judged, not the line."""
    taken = samples(10, lambda at: replace(NOW, own_mb=1000.0 + 40 * (at // 60 % 2)))
    assert missed(soaked(taken)) == {"own_mb gained an hour, at most"}


def test_the_warm_up_does_not_count() -> None:
    """Nor is there a line of less than three minutes, and then no trend is judged."""
    taken = samples(20, lambda at: replace(NOW, own_fds=20 + int(at >= 55)))
    assert not missed(soaked(taken))
    with pytest.raises(ValueError, match="too few"):
        trend(taken[:30], "own_fds", 60.0)
    assert {target.name for target in targets(soaked(taken[:30]))} == {
        "errors",
        "processes left of the closed contest",
    }


def test_what_a_closed_contest_leaves_is_missed() -> None:
    """One process is too many."""
    assert missed(soaked(samples(20, lambda _: NOW), left=1)) == {"processes left of the closed contest"}


def test_a_process_is_seen_with_its_children() -> None:
    """What they hold is counted apart, and ends with them."""
    grandchild = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    with subprocess.Popen(
        [sys.executable, "-c", grandchild], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (sample,) = watch(process.pid, 0.0, lambda _: True)
        held = sample.held
        assert (held.children, held.zombies) == (len(descendants(process.pid)), 0) == (1, 0)
        assert min(held.own_mb, held.children_mb, held.own_fds, held.children_fds, held.own_threads) >= 1
        process.communicate(b"\n")
    with pytest.raises(ProcessLookupError):
        held_by(process.pid)
