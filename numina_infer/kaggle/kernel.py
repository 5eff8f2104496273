"""A kernel: one competition out of a notebook, wherever that runs, from a look at the machine to the last reply.

    kernel = Kernel(competition="aimo-1")
    kernel.examine()   # red in a commit run ends it within a minute
    kernel.run()

Serving comes first: the contest opens and the gateway listens at once, while wheels are installed, servers start and
weights load behind it (`supervised.py`); the first problem waits, and its clock counts.
NuminaMath's notebook did it the other way round, and one exception in one problem lost everything. In a rerun, where
nobody sees an error, the best path left is taken here, whatever breaks.
"""

import os
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from typing import IO, cast

import anyio.to_thread
from rich.console import Console

from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.composition import Info, choose_format, make_engine, open_contest, run_info
from numina_infer.app.run_folder import new_folder
from numina_infer.competitions.known import Competition, get_competition
from numina_infer.core.config import ContestConfig
from numina_infer.core.errors import ConfigError, EngineError, NuminaError, RunLogError
from numina_infer.core.ports import Engine
from numina_infer.core.ports import Sandbox as SandboxPort
from numina_infer.core.presets import Preset, get_preset
from numina_infer.core.restarts import RestartPolicy
from numina_infer.engines.vllm.serving.probe import ProbePlan, probe
from numina_infer.formats.numina import NUMINA
from numina_infer.kaggle.inputs import Inputs
from numina_infer.kaggle.kernel_log import KernelLog
from numina_infer.kaggle.place import Place, find_place
from numina_infer.kaggle.preflight.light import Check, Light, Preflight
from numina_infer.kaggle.preflight.machine import process_age_s
from numina_infer.kaggle.preflight.preflight import preflight
from numina_infer.kaggle.preflight.run_plan import RunPlan, is_for_gpus
from numina_infer.kaggle.problem_source import Stage, set_stage
from numina_infer.kaggle.wheel_prefix import install_vllm
from numina_infer.models.gpus import require_gpus
from numina_infer.runs.log import NoLog, RunLog
from numina_infer.runs.progress import RunConsole
from numina_infer.runs.summary import Summary, summarize
from numina_infer.sandbox import Sandbox
from numina_infer.solving.contest import Parts
from numina_infer.solving.supervised import SupervisedEngine, SupervisedSandbox

REHEARSAL_S = 1800.0
"""The time limit of a rehearsal, in which the engine's start counts."""
LOG_FILE = "kernel.txt"
_SCRATCH = Path("/kaggle/tmp")
"""Kaggle's scratch folder: large, and not saved with the output."""
_PATIENCE_S = 20.0
"""How long a rerun waits for its preflight."""


