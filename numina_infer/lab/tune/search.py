"""The search: every setting is tried on a few problems, and only those that may be the best get more.

    space = lab.SearchSpace({"temperature": "0.2:1.0:0.1", "max_turns": "2,4"})
    lab.search(lab.Tuning("aime.jsonl", lab.Choices(preset="collect", model="./my-7b"), space))

It is successive halving (Jamieson and Talwalkar, arXiv 1502.07943) over problems: after each heat a setting is
compared, in pairs on the same problems, with the best so far, and dropped when it is unlikely to be better.
Each batch of problems under a setting is a collection with its own run folder, so that all of it can be replayed. The
engine is started once, behind the generation cache: what two settings have in common is generated once.
"""

import fcntl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from numina_infer.answers.references import Accepted, read_references
from numina_infer.app.choices import Choices
from numina_infer.app.collection import collect
from numina_infer.app.composition import Backends, make_parts, opened, shared_parts
from numina_infer.app.tasks import Collection, new_folder
from numina_infer.core.errors import EngineError, RunLogError
from numina_infer.core.ports import CacheStats, Engine
from numina_infer.lab.evaluate.intervals import paired_difference
from numina_infer.lab.tune.proposals import Proposals
from numina_infer.lab.tune.search_space import NAMES, Value
from numina_infer.lab.tune.trial import Trial, TrialStanding
from numina_infer.lab.tune.tuning_folder import ProblemBatch, Tuning, begin, cut, read_tuning, write_json
from numina_infer.lab.tune.tuning_report import TuningReport, best_of
from numina_infer.runs.progress import show_time
from numina_infer.solving.contest import Parts

_CACHE = "cache"


def search(
    tuning: Tuning | None,
    folder: Path | None = None,
    console: Console | None = None,
    *,
    resume: bool = False,
    backends: Backends | None = None,
) -> TuningReport:
    """Search, into `folder`, with progress on `console`; with `resume`, go on with the search in `folder`.

    `backends` are engine and sandbox to take instead of those chosen.

    On Ctrl-C everything that was done stays, and `KeyboardInterrupt` goes on to the caller.

    Raises:
        ConfigError: something chosen can't be used; nothing was run.
        RunLogError: `folder` can't be written, holds another search, or none where one is to go on.
        EngineError: the engine doesn't start, or has gone for good.
    """
    folder, console = (folder or new_folder()).absolute(), console or Console(quiet=True)
    if resume or tuning is None:
        tuning = read_tuning(folder)
    else:
        tuning.scored_problems()
        begin(tuning, folder)
    if tuning.remark:
        console.print(tuning.remark, soft_wrap=True)
    with _alone(folder):
        return _Search.of(tuning, folder, console, backends).run()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second search out of `folder`."""
    with (folder / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunLogError(f"another process is searching in {folder}; wait for it, or name another") from error
        yield


@dataclass(frozen=True, slots=True)
class _Machine:
    """The engine and the other parts, which all settings share."""

    parts: Parts
    engine: Engine

    @property
    def counts(self) -> CacheStats:
        """The cache's counts in this session."""
        return self.engine.stats.cache or CacheStats()


class _Pace:
    """How long the rest of the search takes."""

    def __init__(self, proposals: Proposals) -> None:
        self._proposals = proposals
        self._began_at = time.monotonic()

    @property
    def line(self) -> str:
        """Time gone, and time left if settings go on taking as long as those of this session."""
        gone, num_done = time.monotonic() - self._began_at, len(self._proposals.done)
        num_here = num_done - self._proposals.num_restored
        left = gone / max(1, num_here) * (self._proposals.num_trials - num_done)
        return f"{show_time(gone)} gone, about {show_time(left)} left"


