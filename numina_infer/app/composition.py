"""Where the parts of a contest are put together: choices in, an open contest out.

The command line, the notebooks, the kernel, the tuning search and the drills all come here. Engine, sandbox and
gateway can be handed in (`Backends`), so that a test needs no model and no zygote.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.tasks import Info, run_info, samples_path
from numina_infer.core.clock import virtual_clock
from numina_infer.core.config import SandboxConfig, require
from numina_infer.core.engine_config import TransformersConfig
from numina_infer.core.errors import NuminaError
from numina_infer.core.ports import Announce, Engine, Format, Gateway
from numina_infer.core.ports import Sandbox as SandboxPort
from numina_infer.core.presets import Preset
from numina_infer.core.records import Problem, Solution
from numina_infer.core.restarts import RestartPolicy
from numina_infer.formats.catalogue import make_format
from numina_infer.formats.chat import CHAT
from numina_infer.runs.log import Observer, RunLog
from numina_infer.runs.progress import Scoreboard, show_progress
from numina_infer.sandbox import Sandbox
from numina_infer.solving.contest import Contest, Parts, open_portal
from numina_infer.solving.paper.paper_solver import PaperSolver
from numina_infer.solving.solver import MakeSolver, Solver
from numina_infer.solving.supervised import Make, SupervisedEngine, SupervisedSandbox

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
    """The parts of a contest as chosen, with `at_once` problems in work; none of them is opened yet.

    `report` takes a line about everything that takes long; `preset` is the choices' with changes of the caller's.

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


def make_engine(
    choices: Choices, preset: Preset, report: Announce, at_once: int = 1
) -> AbstractAsyncContextManager[Engine]:
    """The engine that was chosen, not opened yet; raises as `make_parts` does."""
    if choices.engine is EngineName.SCRIPTED:
        from numina_infer.engines.scripted_engine import ScriptedEngine, load_script, sum_of_numbers

        return ScriptedEngine(load_script(Path(choices.script)) if choices.script else sum_of_numbers)
    if choices.engine is EngineName.VLLM:
        return _client_engine(choices, preset, report) if choices.endpoint else _vllm_engine(choices, preset, report)
    from numina_infer.engines.local.transformers_engine import TransformersEngine

    max_num_seqs = min(16, at_once * preset.policy.num_samples)
    config = TransformersConfig(model=choices.model_name, max_num_seqs=max_num_seqs)
    return TransformersEngine(config, report=report)


def _vllm_engine(choices: Choices, preset: Preset, report: Announce) -> AbstractAsyncContextManager[Engine]:
    from numina_infer.engines.vllm.launch import plan_servers
    from numina_infer.engines.vllm.vllm_engine import VllmEngine

    python = choices.vllm_python or ""
    launches = plan_servers(choices.model_name, preset.server, python=python, report=report)
    return VllmEngine(launches, preset.client, keep=choices.keep_server, report=report)


def _client_engine(choices: Choices, preset: Preset, report: Announce) -> AbstractAsyncContextManager[Engine]:
    """The client of the endpoints that were named, with the tokenizer of the model that they serve if it is here."""
    from numina_infer.engines.http.address import Address
    from numina_infer.engines.http.openai_api import OpenAIEngine
    from numina_infer.engines.vocabulary import TokenizerVocabulary

    addresses = [Address.parse(text) for text in choices.endpoint]
    folder = endpoint_model(choices, report)
    if folder is None:
        report("no --model was given whose tokenizer could be used, so text is exchanged (docs/engines.md)")
    vocabulary = TokenizerVocabulary.from_folder(folder) if folder is not None else None
    return OpenAIEngine(addresses, vocabulary, preset.client, report=report)


def endpoint_model(choices: Choices, report: Announce) -> Path | None:
    """The folder of the model that the endpoints serve: the one named, or that of a server of ours; None otherwise."""
    from numina_infer.engines.http.address import Address
    from numina_infer.engines.local.models import find_folder
    from numina_infer.engines.vllm.server_place import served_model

    if choices.model:
        return find_folder(choices.model, report)
    sockets = [address.socket for address in map(Address.parse, choices.endpoint) if address.socket is not None]
    return next((folder for socket in sockets if (folder := served_model(socket)) is not None), None)


