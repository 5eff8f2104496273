"""One problem solved by the real `Solver`, with the time of every turn: what `scheduling.py` compares.

A turn has three times: when it was asked for, when the engine got it (rounds hold it back in between), and when it was
complete. Its program has ended when the next turn is asked for.

Cacheable is what whole blocks can hold of what was computed before: in a later turn everything but the trajectory's
last token, in a first turn the prompt, once one trajectory has computed it.
"""

import os
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

import anyio

from numina_infer.core.config import SamplingParams
from numina_infer.core.events import Ended, Event, Opened
from numina_infer.core.ports import Cutoff, Decoder, Engine, EngineStats, Format, Sandbox
from numina_infer.core.presets import Preset
from numina_infer.core.records import Completion, Part, Problem, Trajectory, Turn
from numina_infer.solving.solver import Solver
from numina_infer.voting.referee import Ledger, fold


@dataclass(frozen=True, slots=True)
class Span:
    """When one turn was written, in seconds of the loop's clock."""

    asked_at: float
    begun_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class TimedEngine:
    """An `Engine` that notes when its decoders begin and end a turn; outside of rounds also when they are asked."""

    engine: Engine
    times: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Begin and end of each turn in turns, by ticket."""

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
        """A slot of the engine inside."""
        async with self.engine.slot(ticket) as decoder:
            yield _TimedDecoder(decoder, self.times[ticket])

    @property
    def stats(self) -> EngineStats:
        """Those of the engine inside."""
        return self.engine.stats

    def describe(self) -> Mapping[str, str | int | float]:
        """The engine inside."""
        return self.engine.describe()


@dataclass(frozen=True, slots=True)
class _TimedDecoder:
    decoder: Decoder
    times: list[float]

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        self.times.append(anyio.current_time())
        try:
            return await self.decoder.generate(context, params, seed=seed, cutoff=cutoff)
        finally:
            self.times.append(anyio.current_time())


@dataclass(frozen=True, slots=True)
class Run:
    """One problem solved on one schedule."""

    opened_at: float
    trajectories: tuple[Trajectory, ...]
    """In the order in which they ended."""
    spans: Mapping[int, tuple[Span, ...]]
    """By a trajectory's index, one a turn."""
    load: float
    """Of the machine at its end: processes that ran or wanted to in the last minute."""

    @property
    def vote_times(self) -> list[float]:
        """Seconds from the problem's opening to each vote."""
        return [each.ended_at - self.opened_at for each in self.trajectories if each.answer.value is not None]

    @property
    def wall_s(self) -> float:
        """Seconds to the last ending."""
        return self.trajectories[-1].ended_at - self.opened_at

    @property
    def votes_a_minute(self) -> float:
        """Of the whole problem."""
        return 60 * len(self.vote_times) / self.wall_s

    @property
    def half_s(self) -> float:
        """Seconds to half of the votes."""
        return self.vote_times[(len(self.vote_times) - 1) // 2]

    @property
    def turns(self) -> Mapping[tuple[int, int], Turn]:
        """By trajectory and number."""
        return {(each.index, number): turn for each in self.trajectories for number, turn in enumerate(each.turns)}

    @property
    def num_tokens(self) -> int:
        """Tokens sampled."""
        return sum(each.num_tokens for each in self.trajectories)

    @property
    def num_prompt_tokens(self) -> int:
        """Of all turns, computed or cached."""
        return sum(turn.completion.num_prompt_tokens for turn in self.turns.values())

    @property
    def num_cached_tokens(self) -> int:
        """Prompt tokens that weren't computed again."""
        return sum(turn.completion.num_cached_tokens for turn in self.turns.values())

    def cacheable(self, block_size: int) -> tuple[int, int]:
        """Prompt tokens that need not be computed again, in whole blocks, and how many of them were not.

        What a turn has from the cache beyond that, since another trajectory wrote the same, doesn't count.
        """
        firsts = [each.turns[0].completion for each in self.trajectories if each.turns]
        of_firsts = sum(_whole(first.num_prompt_tokens - 1, block_size) for first in firsts[1:])
        used_of_firsts = min(of_firsts, sum(first.num_cached_tokens for first in firsts))
        pairs = [pair for each in self.trajectories for pair in pairwise(each.turns)]
        later = [(_whole(_held(*pair), block_size), pair[1].completion.num_cached_tokens) for pair in pairs]
        return of_firsts + sum(held for held, _ in later), used_of_firsts + sum(map(min, later))

    @property
    def critical_s(self) -> float:
        """Seconds that the longest trajectory wrote and ran programs: the least that any schedule takes."""
        return max(map(self._busy_s, self.trajectories))

    @property
    def waited(self) -> float:
        """The share of trajectories' time in which they neither wrote nor ran a program."""
        lived_s = sum(each.ended_at - each.started_at for each in self.trajectories)
        return 1 - sum(map(self._busy_s, self.trajectories)) / lived_s

    def _busy_s(self, trajectory: Trajectory) -> float:
        writing_s = sum(span.ended_at - span.begun_at for span in self.spans.get(trajectory.index, ()))
        return writing_s + sum(execution.wall_s for execution in trajectory.executions)

    def row(self) -> dict[str, Any]:
        """All of it for a file; times from the problem's opening."""
        in_order = sorted(self.trajectories, key=lambda each: each.index)
        return {"wall_s": self.wall_s, "load": self.load, "trajectories": [self._row(each) for each in in_order]}

    def _row(self, trajectory: Trajectory) -> dict[str, Any]:
        turns = zip(trajectory.turns, self.spans.get(trajectory.index, ()), strict=True)
        return {
            "index": trajectory.index,
            "outcome": str(trajectory.outcome),
            "vote": trajectory.answer.value,
            "started_at": trajectory.started_at - self.opened_at,
            "ended_at": trajectory.ended_at - self.opened_at,
            "turns": [_turn_row(turn, span, self.opened_at) for turn, span in turns],
        }


def _held(before: Turn, after: Turn) -> int:
    """Tokens of the later turn's prompt whose keys and values the earlier one has computed: not those of its last."""
    earlier = before.completion
    computed = earlier.num_prompt_tokens + min(len(earlier.token_ids), earlier.num_tokens - 1)
    return min(computed, after.completion.num_prompt_tokens - 1)


def _whole(tokens: int, block_size: int) -> int:
    return tokens // block_size * block_size


def _turn_row(turn: Turn, span: Span, opened_at: float) -> dict[str, Any]:
    return {
        "num_tokens": turn.completion.num_tokens,
        "num_prompt_tokens": turn.completion.num_prompt_tokens,
        "num_cached_tokens": turn.completion.num_cached_tokens,
        "finish_reason": str(turn.completion.finish_reason),
        "asked_at": span.asked_at - opened_at,
        "begun_at": span.begun_at - opened_at,
        "ended_at": span.ended_at - opened_at,
        "program_wall_s": turn.execution.wall_s if turn.execution is not None else None,
        "program_status": str(turn.execution.status) if turn.execution is not None else None,
    }


class _Recorder:
    """Keeps a problem's endings."""

    def __init__(self) -> None:
        self.trajectories: list[Trajectory] = []
        self._ledger: Ledger | None = None

    def __call__(self, event: Event) -> Ledger:
        if isinstance(event, Ended):
            self.trajectories.append(event.trajectory)
        self._ledger = fold(self._ledger, event)
        return self._ledger


async def run_problem(
    problem: Problem, fmt: Format, preset: Preset, engine: Engine, sandbox: Sandbox, inner: TimedEngine
) -> Run:
    """Solve `problem` to its last ending; `inner` is `engine`, or what the schedule has put itself around."""
    asked = TimedEngine(engine)
    recorder = _Recorder()
    opened_at = anyio.current_time()
    cutoff = Cutoff(opened_at + preset.contest.problem_time_s)
    opened = recorder(Opened(problem, "", cutoff.at, preset.policy.num_samples, opened_at))
    async with anyio.create_task_group() as attempts:
        await Solver(fmt, asked, sandbox, preset, recorder, count()).solve(problem, opened, cutoff, attempts)
        attempts.cancel_scope.cancel()
    return Run(opened_at, tuple(recorder.trajectories), _spans(asked, inner), os.getloadavg()[0])


def _spans(asked: TimedEngine, inner: TimedEngine) -> Mapping[int, tuple[Span, ...]]:
    """Tickets are indices, since each problem counts from 0."""
    return {
        ticket: tuple(
            Span(asked_at, begun_at, ended_at)
            for asked_at, begun_at, ended_at in zip(
                times[::2], inner.times[ticket][::2], inner.times[ticket][1::2], strict=True
            )
        )
        for ticket, times in asked.times.items()
    }
