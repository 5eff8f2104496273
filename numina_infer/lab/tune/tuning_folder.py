"""The definition of a search, and its folder.

The folder holds `tuning.json` (the definition), `study.journal` (Optuna's record of the settings), `problems/` (the
batches, as problems files), `settings/` (a run folder for each setting and batch), `cache/` (completions, unless
another folder was named) and, in the end, `result.json`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from numina_infer.answers.references import read_references
from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.tasks import COLLECT, Task
from numina_infer.core.config import StopRule, require, require_whole
from numina_infer.core.errors import ConfigError, RunLogError
from numina_infer.core.presets import Preset
from numina_infer.core.records import AnswerRange
from numina_infer.lab.evaluate.matching import named
from numina_infer.lab.evaluate.metrics import MOST_SAMPLES
from numina_infer.lab.tune.search_space import SearchSpace
from numina_infer.runs.problems import ProblemRow, ProblemSet, example_problems_path, read_problems
from numina_infer.runs.provenance import file_sha256

_FORMAT_VERSION = 1
_FILE = "tuning.json"
_PROBLEM_TIME_S = 24 * 3600.0
"""The default deadline: a sample that it broke off would show the clock's effect, not the setting's."""


@dataclass(frozen=True, slots=True)
class Tuning(Task):
    """Everything that defines a search."""

    choices: Choices = field(default_factory=lambda: Choices(preset=COLLECT))
    """The choices that all settings share; the seed is the search's too."""
    space: SearchSpace = field(default_factory=lambda: SearchSpace({"temperature": "0.2:1.2:0.1"}))
    num_samples: tuple[int, ...] = ()
    """The N to compare settings at; the largest is sampled, the others are worked out. None takes the preset's."""
    num_trials: int = 12
    """Settings that are tried at most."""
    heats: tuple[int, ...] = (8, 24, 72)
    """Numbers of problems after which a setting is compared with the best."""
    drop_below: float = 0.1
    """A setting is dropped when its chance of being better than the best is smaller."""
    concurrent_problems: int = 4

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        require_whole("num_trials", self.num_trials, 1)
        require_whole("concurrent_problems", self.concurrent_problems, 1)
        for number in self.num_samples:
            require_whole("num_samples", number, 1)
            require(number <= MOST_SAMPLES, f"num_samples is {number}; {MOST_SAMPLES} are the most")
        for heat in self.heats:
            require_whole("heats", heat, 1)
        is_rising = all(one < other for one, other in pairwise(self.heats))
        require(bool(self.heats) and is_rising, f"heats are {self.heats}; give rising numbers, such as 8, 24, 72")
        require(0 <= self.drop_below < 1, f"drop_below is {self.drop_below}; it must be at least 0 and below 1")
        self._require_comparable()
        self.space.require_usable(self.choices)

    def _require_comparable(self) -> None:
        choices = self.choices
        require(
            choices.engine is not EngineName.SIMULATED,
            f"engine is {choices.engine} for a search, whose texts tell nothing of a setting; choose another",
        )
        require(not choices.paper, "paper with a search, which compares single samples; leave it out")
        require(
            choices.time_limit_s is None,
            f"time_limit_s is {choices.time_limit_s} for a search, which has no contest clock; leave it out",
        )
        both = sorted(
            set(self.space.spelled) & {name for name in asdict(choices) if getattr(choices, name) is not None}
        )
        require(not both, f"{' and '.join(both)} is chosen and searched; leave one of the two out")
        require(
            choices.num_samples is None,
            f"num_samples is {choices.num_samples} in what all settings share; give it to the search",
        )

    @property
    def ns(self) -> tuple[int, ...]:
        """The numbers of samples to compare at, rising; the last is the number that is sampled."""
        return tuple(sorted(set(self.num_samples))) or (self.choices.resolve().policy.num_samples,)

    @property
    def problems_path(self) -> Path:
        """The file that is read: the one chosen, or the examples in the package."""
        return Path(self.problems) if self.problems else example_problems_path()

    def scored_problems(self) -> ProblemSet:
        """The problems that have a reference to score by, in the search's own order: the same for every setting.

        Raises:
            ConfigError: there are none.
        """
        scored, _ = self._by_reference()
        require(
            bool(scored),
            f"{self.problems_path} has no problem with an answer that is a vote in the range {self._answer_range}",
        )
        return ProblemSet(scored).shuffled(self.choices.seed)

    @property
    def remark(self) -> str:
        """Which problems are left out, and why; nothing where none is."""
        _, unscored = self._by_reference()
        ids = tuple(row.problem.id for row in unscored)
        reason = f"without an answer that is a vote in the range {self._answer_range}"
        return f"left out: {named(ids)} {reason}" if ids else ""

    @property
    def _answer_range(self) -> AnswerRange:
        return self.choices.resolve().rollout.answer_range

    def _by_reference(self) -> tuple[tuple[ProblemRow, ...], tuple[ProblemRow, ...]]:
        """Problems that votes can hit, and the others."""
        problem_set = read_problems(self.problems_path)
        votes = read_references(problem_set.references, self._answer_range)
        scored = tuple(row for row in problem_set.rows if row.problem.id in votes)
        return scored, tuple(row for row in problem_set.rows if row.problem.id not in votes)

    def steps(self, num_problems: int) -> tuple[int, ...]:
        """The heats, as far as there are problems."""
        return tuple(sorted({min(heat, num_problems) for heat in self.heats}))

    def preset(self, choices: Choices) -> Preset:
        """The preset of `choices`, with a policy that lets every sample run to its end."""
        preset = choices.resolve().without_bank()
        policy = replace(preset.policy, stop_rule=StopRule.NEVER, epsilon=0.0)
        problem_time_s = self.choices.problem_time_s or _PROBLEM_TIME_S
        return replace(preset, policy=policy, contest=replace(preset.contest, problem_time_s=problem_time_s))


