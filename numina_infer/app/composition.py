"""Where the parts of a contest are put together: choices in, an open contest out.

The command line, the notebooks, the kernel, the tuning search and the drills all come here. Engine, sandbox and
gateway can be handed in (`Backends`), so that a test needs no model and no zygote.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.engine_choice import choose_format, make_engine, samples_path
from numina_infer.core.clock import virtual_clock
from numina_infer.core.config import SandboxConfig, require
from numina_infer.core.engine_config import SimulatedConfig
from numina_infer.core.errors import NuminaError
from numina_infer.core.ports import Announce, Engine, EngineStats, Format, Gateway
from numina_infer.core.ports import Sandbox as SandboxPort
from numina_infer.core.presets import Preset
from numina_infer.core.records import Problem, Solution
from numina_infer.core.restarts import RestartPolicy
from numina_infer.runs.log import RunLog
from numina_infer.runs.observers import Observer
from numina_infer.runs.progress import MakeDisplay, Scoreboard, show_progress
from numina_infer.runs.provenance import machine, package_versions
from numina_infer.sandbox import Sandbox
from numina_infer.solving.contest import Contest, Parts, open_portal
from numina_infer.solving.paper import PaperSolver
from numina_infer.solving.solver import MakeSolver, Solver
from numina_infer.solving.supervised import Make, SupervisedEngine, SupervisedSandbox

Info = Mapping[str, object]
"""What goes into `run.json`."""

_T4_SLOTS = 3
"""Slots of the simulated sandbox: Kaggle's T4 machine has four cores, and the sandbox takes all but one."""

MakeEngine = Callable[[Choices, Preset, Announce, int], AbstractAsyncContextManager[Engine]]
"""Choices, their preset, where to report what takes long, problems in work at once → an engine, not opened yet."""


@dataclass(frozen=True, slots=True)
class Backends:
    """Engine, sandbox and gateway that tests, drills and kernels hand in, in place of those that were chosen."""

    engine: MakeEngine | None = None
    """None makes the engine that was chosen."""
    sandbox: Callable[[SandboxConfig], AbstractAsyncContextManager[SandboxPort]] = Sandbox
    """Makes the sandbox, not opened yet; the simulated engine brings its own."""
    gateway: Callable[[Gateway], Gateway] | None = None
    """Wraps the gateway of a rehearsal."""
    starts: RestartPolicy | None = None
    """How often a kernel starts an engine or a sandbox that doesn't come up."""


def make_parts(
    choices: Choices,
    report: Announce,
    *,
    preset: Preset | None = None,
    at_once: int = 1,
    backends: Backends | None = None,
) -> Parts:
    """The parts of a contest as chosen; none of them is opened yet.

    Args:
        choices: what was chosen.
        report: takes a line about everything that takes long.
        preset: the choices' preset with changes of the caller's; None takes it unchanged.
        at_once: how many problems will be in work at once.
        backends: engine and sandbox to take instead.

    Raises:
        ConfigError: something chosen can't be found or used.
        EngineError: the model or vLLM isn't here and can't be had.
    """
    preset = preset or choices.resolve()
    fmt = choose_format(choices, preset, report)
    make_solver: MakeSolver = PaperSolver if choices.paper else Solver
    if choices.engine is EngineName.SIMULATED:
        return _simulated_parts(choices, preset, fmt, make_solver, report)
    backends = backends or Backends()
    make = backends.engine or make_engine
    engine = _with_cache(choices, make(choices, preset, report, at_once), report)
    return Parts(preset, fmt, engine, backends.sandbox(preset.sandbox), make_solver)


def supervised_parts(
    preset: Preset,
    fmt: Format,
    make_engine: Make[Engine],
    make_sandbox: Callable[[], AbstractAsyncContextManager[SandboxPort]],
    *,
    began_at: float,
    policy: RestartPolicy | None = None,
    report: Announce = lambda _: None,
    on_ready: Callable[[str, Engine | SandboxPort], None] = lambda _name, _part: None,
) -> Parts:
    """Parts that start in the background and are started again when they break, so that the contest opens at once.

    `on_ready` gets `engine` or `sandbox` and the part, on the loop, whenever one has started.
    """

    async def make_late() -> AbstractAsyncContextManager[SandboxPort]:
        return make_sandbox()

    engine = SupervisedEngine(make_engine, policy=policy, report=report, on_ready=partial(on_ready, "engine"))
    sandbox = SupervisedSandbox(make_late, policy=policy, report=report, on_ready=partial(on_ready, "sandbox"))
    return Parts(preset, fmt, engine, sandbox, began_at=began_at)


def note_when_ready(log: RunLog, info: Info) -> Callable[[str, Engine | SandboxPort], None]:
    """For `supervised_parts`: adds each part that has started to `info` in `run.json`."""
    noted = dict(info)

    def note(name: str, part: Engine | SandboxPort) -> None:
        with suppress(NuminaError, OSError, ValueError):  # for want of a note nothing is started again
            noted[name] = part.describe()
            log.describe(noted, is_waited_for=False)  # this is the loop

    return note


def shared_parts(parts: Parts, choices: Choices, preset: Preset, report: Announce) -> Parts:
    """`parts`, whose engine and sandbox are open, for a contest with other choices; raises as `choose_format` does."""
    return replace(parts, preset=preset, fmt=choose_format(choices, preset, report))


