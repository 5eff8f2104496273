"""The definition of a search, and its folder.

The folder holds `tuning.json` (the definition), `problems/` (the batches, as problems files), `settings/` (a run
folder for each setting and batch), `spent.json` (what the settings took), `cache/` (completions, unless another folder
was named) and, in the end, `result.json`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from numina_infer.answers.references import read_references
from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.tasks import COLLECT, Collection, Task
from numina_infer.core.config import StopRule, require, require_whole
from numina_infer.core.errors import ConfigError, RunLogError
from numina_infer.core.presets import Preset
from numina_infer.core.records import AnswerRange
from numina_infer.lab.evaluate.matching import named
from numina_infer.lab.evaluate.metrics import MOST_SAMPLES
from numina_infer.lab.tune.search_space import SearchSpace
from numina_infer.runs.problems import ProblemRow, ProblemSet, read_problems
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
        Collection(self.problems, self.choices, self.concurrent_problems)  # refuses what no batch can be run with
        require_whole("num_trials", self.num_trials, 1)
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
        searched = ("num_samples", *self.space.spelled)
        both = [name for name in searched if getattr(choices, name) is not None]
        require(not both, f"{' and '.join(both)} is chosen for all settings and searched; leave one of the two out")

    @property
    def ns(self) -> tuple[int, ...]:
        """The numbers of samples to compare at, rising; the last is the number that is sampled."""
        return tuple(sorted(set(self.num_samples))) or (self.choices.resolve().policy.num_samples,)

    @property
    def answer_range(self) -> AnswerRange:
        """The range in which answers are votes."""
        return self.choices.resolve().rollout.answer_range

    def scored_problems(self) -> tuple[ProblemSet, str]:
        """The problems with a reference to score by, in an order of the search's own, and a remark on the others.

        Raises:
            ConfigError: there are none.
        """
        path = self.problems_path
        problem_set = read_problems(path)
        votes = read_references(problem_set.references, self.answer_range)
        scored = tuple(row for row in problem_set.rows if row.problem.id in votes)
        unscored = tuple(row.problem.id for row in problem_set.rows if row.problem.id not in votes)
        wanted = f"an answer that is a vote in the range {self.answer_range}"
        require(bool(scored), f"{path} has no problem with {wanted}")
        remark = f"left out: {named(unscored)} without {wanted}" if unscored else ""
        return ProblemSet(scored).shuffled(self.choices.seed), remark

    def batches(self, rows: Sequence[ProblemRow]) -> tuple["ProblemBatch", ...]:
        """`rows` in batches that end at the heats, as far as there are so many."""
        steps = sorted({min(heat, len(rows)) for heat in self.heats})
        return tuple(ProblemBatch(first, tuple(rows[first:last])) for first, last in pairwise((0, *steps)))

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
    """How many problems a setting has before these."""
    rows: tuple[ProblemRow, ...]

    @property
    def last(self) -> int:
        """How many problems a setting has with these."""
        return self.first + len(self.rows)

    @property
    def name(self) -> str:
        """By the places of its problems, from 1."""
        return f"{self.first + 1:04d}-{self.last:04d}"

    def write(self, folder: Path) -> Path:
        """Write the problems file in `folder`: the same bytes each time."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.jsonl"
        rows = [{"id": one.problem.id, "problem": one.problem.statement, "answer": one.reference} for one in self.rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path


def begin(tuning: Tuning, folder: Path) -> None:
    """Write the definition into a new search folder.

    Raises:
        RunLogError: `folder` holds a search, or can't be written.
    """
    content = {
        "format_version": _FORMAT_VERSION,
        **asdict(tuning),
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


def read_tuning(folder: Path) -> Tuning:
    """Read the definition of the search in `folder`, to resume it.

    Raises:
        RunLogError: `folder` holds no search.
        ConfigError: the problems file has changed.
    """
    path = folder / _FILE
    if not path.exists():
        raise RunLogError(f"{folder} holds no search: there is no {_FILE} in it")
    content = read_json(path)
    if (found := content.get("format_version")) != _FORMAT_VERSION:
        raise RunLogError(f"{path} has format {found}; this version reads {_FORMAT_VERSION}")
    try:
        plain = ("problems", "num_trials", "drop_below", "concurrent_problems")
        given: dict[str, Any] = {name: content[name] for name in plain}
        given |= {name: tuple(content[name]) for name in ("num_samples", "heats")}
        tuning = Tuning(choices=Choices(**content["choices"]), space=SearchSpace(content["space"]), **given)
    except (ConfigError, KeyError, TypeError) as error:
        raise RunLogError(f"{path} doesn't say what was searched ({error!r}); start anew") from error
    if file_sha256(tuning.problems_path) != content.get("problems_sha256"):
        raise ConfigError(f"the problems file has changed since the search in {folder}; start anew with it")
    return tuning


def write_json(path: Path, content: object) -> None:
    """Write a file of a search, whole or not at all."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read such a file.

    Raises:
        RunLogError: it is no JSON object, or can't be read.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise RunLogError(f"can't read {path}: {error}") from error
