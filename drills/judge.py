"""The judge: compares what was expected of a drill with what was seen, with every check in one place.

It doesn't know how a fault works; it checks that the contest wasn't lost.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from drills.fault import Drill, LogState
from drills.seen import Reply, Seen
from numina_infer.core.records import StopReason


class Check(StrEnum):
    """What is looked at."""

    PLAYED = "it is played to its end"
    REPLIES = "every call has a reply"
    WHOLE = "every reply is a whole number"
    RANGE = "every reply is in range"
    TIME = "every reply is in time"
    SAME = "asked again, the same"
    RIGHT = "what isn't touched is right"
    FALLBACKS = "fallbacks within the bound"
    ONCE = "every problem is worked on once"
    LOG = "the log is readable and true"
    REPLAY = "replay is exact"
    SAID = "what happened is said once"
    LEFT = "nothing is left behind"
    ENDED = "the process ends as it should"
    DISK = "what was done is on disk"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check that failed, and what was seen instead."""

    check: Check
    what: str

    @property
    def line(self) -> str:
        """In one line."""
        return f"{self.check}: {self.what}"


def judge(drill: Drill, seen: Seen) -> tuple[Finding, ...]:
    """Every check that fails, with the first thing that it fails at."""
    checks = _OF_THE_DEAD if drill.expected.ends else _OF_THE_LIVING
    found = ((check, next(look(drill, seen), None)) for check, look in checks.items())
    return tuple(Finding(check, what) for check, what in found if what is not None)


Look = Callable[[Drill, Seen], Iterator[str]]


def _replies(_drill: Drill, seen: Seen) -> Iterator[str]:
    if len(seen.replies) != seen.num_due:
        yield f"{len(seen.replies)} replies to {seen.num_due} calls{seen.trouble and ': '}{seen.trouble}"


def _whole(_drill: Drill, seen: Seen) -> Iterator[str]:
    for reply in seen.replies:
        if type(reply.answer) is not int:
            yield f"problem {reply.number} got {reply.answer!r}"


def _range(_drill: Drill, seen: Seen) -> Iterator[str]:
    for reply in seen.replies:
        if isinstance(reply.answer, int) and not 0 <= reply.answer <= seen.largest:
            yield f"problem {reply.number} got {reply.answer}, which isn't 0 to {seen.largest}"


def _time(_drill: Drill, seen: Seen) -> Iterator[str]:
    for reply in seen.replies:
        due = min(reply.due_at, max(seen.hard_end, reply.asked_at))
        if reply.replied_at > due + seen.slack_s:
            which = "the hard end" if due < reply.due_at else "slice and grace"
            yield f"problem {reply.number} came {reply.replied_at - due:.2f} s after {which}"


def _same(_drill: Drill, seen: Seen) -> Iterator[str]:
    first = {reply.number: reply for reply in seen.first_replies}
    for reply in seen.replies:
        before = first.get(reply.number, reply)
        if (before.answer, before.solution) != (reply.answer, reply.solution):
            yield f"problem {reply.number} got {before.answer}, then {reply.answer} or other evidence"


def _right(drill: Drill, seen: Seen) -> Iterator[str]:
    for reply in seen.first_replies:
        if not reply.is_right and not drill.touches(reply, seen):
            doubt = ", a fallback" if reply.is_fallback else ""
            yield f"problem {reply.number} got {reply.answer}{doubt}, where {reply.right} is right"


def _fallbacks(drill: Drill, seen: Seen) -> Iterator[str]:
    if seen.num_fallbacks > drill.expected.max_fallbacks:
        yield f"{seen.num_fallbacks}, where {drill.expected.max_fallbacks} may be"
    for reply in seen.first_replies:
        if reply.is_fallback and not drill.excuses(reply, seen):
            yield f"problem {reply.number} has no vote, which nothing excuses"