class Kernel:
    """What one notebook runs."""

    starts = RestartPolicy()
    """How often engine and sandbox are started."""

    def __init__(
        self,
        competition: str | Competition = "aimo-1",
        model: str = "",
        preset: str = "",
        problems: str = "",
        *,
        environment: Mapping[str, str] = os.environ,
        inputs: Inputs | None = None,
        output: Path | None = None,
    ) -> None:
        """Make a kernel; nothing is started yet.

        Args:
            competition: the name of a known one, or a `Competition` of one's own.
            model: part of the name of an attached model, a folder or a hub id; empty takes the one that is attached,
                and without a GPU the embedded model.
            preset: empty takes `t4x2` on GPUs and `cpu` elsewhere.
            problems: a file to rehearse on; empty takes the competition's own sample, or two examples of ours.
            environment: tells where this runs.
            inputs: what is attached.
            output: where the submission goes; Kaggle's working folder there, a new folder under `runs` elsewhere.

        Raises:
            ConfigError: the competition isn't known.
        """
        self.competition = get_competition(competition) if isinstance(competition, str) else competition
        self.place = find_place(environment)
        self.inputs = inputs or Inputs()
        self.output = output or (Path.cwd() if self.place.is_kaggle else new_folder())
        is_timed = self.place in {Place.COMMIT, Place.RERUN}
        self.started_at = _process_start(self.competition.startup_limit_s) if is_timed else time.monotonic()
        self._model, self._preset, self._problems = model, preset, problems
        self.output.mkdir(parents=True, exist_ok=True)
        log = KernelLog(self.output / LOG_FILE, started_at=self.started_at)
        self.console: Console = RunConsole(cast("IO[str]", log))

    def examine(self) -> Preflight:
        """Look at the machine and at what is attached, and say what was found and what to do.

        Raises:
            ConfigError: something is red in a commit run, which would fail hours later otherwise.
        """
        found = self._look()
        for line in found.lines():
            self._report(line)
        red = found.of(Light.RED)
        if red and self.place is Place.COMMIT:
            raise ConfigError(f"the preflight is red, so the run ends here: {'; '.join(check.line for check in red)}")
        return found

    def _look(self) -> Preflight:
        """The preflight; in a rerun the contest doesn't wait long for it."""
        if self.place.is_watched:
            return preflight(self._plan)
        found: list[Preflight] = []
        looking = threading.Thread(target=lambda: found.append(self._look_or_say_why()), daemon=True)
        looking.start()
        looking.join(_PATIENCE_S)
        return found[0] if found else _without_preflight(f"not done after {_PATIENCE_S:.0f} s")

    def _look_or_say_why(self) -> Preflight:
        try:
            return preflight(self._plan)
        except Exception as error:  # noqa: BLE001 (the contest begins in any case, and its log is to tell the reason)
            return _without_preflight(f"it broke: {error!r}")

    def run(self) -> Summary | None:
        """Answer the competition's problems, or rehearse where it isn't scored; None in a rerun.

        Raises:
            NuminaError: outside a rerun, whatever can't be used or doesn't start.
            KeyboardInterrupt: the user stopped it; a rehearsal's submission so far is written.
        """
        stage = set_stage(self.competition, self.place, self.inputs, self._problems, self.output, self._report)
        with self._open_log() as log:
            parts, info = self._parts(log, stage)
            contest = open_contest(
                parts,
                log,
                info,
                num_problems=stage.num_problems or 1,
                solved={},
                console=self.console,
            )
            with contest as opened:
                self._report(f"the gateway listens, {time.monotonic() - self.started_at:.0f} s after the start")
                stage.serve(opened.answer)
        if self.place is Place.RERUN:
            return None
        summary = self._summary(log, stage, parts.preset)
        self._write_page(log.folder, stage.references)
        _require_votes(summary)
        return summary

    def probe(self) -> None:
        """Measure what vLLM does on this machine, into `probe.json` and `kernel.txt`: some minutes; never in a rerun.

        Raises:
            NuminaError: there is no vLLM, or its servers don't start.
        """
        if self.place is Place.RERUN:
            return
        choices = self._with_vllm(replace(self._choices(), engine=EngineName.VLLM))
        server = choices.resolve().server
        plan = ProbePlan(choices.model_name, server, choices.vllm_python or "", is_short=True)
        probe(plan, self.output / "probe.json", self.console)

    def _summary(self, log: RunLog, stage: Stage, preset: Preset) -> Summary:
        summary = summarize(log.folder, stage.references, preset, log_trouble=log.trouble)
        self.console.print(summary.table())
        for line in (
            summary.line,
            summary.time_line,
            summary.vote_line,
            *map("meanwhile: {}".format, summary.failures),
        ):
            self._report(line)
        return summary

    def _write_page(self, folder: Path, references: Mapping[str, str]) -> None:
        """`report.html` beside the submission."""
        from numina_infer.lab.report.report_page import REPORT_FILE, write_report

        try:
            self._report(f"the run to look at: {write_report(folder, self.output / REPORT_FILE, references)}")
        except Exception as error:  # noqa: BLE001 (hours of a run that went well aren't lost for a page of it)
            self._report(f"no report of the run: {error!r}")

    def _report(self, line: str) -> None:
        self.console.print(line, soft_wrap=True)

    def _open_log(self) -> RunLog:
        """The run log, kept with the output; in a rerun somewhere, since nothing depends on it."""
        if self.place.is_watched:
            folders = (self.output / f"run{number or ''}" for number in count())
            return RunLog(next(folder for folder in folders if not folder.exists()))
        why = ""
        for base in (None, "/dev/shm", self.output):  # noqa: S108 (a folder of our own is made in it)
            try:
                # On a disk that is full even asking for the usual place of such folders fails.
                return RunLog(Path(tempfile.mkdtemp(prefix="numina-run-", dir=base)), is_vital=False)
            except (OSError, RunLogError) as error:
                why = str(error)
                self._report(f"no run log in {base or 'the usual place'}: {error}")
        return NoLog(why)

    @cached_property
    def has_gpus(self) -> bool:
        """Whether this run is planned for GPUs; on Kaggle they are asked for again whenever the engine starts."""
        return is_for_gpus(self.place, self.inputs)

    @cached_property
    def _plan(self) -> RunPlan:
        return RunPlan(
            competition=self.competition,
            place=self.place,
            # On Kaggle a GPU is wanted, and it is to be said where it is missing.
            engine=EngineName.VLLM if self.has_gpus or self.place.is_kaggle else EngineName.TRANSFORMERS,
            model=self._model,
            server=get_preset(self._preset_name).server,
            prefix=self._prefix,
            output=self.output,
            inputs=self.inputs,
        )

    @property
    def _preset_name(self) -> str:
        return self._preset or ("t4x2" if self.has_gpus else "cpu")

    @property
    def _prefix(self) -> Path:
        """Where vLLM is installed."""
        return (_SCRATCH if self.place.is_kaggle else Path(tempfile.gettempdir())) / "vllm"

    def _parts(self, log: RunLog, stage: Stage) -> tuple[Parts, Info]:
        """The contest's parts, none of them started; in a rerun there are always some."""
        try:
            choices = self._choices()
            preset = self._timed(choices.resolve(), stage)
            fmt = choose_format(choices, preset, self._report)
            make = partial(self._make_engine, choices, preset)
            info = run_info(choices, preset)
        except Exception as error:  # whatever it is, a rerun must listen
            if self.place.is_watched:
                raise
            self._report(f"what was chosen can't be used, so every answer is a fallback: {error}")
            preset, fmt, info = self._timed(get_preset("t4x2"), stage), NUMINA, {}
            make = partial(_fail, str(error))
        info = {"command": "kernel", "place": self.place, "competition": self.competition.name, **info}
        note = _Note(log, info)
        engine = SupervisedEngine(make, policy=self.starts, report=self._report, on_ready=note.engine)
        sandbox = SupervisedSandbox(
            partial(_make_sandbox, preset), policy=self.starts, report=self._report, on_ready=note.sandbox
        )
        return Parts(preset, fmt, engine, sandbox, began_at=self.started_at), info

    def _choices(self) -> Choices:
        if not self.has_gpus:
            return Choices(preset=self._preset_name, answer_range=self.competition.answer_range)
        model = str(self.inputs.model(self._model)) if self.place.is_kaggle else self._model or None
        return Choices(EngineName.VLLM, model, preset=self._preset_name, answer_range=self.competition.answer_range)

    def _timed(self, preset: Preset, stage: Stage) -> Preset:
        limit_s = None if self.place is Place.RERUN else REHEARSAL_S
        contest: ContestConfig = replace(
            preset.contest, bank=self.competition.bank(limit_s, num_problems=stage.num_problems)
        )
        rollout = replace(preset.rollout, answer_range=self.competition.answer_range)
        return replace(preset, contest=contest, rollout=rollout)

    async def _make_engine(self, choices: Choices, preset: Preset) -> AbstractAsyncContextManager[Engine]:
        return await anyio.to_thread.run_sync(self._engine, choices, preset, abandon_on_cancel=True)

    def _engine(self, choices: Choices, preset: Preset) -> AbstractAsyncContextManager[Engine]:
        if self.place.is_kaggle and choices.engine is EngineName.VLLM:
            require_gpus()
        return make_engine(self._with_vllm(choices), preset, self._report)

    def _with_vllm(self, choices: Choices) -> Choices:
        """`choices` with the interpreter that has vLLM, installed from what is attached; any other needs none."""
        wheelhouse = self.inputs.wheelhouse() if choices.engine is EngineName.VLLM else None
        if wheelhouse is None:
            return choices
        return replace(choices, vllm_python=str(install_vllm(wheelhouse, self._prefix, self._report)))


