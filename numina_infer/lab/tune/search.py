"""The search: every setting is tried on a few problems, and only those that may be the best get more.

    space = lab.SearchSpace({"temperature": "0.2:1.0:0.1", "max_turns": "2,4"})
    lab.search(lab.Tuning("aime.jsonl", lab.Choices(preset="collect", model="./my-7b"), space))

It is successive halving (Jamieson and Talwalkar, arXiv 1502.07943) over problems: after each heat a setting is
compared, in pairs on the same problems, with the best so far, and dropped when it is unlikely to be better.
Each batch of problems under a setting is a collection with its own run folder, so that all of it can be replayed. The
engine is started once, behind the generation cache: what two settings have in common is generated once.
A resumed search asks for the same settings in the same order, and finds in their run folders what was done.
"""

import fcntl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from numina_infer.answers.references import read_references
from numina_infer.app.choices import Choices
from numina_infer.app.collection import collect
from numina_infer.app.composition import Backends, make_parts, opened, shared_parts
from numina_infer.app.tasks import Collection, new_folder
from numina_infer.core.errors import ConfigError, EngineError, RunLogError
from numina_infer.core.ports import CacheStats, Engine
from numina_infer.lab.evaluate.metrics import paired_difference
from numina_infer.lab.tune.search_space import NAMES, Setting
from numina_infer.lab.tune.tuning_folder import ProblemBatch, Tuning, begin, read_json, read_tuning, write_json
from numina_infer.lab.tune.tuning_report import Trial, TrialStanding, TuningReport, rank
from numina_infer.runs.problems import ProblemSet
from numina_infer.runs.progress import show_time
from numina_infer.solving.contest import Parts

if TYPE_CHECKING:
    from optuna import Trial as Asked

