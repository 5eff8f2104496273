"""What vote weights bring, with nothing but what a log has: accuracy of weighted less plain votes on the same samples.

Data, read from the shared folder and never shipped: `votes/boinf_aime.jsonl` is the only one with many samples of one
model a problem (five models, 60 problems of AIME 2024 and 2025). The others pool models or settings, so that a weight
may tell models apart there, where it should tell a model's samples apart: `zeroeval_mathl5`, `mathcoder_pooled`,
`dc_aime_pooled`. `qwen_math100x8`, one model with eight samples and a reward model's scores, has one problem with an
integer reference on which its samples disagree, and `numina_sctir48` has three problems: neither says anything.
None of them has log-probabilities, so `VoteWeights.logprob` stays unmeasured.

Transcripts tell whether programs confirm the answer, and of errors on the way, but hold one sample of most problems:
for them it is only measured how well a feature tells right from wrong.

What is chosen is chosen on nine tenths of the problems and measured on the last tenth. Some twenty rows are looked at
in each table, so one of them is expected beyond its 95 % interval by chance.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.frame import finish, name_machine, pass_over, read_options, show
from benchmarks.paired_votes import Estimate, chance_lower, cross_validate, estimate, pass_at
from benchmarks.pools import (
    NO_VOTE,
    Flags,
    Floats,
    Integers,
    Pool,
    as_integer,
    is_suspicious,
    read_pools,
    read_transcripts,
)
from benchmarks.recorded import NOT_HERE, SOURCES, data_folder, rows
from benchmarks.weighted_votes import Votes
from benchmarks.weightings import FIXED, WEIGHTINGS, model_features
from numina_infer.core.records import ExtractedAnswer, NoAnswer
from numina_infer.voting.ballot import MILLI, Ballot
from numina_infer.voting.referee import is_decided

SIZES: Mapping[str, tuple[int, ...]] = {
    "boinf_aime": (8, 16, 48),
    "zeroeval_mathl5": (8, 16),
    "mathcoder_pooled": (4,),
    "dc_aime_pooled": (4,),
}
"""Votes of so many samples; at most about half of what a pool has, but for 48 and pools of six or five."""
REWARDED = "qwen_math100x8"
HORIZON = 48
EPSILON = 0.01


@dataclass(frozen=True)
class Effort:
    """How long it may take."""

    num_subsets: int
    num_resamples: int
    num_orders: int


FULL, SHORT = Effort(400, 10_000, 10), Effort(30, 1_000, 1)


@dataclass(frozen=True)
class Row:
    """What one weighting brings."""

    name: str
    gains: tuple[Estimate, ...]
    """By size."""
    chosen: str = ""
    """The parameters that the folds chose."""


def compare(votes: Votes, effort: Effort) -> Iterator[Row]:
    """A row for every weighting that these pools have the features for."""
    known = set(votes.pools[0].features)
    tables = {each.name: (each, votes.table(each)) for each in WEIGHTINGS if known.issuperset(each.needs)}
    for name, parameter in FIXED:
        if name in tables:
            weighting, table = tables[name]
            yield _row(f"{name}, fixed", votes, table[weighting.grid.index(parameter)], effort, f"{parameter:g}")
    for name, (weighting, table) in tables.items():
        accuracies, chosen = cross_validate(table, votes.folds)
        yield _row(name, votes, accuracies, effort, _count([weighting.grid[at] for at in chosen]))
    accuracies, powers = votes.by_odds()
    yield _row("logistic model, odds to a power", votes, accuracies, effort, _count(powers))
    yield _row("logistic model, probability", votes, votes.by_probability(), effort)


def _row(name: str, votes: Votes, accuracies: Floats, effort: Effort, chosen: str = "") -> Row:
    gains = accuracies - votes.plain
    return Row(name, tuple(estimate(gain, votes.problems, effort.num_resamples) for gain in gains), chosen)


def _count(values: Sequence[float]) -> str:
    counts = Counter(values).most_common()
    return ", ".join(f"{value:g} ×{times}" for value, times in counts)


def report_votes(name: str, votes: Votes, rows: Sequence[Row], effort: Effort) -> None:
    """Print what was measured on one set."""
    plain = (estimate(row, votes.problems, effort.num_resamples).show(sign="") for row in votes.plain)
    ceilings = [100 * np.mean([pass_at(pool, size) for pool in votes.pools]) for size in votes.sizes]
    problems = {pool.problem: pool.reference for pool in votes.pools}
    print(
        f"\n{name}: {len(votes.pools)} pools, {sum(pool.is_mixed for pool in votes.pools)} of them mixed; "
        f"{len(problems)} problems, {sum(map(is_suspicious, problems.values()))} with a suspicious reference; "
        f"plain votes, %: {'; '.join(plain)}; one right at least, %: {', '.join(f'{most:.1f}' for most in ceilings)}\n"
    )
    columns = [column for size in votes.sizes for column in (f"gain at {size}, points", "better")]
    show(
        ["weights", "parameter", *columns],
        [(row.name, row.chosen, *(cell for gain in row.gains for cell in _cells(gain))) for row in rows],
    )


def _cells(gain: Estimate) -> tuple[str, str]:
    return gain.show(), f"{100 * gain.chance_above:.0f} %"


def tell_apart(sets: Mapping[str, Sequence[Pool]], effort: Effort) -> Iterator[tuple[object, ...]]:
    """For each set and feature: how often a right sample has less of it than a wrong one of the same problem."""
    for name, pools in sets.items():
        mixed = [pool for pool in pools if pool.is_mixed]
        problems = [pool.problem for pool in mixed]
        for feature in mixed[0].features:
            lower = np.array([chance_lower(pool.features[feature], pool) for pool in mixed])
            estimated = estimate(lower, problems, effort.num_resamples)
            yield name, feature, len(mixed), len(set(problems)), estimated.show(sign="")


def by_reference(votes: Votes, effort: Effort) -> Iterator[tuple[object, ...]]:
    """`suspicious`, fixed, where the reference is suspicious itself and where it isn't."""
    is_hit = np.array([is_suspicious(pool.reference) for pool in votes.pools])
    for parameter in (0.6, 0.3):
        gains = votes.weighted(WEIGHTINGS[0].at(parameter)) - votes.plain
        for label, at in (("suspicious", is_hit), ("not", ~is_hit)):
            problems = [problem for problem, own in zip(votes.problems, at, strict=True) if own]
            for size, gain in zip(votes.sizes, gains, strict=True):
                yield (
                    f"{parameter:g}",
                    label,
                    len(set(problems)),
                    size,
                    estimate(gain[at], problems, effort.num_resamples).show(),
                )


