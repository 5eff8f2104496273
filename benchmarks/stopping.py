"""What stopping early costs, on recorded votes: the same samples in the same orders, only the rule differs.

Data: `votes/boinf_aime.jsonl`, 80 to 100 independent samples of one model a problem (jkomiyama/BoInf-code-publish),
read from the shared folder and never shipped.
Orders: random ones, and by length, since all trajectories start together and the short ones end first.
Contested problems are those where the right answer has 2 to 70 % of the samples.
Floor: predictive 0.01 gives the verdict of all 48 in at least 99.7 % with at most 40 % of the samples; exact 100 %.
"""

import argparse
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from numina_infer.answer import read_integer
from numina_infer.config import Policy
from numina_infer.provenance import machine
from numina_infer.referee import is_decided
from numina_infer.trajectory import ExtractedAnswer, NoAnswer
from numina_infer.vote import MILLI, Ballot

HORIZON = 48
Rule = Callable[[Ballot, int], bool]
"""From a ballot and the number of endings so far to whether to stop."""


@dataclass(frozen=True)
class Recorded:
    """The samples of one model for one problem."""

    reference: int
    answers: tuple[ExtractedAnswer, ...]
    tokens: tuple[int, ...]

    @property
    def is_contested(self) -> bool:
        """Whether the right answer is neither hopeless nor safe."""
        right = sum(answer.value == self.reference for answer in self.answers)
        return 0.02 <= right / len(self.answers) <= 0.70


def by_policy(epsilon: float) -> Rule:
    """The library's own rule."""
    policy = Policy(num_samples=HORIZON, epsilon=epsilon)
    return lambda ballot, ended: is_decided(ballot, (policy.num_samples - ended) * MILLI, policy.epsilon)


RULES: dict[str, Rule] = {
    "all 48": lambda _ballot, _ended: False,
    "first 16": lambda _ballot, ended: ended == 16,
    "exact": by_policy(0.0),
    "predictive 0.001": by_policy(0.001),
    "predictive 0.01": by_policy(0.01),
    "predictive 0.05": by_policy(0.05),
    "4 equal votes": lambda ballot, _ended: bool(ballot.votes) and ballot.ranking[0][1] >= 4 * MILLI,
}


def read(path: Path) -> Iterator[Recorded]:
    """The recorded samples whose reference is an integer."""
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        reference = read_integer(str(row["reference"]))
        if isinstance(reference, int):
            answers = tuple(as_answer(answer) for answer in row["answers"])
            yield Recorded(reference, answers, tuple(row["tokens"]))


def as_answer(recorded: object) -> ExtractedAnswer:
    """A recorded answer as a vote, whatever its size: this is about stopping, not about ranges."""
    integer = NoAnswer.NOT_STATED if recorded is None else read_integer(str(recorded))
    return ExtractedAnswer(None, integer) if isinstance(integer, NoAnswer) else ExtractedAnswer(integer)


def verdict(answers: Sequence[ExtractedAnswer], rule: Rule) -> tuple[int | None, int]:
    """The winner when `rule` stops, and how many samples that took."""
    ballot = Ballot()
    for ended, answer in enumerate(answers, start=1):
        ballot = ballot.add(answer)
        if rule(ballot, ended):
            return ballot.winner, ended
    return ballot.winner, len(answers)


def orders(recorded: Recorded, count: int, *, by_length: bool, seed: int) -> Iterator[list[ExtractedAnswer]]:
    """`count` ways in which 48 of the samples may come in."""
    chance = random.Random(seed)  # noqa: S311 (an order, no secret)
    for _ in range(count):
        chosen = chance.sample(range(len(recorded.answers)), HORIZON)
        if by_length:
            chosen.sort(key=lambda index: recorded.tokens[index])
        yield [recorded.answers[index] for index in chosen]


def measure(records: Sequence[Recorded], count: int, *, by_length: bool) -> dict[str, dict[str, float]]:
    """For each rule: accuracy, samples, and how often the verdict is that of all 48, in percent."""
    sums = {name: [0, 0, 0] for name in RULES}
    runs = 0
    for seed, recorded in enumerate(records):
        for answers in orders(recorded, count, by_length=by_length, seed=seed):
            runs += 1
            full, _ = verdict(answers, RULES["all 48"])
            for name, rule in RULES.items():
                winner, used = verdict(answers, rule)
                row = sums[name]
                row[0], row[1], row[2] = (
                    row[0] + (winner == recorded.reference),
                    row[1] + used,
                    row[2] + (winner == full),
                )
    return {
        name: {"accuracy": 100 * right / runs, "samples": used / runs, "same": 100 * same / runs}
        for name, (right, used, same) in sums.items()
    }


def show(title: str, table: dict[str, dict[str, float]]) -> None:
    """Print one table."""
    print(f"\n{title}\n{'rule':26}{'accuracy %':>12}{'samples':>10}{'same as 48 %':>14}")
    for name, row in table.items():
        print(f"{name:26}{row['accuracy']:12.2f}{row['samples']:10.1f}{row['same']:14.2f}")


def main() -> None:
    """Replay, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="5 orders a problem instead of 50")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    beside = Path(__file__).resolve().parents[2] / "shared"
    path = Path(os.environ.get("NUMINA_SHARED", beside)) / "data" / "votes" / "boinf_aime.jsonl"
    if not path.exists():
        print("the recorded votes are not on this machine; set NUMINA_SHARED to their folder")
        return
    records = [recorded for recorded in read(path) if len(recorded.answers) >= HORIZON]
    contested = [recorded for recorded in records if recorded.is_contested]
    count = 5 if options.short else 50
    tables = {
        f"{len(records)} problems, random orders": measure(records, count, by_length=False),
        f"{len(contested)} contested problems, random orders": measure(contested, count, by_length=False),
        f"{len(records)} problems, by length": measure(records, count, by_length=True),
        f"{len(contested)} contested problems, by length": measure(contested, count, by_length=True),
    }
    here = machine()
    print(f"{here['processor']}, {here['cores']} cores, Python {here['python']}; {count} orders a problem")
    for title, table in tables.items():
        show(title, table)
    predictive, exact = (next(iter(tables.values()))[name] for name in ("predictive 0.01", "exact"))
    is_met = predictive["same"] >= 99.7 and predictive["samples"] <= 0.4 * HORIZON and exact["same"] == 100
    print(f"\nfloor (99.7 % with 40 % of the samples; exact 100 %): {'met' if is_met else 'NOT met'}")
    if options.json:
        options.json.write_text(json.dumps({"machine": here, "tables": tables}, indent=2))


if __name__ == "__main__":
    main()