@dataclass(frozen=True, slots=True)
class _Search:
    """One session of a search."""

    tuning: Tuning
    folder: Path
    console: Console
    batches: tuple[ProblemBatch, ...]
    references: Mapping[str, Accepted]
    proposals: Proposals
    pace: _Pace
    backends: Backends | None

    @classmethod
    def of(cls, tuning: Tuning, folder: Path, console: Console, backends: Backends | None) -> "_Search":
        """The search of `tuning`, with the results of earlier sessions."""
        problem_set = tuning.scored_problems()
        batches = cut(problem_set.rows, tuning.steps(len(problem_set.rows)))
        references = read_references(problem_set.references, tuning.choices.resolve().rollout.answer_range)
        proposals = Proposals(folder, tuning.space, tuning.num_trials, tuning.choices.seed)
        pace = _Pace(proposals)
        search = cls(tuning, folder, console, batches, references, proposals, pace, backends)
        search.restore()
        return search

    @property
    def n(self) -> int:
        """Samples of a problem."""
        return self.tuning.ns[-1]

    def restore(self) -> None:
        """Read the results of settings that earlier sessions finished from their run folders."""
        for trial in self.proposals.known():
            for batch in self.batches:
                if self._run_folder(trial, batch).exists():
                    self._take_in(trial, batch)
            if not trial.tallies:
                raise RunLogError(f"the runs of {trial.setting} are gone from {self.folder}; start anew")
            self.proposals.restore(trial)

    def run(self) -> TuningReport:
        """Try the settings that are left."""
        self.proposals.begin(baseline(self.tuning))
        counts = CacheStats()
        if (trial := self.proposals.ask(self.n)) is not None:
            with opened(self._parts()) as (parts, engine):
                machine = _Machine(parts, engine)
                while trial is not None:
                    self._try(trial, machine)
                    trial = self.proposals.ask(self.n)
                counts = machine.counts
        report = TuningReport(self.proposals.done, self.tuning.ns, self.batches[-1].last, counts)
        write_json(self.folder / "result.json", report.record)
        return report

    def _parts(self) -> Parts:
        choices = self._choices(self.tuning.choices)
        self.console.print(f"the search is in {self.folder}; completions are kept in {choices.cache}", soft_wrap=True)
        preset, at_once = self.tuning.preset(choices), self.tuning.concurrent_problems
        return make_parts(choices, self.console.print, preset=preset, at_once=at_once, backends=self.backends)

    def _choices(self, choices: Choices) -> Choices:
        cache = choices.cache or str(self.folder / _CACHE)
        return replace(choices, num_samples=self.n, cache=cache)

    def _try(self, trial: Trial, machine: _Machine) -> None:
        """Give `trial` problems until it is dropped or has all."""
        self._say(f"[{len(self.proposals.done) + 1}/{self.proposals.num_trials}] {trial.setting}")
        for batch in self.batches:
            self._collect(trial, batch, machine)
            self._take_in(trial, batch)
            trial.chance_better = self._chance_better(trial)
            if trial.chance_better is not None and trial.chance_better < self.tuning.drop_below:
                trial.standing = TrialStanding.DROPPED
                break
        else:
            trial.standing = TrialStanding.WHOLE
        self.proposals.tell(trial, self.n)
        self._say_end(trial)

    def _collect(self, trial: Trial, batch: ProblemBatch, machine: _Machine) -> None:
        """Run a batch, or resume it."""
        choices = self._choices(trial.setting.applied(self.tuning.choices))
        own = shared_parts(machine.parts, choices, self.tuning.preset(choices), self.console.print)
        problems = batch.write(self.folder / "problems")
        collection = Collection(str(problems), choices, self.tuning.concurrent_problems)
        folder = self._run_folder(trial, batch)
        with self._spending(trial, machine):
            resume = (folder / "run.json").exists()
            harvest = collect(collection, folder, self.console, resume=resume, parts=own)
        if harvest.num_incomplete:
            self._say(
                f"something broke in {harvest.num_incomplete} problems; samples without an answer count as wrong"
            )
        if harvest.has_failed:
            raise EngineError(
                f"nothing but errors came of {trial.setting}; solve that and go on with "
                f"numina-infer tune --resume {self.folder}"
            )

    @contextmanager
    def _spending(self, trial: Trial, machine: _Machine) -> Iterator[None]:
        """Count the time spent on `trial`, and its turns from the cache."""
        begun, hits = time.monotonic(), machine.counts.num_hits
        try:
            yield
        finally:
            trial.seconds += time.monotonic() - begun
            trial.num_hits += machine.counts.num_hits - hits
            self.proposals.note(trial)

    def _take_in(self, trial: Trial, batch: ProblemBatch) -> None:
        trial.add(self._run_folder(trial, batch), batch.ids, self.references)

    def _run_folder(self, trial: Trial, batch: ProblemBatch) -> Path:
        return self.folder / "settings" / trial.setting.folder_name / batch.name

    def _chance_better(self, trial: Trial) -> float | None:
        """Of `trial` against the best setting so far, on the same problems; None where it is the first."""
        best = best_of(self.proposals.done, self.n)
        if best is None:
            return None
        ours, theirs = trial.scores(self.n), best.scores(self.n)[: trial.num_problems]
        return paired_difference(ours, theirs).chance_first_better

    def _say_end(self, trial: Trial) -> None:
        place = f"[{len(self.proposals.done)}/{self.proposals.num_trials}]"
        self._say(
            f"{place} {trial.setting}: maj@{self.n} {trial.estimate(self.n)} on {trial.num_problems} problems, "
            f"{trial.standing}; {self.pace.line}"
        )

    def _say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True)


def baseline(tuning: Tuning) -> Mapping[str, Value]:
    """The values that the choices give without a search, which is the setting that others have to beat."""
    preset = tuning.choices.resolve()
    homes = (preset.rollout.sampling, preset.rollout, preset)
    return {name: next(getattr(home, name) for home in homes if hasattr(home, name)) for name in NAMES}
