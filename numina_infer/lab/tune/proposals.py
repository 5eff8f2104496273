"""Proposes the setting to try next, by Optuna's ask and tell on a journal file.

The sampler is Optuna's TPE (tree-structured Parzen estimator). It gets a seed of its own for each trial, from the
search's seed and the number of settings asked so far, so that a resumed search asks for the same settings as one that
was never stopped. In a space with fewer settings than trials each setting is tried once.
A setting that is proposed again gets its known result, and another one is asked for.

Optuna's WilcoxonPruner isn't used: it takes the score of each problem as an intermediate value, and TPE ranks dropped
settings by their last one. Optuna's remedy, to tell the mean as a result, makes dropped settings candidates for the
best.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.core.errors import ConfigError
from numina_infer.lab.tune.search_space import SearchSpace, Setting, Value
from numina_infer.lab.tune.trial import Trial, TrialStanding

if TYPE_CHECKING:
    from optuna import Study
    from optuna import Trial as Asked

_FILE = "study.journal"
_NAME = "tune"
_MOST_REPEATS = 20
"""Settings in a row that were tried before, until the search counts as done."""
_FEWEST_RANDOM = 4
"""Settings that are drawn before any model of them is made."""
_SECONDS, _HITS, _CHANCE = "seconds", "num_hits", "chance_better"


class Proposals:
    """The settings of one search, those of earlier sessions included."""

    def __init__(self, folder: Path, space: SearchSpace, num_trials: int, seed: int) -> None:
        """Open or make the journal in `folder`.

        Raises:
            ConfigError: Optuna isn't installed.
        """
        self._space, self._seed = space, seed
        self.num_trials = min(num_trials, space.size)
        """How many settings will be tried at most."""
        self._study = _open_study(folder / _FILE)
        self._asked: Asked | None = None
        self._done: dict[Setting, Trial] = {}
        self.num_restored = 0
        """Settings that earlier sessions finished."""

    def begin(self, baseline: Mapping[str, Value]) -> None:
        """Enqueue `baseline`, as far as it lies in the space, and then, where they are few, all other settings.

        What an earlier session tried isn't tried again.
        """
        first = dict(self._space.within(baseline))
        if first:
            self._study.enqueue_trial(first, skip_if_exists=True)
        if self._space.size <= self.num_trials:
            for setting in self._space.settings:
                self._study.enqueue_trial(dict(setting.values), skip_if_exists=True)

    @property
    def done(self) -> tuple[Trial, ...]:
        """Settings that are done, in order."""
        return tuple(self._done.values())

    def known(self) -> list[Trial]:
        """The settings that earlier sessions finished, without the results in their run folders."""
        from optuna.trial import TrialState

        standings = {TrialState.COMPLETE: TrialStanding.WHOLE, TrialState.PRUNED: TrialStanding.DROPPED}
        found: dict[Setting, Trial] = {}
        for one in self._study.get_trials(deepcopy=False, states=tuple(standings)):
            setting, costs = self._space.setting(one.params), one.user_attrs
            trial = Trial(setting, standing=standings[one.state], chance_better=costs.get(_CHANCE))
            trial.seconds, trial.num_hits = costs.get(_SECONDS, 0.0), costs.get(_HITS, 0)
            found.setdefault(setting, trial)
        return list(found.values())

    def restore(self, trial: Trial) -> None:
        """Count `trial`, which an earlier session finished."""
        self._done[trial.setting] = trial
        self.num_restored += 1

    def ask(self, n: int) -> Trial | None:
        """The next setting to try, or the one that was left open; None where all are done.

        A setting that was tried before is reported to Optuna again, with its vote of `n` samples.
        """
        for _ in range(_MOST_REPEATS):
            if len(self._done) >= self.num_trials:
                return None
            self._asked = self._open_trial() or self._new_trial()
            setting = self._space.setting(self._asked.params)
            if (same := self._done.get(setting)) is None:
                costs = self._asked.user_attrs
                return Trial(setting, seconds=costs.get(_SECONDS, 0.0), num_hits=costs.get(_HITS, 0))
            self._tell(same, n)
        return None

    def note(self, trial: Trial) -> None:
        """Write the costs of `trial` so far into the journal."""
        if self._asked is not None:
            self._asked.set_user_attr(_SECONDS, trial.seconds)
            self._asked.set_user_attr(_HITS, trial.num_hits)

    def tell(self, trial: Trial, n: int) -> None:
        """`trial` is done."""
        self._tell(trial, n)
        self._done[trial.setting] = trial

    def _tell(self, trial: Trial, n: int) -> None:
        from optuna.trial import TrialState

        assert self._asked is not None  # noqa: S101 (asked before)
        asked, self._asked = self._asked, None
        asked.set_user_attr(_CHANCE, trial.chance_better)
        if trial.standing is TrialStanding.DROPPED:
            asked.report(trial.score(n), trial.num_problems)
            self._study.tell(asked, state=TrialState.PRUNED)
        else:
            self._study.tell(asked, trial.score(n))

    def _open_trial(self) -> "Asked | None":
        """The setting that a session was stopped at."""
        from optuna.trial import Trial as Asked
        from optuna.trial import TrialState

        left = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        whole = [one for one in left if set(one.params) == set(self._space.dimensions)]
        for one in left:
            if one not in whole:  # it was killed while its values were written
                self._study.tell(one.number, state=TrialState.FAIL)
        return Asked(self._study, whole[-1]._trial_id) if whole else None  # noqa: SLF001 (Optuna has no public name)

    def _new_trial(self) -> "Asked":
        from optuna.samplers import TPESampler

        # Repeated ones count, or the same would come for ever.
        num_asked = len(self._study.get_trials(deepcopy=False))
        num_random = max(_FEWEST_RANDOM, self.num_trials // 3)
        self._study.sampler = TPESampler(seed=hash((self._seed, num_asked)) % 2**32, n_startup_trials=num_random)
        return self._study.ask(self._space.distributions)


def _open_study(path: Path) -> "Study":
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(f"{error}; install it with: pip install 'numina-infer[tune]'") from error
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.create_study(storage=storage, study_name=_NAME, direction="maximize", load_if_exists=True)
