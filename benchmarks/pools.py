"""Recorded samples of one problem that could vote together, as arrays, with what is known of each sample.

A pool is what one model wrote for one problem, or, where a source has too few of those, what several models wrote.
The files are those of the shared folder's `votes` and `transcripts`; its README names sources and licences.
Only problems with an integer reference count, since only integers vote.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.recorded import rows
from numina_infer.answers.extract import read_integer

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

NO_VOTE = -1
"""In the place of an answer's number: the sample gave no integer."""
CHARS_A_TOKEN = 3.5
"""Brings lengths in characters to tokens, roughly; `length_tokens` alone needs that, all else compares lengths."""
_ERROR = ("Error", "Traceback", "Exception")


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """What votes together on one problem."""

    problem: str
    """Which problem: the same for all pools of one."""
    model: str
    reference: int
    votes: Integers
    """By sample, the number of its answer among the pool's, in ascending order; `NO_VOTE` without one."""
    right: int
    """The number of the reference; `NO_VOTE` where no sample has it."""
    features: Mapping[str, Floats]
    """By name, a number for each sample."""

    @property
    def num_samples(self) -> int:
        """Samples, those without a vote among them."""
        return len(self.votes)

    @property
    def is_right(self) -> Flags:
        """By sample, whether its answer is the reference."""
        flags: Flags = (self.votes == self.right) & (self.votes != NO_VOTE)
        return flags

    @property
    def is_wrong(self) -> Flags:
        """By sample, whether it votes for something else."""
        flags: Flags = (self.votes != self.right) & (self.votes != NO_VOTE)
        return flags

    @property
    def is_mixed(self) -> bool:
        """Whether right votes stand beside wrong ones: no weighting changes any other verdict."""
        return bool(self.is_right.any() and self.is_wrong.any())


Sample = Mapping[str, float]
"""What is known of one sample beside its answer."""


def make_pool(
    problem: str,
    reference: int,
    answers: Sequence[int | None],
    samples: Mapping[str, Sequence[float]],
    model: str = "",
) -> Pool:
    """A pool of `answers`; what follows from them alone is added to the features."""
    numbers = {value: number for number, value in enumerate(sorted({a for a in answers if a is not None}))}
    votes = np.array([NO_VOTE if answer is None else numbers[answer] for answer in answers])
    derived = {
        "suspicious": [answer is not None and is_suspicious(answer) for answer in answers],
        "small": [answer is not None and answer <= 20 for answer in answers],
    }
    features = {name: np.array(values, dtype=float) for name, values in {**samples, **derived}.items()}
    return Pool(problem, model, reference, votes, numbers.get(reference, NO_VOTE), features)


def is_suspicious(answer: int) -> bool:
    """The rule of AIMO-2's second place (imagination-research), as `vote.weigh` has it."""
    return answer <= 20 or answer % 100 == 0


def as_integer(recorded: object) -> int | None:
    """An integer of whatever size and sign."""
    integer = None if recorded is None else read_integer(str(recorded))
    return integer if isinstance(integer, int) else None


def are_stated(statement: str, answers: Sequence[int | None]) -> list[bool]:
    """By answer, whether it stands in the statement as a number of its own."""
    kept = "".join(character if character in "0123456789" else " " for character in statement)
    stated = set(map(int, kept.split()))
    return [answer is not None and answer in stated for answer in answers]


def read_pools(path: Path) -> list[Pool]:
    """The pools of one file of `votes`."""
    return [pool for row in rows(path) for pool in _pool(row)]


def _pool(row: Mapping[str, Any]) -> Iterator[Pool]:
    reference = as_integer(row["reference"])
    if reference is not None:
        answers = list(map(as_integer, row["answers"]))
        yield make_pool(problem_of(row), reference, answers, _recorded(row, answers), row.get("model", ""))


def problem_of(row: Mapping[str, Any]) -> str:
    """The problem's text; where the source has none, the contest and the number in it, under every model the same."""
    if "problem" in row:
        return str(row["problem"])
    return f"{row['source'].split()[1]} {row['id'].rpartition('-')[2]}"


def _recorded(row: Mapping[str, Any], answers: Sequence[int | None]) -> dict[str, Sequence[float]]:
    features: dict[str, Sequence[float]] = {}
    if "tokens" in row:
        features["tokens"] = [max(1, tokens) for tokens in row["tokens"]]
    if "chars" in row:
        features["tokens"] = [max(1.0, chars / CHARS_A_TOKEN) for chars in row["chars"]]
    if "n_code_blocks" in row:
        features["programs"] = row["n_code_blocks"]
        features["no_code"] = [not blocks for blocks in row["n_code_blocks"]]
    if "rm_score" in row:
        features["reward"] = [score for (score,) in row["rm_score"]]
    if "problem" in row:
        features["stated"] = are_stated(row["problem"], answers)
    return features


def read_transcripts(path: Path) -> list[Pool]:
    """The pools of one file of `transcripts`: all that was recorded of one problem, whatever model wrote it."""
    by_problem = defaultdict[str, list[Mapping[str, Any]]](list)
    for row in rows(path):
        if as_integer(row["reference"]) is not None:
            by_problem[row["problem"]].append(row)
    return [_pool_of_transcripts(problem, group) for problem, group in by_problem.items()]


def _pool_of_transcripts(problem: str, group: Sequence[Mapping[str, Any]]) -> Pool:
    reference = as_integer(group[0]["reference"])
    assert reference is not None
    answers = [as_integer(row["prediction"]) for row in group]
    samples = [_sample(row["turns"], answer) for row, answer in zip(group, answers, strict=True)]
    features = {name: [sample[name] for sample in samples] for name in samples[0]}
    return make_pool(problem, reference, answers, {**features, "stated": are_stated(problem, answers)})


def _sample(turns: Sequence[Mapping[str, str]], answer: int | None) -> Sample:
    """What a transcript tells: a program's last line is what `rollout.read_printed` looks at."""
    outputs = [turn["content"].strip() for turn in turns if turn["kind"] == "output"]
    written = [turn["content"] for turn in turns if turn["kind"] != "output"]
    printed = as_integer(outputs[-1].rpartition("\n")[2]) if outputs else None
    return {
        "tokens": max(1.0, sum(map(len, written)) / CHARS_A_TOKEN),
        "programs": sum(turn["kind"] == "code" for turn in turns),
        "errors": sum(any(word in output for word in _ERROR) for output in outputs),
        "unconfirmed": bool(outputs) and printed != answer,
    }
