"""What the simulator says of a run that was measured: the same turns and programs on a machine of the probed costs.

Of the run are taken how many tokens each turn wrote and had to compute first, and how long each program took; the time
in which the batch does that, and who waits for whom, is simulated. So what is put to the test is the batch's model
(`numina_infer/engines/simulated_machine.py`), on the schedule at hand.
"""

import heapq
import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.compared import Arm, Comparison
from benchmarks.timed_run import Run
from numina_infer.core.records import Trajectory, Turn
from numina_infer.engines.simulated_machine import MachineCosts, Running, RunningBatch, costs_of_layout


class Prediction:
    """One problem on a simulated machine; `wall_s` is what it would take."""

    def __init__(self, run: Run, costs: MachineCosts, *, num_slots: int, width: int, in_rounds: bool) -> None:
        self._width = width
        self._trajectories = sorted(run.trajectories, key=lambda trajectory: trajectory.index)
        self._batch = RunningBatch(costs)
        self._now = 0.0
        self._free = [0.0] * num_slots
        self.wall_s = self._in_rounds() if in_rounds else self._moving_alone()

    def _join(self, trajectory: Trajectory, turn: Turn) -> Running:
        said = turn.completion
        running = Running(trajectory.index, said.num_prompt_tokens, max(1, said.num_tokens))
        self._batch.join(running, said.num_prompt_tokens - said.num_cached_tokens)
        return running

    def _program_ends(self, turn: Turn) -> float:
        """When the program of `turn` is through, on the slot that is free first."""
        begin = max(self._now, heapq.heappop(self._free))
        end = begin + (turn.execution.wall_s if turn.execution is not None else 0.0)
        heapq.heappush(self._free, end)
        return end

    def _in_rounds(self) -> float:
        for first in range(0, len(self._trajectories), self._width):
            self._wave(self._trajectories[first : first + self._width])
        return self._now

    def _wave(self, wave: Sequence[Trajectory]) -> None:
        for number in range(max(len(each.turns) for each in wave)):
            live = [each for each in wave if number < len(each.turns)]
            for each in live:
                self._join(each, each.turns[number])
            while self._batch.running or self._batch.waiting:
                self._now = self._batch.next_at
                self._batch.advance(self._now)
            self._now = max([self._now, *self._programs_of([each.turns[number] for each in live])])
            self._batch.advance(self._now)

    def _programs_of(self, turns: Sequence[Turn]) -> list[float]:
        return [self._program_ends(turn) for turn in turns if turn.execution is not None]

    def _moving_alone(self) -> float:
        later = deque(each for each in self._trajectories if each.turns)
        writing: dict[Running, tuple[Trajectory, int]] = {}
        programs: list[tuple[float, int, int]] = []
        by_index = {each.index: each for each in self._trajectories}

        def begin(each: Trajectory, number: int) -> None:
            writing[self._join(each, each.turns[number])] = (each, number)

        for _ in range(min(self._width, len(later))):
            begin(later.popleft(), 0)
        while writing or programs:
            program_at = programs[0][0] if programs else float("inf")
            self._now = min(self._batch.next_at, program_at)
            for running in self._batch.advance(self._now):
                each, number = writing.pop(running)
                if number + 1 < len(each.turns):
                    heapq.heappush(programs, (self._program_ends(each.turns[number]), each.index, number + 1))
                elif later:
                    begin(later.popleft(), 0)
            if program_at <= self._now:
                _, index, number = heapq.heappop(programs)
                begin(by_index[index], number)
        return self._now


def predict(
    comparison: Comparison, layout: Mapping[str, Any], *, num_slots: int, width: int
) -> dict[str, dict[str, float]]:
    """For each arm the medians of measured and of simulated wall times, and of their ratios; prints them."""
    costs = costs_of_layout(layout, "this server")
    table = {}
    print(f"{'simulated, median':22}{'measured s':>12}{'simulated s':>13}{'ratio':>8}")
    for arm in Arm:
        runs = [case.runs[arm] for case in comparison.cases]
        walls = [
            Prediction(run, costs, num_slots=num_slots, width=width, in_rounds=arm.has_rounds).wall_s for run in runs
        ]
        ratios = [wall_s / run.wall_s for wall_s, run in zip(walls, runs, strict=True)]
        measured_s, simulated_s = statistics.median(run.wall_s for run in runs), statistics.median(walls)
        table[str(arm)] = {"measured_s": measured_s, "simulated_s": simulated_s, "ratio": statistics.median(ratios)}
        print(f"{arm:22}{measured_s:12.2f}{simulated_s:13.2f}{statistics.median(ratios):8.2f}")
    return table
