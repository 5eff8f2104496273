"""What stopping early costs, on recorded votes: the same samples in the same orders, only the rule differs.

Data: `votes/boinf_aime.jsonl`, 80 to 100 independent samples of one model a problem (jkomiyama/BoInf-code-publish),
read from the shared folder and never shipped.
Orders: random ones, and by length, since all that are started together end with the short ones first. A rule that
starts fewer than 48 waits for its own samples only, so by length it has the shortest of those, not of all 48.
Contested problems are those where the right answer has 2 to 70 % of the samples.

Rules beside ours, each as its authors describe it, all with our ballot's winner as the verdict:
AIMO-2's second place (imagination-research: 15 samples; four equal of the first four or of any five in a row, five
of at most seven, six of at most nine); AIMO-3's public notebook (eight samples, four equal); NeMo-Skills' Kaggle
demonstration (12 started, over when ten have ended); ESC (arXiv 2401.10480: windows of five, one that agrees).

Samples are those that had ended; what was in flight when a rule stopped isn't counted for any of them.
Floor, in random orders: predictive 0.01 gives the verdict of all 48 in at least 99.7 % with at most 40 % of the
samples; exact 100 %.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from benchmarks.frame import Target, finish, name_machine, pass_over, read_options, show
from benchmarks.recorded import NOT_HERE, data_folder, rows
from numina_infer.answers.expression import read_integer
from numina_infer.core.records import ExtractedAnswer, NoAnswer
from numina_infer.voting.ballot import MILLI, Ballot
from numina_infer.voting.referee import is_decided

HORIZON = 48
NO_VOTE = ExtractedAnswer(None, NoAnswer.NOT_STATED)


@dataclass(frozen=True)
class Recorded:
    """The samples of one model for one problem."""

    reference: int
    answers: tuple[int | None, ...]
    """None where a sample gave no integer."""
    tokens: tuple[int, ...]

    @property
    def is_contested(self) -> bool:
        """Whether the right answer is neither hopeless nor safe."""
        return 0.02 <= self.answers.count(self.reference) / len(self.answers) <= 0.70


@dataclass(frozen=True)
class Seen:
    """What a rule sees when a sample has ended."""

    answers: Sequence[int | None]
    """In the order in which they came."""
    ballot: Ballot

    @property
    def num_ended(self) -> int:
        """Samples so far, those without a vote among them."""
        return len(self.answers)

    @property
    def most_votes(self) -> int:
        """The leader's votes."""
        return max(self.ballot.votes.values(), default=0) // MILLI


IsOver = Callable[[Seen], bool]


@dataclass(frozen=True)
class Rule:
    """When to stop, and how many samples are started, all at once."""

    is_over: IsOver
    num_started: int = HORIZON


def never(_seen: Seen) -> bool:
    """Over when all that were started have ended."""
    return False


def by_policy(epsilon: float) -> IsOver:
    """The library's own rule."""
    return lambda seen: is_decided(seen.ballot, (HORIZON - seen.num_ended) * MILLI, epsilon)


def equal_votes(needed: int, at_most: int = HORIZON) -> IsOver:
    """Over when `needed` of no more than `at_most` samples agree."""
    return lambda seen: seen.num_ended <= at_most and seen.most_votes >= needed


def second_place(seen: Seen) -> bool:
    """AIMO-2's second place: any of its four rules."""
    firsts = any(equal_votes(needed, at_most)(seen) for needed, at_most in ((4, 4), (5, 7), (6, 9)))
    return firsts or (seen.num_ended >= 5 and most_equal(seen.answers[-5:]) >= 4)


def agreeing_window(seen: Seen, size: int = 5) -> bool:
    """ESC: the samples come in windows that don't overlap, and the last one is of one mind."""
    return seen.num_ended % size == 0 and most_equal(seen.answers[-size:]) == size


def most_equal(answers: Sequence[int | None]) -> int:
    """How many of `answers` are the same integer."""
    integers = [answer for answer in answers if answer is not None]
    return max(map(integers.count, integers), default=0)


ALL = "all 48"
RULES: Mapping[str, Rule] = {
    ALL: Rule(never),
    "16 and no more": Rule(never, 16),
    "exact": Rule(by_policy(0.0)),
    "predictive 0.001": Rule(by_policy(0.001)),
    "predictive 0.01": Rule(by_policy(0.01)),
    "predictive 0.05": Rule(by_policy(0.05)),
    "AIMO-2, second place": Rule(second_place, 15),
    "the same, up to 48": Rule(second_place),
    "AIMO-3, public notebook": Rule(equal_votes(4), 8),
    "four equal votes, up to 48": Rule(equal_votes(4)),
    "NeMo-Skills, ten of 12": Rule(lambda seen: seen.num_ended == 10, 12),
    "ESC, windows of five": Rule(agreeing_window),
}


def read(path: Path) -> Iterator[Recorded]:
    """The recorded samples whose reference is an integer and that fill the horizon."""
    for row in rows(path):
        reference = as_integer(row["reference"])
        if reference is not None and len(row["answers"]) >= HORIZON:
            yield Recorded(reference, tuple(map(as_integer, row["answers"])), tuple(row["tokens"]))