@dataclass(frozen=True, slots=True)
class ProblemBatch:
    """Some problems, in the search's order."""

    first: int
    """The place of the first of them, from 0."""
    rows: tuple[ProblemRow, ...]

    @property
    def last(self) -> int:
        """How many problems a setting has with these."""
        return self.first + len(self.rows)

    @property
    def name(self) -> str:
        """By the places of its problems, from 1."""
        return f"{self.first + 1:04d}-{self.last:04d}"

    @property
    def ids(self) -> tuple[str, ...]:
        """Of its problems."""
        return tuple(row.problem.id for row in self.rows)

    def write(self, folder: Path) -> Path:
        """The file in `folder`: the same bytes each time.

        Raises:
            OSError: it can't be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.jsonl"
        rows = [{"id": one.problem.id, "problem": one.problem.statement, "answer": one.reference} for one in self.rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path


def cut(rows: Sequence[ProblemRow], steps: Sequence[int]) -> tuple[ProblemBatch, ...]:
    """`rows` in batches that end at `steps`."""
    return tuple(ProblemBatch(first, tuple(rows[first:last])) for first, last in pairwise((0, *steps)))


def begin(tuning: Tuning, folder: Path) -> None:
    """Write the definition into a new search folder.

    Raises:
        RunLogError: `folder` holds a search, or can't be written.
    """
    chosen = {name: value for name, value in asdict(tuning).items() if name != "space"}
    content = {
        "format_version": _FORMAT_VERSION,
        **chosen,
        "space": dict(tuning.space.spelled),
        "problems_sha256": file_sha256(tuning.problems_path),
    }
    if (folder / _FILE).exists():
        raise RunLogError(f"{folder} already holds a search; name another folder, or go on with --resume")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _FILE, content)
    except OSError as error:
        raise RunLogError(f"can't write the search into {folder}: {error.strerror or error}") from error


def write_json(path: Path, content: object) -> None:
    """Write a file of a search, whole or not at all.

    Raises:
        OSError: it can't be written.
    """
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def read_tuning(folder: Path) -> Tuning:
    """Read the definition of the search in `folder`, to resume it.

    Raises:
        RunLogError: `folder` holds no search.
        ConfigError: the problems file has changed.
    """
    content = _content(folder)
    try:
        tuning = _tuning(content)
    except (ConfigError, KeyError, TypeError) as error:
        raise RunLogError(f"{folder / _FILE} doesn't say what was searched ({error!r}); start anew") from error
    if file_sha256(tuning.problems_path) != content.get("problems_sha256"):
        raise ConfigError(f"the problems file has changed since the search in {folder}; start anew with it")
    return tuning


def _content(folder: Path) -> Mapping[str, Any]:
    try:
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunLogError(f"{folder} holds no search: there is no {_FILE} in it") from error
    except (OSError, ValueError) as error:
        raise RunLogError(f"can't read {folder / _FILE}: {error}") from error
    found = content.get("format_version") if isinstance(content, dict) else None
    if found != _FORMAT_VERSION:
        raise RunLogError(f"{folder / _FILE} has format {found}; this version reads {_FORMAT_VERSION}")
    return dict(content)


def _tuning(content: Mapping[str, Any]) -> Tuning:
    names = ("problems", "num_trials", "drop_below", "concurrent_problems")
    given: dict[str, Any] = {name: content[name] for name in names}
    given |= {name: tuple(content[name]) for name in ("num_samples", "heats")}
    return Tuning(choices=Choices(**content["choices"]), space=SearchSpace(content["space"]), **given)
