"""What benchmarks share: targets are judged in the right direction, and nothing that was written is lost."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.frame import Target, finish, pass_over, read_options, read_targets, show, summary

figures = st.floats(-1e6, 1e6)


@given(figures, figures, st.booleans())
def test_a_floor_is_met_on_its_own_side(value: float, floor: float, at_most: bool) -> None:
    """At least the floor, or at most it where less is better; on the floor is met either way."""
    assert Target("t", value, floor, at_most=at_most).is_met == (value <= floor if at_most else value >= floor)


@given(figures, figures, st.booleans())
def test_what_is_missed_is_the_distance(value: float, bound: float, at_most: bool) -> None:
    """Above zero exactly where the bound isn't kept."""
    target = Target("t", value, bound, at_most=at_most)
    assert abs(target.misses(bound)) == abs(value - bound)
    assert (target.misses(bound) > 0) != target.is_met


def test_a_line_says_met_or_by_how_much_not() -> None:
    """Of the floor and of the aim, each with its unit."""
    assert Target("cost", 1.5, 2, 1, " ms", at_most=True).line == (
        "cost: 1.5 ms (floor 2 ms met, aim 1 ms MISSED by 0.5 ms)"
    )
    assert Target("share", 96.5, 97, unit=" %").line == "share: 96.5 % (floor 97 % MISSED by 0.5 %)"


def test_an_aim_alone_binds_nobody() -> None:
    """A target without a floor is met, and its line tells of the aim."""
    target = Target("cost", 16, None, 10, " ms", at_most=True)
    assert target.is_met
    assert target.line == "cost: 16 ms (aim 10 ms MISSED by 6 ms)"


def test_targets_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Through a folder that wasn't there before, with the machine and the figures beside them."""
    file = tmp_path / "bench" / "one.json"
    targets = [Target("a", 1.0, 2.0), Target("b", 1.0, None, 3.0, " s", at_most=True)]
    finish(read_options("", "", ["--json", str(file)]), {"a": 1.0}, targets)
    assert read_targets(file) == targets
    written = json.loads(file.read_text())
    assert (written["figures"], bool(written["machine"])) == ({"a": 1.0}, True)


def test_a_benchmark_without_its_data_ends_well_and_says_why(tmp_path: Path) -> None:
    """`make bench` goes on, and the summary has the reason in the targets' place."""
    file = tmp_path / "one.json"
    with pytest.raises(SystemExit) as ended:
        pass_over(read_options("", "", ["--json", str(file)]), "no data here")
    assert not ended.value.code
    assert summary(file) == ["one: passed over: no data here"]


def test_the_summary_has_every_benchmark(tmp_path: Path) -> None:
    """One line a target, and one for a benchmark that has none."""
    file = tmp_path / "two.json"
    options = read_options("", "", ["--json", str(file)])
    finish(options, {}, [Target("a", 1, 1), Target("b", 0, 1)])
    assert summary(file) == ["two: a: 1 (floor 1 met)", "two: b: 0 (floor 1 MISSED by 1)"]
    finish(options, {})
    assert summary(file) == ["two: no target, figures only"]


def test_a_table_is_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    """So that it can be put into docs/experiments.md as it is."""
    show(["rule", "samples"], [("exact", 32.6512), ("all", 48)])
    assert capsys.readouterr().out == "| rule | samples |\n|---|---|\n| exact | 32.65 |\n| all | 48 |\n"
