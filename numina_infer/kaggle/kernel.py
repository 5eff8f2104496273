"""A kernel: one competition out of a notebook, wherever that runs, from a look at the machine to the last reply.

    kernel = Kernel(competition="aimo-1")
    kernel.examine()   # red in a commit run ends it within a minute
    kernel.run()

The contest opens and the gateway listens at once, while wheels are installed, servers start and weights load in the
background (`supervised.py`); the first problem waits for them, and its clock runs.
NuminaMath's notebook did it the other way round, and one exception in one problem lost everything. In a rerun, where
nobody sees an error, the kernel goes on with whatever still works.
"""

import os
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import IO, cast

import anyio.to_thread
from rich.console import Console

from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.composition import (
    Backends,
    choose_format,
    make_engine,
    note_when_ready,
    open_contest,
    supervised_parts,
)
from numina_infer.app.tasks import Info, new_folder, run_info
from numina_infer.competitions.known import Competition, get_competition
from numina_infer.core.errors import ConfigError, EngineError
from numina_infer.core.ports import Engine
from numina_infer.core.presets import Preset, get_preset
from numina_infer.engines.vllm.probe import probe
from numina_infer.formats.numina import NUMINA
from numina_infer.kaggle.kernel_log import KernelLog, open_run_log, process_start
from numina_infer.kaggle.place import Inputs, Place, find_place
from numina_infer.kaggle.preflight.light import Check, Light, Preflight
from numina_infer.kaggle.preflight.machine import RunPlan
from numina_infer.kaggle.preflight.preflight import preflight
from numina_infer.kaggle.problem_source import ProblemSource, find_source
from numina_infer.kaggle.wheel_prefix import install_vllm
from numina_infer.models.gpus import GpuDriverError, ask_for_gpus, require_gpus
from numina_infer.runs.log import RunLog
from numina_infer.runs.progress import RunConsole
from numina_infer.runs.summary import Summary, summarize
from numina_infer.solving.contest import Parts

REHEARSAL_S = 1800.0
"""The time limit of a rehearsal, in which the engine's start counts."""
LOG_FILE = "kernel.txt"
_SCRATCH = Path("/kaggle/tmp")
"""Kaggle's scratch folder: large, and not saved with the output."""
_PATIENCE_S = 20.0
"""A rerun waits so long for its preflight."""