def _with_cache(
    choices: Choices, engine: AbstractAsyncContextManager[Engine], report: Announce
) -> AbstractAsyncContextManager[Engine]:
    """The engine, with the cache that was chosen around it."""
    if choices.cache is None:
        return engine
    from numina_infer.engines.cache.cached import CachedEngine

    if choices.endpoint:
        report("the cache knows endpoints by the name of their model: give each set of weights a folder of its own")
    return CachedEngine(engine, Path(choices.cache).expanduser(), report=report)


def _simulated_parts(
    choices: Choices, preset: Preset, fmt: Format, make_solver: MakeSolver, report: Announce
) -> Parts:
    """A machine that isn't here, in virtual time."""
    from numina_infer.engines.simulated.machine_costs import read_costs, t4_costs
    from numina_infer.engines.simulated.samples import SampledAuthor, read_samples
    from numina_infer.engines.simulated.simulated_engine import SimulatedEngine
    from numina_infer.formats.fences import Fenced
    from numina_infer.sandbox.simulated_sandbox import SimulatedSandbox

    require(
        isinstance(fmt, Fenced),
        f"format is {preset.format} with the simulated engine, whose programs stand in ```python blocks; take numina",
    )
    costs = read_costs(Path(choices.probe)) if choices.probe else t4_costs()
    path = samples_path(choices)
    report(f"simulated: {costs.source}; answers and lengths are recorded samples of {path.name}")
    clock, server = virtual_clock(), preset.server
    config = SimulatedConfig(server.max_num_seqs, server.max_model_len or preset.rollout.sampling.max_tokens)
    engine = SimulatedEngine(SampledAuthor(read_samples(path), name=path.name), costs, config, now=clock.now)
    return Parts(preset, fmt, engine, SimulatedSandbox(_T4_SLOTS), make_solver, clock)


@contextmanager
def opened(parts: Parts) -> Iterator[tuple[Parts, Engine]]:
    """`parts` with engine and sandbox running, for one contest after another, so that a model is loaded once.

    The engine that runs comes with them.

    Raises:
        NuminaError: engine or sandbox don't start.
    """
    with open_portal(parts.clock) as portal, ExitStack() as stack:
        engine = stack.enter_context(portal.wrap_async_context_manager(parts.engine))
        sandbox = stack.enter_context(portal.wrap_async_context_manager(parts.sandbox))
        yield replace(parts, engine=nullcontext(engine), sandbox=nullcontext(sandbox), portal=portal), engine


def run_info(choices: Choices, preset: Preset) -> Info:
    """The part of `run.json` that is known before anything is opened."""
    return {
        "choices": asdict(choices),
        "preset": asdict(preset),
        "versions": package_versions(),
        "machine": machine(),
    }


@contextmanager
def open_contest(
    parts: Parts,
    log: RunLog,
    info: Info,
    *,
    num_problems: int,
    solved: Mapping[Problem, Solution],
    console: Console,
    show: MakeDisplay = show_progress,
    observers: Sequence[Observer] = (),
) -> Iterator[Contest]:
    """A contest with engine and sandbox running and progress on `console`; `run.json` describes what runs.

    `show` makes the display; it gets every event, and then the `observers` do.

    Raises:
        NuminaError: engine or sandbox don't start.
    """
    log.describe(info)
    board = Scoreboard(
        num_problems,
        num_solved=len(solved),
        weights=parts.preset.policy.weights,
        now=parts.clock.now,
        title="simulated " if parts.clock.is_virtual else "",
    )
    with show(board, console) as progress:
        contest = Contest(parts, log, solved=solved, observers=[progress, *observers])
        with contest:
            board.stats = lambda: contest.engine.stats
            log.describe({**info, "engine": contest.engine.describe(), "sandbox": contest.sandbox.describe()})
            try:
                yield contest
            finally:
                if parts.portal is None:  # an engine that contests share is reported once, by their caller
                    _tell_of_cache(contest.engine.stats, console)


def _tell_of_cache(stats: EngineStats, console: Console) -> None:
    if stats.cache is not None:
        console.print(stats.cache.line, soft_wrap=True)


def solve(
    statement: str,
    choices: Choices | None = None,
    *,
    folder: str | Path | None = None,
    console: Console | None = None,
    backends: Backends | None = None,
) -> Solution:
    """Solve one problem: the answer and the votes behind it.

    Args:
        statement: the problem's text.
        choices: engine, model, preset and what to change of it; the embedded model by default.
        folder: keeps the run log there, a new folder.
        console: shows progress there.
        backends: engine and sandbox to take instead of those chosen.

    Raises:
        ConfigError: the statement is empty, or something chosen can't be used.
        NuminaError: engine or sandbox don't start.
    """
    require(bool(statement.strip()), "the problem is empty; give its text")
    choices = choices or Choices()
    problem = Problem("problem", statement)
    console = console or Console(quiet=True)
    parts = make_parts(choices, console.print, preset=choices.resolve().for_problems(1), backends=backends)
    info = run_info(choices, parts.preset)
    with (
        tempfile.TemporaryDirectory(prefix="numina-infer-") as scratch,
        RunLog(Path(folder or scratch)) as log,
        open_contest(parts, log, info, num_problems=1, solved={}, console=console) as contest,
    ):
        return contest.solve(problem)