def _without_preflight(why: str) -> Preflight:
    return Preflight((Check("preflight", Light.AMBER, f"{why}; the contest begins without it"),))


def _require_votes(summary: Summary) -> None:
    """Fail loudly where a rehearsal's submission is made of guesses, as the scored one would be.

    Raises:
        EngineError: no vote stands behind any answer.
    """
    if summary.num_fallbacks < max(1, len(summary.problems)):
        return
    why = next(iter((*summary.errors, *summary.incidents)), "no trajectory stated an answer")
    raise EngineError(f"the submission is there and made of guesses, no vote stands behind any answer: {why}")


async def _make_sandbox(preset: Preset) -> AbstractAsyncContextManager[SandboxPort]:
    return Sandbox(preset.sandbox)


async def _fail(why: str) -> AbstractAsyncContextManager[Engine]:
    raise EngineError(why)


class _Note:
    """Tells `run.json` of parts that have started."""

    def __init__(self, log: RunLog, info: Info) -> None:
        self._log, self._info = log, dict(info)

    def engine(self, engine: Engine) -> None:
        self._add("engine", engine)

    def sandbox(self, sandbox: SandboxPort) -> None:
        self._add("sandbox", sandbox)

    def _add(self, name: str, part: Engine | SandboxPort) -> None:
        with suppress(NuminaError, OSError, ValueError):  # for want of a note nothing is started again
            self._info[name] = part.describe()
            self._log.describe(self._info, is_waited_for=False)  # this is the loop


def _process_start(limit_s: float) -> float:
    """When this process began, as `time.monotonic` counts: installing and importing have taken time already.

    More than `limit_s` ago isn't believed: nobody would be listened to any more, so the clocks must disagree.
    """
    try:
        age_s = process_age_s()
    except LookupError:
        age_s = 0.0
    return time.monotonic() - (age_s if age_s < limit_s else 0.0)
