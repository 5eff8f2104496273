"""Contests of fifty problems on two simulated T4s: rounds, equal slices and the time bank. Every figure is simulated.

The machine is two T4s by arithmetic (`engines/simulated_machine.py`), with a slow start, stalls, heavy-tailed
lengths and programs that never end; then the same ten times slower, and with three quarters of an hour instead of
nine. Problems and samples are those of `numina_infer/runs/data/samples.jsonl`, shuffled for each contest; all arms see
the same contests.

- rounds: the winning kernel's schedule, 48 samples in rounds to the end of the last, with no deadline.
- equal slices: the preset `t4x2` (refill, predictive stop), but each problem has a fiftieth of the time.
- time bank: the preset `t4x2`.

Hard: with the time bank no reply comes after the limit, and none is missing. A reply after the limit counts as missing
for the score.
"""

import argparse
import json
import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.frame import Target, finish, name_machine, read_options
from benchmarks.quick_contest import Machine, Played, QuickContest, Setting
from numina_infer.core.config import ContestConfig
from numina_infer.core.presets import get_preset
from numina_infer.core.records import StopReason
from numina_infer.core.terminal import HelpFormatter
from numina_infer.engines.simulated_engine import RecordedSamples, read_samples
from numina_infer.engines.simulated_machine import T4_COSTS, MachineCosts
from numina_infer.runs.problems import packaged_path

HOUR = 3600.0
ARMS = ("rounds", "equal slices", "time bank")


@dataclass(frozen=True)
class World:
    """What all arms of a contest share."""

    name: str
    limit_s: float
    slowdown: float = 1.0
    latest_start_s: float = 1200.0


WORLDS = (
    World("9 hours", 9 * HOUR),
    World("9 hours, ten times slower", 9 * HOUR, slowdown=10.0),
    World("0.75 hours", 0.75 * HOUR, latest_start_s=240.0),
)


@dataclass(frozen=True)
class Outcome:
    """What came of one contest."""

    right: int
    late: int
    """Replies after the limit, or never."""
    used_s: float
    samples: float
    """Trajectories that ended, a problem."""
    undecided: int
    """Problems that weren't decided when they were stopped."""
    fallbacks: int


def costs_of(slowdown: float) -> MachineCosts:
    """Two T4s, so many times slower."""
    costs = T4_COSTS
    slower = {name: slowdown * getattr(costs, name) for name in ("base_s", "sequence_s", "token_s", "prefill_s")}
    return replace(costs, **slower)


def setting_of(world: World, arm: str, seed: int) -> Setting:
    """The machine of one contest, and how an arm plays on it."""
    chance = random.Random(seed)  # noqa: S311 (a simulation)
    start_s = chance.uniform(60.0, world.latest_start_s)
    engine = Machine(start_s=start_s, stall_every_s=2000.0, stall_s=90.0, seed=seed)
    preset = get_preset("t4x2")
    assert preset.contest.bank is not None
    bank = replace(preset.contest.bank, time_limit_s=world.limit_s, reserve_s=min(300.0, world.limit_s / 20))
    contest = replace(preset.contest, bank=bank)
    if arm == "equal slices":
        contest = ContestConfig(problem_time_s=(world.limit_s - bank.reserve_s - start_s) / 50)
    setting = Setting(costs_of(world.slowdown), preset.policy, contest, engine, tail_sigma=0.6, between_s=2.0)
    if arm == "rounds":
        return replace(setting, in_rounds=True, policy=replace(preset.policy, num_samples=48, width=0))
    return setting


def read_rows() -> list[tuple[RecordedSamples, int]]:
    """The samples with their references."""
    path = packaged_path("samples.jsonl")
    references = [int(json.loads(line)["answer"]) for line in path.read_text(encoding="utf-8").splitlines()]
    return list(zip(read_samples(path), references, strict=True))


def play(job: tuple[World, str, int]) -> Outcome:
    """One contest of one arm."""
    world, arm, seed = job
    rows = read_rows()
    random.Random(seed).shuffle(rows)  # noqa: S311 (a simulation)
    played = list(QuickContest(setting_of(world, arm, seed), rows, seed).play())
    return judge(played, world.limit_s)


