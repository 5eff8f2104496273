"""A collection: thousands of problems, several in work at once, so that an engine of many endpoints is never idle.

Evaluation harnesses fill clusters in this way. It runs on a competition's contest without the clock, the API and the
submission, and leaves a run log on which other policies can be replayed.
A trajectory's ticket, given as it starts, is its priority, so later problems fill only the gaps that earlier ones
leave; seeds don't depend on any of it.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

from rich.console import Console

from numina_infer.answers.references import read_references
from numina_infer.app.composition import Backends, Info, make_parts, open_contest
from numina_infer.app.run_folder import begun_info, problems_path, resumed_info
from numina_infer.app.tasks import Collection
from numina_infer.core.errors import EngineError
from numina_infer.core.events import Ended, Event, Opened, Solved
from numina_infer.core.interrupt import deferred_interrupt
from numina_infer.core.records import Problem, Solution
from numina_infer.runs.collection_progress import show_headway
from numina_infer.runs.collection_summary import CollectionSession, Harvest, read_harvest
from numina_infer.runs.history import read_outlines
from numina_infer.runs.log import RunLog
from numina_infer.runs.problems import read_problems
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
) -> Harvest:
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
    problem_set, at_once = read_problems(problems_path(collection)), collection.concurrent_problems
    if parts is None:
        preset = collection.choices.resolve().without_bank()
        parts = make_parts(collection.choices, console.print, preset=preset, at_once=at_once, backends=backends)
    info = resumed_info(collection, folder) if resume else begun_info(collection, parts.preset)
    with RunLog(folder, resume=resume) as log:
        done = _complete_problems(folder) if resume else {}
        left = [problem for problem in problem_set.problems if problem not in done]
        session = _solve_left(left, done, at_once, parts, log, info, console) if left else CollectionSession()
    references = read_references(problem_set.references, parts.preset.rollout.answer_range)
    return read_harvest(folder, references, session, is_simulated=parts.clock.is_virtual)


def _complete_problems(folder: Path) -> Mapping[Problem, Solution]:
    outlines = read_outlines(folder)
    return {
        outline.problem: outline.solution
        for outline in outlines
        if outline.solution is not None and outline.is_complete
    }


def _solve_left(
    left: Sequence[Problem],
    done: Mapping[Problem, Solution],
    at_once: int,
    parts: Parts,
    log: RunLog,
    info: Info,
    console: Console,
) -> CollectionSession:
    """What one session does."""
    opening = open_contest(
        parts,
        log,
        info,
        num_problems=len(left) + len(done),
        solved=done,
        console=console,
        show=show_headway,
        observers=[vigil := _Vigil(log.folder)],
    )
    with opening as contest:
        if parts.portal is None:
            _show_empty_seats(contest, parts.preset.policy.at_once, at_once, len(left), console)
        started = parts.clock.now()
        _solve_all(left, at_once, contest, vigil)
        return CollectionSession(len(left), parts.clock.now() - started)


def _show_empty_seats(contest: Contest, width: int, at_once: int, num_left: int, console: Console) -> None:
    """Say how many problems at once would fill the engine, if `at_once` of `width` trajectories don't."""
    described = contest.engine.describe()
    num_places = int(described.get("num_endpoints", described.get("num_replicas", 1)))
    num_seats = int(described.get("max_num_seqs", 0)) * num_places  # 0 where the engine doesn't say
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
        self._folder = folder
        self._sound: set[str] = set()
        """Open problems that have a trajectory which ended without an error."""
        self._num_in_vain = 0
        self._error = ""

    def __call__(self, event: Event) -> None:
        """Take one event in."""
        match event:
            case Opened():
                self._sound.discard(event.problem_id)
            case Ended(trajectory) if trajectory.error:
                self._error = trajectory.error
            case Ended():
                self._sound.add(event.problem_id)
            case Solved():
                self._num_in_vain = 0 if event.problem_id in self._sound else self._num_in_vain + 1
                self._sound.discard(event.problem_id)
            case _:
                pass

    def require_life(self) -> None:
        """Raise `EngineError` where problem after problem ended in errors."""
        if self._num_in_vain >= _MAX_IN_VAIN:
            raise EngineError(
                f"{self._num_in_vain} problems in a row came to nothing but errors, the last since {self._error}; put "
                f"that right and go on with numina-infer collect --resume {self._folder}"
            )


def _solve_all(problems: Sequence[Problem], at_once: int, contest: Contest, vigil: _Vigil) -> None:
    """Solve them in order, `at_once` at a time; when one fails or the user interrupts, end what is in work first."""

    def solve(problem: Problem) -> None:
        contest.solve(problem)
        vigil.require_life()

    solutions: list[Future[None]] = []
    with ThreadPoolExecutor(at_once) as threads:
        try:
            with deferred_interrupt():  # or one might be at work that nobody waits for
                solutions += [threads.submit(solve, problem) for problem in problems]
            wait(solutions, return_when=FIRST_EXCEPTION)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            # Again and again, since one may be opening a problem in this very moment.
            while at_work := [solution for solution in solutions if not solution.done()]:
                contest.interrupt()
                wait(at_work, timeout=_LOOK_EVERY_S)
    for solution in solutions:
        if not solution.cancelled():
            solution.result()
