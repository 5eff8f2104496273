"""Run folders that tests write down: what each sample of a problem said, and a verdict by our own ballot."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from numina_infer.answers.extract import extract_answer
from numina_infer.core.events import Ended, Event, Opened, Solved, Started
from numina_infer.core.presets import get_preset
from numina_infer.core.records import (
    AnswerRange,
    Completion,
    Execution,
    ExecutionStatus,
    ExtractedAnswer,
    FinishReason,
    NoAnswer,
    Outcome,
    Problem,
    Solution,
    StopReason,
    Trajectory,
    Turn,
)
from numina_infer.voting.ballot import Ballot
from tests.run_folders import described

Samples = Mapping[str, Sequence[str | None]]
"""By problem id, what stood in each sample's box; None where it boxed nothing."""


@dataclass(frozen=True)
class RecordedRun:
    """How `write` makes a run of samples."""

    answer_range: AnswerRange = AnswerRange.MOD_1000
    stop_reason: StopReason = StopReason.EXHAUSTED
    num_broken_off: int = 0
    """Trajectories of each problem that the stop ended."""
    statement: str = "How much is"

    def write(self, folder: Path, samples: Samples, *, unfinished: Sequence[str] = ()) -> Path:
        """A run folder; `unfinished` problems have no verdict."""
        preset = get_preset("collect")
        preset = replace(preset, rollout=replace(preset.rollout, answer_range=self.answer_range))
        events = [
            event
            for number, (name, boxes) in enumerate(samples.items())
            for event in self._events(Problem(name, f"{self.statement} {name}?"), boxes, 100.0 * number)
            if not (name in unfinished and isinstance(event, Solved))
        ]
        return described(folder, preset, events, command="collect", problems=None)

    def _events(self, problem: Problem, boxes: Sequence[str | None], at: float) -> Iterator[Event]:
        ended = [self._sample(problem.id, index, box, at) for index, box in enumerate(boxes)]
        ended += [_broken_off(problem.id, len(boxes) + number, at) for number in range(self.num_broken_off)]
        ballot = Ballot()
        yield Opened(problem, "prompt", deadline=at + 90, num_samples=len(ended), at=at)
        for sample in ended:
            yield Started(problem.id, sample.index, at)
        for sample in ended:
            ballot = ballot.add(sample.answer)
            yield Ended(sample, sample.ended_at)
        yield Solved(self._verdict(problem.id, ballot, len(ended), at), at + 10 + len(ended))

    def _sample(self, problem_id: str, index: int, box: str | None, at: float) -> Trajectory:
        text = "I don't know." if box is None else rf"So it is $\boxed{{{box}}}$."
        execution = Execution(ExecutionStatus.TIMEOUT if index % 4 == 3 else ExecutionStatus.OK, "1")
        turns = (
            Turn(Completion("program", (), FinishReason.STOP, num_tokens=10), code="1", execution=execution),
            Turn(Completion(text, (), FinishReason.EOS, num_tokens=10 + index)),
        )
        answer = extract_answer(text, self.answer_range)
        return Trajectory(problem_id, index, turns, Outcome.FINISHED, answer, None, at, at + 10 + index)

    def _verdict(self, problem_id: str, ballot: Ballot, num_ended: int, at: float) -> Solution:
        return Solution(
            problem_id,
            0 if ballot.winner is None else ballot.winner,
            is_fallback=ballot.winner is None,
            stop_reason=self.stop_reason,
            votes=dict(ballot.votes),
            invalid=dict(ballot.invalid),
            num_started=num_ended,
            num_ended=num_ended,
            opened_at=at,
            solved_at=at + 10 + num_ended,
        )


def _broken_off(problem_id: str, index: int, at: float) -> Trajectory:
    turn = Turn(Completion("We", (), FinishReason.ABORT, num_tokens=1))
    answer = ExtractedAnswer(None, NoAnswer.UNFINISHED)
    return Trajectory(problem_id, index, (turn,), Outcome.CUTOFF, answer, None, at, at + 10)


def write_references(path: Path, answers: Mapping[str, str | None], statement: str = "How much is") -> Path:
    """A problems file for the problems of `RecordedRun`."""
    rows = [{"id": one, "problem": f"{statement} {one}?", "answer": answer} for one, answer in answers.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
