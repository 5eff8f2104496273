"""The judge: every check passes where all is well, and fails at what it is for."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from drills.contest_plan import ContestPlan, right_answer
from drills.fault import Drill, Expected, Fault, LogState, everything, struck, together
from drills.judge import Check, judge
from drills.scene import Scene
from drills.seen import Ended, Left, LogSeen, Reply, Seen
from numina_infer.core.records import Solution, StopReason


def solution(number: int, *, is_fallback: bool = False) -> Solution:
    """The verdict on a problem."""
    answer = right_answer(number)
    return Solution(f"p{number}", answer, is_fallback=is_fallback, stop_reason=StopReason.DECIDED)


def reply(number: int, *, is_first: bool = True) -> Reply:
    """A reply that is as it should be."""
    answer = right_answer(number)
    return Reply(number, answer, 10.0, 100.0, 50.0, answer, solution(number), is_first)


WELL = Seen(
    ContestPlan(2),
    (reply(1), reply(2), reply(1, is_first=False), reply(2, is_first=False)),
    num_due=4,
    began_at=0.0,
    hard_end=1000.0,
    summary=("2 problems", "it happened here"),
    log=LogSeen("", {number: solution(number) for number in (1, 2)}, {1: 1, 2: 1}, 2),
)
EXPECTED = Expected(says=("it happened",))


def drill(expected: Expected = EXPECTED, touched: frozenset[int] = frozenset()) -> Drill:
    """A drill that nobody plays."""

    def touches(reply: Reply, _: Seen) -> bool:
        return reply.number in touched

    return Drill("named", "It happens.", expected, touches, touches, lambda: WELL)


def with_first(**changes: object) -> Seen:
    """Another first reply."""
    return replace(WELL, replies=(replace(WELL.replies[0], **changes), *WELL.replies[1:]))  # type: ignore[arg-type]


FALLBACK = solution(1, is_fallback=True)
SPOILT = {
    Check.REPLIES: replace(WELL, replies=WELL.replies[:3]),
    Check.WHOLE: with_first(answer=101.0),
    Check.RANGE: with_first(answer=1000),
    Check.TIME: with_first(replied_at=100.1),
    Check.SAME: replace(WELL, replies=(*WELL.replies[:2], replace(WELL.replies[2], answer=7), WELL.replies[3])),
    Check.RIGHT: with_first(answer=7),
    Check.FALLBACKS: with_first(solution=FALLBACK),
    Check.ONCE: replace(WELL, log=replace(WELL.log, num_openings={1: 2, 2: 1})),
    Check.LOG: replace(WELL, log=replace(WELL.log, trouble="a line is damaged")),
    Check.REPLAY: replace(WELL, log=replace(WELL.log, num_replayed=1)),
    Check.SAID: replace(WELL, summary=("2 problems",)),
    Check.LEFT: replace(WELL, left=Left(processes=("4711",))),
    Check.ENDED: replace(WELL, ended=Ended("exit code 1")),
}


def checks(seen: Seen, of: Drill | None = None) -> set[Check]:
    """Those that fail."""
    return {finding.check for finding in judge(of or drill(), seen)}


def test_where_all_is_as_expected_nothing_is_found() -> None:
    """The seen that all others are spoilt from."""
    assert checks(WELL) == set()


@pytest.mark.parametrize("check", SPOILT)
def test_every_check_fails_at_what_it_is_for(check: Check) -> None:
    """And says what it found."""
    found = {finding.check: finding.line for finding in judge(drill(), SPOILT[check])}
    assert check in found
    assert found[check].startswith(check)


@pytest.mark.parametrize("answer", [True, "101", None, 101.0])
def test_only_an_integer_is_whole(answer: object) -> None:
    """What Python or numpy would let pass, a scorer may not."""
    assert Check.WHOLE in checks(with_first(answer=answer))


def test_no_reply_passes_the_hard_end_even_within_its_slice() -> None:
    """But a problem that is asked for behind it may be answered at once."""
    assert Check.TIME in checks(replace(WELL, hard_end=40.0))
    behind = replace(WELL, hard_end=5.0, replies=tuple(replace(one, replied_at=10.0) for one in WELL.replies))
    assert Check.TIME not in checks(behind)


def test_a_touched_problem_may_be_wrong_and_no_other() -> None:
    """Whatever the bound allows."""
    may_lose = drill(replace(EXPECTED, max_fallbacks=2), frozenset({2}))
    assert Check.RIGHT in checks(with_first(solution=FALLBACK), may_lose)
    assert Check.RIGHT not in checks(with_first(solution=FALLBACK), replace(may_lose, touches=lambda *_: True))


def test_what_is_said_twice_is_not_said_once() -> None:
    """A user reads it as two things."""
    assert Check.SAID in checks(replace(WELL, summary=("it happened", "it happened again")))


def test_what_happened_once_is_not_said_to_have_happened_often() -> None:
    """As it would be where every verdict told it anew."""
    seen = replace(WELL, summary=("it happened (50 times)",))
    assert Check.SAID not in checks(seen)
    assert Check.SAID in checks(seen, drill(Expected(says_once=("it happened",))))


def test_what_must_not_come_of_a_fault_is_not_said() -> None:
    """In any line."""
    assert Check.SAID in checks(WELL, drill(Expected(never_says=("happened",))))
    assert Check.SAID not in checks(WELL, drill(Expected(never_says=("died",))))


def test_what_several_parts_may_notice_has_to_be_said_by_one_of_them() -> None:
    """By how many doesn't matter, and in no line is too few."""
    twice = replace(WELL, summary=("the engine has no descriptor", "the sandbox has no descriptor"))
    expected = Expected(says_at_least_once=("no descriptor",))
    assert Check.SAID not in checks(twice, drill(expected))
    assert Check.SAID in checks(WELL, drill(expected))


