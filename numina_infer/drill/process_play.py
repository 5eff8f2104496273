"""Plays a drill of real processes, and looks at what became of it from outside."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from numina_infer.drill.course import Course, right_answer
from numina_infer.drill.fault import Expected
from numina_infer.drill.log_seen import read_log
from numina_infer.drill.seen import Ended, Left, LogSeen, Reply, Seen
from numina_infer.drill.theatre import NUM_PROBLEMS, Theatre
from numina_infer.errors import NuminaError
from numina_infer.events import Opened
from numina_infer.history import read_events

_SLACK_S = 1.0
"""What a busy machine may be late by."""

Act = Callable[[Theatre], None]


@dataclass(frozen=True, slots=True)
class ProcessFault:
    """One thing that goes wrong with processes."""

    name: str
    story: str
    """One sentence: what happens."""
    acts: Mapping[int, Act]
    """What is done when that problem is asked."""
    expected: Expected = field(default_factory=Expected)
    num_servers: int = 1
    arguments: tuple[str, ...] = ()
    """Of the command."""
    num_calls: int = 1
    """How often each problem is asked."""


def play(fault: ProcessFault) -> Seen:
    """The drill of `fault`."""
    began = time.monotonic()
    with TemporaryDirectory(prefix="numina-drill-") as folder:
        theatre = Theatre(Path(folder), Course(NUM_PROBLEMS))
        try:
            for number in range(fault.num_servers):
                theatre.serve(number)
            theatre.begin(*fault.arguments)
            for number, act in sorted(fault.acts.items()):
                theatre.wait_for_call(number)
                act(theatre)
            return _look(theatre, fault, theatre.wait_for_end(), began)
        finally:
            theatre.close()


def _look(theatre: Theatre, fault: ProcessFault, how: str, began: float) -> Seen:
    """What there is to see of a command that has ended, resumed where it ended too early."""
    log, num_given = _read(theatre), theatre.num_replies
    left, summary = list(theatre.left()), theatre.said
    ended = Ended()
    if how:
        theatre.resume()
        again = theatre.wait_for_end()
        left += theatre.left()
        after = _read(theatre)
        ended = Ended(how + (f", then {again}" if again else ""), len(log.verdicts), num_given, len(after.verdicts))
        log = after
    replies = tuple(_replies(theatre, log))
    end = min((reply.asked_at for reply in replies), default=0.0)
    return Seen(
        course=theatre.course,
        replies=replies,
        num_due=len(theatre.course.problems) * fault.num_calls,
        began_at=end,
        hard_end=end + theatre.bank.time_limit_s - theatre.bank.reserve_s,
        summary=summary,
        log=log,
        left=Left(processes=tuple(left)),
        ended=ended,
        slack_s=_SLACK_S,
        wall_s=time.monotonic() - began,
    )


def _read(theatre: Theatre) -> LogSeen:
    return read_log(theatre.run, {problem: number for number, problem in enumerate(theatre.course.problems, start=1)})


def _replies(theatre: Theatre, log: LogSeen) -> Sequence[Reply]:
    """Every call that was replied to, by the notes; when it was due is in the log, if that has it."""
    due = _due(theatre)
    numbers = {problem.id: number for number, problem in enumerate(theatre.course.problems, start=1)}
    asked: dict[str, float] = {}
    replies: list[Reply] = []
    known = set[int]()
    for note in theatre.notes:
        if note["answer"] is None:
            asked[note["id"]] = note["at"]
            continue
        number = numbers[note["id"]]
        verdict = log.verdicts.get(number)
        replies.append(
            Reply(
                number=number,
                right=right_answer(number),
                asked_at=asked[note["id"]],
                due_at=max(asked[note["id"]], due.get(number, float("inf"))),
                replied_at=note["at"],
                answer=note["answer"],
                solution=verdict if verdict is not None and verdict.answer == note["answer"] else None,
                is_first=number not in known,
            )
        )
        known.add(number)
    return replies


def _due(theatre: Theatre) -> dict[int, float]:
    """By problem number, its deadline and its grace."""
    numbers = {problem: number for number, problem in enumerate(theatre.course.problems, start=1)}
    try:
        opened = [event for event in read_events(theatre.run) if isinstance(event, Opened)]
    except NuminaError:
        return {}
    return {numbers[each.problem]: each.deadline + (each.slice.grace_s if each.slice else 0.0) for each in opened}