def _once(_drill: Drill, seen: Seen) -> Iterator[str]:
    """But for the problem in work when a process ended, which the one that goes on opens again."""
    num_more = sum(times - 1 for times in seen.log.num_openings.values())
    if num_more > bool(seen.ended.how):
        number, times = max(seen.log.num_openings.items(), key=lambda opened: opened[1])
        yield f"problem {number} was opened {times} times"


def _log(drill: Drill, seen: Seen) -> Iterator[str]:
    if drill.expected.log is LogState.GONE:
        return
    if seen.log.trouble:
        yield seen.log.trouble
    for reply in seen.first_replies:
        verdict = seen.log.verdicts.get(reply.number)
        if verdict is not None and verdict != reply.solution:
            yield f"it has another verdict on problem {reply.number} than was given"
        if verdict is None and _is_due(drill, seen, reply) and not _stays_open(reply):
            yield f"it has no verdict on problem {reply.number}"


def _is_due(drill: Drill, seen: Seen, reply: Reply) -> bool:
    """Whether the verdict has to be in the log, if only since it was given before the log ended."""
    return drill.expected.log is LogState.WHOLE or reply in seen.replies[: seen.num_before]


def _stays_open(reply: Reply) -> bool:
    return reply.solution is None or reply.solution.stop_reason is StopReason.INTERRUPTED


def _replay(_drill: Drill, seen: Seen) -> Iterator[str]:
    if seen.log.num_replayed != len(seen.log.verdicts):
        yield f"{seen.log.num_replayed} of {len(seen.log.verdicts)} verdicts come out again"


def _said(drill: Drill, seen: Seen) -> Iterator[str]:
    for text in (*drill.expected.says, *drill.expected.says_once):
        lines = [line for line in seen.summary if text in line]
        if len(lines) != 1:
            yield f"«{text}» stands in {len(lines)} lines of the summary"
        elif text in drill.expected.says_once and lines[0].endswith(" times)"):
            yield f"«{lines[0]}», where once is enough"
    for text in drill.expected.says_at_least_once:
        if not any(text in line for line in seen.summary):
            yield f"«{text}» stands in no line of the summary"
    yield from (line for line in seen.summary if any(text in line for text in drill.expected.never_says))


def _left(_drill: Drill, seen: Seen) -> Iterator[str]:
    yield from seen.left.everything


def _ended(drill: Drill, seen: Seen) -> Iterator[str]:
    if drill.expected.ends != seen.ended.how:
        yield f"{seen.ended.how or 'it lives on'}, where {drill.expected.ends or 'it lives on'} was expected"


def _disk(_drill: Drill, seen: Seen) -> Iterator[str]:
    ended = seen.ended
    for number, answer in ended.given.items():
        if ended.on_disk.get(number) != answer:
            yield f"problem {number} was given {answer}, and {ended.on_disk.get(number, 'nothing')} is on disk"
    if ended.num_after_resume < seen.plan.num_problems:
        yield f"resumed, {ended.num_after_resume} of {seen.plan.num_problems} problems have a verdict"


_OF_THE_LIVING: Mapping[Check, Look] = MappingProxyType(
    {
        Check.REPLIES: _replies,
        Check.WHOLE: _whole,
        Check.RANGE: _range,
        Check.TIME: _time,
        Check.SAME: _same,
        Check.RIGHT: _right,
        Check.FALLBACKS: _fallbacks,
        Check.ONCE: _once,
        Check.LOG: _log,
        Check.REPLAY: _replay,
        Check.SAID: _said,
        Check.LEFT: _left,
        Check.ENDED: _ended,
    }
)
_LOOKS_AT_THE_DEAD: Mapping[Check, Look] = {
    check: look for check, look in _OF_THE_LIVING.items() if check not in {Check.REPLIES, Check.SAID}
}
_OF_THE_DEAD: Mapping[Check, Look] = MappingProxyType({**_LOOKS_AT_THE_DEAD, Check.DISK: _disk})
