"""Time on one axis: no second is lost, and no session runs into another."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.lab.report.page_data import NUM_BINS, Axis, Stay, lanes, measure_load

SECONDS = st.floats(0, 1000, allow_nan=False)


@st.composite
def stays(draw: st.DrawFn) -> list[Stay]:
    """Trajectories' times within a thousand seconds."""
    drawn = draw(st.lists(st.tuples(SECONDS, SECONDS, SECONDS, SECONDS), max_size=20))
    return [_stay(sorted(moments), program_s) for *moments, program_s in drawn]


def _stay(moments: list[float], program_s: float) -> Stay:
    started, seated, ended = moments
    return Stay(started, seated, ended, program_s)


@given(stays())
def test_the_load_is_the_time_of_the_trajectories(given_stays: list[Stay]) -> None:
    """Waiting, writing and programs add up to it over all stretches."""
    load = measure_load(given_stays, 1000.0)
    assert len(load["writing"]) == len(load["programs"]) == len(load["waiting"]) == NUM_BINS
    waited = math.fsum(stay.seated - stay.started for stay in given_stays)
    seated = math.fsum(stay.ended - stay.seated for stay in given_stays)
    assert math.fsum(load["waiting"]) * load["bin"] == pytest.approx(waited, abs=1e-6)
    assert math.fsum((*load["writing"], *load["programs"])) * load["bin"] == pytest.approx(seated, abs=1e-6)


def test_programs_take_their_share_of_a_trajectory() -> None:
    """Spread evenly, as it isn't known when they ran."""
    load = measure_load([Stay(0.0, 0.0, 100.0, 25.0)], 200.0)
    assert load["programs"][0] == pytest.approx(0.25)
    assert load["writing"][0] == pytest.approx(0.75)
    assert load["writing"][-1] == 0


def test_a_run_without_time_has_a_load() -> None:
    """Everything may have happened at once."""
    assert set(measure_load([Stay(0.0, 0.0, 0.0, 0.0)], 0.0)["waiting"]) == {0.0}


@given(st.lists(st.tuples(SECONDS, SECONDS).map(sorted)))
def test_no_two_spans_of_a_lane_overlap(spans: list[list[float]]) -> None:
    """And there are no more lanes than spans at once."""
    pairs = [(start, end) for start, end in spans]
    of = lanes(pairs)
    for lane in set(of):
        inside = sorted(pair for pair, each in zip(pairs, of, strict=True) if each == lane)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(inside))
    at_once = max((sum(a <= start < b or start == a for a, b in pairs) for start, _ in pairs), default=0)
    assert len(set(of)) <= max(at_once, 0)


def test_a_run_begins_at_zero() -> None:
    """A clock counts from the machine's start."""
    axis = Axis()
    assert [axis.move(at) for at in (5000.0, 5001.0, 5003.5)] == [0.0, 1.0, 3.5]
    assert axis.breaks == []


def test_a_clock_that_went_back_is_another_session() -> None:
    """Which stands behind the first, with a break between."""
    axis = Axis()
    assert [axis.move(at) for at in (5000.0, 5010.0, 20.0, 25.0)] == [0.0, 10.0, 10.0, 15.0]
    assert axis.breaks == [10.0]
    assert axis.place(26.0) == 16.0


def test_a_resumed_session_stands_behind_the_first_whatever_its_clock_says() -> None:
    """How long the run stood still isn't known."""
    axis = Axis()
    axis.move(10.0)
    axis.move(12.0)
    assert axis.move(90_000.0, is_resumed=True) == 2.0
    assert axis.move(90_001.0) == 3.0
    assert axis.breaks == [2.0]


def test_events_of_several_problems_may_stand_a_little_out_of_order() -> None:
    """That is no other session."""
    axis = Axis()
    axis.move(0.0)
    axis.move(10.0)
    axis.move(9.5)
    assert axis.breaks == []
    assert axis.latest == 10.0