def test_a_fallback_that_no_fault_excuses_is_found_whatever_the_bound() -> None:
    """A fault that has none when it comes alone excuses none in company, unless another is at work there."""
    harmless = Fault("harmless", "It costs nothing.", _nothing_happens, Expected(everything))
    harmful = Fault("harmful", "It costs a vote.", _nothing_happens, Expected(struck, 1), at=(1.0,))
    seen = replace(
        WELL,
        replies=tuple(
            replace(one, solution=solution(one.number, is_fallback=True)) if one.number == 1 else one
            for one in WELL.replies
        ),
    )
    seen = replace(seen, log=replace(seen.log, verdicts={1: FALLBACK, 2: solution(2)}))
    assert checks(seen, together([harmless, harmful], ContestPlan(2), _nobody_plays)) == {Check.FALLBACKS}
    assert checks(seen, together([harmless, replace(harmful, at=(0.0,))], ContestPlan(2), _nobody_plays)) == set()
    assert checks(seen, together([harmless, harmless], ContestPlan(2), _nobody_plays)) == set()


def _nothing_happens(_scene: Scene, _numbers: frozenset[int]) -> None:
    """A fault for its bounds alone."""


def _nobody_plays(_faults: Sequence[Fault], _course: ContestPlan) -> Seen:
    raise AssertionError("this drill is for its bounds alone")


def test_a_log_that_ends_early_may_lack_verdicts_and_not_change_them() -> None:
    """One that is gone is asked for nothing."""
    part = drill(replace(EXPECTED, log=LogState.PART))
    short = replace(WELL, log=LogSeen("", {1: solution(1)}, {1: 1}, 1))
    assert Check.LOG not in checks(short, part)
    assert Check.LOG in checks(short)
    assert Check.LOG in checks(replace(short, num_before=2), part)
    other = replace(short, log=replace(short.log, verdicts={1: replace(solution(1), answer=3)}))
    assert Check.LOG in checks(other, part)
    assert Check.LOG not in checks(replace(WELL, log=LogSeen("no run")), drill(replace(EXPECTED, log=LogState.GONE)))


def test_of_a_process_that_ends_the_disk_is_looked_at() -> None:
    """What it had replied, and what resuming makes of it."""
    ends = drill(Expected(ends="exit code 130"))
    on_disk = {1: right_answer(1)}
    well = replace(WELL, num_due=9, summary=(), ended=Ended("exit code 130", on_disk, on_disk, 2))

    def with_end(**changes: object) -> Seen:
        return replace(well, ended=replace(well.ended, **changes))  # type: ignore[arg-type]

    assert checks(well, ends) == set()
    assert checks(with_end(on_disk={}), ends) == checks(with_end(on_disk={1: 7}), ends) == {Check.DISK}
    assert checks(with_end(num_after_resume=1), ends) == {Check.DISK}
    assert checks(with_end(how="exit code 1"), ends) == {Check.ENDED}


def test_of_a_process_that_ends_and_goes_on_the_replies_are_looked_at_too() -> None:
    """Verdicts are no guesses, come in time, and only the problem in work is opened again."""
    ends = drill(Expected(ends="exit code 130"))
    ended = Ended("exit code 130", {}, {}, 2)
    guesses = tuple(replace(one, solution=solution(one.number, is_fallback=True)) for one in WELL.replies)
    assert Check.RIGHT in checks(replace(WELL, replies=guesses, ended=ended), ends)
    assert checks(replace(with_first(replied_at=101.0), ended=ended), ends) == {Check.TIME}
    twice = replace(WELL, ended=ended, log=replace(WELL.log, num_openings={1: 1, 2: 2}))
    assert checks(twice, ends) == set()
    assert checks(replace(twice, log=replace(twice.log, num_openings={1: 2, 2: 2})), ends) == {Check.ONCE}
    assert checks(replace(twice, log=replace(twice.log, num_replayed=0)), ends) == {Check.REPLAY}
