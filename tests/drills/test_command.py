"""`python -m drills`: what it prints, and how it ends."""

import json

import pytest

from drills import report
from drills.command import main
from drills.fault import Drill
from numina_infer.core.records import Problem, Solution
from numina_infer.solving.contest import Contest


def test_the_list_tells_what_is_drilled_and_what_is_expected(capsys: pytest.CaptureFixture[str]) -> None:
    """And plays nothing."""
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    assert "servers-die: The servers die at a problem" in said
    assert "expected: all in time, at most 0 fallbacks, says «the engine broke»" in said


def test_a_drill_that_holds_is_a_line_with_what_was_expected_and_seen(capsys: pytest.CaptureFixture[str]) -> None:
    """Then the numbers of all."""
    assert main(["asks-twice", "disk-full"]) == 0
    first, second, total = capsys.readouterr().out.splitlines()
    assert first.startswith("asks-twice: expected all in time, at most 0 fallbacks, says «the gateway asked for")
    assert "; seen 106 of 106 replies, 50 of 50 right, 0 fallbacks" in first
    assert first.endswith(": ok")
    assert "log up to it" in second
    assert total.startswith("2 drills, 206 calls for 100 problems: 100 right, 0 fallbacks; ")


def test_json_is_a_line_a_drill(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing else is on stdout."""
    assert main(["--random", "2", "--seed", "3", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["ok"] for row in rows] == [True, True]
    assert all(" + " in row["name"] for row in rows)


def test_a_drill_that_fails_ends_with_1_and_says_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here a contest that says something else each time."""
    solve, times = Contest.solve, iter(range(1000))

    def fickle(self: Contest, problem: Problem) -> Solution:
        solution = solve(self, problem)
        return Solution(solution.problem_id, next(times) % 900, is_fallback=False, stop_reason=solution.stop_reason)

    monkeypatch.setattr(Contest, "solve", fickle)
    assert main(["asks-twice"]) == 1
    said = capsys.readouterr().out
    assert "FAILED: " in said
    assert "asked again, the same: " in said


def test_a_drill_that_is_interrupted_tells_what_it_came_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 130, as everywhere."""
    play, number = report.run, iter(range(9))

    def interrupted(drill: Drill) -> report.Result:
        if next(number):
            raise KeyboardInterrupt
        return play(drill)

    monkeypatch.setattr(report, "run", interrupted)
    assert main(["asks-twice", "servers-die"]) == 130
    assert "1 drills, 106 calls for 50 problems" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["no-such-fault"], "no fault is called 'no-such-fault'"),
        (["--seed", "3"], "--seed is of random combinations"),
        (["servers-die", "--random", "3"], "--random draws its faults itself"),
        (["--random", "0"], "random is 0"),
    ],
)
def test_what_can_not_be_used_is_said_with_exit_code_2(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is played."""
    assert main([*arguments]) == 2
    assert why in capsys.readouterr().err