def count_references(folder: Path) -> Iterator[tuple[object, ...]]:
    """How many references are suspicious themselves, by file of problems."""
    for path in sorted(folder.glob("*.jsonl")):
        references = [reference for row in rows(path) if (reference := as_integer(row["answer"])) is not None]
        suspicious = sum(map(is_suspicious, references))
        yield (
            path.stem,
            len(references),
            sum(reference <= 20 for reference in references),
            100 * suspicious / len(references),
        )


def by_model(pools: Sequence[Pool], effort: Effort) -> Iterator[tuple[object, ...]]:
    """Fixed weights on each model's own pools, at 16 samples."""
    weightings = {each.name: each for each in WEIGHTINGS}
    for model in sorted({pool.model for pool in pools}):
        votes = Votes([pool for pool in pools if pool.model == model], (16,), effort.num_subsets)
        for name, parameter in (("`suspicious`", 0.6), ("`suspicious`", 0.3), ("`length_tokens`", 8000.0)):
            gains = votes.weighted(weightings[name].at(parameter)) - votes.plain
            estimated = estimate(gains[0], votes.problems, effort.num_resamples)
            yield model, name, f"{parameter:g}", *_cells(estimated)


def confirmed(sets: Mapping[str, Sequence[Pool]], effort: Effort) -> Iterator[tuple[object, ...]]:
    """How many votes are right: of those that the last program printed and of others, by errors on the way too.

    Over all problems, so that it also tells easy problems from hard ones.
    """
    for name, pools in sets.items():
        for feature in ("unconfirmed", "errors"):
            shares = list[object]()
            for holds in (False, True):
                kept = [pool for pool in pools for _ in np.flatnonzero(_votes_where(pool, feature, holds=holds))]
                right = [own for pool in pools for own in pool.is_right[_votes_where(pool, feature, holds=holds)]]
                shares += [len(right), _share(np.array(right, dtype=float), [pool.problem for pool in kept], effort)]
            yield name, feature, *shares


def _votes_where(pool: Pool, feature: str, *, holds: bool) -> Flags:
    flags: Flags = (pool.votes != NO_VOTE) & ((pool.features[feature] > 0) == holds)
    return flags


def _share(right: Floats, problems: Sequence[str], effort: Effort) -> str:
    return estimate(right, problems, effort.num_resamples).show(sign="") if problems else "none"