def judge(played: Sequence[Played], limit_s: float) -> Outcome:
    """The contest's figures."""
    in_time = [one for one in played if one.solution.solved_at <= limit_s]
    return Outcome(
        right=sum(one.is_right for one in in_time),
        late=len(played) - len(in_time),
        used_s=min(limit_s, played[-1].solution.solved_at),
        samples=statistics.fmean(one.solution.num_ended for one in played),
        undecided=sum(one.solution.stop_reason is not StopReason.DECIDED for one in played),
        fallbacks=sum(one.solution.is_fallback for one in played),
    )


def summarise(outcomes: Sequence[Outcome], world: World) -> dict[str, float]:
    """Means over contests; the standard error of the score."""
    right = [outcome.right for outcome in outcomes]
    open_ones = [outcome.used_s for outcome in outcomes if outcome.undecided]
    return {
        "contests": len(outcomes),
        "right": statistics.fmean(right),
        "right_se": statistics.stdev(right) / len(right) ** 0.5 if len(right) > 1 else 0.0,
        "late": sum(outcome.late for outcome in outcomes),
        "contests_over": sum(outcome.late > 0 for outcome in outcomes),
        "samples": statistics.fmean(outcome.samples for outcome in outcomes),
        "used": statistics.fmean(outcome.used_s for outcome in outcomes) / world.limit_s,
        "used_while_undecided": statistics.fmean(open_ones) / world.limit_s if open_ones else 0.0,
        "undecided": statistics.fmean(outcome.undecided for outcome in outcomes),
        "fallbacks": statistics.fmean(outcome.fallbacks for outcome in outcomes),
    }


def show(title: str, table: Mapping[str, Mapping[str, float]]) -> None:
    """Print one world's table."""
    print(f"\nsimulated: {title}")
    heads = f"{'samples':>9}{'undecided':>11}{'time used':>11}{'late':>7}{'contests over':>15}"
    print(f"{'policy':14}{'right of 50':>16}{heads}")
    for name, row in table.items():
        right = f"{row['right']:.2f} ± {row['right_se']:.2f}"
        print(
            f"{name:14}{right:>16}{row['samples']:9.1f}{row['undecided']:11.1f}{100 * row['used']:10.1f}%"
            f"{row['late']:7.0f}{row['contests_over']:15.0f}"
        )


def main() -> None:
    """Play, print, and write the figures if asked."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(formatter_class=HelpFormatter)
    parser.add_argument("--contests", type=int, metavar="N", default=1000, help="of each world (default: 1000)")
    parser.add_argument("--baselines", type=int, metavar="N", help="for rounds and equal slices (default: as many)")
    options = read_options(__doc__, "8 contests of each world instead of 1,000", parser=parser)
    count = 8 if options.short else options.contests
    counts = {arm: count if arm == "time bank" else min(count, options.baselines or count) for arm in ARMS}
    print(f"{name_machine()}; simulated machine: {T4_COSTS.source}")
    tables: dict[str, dict[str, dict[str, float]]] = {}
    begun = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        for world in WORLDS:
            tables[world.name] = {}
            for arm in ARMS:
                outcomes = pool.map(play, [(world, arm, seed) for seed in range(counts[arm])], chunksize=4)
                tables[world.name][arm] = summarise(outcomes, world)
            show(world.name, tables[world.name])
    played = ", ".join(f"{arm} {number}" for arm, number in counts.items())
    print(f"\ncontests of each world: {played}; {time.perf_counter() - begun:.0f} s")
    banks = [table["time bank"] for table in tables.values()]
    targets = [
        Target(
            "simulated contests that overran with the time bank",
            sum(row["contests_over"] for row in banks),
            0,
            at_most=True,
        ),
        Target(
            "simulated problems without a reply in time with the time bank",
            sum(row["late"] for row in banks),
            0,
            at_most=True,
        ),
    ]
    finish(options, {"simulated": tables}, targets)


if __name__ == "__main__":
    main()