def choose_format(choices: Choices, preset: Preset, report: Announce) -> Format:
    """The format that was chosen; `chat` takes the model's template, and `ConfigError` is raised if it has none."""
    folder = _template_folder(choices, report) if preset.format == CHAT else None
    return make_format(preset.format, max_calls=preset.rollout.max_turns - 1, model_folder=folder)


def _template_folder(choices: Choices, report: Announce) -> Path | None:
    if choices.engine in {EngineName.SCRIPTED, EngineName.SIMULATED}:  # a script needs no model: fetch none
        return Path(choices.model_name) if Path(choices.model_name).is_dir() else None
    if choices.endpoint:
        return endpoint_model(choices, report)
    from numina_infer.engines.local.models import find_folder

    return find_folder(choices.model_name, report)


def _with_cache(
    choices: Choices, engine: AbstractAsyncContextManager[Engine], report: Announce
) -> AbstractAsyncContextManager[Engine]:
    """The engine, with the cache that was chosen around it."""
    if choices.cache is None:
        return engine
    from numina_infer.engines.cached_engine import CachedEngine

    if choices.endpoint:
        report("the cache knows endpoints by the name of their model: give each set of weights a folder of its own")
    return CachedEngine(engine, Path(choices.cache).expanduser(), report=report)


def _simulated_parts(
    choices: Choices, preset: Preset, fmt: Format, make_solver: MakeSolver, report: Announce
) -> Parts:
    """A machine that isn't here, in virtual time."""
    from numina_infer.engines.simulated_engine import SampledAuthor, SimulatedEngine, read_samples
    from numina_infer.engines.simulated_machine import T4_COSTS, read_costs
    from numina_infer.formats.fences import Fenced
    from numina_infer.sandbox.simulated_sandbox import SimulatedSandbox

    require(
        isinstance(fmt, Fenced),
        f"format is {preset.format} with the simulated engine, whose programs stand in ```python blocks; take numina",
    )
    costs = read_costs(Path(choices.probe)) if choices.probe else T4_COSTS
    path = samples_path(choices)
    report(f"simulated: {costs.source}; answers and lengths are recorded samples of {path.name}")
    clock, server = virtual_clock(), preset.server
    engine = SimulatedEngine(
        SampledAuthor(read_samples(path), name=path.name),
        costs,
        max_num_seqs=server.max_num_seqs,
        max_model_len=server.max_model_len or preset.rollout.sampling.max_tokens,
        now=clock.now,
    )
    return Parts(preset, fmt, engine, SimulatedSandbox(_T4_SLOTS), make_solver, clock)


@contextmanager
def opened(parts: Parts) -> Iterator[tuple[Parts, Engine]]:
    """`parts` with engine and sandbox running, for one contest after another, so that a model is loaded once.

    The engine that runs comes with them; `NuminaError` if engine or sandbox don't start.
    """
    with open_portal(parts.clock) as portal, ExitStack() as stack:
        engine = stack.enter_context(portal.wrap_async_context_manager(parts.engine))
        sandbox = stack.enter_context(portal.wrap_async_context_manager(parts.sandbox))
        yield replace(parts, engine=nullcontext(engine), sandbox=nullcontext(sandbox), portal=portal), engine


@contextmanager
def open_contest(
    parts: Parts,
    log: RunLog,
    info: Info,
    *,
    num_problems: int,
    solved: Mapping[Problem, Solution],
    console: Console,
    is_collection: bool = False,
    observers: Sequence[Observer] = (),
) -> Iterator[Contest]:
    """A contest with engine and sandbox running and progress on `console`; `run.json` describes what runs.

    The display, one line for all problems of a collection, gets every event, and then the `observers` do.
    `NuminaError` is raised if engine or sandbox don't start.
    """
    log.describe(info)
    board = Scoreboard(
        num_problems,
        num_solved=len(solved),
        weights=parts.preset.policy.weights,
        now=parts.clock.now,
        title="simulated " if parts.clock.is_virtual else "",
        is_collection=is_collection,
    )
    with (
        show_progress(board, console) as progress,
        Contest(parts, log, solved=solved, observers=[progress, *observers]) as contest,
    ):
        board.stats = lambda: contest.engine.stats
        log.describe({**info, "engine": contest.engine.describe(), "sandbox": contest.sandbox.describe()})
        try:
            yield contest
        finally:
            cache = contest.engine.stats.cache
            if cache is not None and parts.portal is None:  # an engine that contests share is reported by their caller
                console.print(cache.line, soft_wrap=True)


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
