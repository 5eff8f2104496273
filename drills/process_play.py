"""Plays a drill of real processes, and looks at what became of it from outside."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from drills.course import Course, right_answer
from drills.fault import Expected
from drills.log_seen import read_log
from drills.seen import Ended, Left, LogSeen, Reply, Seen
from drills.theatre import NUM_PROBLEMS, Note, Theatre
from numina_infer.core.errors import NuminaError
from numina_infer.core.events import Opened
from numina_infer.engines.vllm.server_place import socket_root
from numina_infer.runs.history import read_events

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
    speed: float = 1.0
    """Of the servers, where 1 is two T4s."""
    arguments: tuple[str, ...] = ()
    """Of the command."""


def play(fault: ProcessFault) -> Seen:
    """The drill of `fault`."""
    began = time.monotonic()
    with TemporaryDirectory(prefix="numina-drill-", dir=socket_root("numina-drill-12345678/server-0")) as folder:
        theatre = Theatre(Path(folder), Course(NUM_PROBLEMS), fault.speed)
        try:
            seen = _play(theatre, fault)
        finally:
            theatre.close()
    return replace(seen, wall_s=time.monotonic() - began)


def _play(theatre: Theatre, fault: ProcessFault) -> Seen:
    """Begin, strike, and see how it ends; what ended too early is gone on with."""
    for number in range(fault.num_servers):
        theatre.serve(number)
    theatre.begin(*fault.arguments)
    given: list[Note] = []
    num_before = 0
    for number, act in sorted(fault.acts.items()):
        theatre.wait_for_call(number)
        given = [note for note in theatre.notes if note.answer is not None]
        num_before = num_before or len(given)
        act(theatre)
    how = theatre.wait_for_end()
    if not how:
        return replace(_look(theatre, theatre.notes, Ended(), theatre.left()), num_before=num_before)
    on_disk = {number: verdict.answer for number, verdict in _read(theatre).verdicts.items()}
    left = theatre.left()
    theatre.resume()
    again = theatre.wait_for_end()
    numbers = _numbers(theatre)
    answers = {numbers[note.id]: note.answer for note in given if note.answer is not None}
    ended = Ended(f"{how}, then {again}" if again else how, on_disk, answers, len(_read(theatre).verdicts))
    # Whoever asked was gone when the command ended: replies of its last moment are nobody's.
    return _look(theatre, [*given, *theatre.notes], ended, left + theatre.left())


def _look(theatre: Theatre, notes: Sequence[Note], ended: Ended, left: tuple[str, ...]) -> Seen:
    log = _read(theatre)
    replies = tuple(_replies(theatre, notes, log))
    began_at = min((reply.asked_at for reply in replies), default=0.0)
    return Seen(
        course=theatre.course,
        replies=replies,
        num_due=max(len(theatre.course.problems), sum(note.answer is None for note in notes)),
        began_at=began_at,
        hard_end=began_at + theatre.bank.time_limit_s - theatre.bank.reserve_s,
        summary=theatre.summary,
        log=log,
        left=Left(processes=left),
        ended=ended,
        slack_s=_SLACK_S,
    )


def _read(theatre: Theatre) -> LogSeen:
    problems = enumerate(theatre.course.problems, start=1)
    return read_log(theatre.run, {problem.statement: number for number, problem in problems})


def _replies(theatre: Theatre, notes: Sequence[Note], log: LogSeen) -> Iterator[Reply]:
    """Every call that was replied to, by the notes; when it was due is in the log, if that has it."""
    due, submitted = _due(theatre), theatre.submission
    numbers = _numbers(theatre)
    asked: dict[str, float] = {}
    known = set[int]()
    for note in notes:
        if note.answer is None:
            asked[note.id] = note.at
            continue
        number, asked_at = numbers[note.id], asked.get(note.id, note.at)
        verdict = log.verdicts.get(number)
        is_submitted = submitted.get(note.id) == note.answer
        yield Reply(
            number=number,
            right=right_answer(number),
            asked_at=asked_at,
            due_at=max(asked_at, due.get(number, float("inf"))),
            replied_at=note.at,
            answer=note.answer if is_submitted else f"{note.answer}, and the submission {submitted.get(note.id)}",
            solution=verdict if verdict is not None and verdict.answer == note.answer else None,
            is_first=number not in known,
        )
        known.add(number)


def _numbers(theatre: Theatre) -> dict[str, int]:
    return {problem.id: number for number, problem in enumerate(theatre.course.problems, start=1)}


def _due(theatre: Theatre) -> dict[int, float]:
    """By problem number, its deadline and its grace."""
    numbers = {problem: number for number, problem in enumerate(theatre.course.problems, start=1)}
    try:
        opened = [event for event in read_events(theatre.run) if isinstance(event, Opened)]
    except NuminaError:
        return {}
    return {numbers[each.problem]: each.deadline + (each.slice.grace_s if each.slice else 0.0) for each in opened}