class Kernel:
    """What one notebook runs."""

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
        backends: Backends | None = None,
    ) -> None:
        """Make a kernel; nothing is started yet.

        Args:
            competition: the name of a known one, or a `Competition` of one's own.
            model: part of an attached one's name, a folder or a hub id; empty takes what is attached, and without a
                GPU the embedded model.
            preset: empty takes `t4x2` on GPUs and `cpu` elsewhere.
            problems: a file to rehearse on; empty takes the competition's own sample, or two examples of ours.
            environment: tells where this runs.
            inputs: what is attached.
            output: where the submission goes; Kaggle's working folder there, a new folder under `runs` elsewhere.
            backends: engine and sandbox to take instead of those that suit the machine.

        Raises:
            ConfigError: the competition isn't known.
        """
        self.competition = get_competition(competition) if isinstance(competition, str) else competition
        self.place = find_place(environment)
        self.inputs = inputs or Inputs()
        self.output = output or (Path.cwd() if self.place.is_kaggle else new_folder())
        is_timed = self.place in {Place.COMMIT, Place.RERUN}
        self.started_at = process_start(self.competition.startup_limit_s) if is_timed else time.monotonic()
        self._model, self._preset, self._problems = model, preset, problems
        self._backends = backends or Backends()
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
        """The preflight; a rerun doesn't wait long for it, and goes on where it breaks."""
        if self.place.is_watched:
            return preflight(self._plan)
        found = [_without_preflight(f"not done after {_PATIENCE_S:.0f} s")]

        def look() -> None:
            try:
                found.append(preflight(self._plan))
            except Exception as error:  # noqa: BLE001 (the contest begins in any case, and its log has the reason)
                found.append(_without_preflight(f"it broke: {error!r}"))

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        looking.join(_PATIENCE_S)
        return found[-1]

    def run(self, source: ProblemSource | None = None) -> Summary | None:
        """Answer the competition's problems, or rehearse where it isn't scored; None in a rerun.

        `source` asks the problems in place of what is found here.

        Raises:
            NuminaError: outside a rerun, whatever can't be used or doesn't start.
            KeyboardInterrupt: the user stopped it; a rehearsal's submission so far is written.
        """
        source = source or find_source(
            self.competition, self.place, self.inputs, self._problems, self.output, self._report
        )
        with open_run_log(self.output, self._report, is_kept=self.place.is_watched) as log:
            parts, info = self._parts(log, source.num_problems)
            num_problems = source.num_problems or 1
            opening = open_contest(parts, log, info, num_problems=num_problems, solved={}, console=self.console)
            with opening as contest:
                self._report(f"the gateway listens, {time.monotonic() - self.started_at:.0f} s after the start")
                source.serve(contest.answer)
        if self.place is Place.RERUN:
            return None
        summary = self._summary(log, source, parts.preset)
        self._write_page(log.folder, source.references)
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
        file, python = self.output / "probe.json", choices.vllm_python or ""
        probe(choices.model_name, choices.resolve().server, file, self.console, vllm_python=python, is_short=True)

    def _summary(self, log: RunLog, source: ProblemSource, preset: Preset) -> Summary:
        summary = summarize(log.folder, source.references, preset, log_trouble=log.trouble)
        self.console.print(summary.table())
        failures = map("meanwhile: {}".format, summary.failures)
        for line in (summary.line, summary.time_line, summary.vote_line, *failures):
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

    @cached_property
    def has_gpus(self) -> bool:
        """Whether this run is planned for GPUs; on Kaggle they are asked for again whenever the engine starts.

        A rerun doesn't wait for the driver: an attached model is for GPUs. Elsewhere on Kaggle a driver that fails or
        doesn't answer isn't taken for a machine without GPUs.
        """
        if self.place is Place.RERUN and self.inputs.models():
            return True
        try:
            return bool(ask_for_gpus())
        except GpuDriverError:
            return self.place.is_kaggle

    @cached_property
    def _plan(self) -> RunPlan:
        return RunPlan(
            competition=self.competition,
            place=self.place,
            # A GPU is expected on Kaggle, so the preflight has to say where it is missing.
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

    def _parts(self, log: RunLog, num_problems: int | None) -> tuple[Parts, Info]:
        """The contest's parts, none of them started; a rerun always gets some."""
        try:
            choices = self._choices()
            preset = self._timed(choices.resolve(), num_problems)
            fmt = choose_format(choices, preset, self._report)
            make = partial(self._make_engine, choices, preset)
            info = run_info(choices, preset)
        except Exception as error:  # whatever it is, a rerun must listen
            if self.place.is_watched:
                raise
            self._report(f"what was chosen can't be used, so every answer is a fallback: {error}")
            preset, fmt, info = self._timed(get_preset("t4x2"), num_problems), NUMINA, {}
            make = partial(_fail, str(error))
        info = {"command": "kernel", "place": self.place, "competition": self.competition.name, **info}
        parts = supervised_parts(
            preset,
            fmt,
            make,
            partial(self._backends.sandbox, preset.sandbox),
            began_at=self.started_at,
            policy=self._backends.starts,
            report=self._report,
            on_ready=note_when_ready(log, info),
        )
        return parts, info

    def _choices(self) -> Choices:
        if not self.has_gpus:
            return Choices(preset=self._preset_name, answer_range=self.competition.answer_range)
        model = str(self.inputs.model(self._model)) if self.place.is_kaggle else self._model or None
        return Choices(EngineName.VLLM, model, preset=self._preset_name, answer_range=self.competition.answer_range)

    def _timed(self, preset: Preset, num_problems: int | None) -> Preset:
        """`preset` with the competition's answer range, and with its time bank or a rehearsal's shorter one."""
        bank = self.competition.bank(None if self.place is Place.RERUN else REHEARSAL_S, num_problems=num_problems)
        rollout = replace(preset.rollout, answer_range=self.competition.answer_range)
        return replace(preset, contest=replace(preset.contest, bank=bank), rollout=rollout)

    async def _make_engine(self, choices: Choices, preset: Preset) -> AbstractAsyncContextManager[Engine]:
        return await anyio.to_thread.run_sync(self._engine, choices, preset, abandon_on_cancel=True)

    def _engine(self, choices: Choices, preset: Preset) -> AbstractAsyncContextManager[Engine]:
        if self.place.is_kaggle and choices.engine is EngineName.VLLM:
            require_gpus()
        make = self._backends.engine or make_engine
        return make(self._with_vllm(choices), preset, self._report, 1)

    def _with_vllm(self, choices: Choices) -> Choices:
        """`choices` with the interpreter that has vLLM, installed from what is attached; any other needs none."""
        if choices.engine is not EngineName.VLLM or (wheelhouse := self.inputs.wheelhouse()) is None:
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


async def _fail(why: str) -> AbstractAsyncContextManager[Engine]:
    raise EngineError(why)
