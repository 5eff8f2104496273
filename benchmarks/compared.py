"""The same problems solved on several schedules, compared: medians, spreads, and the table of `scheduling.py`."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from benchmarks.timed_run import Run


class Arm(StrEnum):
    """A schedule and what its server has."""

    REPREFILL = "rounds, re-prefill"
    CACHED = "rounds, prefix cache"
    OURS = "ours"

    @property
    def has_rounds(self) -> bool:
        """Whether trajectories wait for each other."""
        return self is not Arm.OURS


@dataclass(frozen=True, slots=True)
class Case:
    """One problem with one seed, solved in all arms."""

    problem_id: str
    seed: int
    runs: Mapping[Arm, Run]

    @property
    def num_turns(self) -> int:
        """Turns that any arm has."""
        return len({place for run in self.runs.values() for place in run.turns})

    @property
    def num_same_turns(self) -> int:
        """Turns that have the same tokens in all arms."""
        first, *others = (run.turns for run in self.runs.values())
        return sum(
            all(place in turns and turns[place].completion.token_ids == turn.completion.token_ids for turns in others)
            for place, turn in first.items()
        )

    def ratio(self, arm: Arm) -> float:
        """Votes a minute of ours to those of `arm`."""
        return self.runs[Arm.OURS].votes_a_minute / self.runs[arm].votes_a_minute

    def half_ratio(self, arm: Arm) -> float:
        """The time to half of the votes in `arm` to that in ours."""
        return self.runs[arm].half_s / self.runs[Arm.OURS].half_s

    @property
    def bound(self) -> float:
        """What `ratio` to rounds with re-prefill would be if nothing but the longest trajectory took time."""
        return self.runs[Arm.REPREFILL].wall_s / self.runs[Arm.OURS].critical_s


@dataclass(frozen=True, slots=True)
class Comparison:
    """All cases of one model."""

    cases: Sequence[Case]
    block_size: int
    """Tokens of a block of the prefix cache."""

    def ratio(self, arm: Arm) -> float:
        """The median of ours to `arm`."""
        return statistics.median(case.ratio(arm) for case in self.cases)

    @property
    def share_cached(self) -> float:
        """Of the cacheable tokens, those that came from the cache in ours, in percent."""
        return 100 * self._share(Arm.OURS)

    @property
    def share_same(self) -> float:
        """Turns with the same tokens in all arms, in percent."""
        return 100 * sum(c.num_same_turns for c in self.cases) / sum(c.num_turns for c in self.cases)

    def _share(self, arm: Arm) -> float:
        found = [case.runs[arm].cacheable(self.block_size) for case in self.cases]
        return sum(used for _, used in found) / sum(cacheable for cacheable, _ in found)

    def _arm(self, arm: Arm) -> dict[str, Any]:
        runs = [case.runs[arm] for case in self.cases]
        cached = sum(run.num_cached_tokens for run in runs)
        return {
            "votes": sum(len(run.vote_times) for run in runs),
            "endings": sum(len(run.trajectories) for run in runs),
            "wall_s": _spread(runs, lambda run: run.wall_s),
            "votes_a_minute": _spread(runs, lambda run: run.votes_a_minute),
            "half_s": _spread(runs, lambda run: run.half_s),
            "waited": _spread(runs, lambda run: run.waited),
            "sampled_tokens": sum(run.num_tokens for run in runs),
            "prompt_tokens_computed": sum(run.num_prompt_tokens for run in runs) - cached,
            "prompt_tokens_cached": cached,
            "share_of_cacheable": self._share(arm),
            "ours_to_this": _spread(self.cases, lambda case: case.ratio(arm)),
            "half_in_this_to_ours": _spread(self.cases, lambda case: case.half_ratio(arm)),
        }

    def summary(self) -> dict[str, Any]:
        """All figures."""
        return {
            "block_size": self.block_size,
            "arms": {str(arm): self._arm(arm) for arm in Arm},
            "same_turns": sum(case.num_same_turns for case in self.cases),
            "turns": sum(case.num_turns for case in self.cases),
            "critical_s": _spread(self.cases, lambda case: case.runs[Arm.OURS].critical_s),
            "bound": _spread(self.cases, lambda case: case.bound),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Every run with its trajectories and turns."""
        return [
            {"problem": case.problem_id, "seed": case.seed, "arm": str(arm), **run.row()}
            for case in self.cases
            for arm, run in case.runs.items()
        ]

    def table(self) -> str:
        """What people see."""
        found = self.summary()
        lines = [_HEADINGS, *(_line(arm, figures) for arm, figures in found["arms"].items())]
        return "\n".join(
            [
                *lines,
                f"the same tokens in all arms: {found['same_turns']} of {found['turns']} turns",
                f"the longest trajectory of a problem, alone, in ours: {_shown(found['critical_s'])} s; if only it "
                f"took time, ours would be {_shown(found['bound'])} times as fast as rounds with re-prefill",
            ]
        )


_HEADINGS = (
    f"{'median (least to most)':22}{'votes':>7}{'votes a minute':>20}{'half of them s':>20}{'waited %':>10}"
    f"{'prefilled':>11}{'cached':>8}{'of cacheable':>14}{'ours to this':>20}{'to half':>20}"
)


def _line(arm: str, found: Mapping[str, Any]) -> str:
    return (
        f"{arm:22}{found['votes']:>7}{_shown(found['votes_a_minute']):>20}{_shown(found['half_s']):>20}"
        f"{100 * found['waited']['median']:>10.0f}{found['prompt_tokens_computed']:>11}"
        f"{found['prompt_tokens_cached']:>8}{100 * found['share_of_cacheable']:>12.1f} %"
        f"{_shown(found['ours_to_this']):>20}{_shown(found['half_in_this_to_ours']):>20}"
    )


def _spread(things: Sequence[Any], figure: Callable[[Any], float]) -> dict[str, float]:
    figures = [figure(thing) for thing in things]
    return {"median": statistics.median(figures), "least": min(figures), "most": max(figures)}


def _shown(spread: Mapping[str, float]) -> str:
    return f"{spread['median']:.3g} ({spread['least']:.3g} to {spread['most']:.3g})"