def as_integer(recorded: object) -> int | None:
    """An integer of whatever size and sign: this is about stopping, not about ranges."""
    integer = NoAnswer.NOT_STATED if recorded is None else read_integer(str(recorded))
    return None if isinstance(integer, NoAnswer) else integer


def watch(answers: Sequence[int | None]) -> list[Seen]:
    """What is seen as `answers` come in, one after the other."""
    ballot, seen = Ballot(), []
    for num_ended, answer in enumerate(answers, start=1):
        ballot = ballot.add(NO_VOTE if answer is None else ExtractedAnswer(answer))
        seen.append(Seen(answers[:num_ended], ballot))
    return seen


def verdict(seen: Sequence[Seen], rule: Rule) -> tuple[int | None, int]:
    """The winner when `rule` stops, and how many samples had ended by then."""
    last = next(filter(rule.is_over, seen), seen[-1])
    return last.ballot.winner, last.num_ended


@dataclass(frozen=True)
class Draw:
    """48 of a problem's samples, in the order in which they were started."""

    recorded: Recorded
    chosen: tuple[int, ...]
    by_length: bool

    def watch(self, num_started: int) -> list[Seen]:
        """What is seen of the first `num_started` as they end."""
        started = self.chosen[:num_started]
        if self.by_length:
            started = tuple(sorted(started, key=lambda index: self.recorded.tokens[index]))
        return watch([self.recorded.answers[index] for index in started])


def draws(recorded: Recorded, count: int, *, by_length: bool, seed: int) -> Iterator[Draw]:
    """`count` of them."""
    chance = Random(seed)  # noqa: S311 (an order, no secret)
    for _ in range(count):
        yield Draw(recorded, tuple(chance.sample(range(len(recorded.answers)), HORIZON)), by_length)


@dataclass
class Row:
    """What came of one rule over many draws."""

    runs: int = 0
    right: int = 0
    samples: int = 0
    same: int = 0

    def add(self, winner: int | None, num_ended: int, *, reference: int, of_all: int | None) -> None:
        """Count one draw, of whose 48 samples the winner is `of_all`."""
        self.runs += 1
        self.right += winner == reference
        self.samples += num_ended
        self.same += winner == of_all

    @property
    def figures(self) -> tuple[float, float, float]:
        """Accuracy in percent, samples, and verdicts that are those of all 48 in percent."""
        return 100 * self.right / self.runs, self.samples / self.runs, 100 * self.same / self.runs


Table = Mapping[str, Row]


def measure(records: Sequence[Recorded], count: int, *, by_length: bool) -> tuple[Table, Table]:
    """For each rule what came of it: over all problems, and over the contested ones."""
    everything, contested = ({name: Row() for name in RULES} for _ in range(2))
    for seed, recorded in enumerate(records):
        tables = [everything, contested] if recorded.is_contested else [everything]
        for draw in draws(recorded, count, by_length=by_length, seed=seed):
            replay(draw, tables)
    return everything, contested


def replay(draw: Draw, tables: Sequence[Table]) -> None:
    """Try every rule on one draw, and count what came of it in `tables`."""
    watched = lru_cache(draw.watch)
    of_all, _ = verdict(watched(HORIZON), RULES[ALL])
    for name, rule in RULES.items():
        winner, num_ended = verdict(watched(rule.num_started), rule)
        for table in tables:
            table[name].add(winner, num_ended, reference=draw.recorded.reference, of_all=of_all)


def targets(random_orders: Table) -> list[Target]:
    """The floors; samples come in random orders, for which the predictive rule is made."""
    _, _, exact_same = random_orders["exact"].figures
    _, samples, same = random_orders["predictive 0.01"].figures
    return [
        Target("predictive 0.01, verdict of all 48", same, 99.7, unit=" %"),
        Target("predictive 0.01, samples of 48", 100 * samples / HORIZON, 40, unit=" %", at_most=True),
        Target("exact, verdict of all 48", exact_same, 100, unit=" %"),
    ]


def report(order: str, everything: Table, contested: Table) -> None:
    """Print one table."""
    head = ["accuracy %", "samples", "verdict of all 48 %"]
    print()
    show(
        [f"rule, {order}", *head, *(f"contested: {name}" for name in head)],
        [(name, *everything[name].figures, *contested[name].figures) for name in RULES],
    )


def main() -> None:
    """Replay, print, and write the figures if asked."""
    options = read_options(__doc__, "5 orders a problem instead of 50")
    folder = data_folder() or pass_over(options, NOT_HERE)
    records, count = list(read(folder / "votes" / "boinf_aime.jsonl")), 5 if options.short else 50
    num_contested = sum(recorded.is_contested for recorded in records)
    print(name_machine())
    print(f"{len(records)} problems, {num_contested} of them contested, {count} orders a problem")
    orders = {"in random orders": False, "by length": True}
    tables = {order: measure(records, count, by_length=by_length) for order, by_length in orders.items()}
    for order, pair in tables.items():
        report(order, *pair)
    figures = {
        order: [{name: row.figures for name, row in table.items()} for table in pair] for order, pair in tables.items()
    }
    finish(options, figures, targets(tables["in random orders"][0]))


if __name__ == "__main__":
    main()
