"""Plays a drill of real processes, and looks at its results from outside."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from drills.contest_plan import ContestPlan, right_answer
from drills.fault import Expected
from drills.log_seen import read_log
from drills.processes import NUM_PROBLEMS, DrilledProcesses, Note
from drills.seen import Ended, Left, LogSeen, Reply, Seen
from numina_infer.core.errors import NuminaError
from numina_infer.core.events import Opened
from numina_infer.engines.vllm.server_place import socket_root
from numina_infer.runs.history import read_events

_SLACK_S = 1.0
"""Seconds that a busy machine may be late."""

Act = Callable[[DrilledProcesses], None]


@dataclass(frozen=True, slots=True)
class ProcessFault:
    """One thing that goes wrong with processes."""

    name: str
    story: str
    """One sentence: what happens."""
    acts: Mapping[int, Act]
    """Acts by the number of the problem at which they happen."""
    expected: Expected = field(default_factory=Expected)
    num_servers: int = 1
    speed: float = 1.0
    """The servers' speed, where 1 is two T4s."""
    arguments: tuple[str, ...] = ()
    """Further arguments of the command."""


def play(fault: ProcessFault) -> Seen:
    """The drill of `fault`."""
    began = time.monotonic()
    with TemporaryDirectory(prefix="numina-drill-", dir=socket_root("numina-drill-12345678/server-0")) as folder:
        processes = DrilledProcesses(Path(folder), ContestPlan(NUM_PROBLEMS), fault.speed)
        try:
            seen = _play(processes, fault)
        finally:
            processes.close()
    return replace(seen, wall_s=time.monotonic() - began)


def _play(processes: DrilledProcesses, fault: ProcessFault) -> Seen:
    """Begin, strike, and see how it ends; a run that ended too early is resumed."""
    for number in range(fault.num_servers):
        processes.serve(number)
    processes.begin(*fault.arguments)
    given: list[Note] = []
    num_before = 0
    for number, act in sorted(fault.acts.items()):
        processes.wait_for_call(number)
        given = [note for note in processes.notes if note.answer is not None]
        num_before = num_before or len(given)
        act(processes)
    how = processes.wait_for_end()
    if not how:
        return replace(_look(processes, processes.notes, Ended(), processes.left()), num_before=num_before)
    on_disk = {number: verdict.answer for number, verdict in _read(processes).verdicts.items()}
    left = processes.left()
    processes.resume()
    again = processes.wait_for_end()
    numbers = _numbers(processes)
    answers = {numbers[note.id]: note.answer for note in given if note.answer is not None}
    ended = Ended(f"{how}, then {again}" if again else how, on_disk, answers, len(_read(processes).verdicts))
    # The gateway was gone when the command ended, so replies of its last moment don't count.
    return _look(processes, [*given, *processes.notes], ended, left + processes.left())


def _look(processes: DrilledProcesses, notes: Sequence[Note], ended: Ended, left: tuple[str, ...]) -> Seen:
    log = _read(processes)
    replies = tuple(_replies(processes, notes, log))
    began_at = min((reply.asked_at for reply in replies), default=0.0)
    return Seen(
        plan=processes.plan,
        replies=replies,
        num_due=max(len(processes.plan.problems), sum(note.answer is None for note in notes)),
        began_at=began_at,
        hard_end=began_at + processes.bank.time_limit_s - processes.bank.reserve_s,
        summary=processes.summary,
        log=log,
        left=Left(processes=left),
        ended=ended,
        slack_s=_SLACK_S,
    )


def _read(processes: DrilledProcesses) -> LogSeen:
    problems = enumerate(processes.plan.problems, start=1)
    return read_log(processes.run, {problem.statement: number for number, problem in problems})


def _replies(processes: DrilledProcesses, notes: Sequence[Note], log: LogSeen) -> Iterator[Reply]:
    """Every call that got a reply, from the notes, with its deadline from the log where that has it."""
    due, submitted = _due(processes), processes.submission
    numbers = _numbers(processes)
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


def _numbers(processes: DrilledProcesses) -> dict[str, int]:
    return {problem.id: number for number, problem in enumerate(processes.plan.problems, start=1)}


def _due(processes: DrilledProcesses) -> dict[int, float]:
    """When each problem's deadline and grace are over, by its number."""
    numbers = {problem: number for number, problem in enumerate(processes.plan.problems, start=1)}
    try:
        opened = [event for event in read_events(processes.run) if isinstance(event, Opened)]
    except NuminaError:
        return {}
    return {numbers[each.problem]: each.deadline + (each.slice.grace_s if each.slice else 0.0) for each in opened}