_MOST_REPEATS = 20
"""Settings in a row that were tried before, until the search counts as done."""
_FEWEST_RANDOM = 4
"""Settings that are drawn before any model of them is made."""


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
        ConfigError: something chosen can't be used, or Optuna isn't installed; nothing was run.
        RunLogError: `folder` can't be written, holds another search, or none where one is to go on.
        EngineError: the engine doesn't start, or has gone for good.
    """
    folder, console = (folder or new_folder()).absolute(), console or Console(quiet=True)
    is_new = tuning is not None and not resume
    if tuning is None or resume:
        tuning = read_tuning(folder)
    problems, remark = tuning.scored_problems()
    if is_new:
        begin(tuning, folder)
    if remark:
        console.print(remark, soft_wrap=True)
    with _alone(folder):
        return _Search(tuning, problems, folder, console, backends).run()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second search out of `folder`."""
    with (folder / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunLogError(f"another process is searching in {folder}; wait for it, or name another") from error
        yield


class _Search:
    """One session of a search."""

    def __init__(
        self, tuning: Tuning, problems: ProblemSet, folder: Path, console: Console, backends: Backends | None
    ) -> None:
        self._tuning, self._folder, self._console, self._backends = tuning, folder, console, backends
        self._stack = ExitStack()
        self._batches = tuning.batches(problems.rows)
        self._references = read_references(problems.references, tuning.answer_range)
        self._n = tuning.ns[-1]
        self._proposals = _Proposals(tuning)
        self._done: dict[Setting, Trial] = {}
        self._engine: Engine | None = None
        self._spent_file = folder / "spent.json"
        self._spent: dict[str, Any] = read_json(self._spent_file) if self._spent_file.exists() else {}
        """By setting: the number of problems that it got in whole batches, the seconds, the turns from the cache."""

    def run(self) -> TuningReport:
        """Try all settings; what an earlier session did is read."""
        num_all = self._proposals.num_trials
        with self._stack:
            while (setting := self._proposals.ask(self._done)) is not None:
                place = f"[{len(self._done) + 1}/{num_all}] {setting}"
                self._say(place)
                trial = self._done[setting] = self._try(setting)
                self._proposals.tell(trial)
                gone = sum(one.seconds for one in self._done.values())
                left = gone / len(self._done) * (num_all - len(self._done))
                self._say(
                    f"{place}: maj@{self._n} {trial.estimate(self._n)} on {trial.num_problems} problems, "
                    f"{trial.standing}; {show_time(gone)} gone, about {show_time(left)} left"
                )
            counts = self._counts
        report = TuningReport(tuple(self._done.values()), self._tuning.ns, self._batches[-1].last, counts)
        write_json(self._folder / "result.json", report.record)
        return report

    def _try(self, setting: Setting) -> Trial:
        """Give a setting problems until it is dropped or has all."""
        trial, num_known = self._begun(setting)
        for batch in self._batches:
            if batch.last > num_known:
                self._collect(trial, batch)
            problems = [row.problem for row in batch.rows]
            trial.add(self._run_folder(trial, batch), problems, self._references)
            if self._is_unlikely_to_win(trial):
                trial.standing = TrialStanding.DROPPED
                break
        return trial

    def _begun(self, setting: Setting) -> tuple[Trial, int]:
        """What a setting has taken so far, and the number of problems that it got in whole batches."""
        spent = self._spent.get(setting.folder_name, {})
        try:
            seconds, num_hits = float(spent.get("seconds", 0)), int(spent.get("num_hits", 0))
            return Trial(setting, seconds=seconds, num_hits=num_hits), int(spent.get("num_problems", 0))
        except (AttributeError, TypeError, ValueError) as error:
            fix = "delete it, and only the seconds are lost"
            raise RunLogError(f"can't read {self._spent_file}: {error}; {fix}") from error

    def _is_unlikely_to_win(self, trial: Trial) -> bool:
        """Whether `trial` is hardly better than the best setting so far, on the same problems."""
        best = min(self._done.values(), key=lambda one: rank(one, self._n), default=None)
        if best is None:
            return False
        theirs = best.scores(self._n)[: trial.num_problems]
        return paired_difference(trial.scores(self._n), theirs).chance_first_better < self._tuning.drop_below

    def _collect(self, trial: Trial, batch: ProblemBatch) -> None:
        """Run a batch, or resume it, and note what was spent."""
        parts = self._running
        choices = self._completed(trial.setting.applied(self._tuning.choices))
        own = shared_parts(parts, choices, self._tuning.preset(choices), self._console.print)
        problems = batch.write(self._folder / "problems")
        collection = Collection(str(problems), choices, self._tuning.concurrent_problems)
        folder = self._run_folder(trial, batch)
        began, hits, num_problems = time.monotonic(), self._counts.num_hits, batch.first
        try:
            resume = (folder / "run.json").exists()
            harvest = collect(collection, folder, self._console, resume=resume, parts=own)
            if harvest.has_failed:
                raise EngineError(
                    f"nothing but errors came of {trial.setting}; solve that and go on with "
                    f"numina-infer tune --resume {self._folder}"
                )
            num_problems = batch.last
        finally:
            trial.seconds += time.monotonic() - began
            trial.num_hits += self._counts.num_hits - hits
            costs = {"num_problems": num_problems, "seconds": trial.seconds, "num_hits": trial.num_hits}
            self._spent[trial.setting.folder_name] = costs
            write_json(self._spent_file, self._spent)
        if harvest.num_incomplete:
            self._say(
                f"something broke in {harvest.num_incomplete} problems; samples without an answer count as wrong"
            )

    def _run_folder(self, trial: Trial, batch: ProblemBatch) -> Path:
        return self._folder / "settings" / trial.setting.folder_name / batch.name

    @cached_property
    def _running(self) -> Parts:
        """Engine and sandbox, which all settings share; started when a setting needs them."""
        choices = self._completed(self._tuning.choices)
        self._say(f"the search is in {self._folder}; completions are kept in {choices.cache}")
        preset, at_once = self._tuning.preset(choices), self._tuning.concurrent_problems
        parts = make_parts(choices, self._console.print, preset=preset, at_once=at_once, backends=self._backends)
        running, self._engine = self._stack.enter_context(opened(parts))
        return running

    def _completed(self, choices: Choices) -> Choices:
        return replace(choices, num_samples=self._n, cache=choices.cache or str(self._folder / "cache"))

    @property
    def _counts(self) -> CacheStats:
        """The cache's counts in this session."""
        counts = None if self._engine is None else self._engine.stats.cache
        return counts or CacheStats()

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


class _Proposals:
    """Proposes the setting to try next, by Optuna's ask and tell: the same whenever the results so far are the same.

    The sampler is Optuna's TPE (tree-structured Parzen estimator). The preset's own values come first, as far as they
    lie in the space; in a space with fewer settings than trials each setting is tried once.
    """

    def __init__(self, tuning: Tuning) -> None:
        try:
            import optuna
        except ImportError as error:
            raise ConfigError(f"{error}; install it with: pip install 'numina-infer[tune]'") from error
        self._space, self._seed, self._n = tuning.space, tuning.choices.seed, tuning.ns[-1]
        self.num_trials = min(tuning.num_trials, self._space.size)
        """How many settings will be tried at most."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction="maximize")
        self._asked: Asked | None = None
        preset = tuning.choices.resolve()
        homes = (preset.rollout.sampling, preset.rollout, preset)
        own = {name: next(getattr(home, name) for home in homes if hasattr(home, name)) for name in NAMES}
        if first := self._space.within(own):
            self._study.enqueue_trial(first)
        if self._space.size <= self.num_trials:
            for setting in self._space.settings:
                self._study.enqueue_trial(dict(setting.values), skip_if_exists=True)

    def ask(self, done: Mapping[Setting, Trial]) -> Setting | None:
        """The next setting to try; None where all are done.

        Optuna is given the known result of a setting that it proposes again, and asked for another one.
        """
        from optuna.samplers import TPESampler

        distributions = {name: one.distribution() for name, one in self._space.dimensions.items()}
        num_random = max(_FEWEST_RANDOM, self.num_trials // 3)
        for _ in range(_MOST_REPEATS):
            if len(done) >= self.num_trials:
                break
            seed = hash((self._seed, len(self._study.trials))) % 2**32
            self._study.sampler = TPESampler(seed=seed, n_startup_trials=num_random)
            self._asked = self._study.ask(distributions)
            setting = self._space.setting(self._asked.params)
            if setting not in done:
                return setting
            self.tell(done[setting])
        return None

    def tell(self, trial: Trial) -> None:
        """The result of the setting that was asked for."""
        from optuna.trial import TrialState

        assert self._asked is not None  # noqa: S101 (asked before)
        if trial.standing is TrialStanding.DROPPED:
            self._asked.report(trial.score(self._n), trial.num_problems)
            self._study.tell(self._asked, state=TrialState.PRUNED)
        else:
            self._study.tell(self._asked, trial.score(self._n))