STOPPED = (
    ("plain", "", 0.0),
    *((f"`suspicious={share:g}`", "`suspicious`", share) for share in (0.8, 0.6, 0.3)),
    *((f"`length_tokens={int(length)}`", "`length_tokens`", length) for length in (32_000.0, 8_000.0, 2_000.0)),
)
"""Weights for which samples are counted until the predictive rule stops."""


def count_samples(pools: Sequence[Pool], effort: Effort) -> Iterator[tuple[object, ...]]:
    """What weights cost the predictive rule: samples until it stops, and how often it then has the verdict of all."""
    weightings = {each.name: each for each in WEIGHTINGS}
    for label, name, parameter in STOPPED:
        chance, ends = np.random.default_rng(0), list[tuple[int, bool, bool]]()
        for pool in pools:
            weights = np.ones(pool.num_samples)
            if name:
                weighting = weightings[name]
                drawn = {feature: values[None] for feature, values in pool.features.items()}
                weights = weighting.weigh(drawn, parameter)[0]
            for _ in range(effort.num_orders):
                order = chance.permutation(pool.num_samples)[:HORIZON]
                ends.append(stop(pool, order, np.rint(MILLI * weights).astype(int)))
        samples, same, right = np.array(ends, dtype=float).mean(axis=0)
        yield label, samples, 100 * same, 100 * right


def stop(pool: Pool, order: Integers, milli_votes: Integers) -> tuple[int, bool, bool]:
    """Samples until the verdict is decided, whether it is that of all of `order`, and whether it is right."""
    ballot, stopped, early = Ballot(), 0, None
    for num_ended, at in enumerate(order, start=1):
        vote = int(pool.votes[at])
        answer = ExtractedAnswer(None, NoAnswer.NOT_STATED) if vote == NO_VOTE else ExtractedAnswer(vote)
        ballot = ballot.add(answer, int(milli_votes[at]))
        if not stopped and is_decided(ballot, (len(order) - num_ended) * MILLI, EPSILON):
            stopped, early = num_ended, ballot.winner
    if not stopped:
        stopped, early = len(order), ballot.winner
    return stopped, early == ballot.winner, early == pool.right


def main() -> None:
    """Measure, print, and write the figures if asked."""
    options = read_options(__doc__, "30 subsets a pool instead of 400")
    folder = data_folder() or pass_over(options, NOT_HERE)
    effort = SHORT if options.short else FULL
    print(name_machine())
    sets = {name: read_pools(folder / "votes" / f"{name}.jsonl") for name in (*SIZES, REWARDED)}
    transcripts = {name: read_transcripts(folder / "transcripts" / f"{name}.jsonl") for name in SOURCES}
    figures: dict[str, object] = {}
    for name, sizes in SIZES.items():
        votes = Votes([pool for pool in sets[name] if pool.num_samples >= max(sizes)], sizes, effort.num_subsets)
        figures[name] = list(map(asdict, table := list(compare(votes, effort))))
        report_votes(name, votes, table, effort)
        slopes = dict(zip(model_features(votes.pools), np.mean(votes.slopes, axis=0).round(3).tolist(), strict=True))
        print(f"\nlog odds of the logistic model: {slopes}")
        figures[f"{name}, slopes"] = slopes
        head = [f"`suspicious`, {name}", "reference", "problems", "samples", "gain, points"]
        figures[f"{name}, by reference"] = report(head, by_reference(votes, effort))
    everything, long = {**sets, **transcripts}, sets["boinf_aime"]
    tables: Mapping[str, tuple[Sequence[str], Iterable[Sequence[object]]]] = {
        "references": (
            ("problems", "with an integer reference", "20 or less", "suspicious, %"),
            count_references(folder / "problems"),
        ),
        "apart": (
            ("set", "feature", "mixed pools", "problems", "a right vote has less than a wrong one, %"),
            tell_apart(everything, effort),
        ),
        "confirmed": (
            ("transcripts", "feature", "votes without it", "right, %", "votes with it", "right, %"),
            confirmed(transcripts, effort),
        ),
        "models": (("model", "weights", "parameter", "gain at 16, points", "better"), by_model(long, effort)),
        "samples": (
            (f"weights, epsilon {EPSILON:g}", "samples", "verdict of all 48, %", "accuracy, %"),
            count_samples(long, effort),
        ),
    }
    figures |= {name: report(head, rows) for name, (head, rows) in tables.items()}
    finish(options, figures)


def report(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[Sequence[object]]:
    """Print a table, and hand its rows on."""
    kept = list(rows)
    print()
    show(head, kept)
    return kept


if __name__ == "__main__":
    main()
