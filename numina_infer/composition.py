"""Where the parts are put together: choices in, an open contest out; the notebooks and the command line use no other.

`solve` is the whole of it for one problem.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from numina_infer.choices import Choices, EngineName
from numina_infer.config import Preset, TransformersConfig, require
from numina_infer.contest import Contest
from numina_infer.ports import Engine
from numina_infer.progress import Scoreboard, show_progress
from numina_infer.provenance import machine, package_versions
from numina_infer.rounds import PaperSolver
from numina_infer.runlog import RunLog
from numina_infer.sandbox import Sandbox
from numina_infer.solver import MakeSolver, Solver
from numina_infer.trajectory import Problem, Solution

Info = Mapping[str, object]
"""What goes into `run.json`."""


def make_engine(
    choices: Choices, preset: Preset, report: Callable[[str], None]
) -> AbstractAsyncContextManager[Engine]:
    """The engine that was chosen, not opened yet; `report` is told what takes long.

    Raises:
        ConfigError: its model or script can't be found or used.
    """
    if choices.engine is EngineName.SCRIPTED:
        from numina_infer.engines.scripted import ScriptedEngine
        from numina_infer.engines.scripts import load_script, sum_of_numbers

        return ScriptedEngine(load_script(Path(choices.script)) if choices.script else sum_of_numbers)
    from numina_infer.engines.transformers import TransformersEngine

    config = TransformersConfig(model=choices.model, max_num_seqs=min(16, preset.policy.num_samples))
    return TransformersEngine(config, report=report)


def get_solver(choices: Choices) -> MakeSolver:
    """The solver that was chosen: ours, or the paper's way."""
    return PaperSolver if choices.paper else Solver


def run_info(choices: Choices, preset: Preset) -> Info:
    """What is known of a run before anything is opened."""
    return {
        "choices": asdict(choices),
        "preset": asdict(preset),
        "versions": package_versions(),
        "machine": machine(),
    }


@contextmanager
def open_contest(
    preset: Preset,
    engine: AbstractAsyncContextManager[Engine],
    log: RunLog,
    info: Info,
    *,
    num_problems: int,
    solved: Mapping[Problem, Solution],
    console: Console,
    make_solver: MakeSolver = Solver,
) -> Iterator[Contest]:
    """A contest with engine and sandbox running, progress on `console`, and `run.json` telling what runs.

    Raises:
        NuminaError: engine or sandbox don't start.
    """
    log.describe(info)
    board = Scoreboard(num_problems, num_solved=len(solved))
    with show_progress(board, console) as progress:
        contest = Contest(
            preset=preset,
            engine=engine,
            sandbox=Sandbox(preset.sandbox),
            log=log,
            solved=solved,
            observers=[progress],
            make_solver=make_solver,
        )
        with contest:
            board.stats = lambda: contest.engine.stats
            log.describe({**info, "engine": contest.engine.describe(), "sandbox": contest.sandbox.describe()})
            yield contest


def solve(
    statement: str, choices: Choices | None = None, *, folder: str | Path | None = None, console: Console | None = None
) -> Solution:
    """Solve one problem: the answer and the votes behind it.

    Args:
        statement: the problem's text.
        choices: engine, model, preset and what to change of it; the embedded model by default.
        folder: keeps the run log there, a new folder.
        console: shows progress there.

    Raises:
        ConfigError: the statement is empty, or something chosen can't be used.
        NuminaError: engine or sandbox don't start.
    """
    require(bool(statement.strip()), "the problem is empty; give its text")
    choices = choices or Choices()
    problem = Problem("problem", statement)
    preset = choices.resolve()
    info = run_info(choices, preset)
    console = console or Console(quiet=True)
    engine = make_engine(choices, preset, console.print)
    with (
        tempfile.TemporaryDirectory(prefix="numina-infer-") as scratch,
        RunLog(Path(folder or scratch)) as log,
        open_contest(
            preset, engine, log, info, num_problems=1, solved={}, console=console, make_solver=get_solver(choices)
        ) as contest,
    ):
        return contest.solve(problem)
