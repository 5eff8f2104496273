"""A collection: thousands of problems, several in work at once, so that an engine of many endpoints is never idle.

Evaluation harnesses fill clusters in this way. It runs on a competition's contest without the clock, the API and the
submission, and leaves a run log on which other policies can be replayed.
A trajectory's ticket, given as it starts, is its priority, so later problems fill only the gaps that earlier ones
leave; seeds don't depend on any of it.
"""

import math
from collections import deque
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from numina_infer.app.composition import Backends, make_parts, open_contest
from numina_infer.app.tasks import Collection, task_info
from numina_infer.core.errors import EngineError
from numina_infer.core.events import Event, Solved
from numina_infer.core.records import Problem
from numina_infer.core.terminal import deferred_interrupt
from numina_infer.runs.history import ByProblem, Outline, solved_problems
from numina_infer.runs.log import RunLog
from numina_infer.runs.problems import read_problems
from numina_infer.runs.summary import CollectionSummary, summarize_problems
from numina_infer.solving.contest import Contest, Parts

_LOOK_EVERY_S = 0.5
_MAX_IN_VAIN = 8
"""After so many problems in a row with nothing but errors the engine counts as gone."""


def collect(
    collection: Collection,
    folder: Path,
    console: Console,
    *,
    resume: bool = False,
    backends: Backends | None = None,
    parts: Parts | None = None,
) -> CollectionSummary:
    """Solve the problems into `folder`, with the run log and live progress.

    `backends` are engine and sandbox to take instead of those chosen; `parts` are for a collection among others, whose
    engine is open already, and need no bank.
    On Ctrl-C what is in work stays open for a resumed collection, and `KeyboardInterrupt` goes on to the caller.
    A resumed collection takes problems again in which the engine or the sandbox broke.

    Raises:
        ConfigError: something chosen can't be used; nothing was run.
        RunLogError: `folder` can't be written, or holds another run.
        EngineError: the engine doesn't start, or has gone for good.
    """
    problem_set = read_problems(collection.problems_path)
    at_once, num_in_session, seconds = collection.concurrent_problems, 0, 0.0
    if parts is None:
        preset = collection.choices.resolve().without_bank()
        parts = make_parts(collection.choices, console.print, preset=preset, at_once=at_once, backends=backends)
    info = task_info(collection, parts.preset, folder, resume=resume)
    with RunLog(folder, resume=resume) as log:
        done = solved_problems(folder, are_complete=True) if resume else {}
        pile = deque(problem for problem in problem_set.problems if problem not in done)
        if pile:
            num_in_session, vigil = len(pile), _Vigil(folder)
            opening = open_contest(
                parts,
                log,
                info,
                num_problems=num_in_session + len(done),
                solved=done,
                console=console,
                is_collection=True,
                observers=[vigil],
            )
            # Whatever the threads are at ends when the contest is left, also by a second Ctrl-C.
            with ThreadPoolExecutor(at_once) as threads, opening as contest:
                if parts.portal is None:
                    _tell_of_empty_seats(contest, at_once, parts.preset.policy.at_once, num_in_session, console)
                started = parts.clock.now()
                _solve_all(pile, contest, vigil, threads, at_once)
                seconds = parts.clock.now() - started
    problems = summarize_problems(folder, problem_set.references, parts.preset.rollout.answer_range)
    return CollectionSummary(
        problems, is_simulated=parts.clock.is_virtual, num_in_session=num_in_session, session_s=seconds
    )


def _tell_of_empty_seats(contest: Contest, at_once: int, width: int, num_left: int, console: Console) -> None:
    """Say how many problems at once would fill the engine, if these don't and it says how many it takes."""
    described = contest.engine.describe()
    num_places = int(described.get("num_endpoints", described.get("num_replicas", 1)))
    num_seats = int(described.get("max_num_seqs", 0)) * num_places
    wanted = min(math.ceil(num_seats / width), num_left)
    if at_once < wanted:
        console.print(
            f"{at_once} problems at once with {width} trajectories each leave seats of the engine empty, "
            f"which has {num_seats}; --concurrent-problems {wanted} fills it",
            soft_wrap=True,
        )


class _Vigil:
    """An observer that notices when nothing but errors comes any more.

    With an engine that is gone every further problem would get a verdict without a trajectory, for hours.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._problems = folder, ByProblem[Outline]()
        self._num_in_vain = 0
        self._error = ""

    def __call__(self, event: Event) -> None:
        """Take one event in."""
        outline = self._problems.of(event, lambda opened: Outline(replace(opened, prompt="")))
        if outline is None:
            return
        outline.take(event)
        if isinstance(event, Solved):
            is_in_vain = len(outline.errors) == outline.num_ended
            self._num_in_vain = self._num_in_vain + 1 if is_in_vain else 0
            self._error = outline.errors[-1] if outline.errors else self._error

    def require_life(self) -> None:
        """Raise `EngineError` where problem after problem ended in errors."""
        if self._num_in_vain >= _MAX_IN_VAIN:
            raise EngineError(
                f"{self._num_in_vain} problems in a row came to nothing but errors, the last since {self._error}; put "
                f"that right and go on with numina-infer collect --resume {self._folder}"
            )


def _solve_from(pile: deque[Problem], contest: Contest, vigil: _Vigil) -> None:
    while True:
        try:
            problem = pile.popleft()  # each for one thread only
        except IndexError:
            return
        contest.solve(problem)
        vigil.require_life()


def _solve_all(pile: deque[Problem], contest: Contest, vigil: _Vigil, threads: Executor, at_once: int) -> None:
    """Solve the problems of `pile` in its order; when one fails or the user interrupts, end what is in work first."""
    solvers: list[Future[None]] = []
    try:
        with deferred_interrupt():  # or one might be at work that nobody waits for
            solvers += [threads.submit(_solve_from, pile, contest, vigil) for _ in range(at_once)]
        left = {*solvers}
        while left and not any(solver.exception() for solver in solvers if solver.done()):
            # A Ctrl-C right before a wait doesn't end it, so every wait ends by itself.
            _, left = wait(solvers, timeout=_LOOK_EVERY_S, return_when=FIRST_EXCEPTION)
    finally:
        pile.clear()  # the rest is for another session
        # Again and again, since one may be opening a problem in this very moment.
        while not all(solver.done() for solver in solvers):
            contest.interrupt()
            wait(solvers, timeout=_LOOK_EVERY_S)
    for solver in solvers:
        solver.result()
