"""Draws docs/slice-and-stop.svg from a run folder: python docs/slice_and_stop.py RUN [PROBLEM].

Everything in it is recomputed from the run log by the code that decided then: the bank's slices are recorded, and the
referee's chance of another winner is asked again after every ending.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numina_infer.core.config import Policy
from numina_infer.core.events import Ended, Event, Opened
from numina_infer.core.terminal import HelpFormatter
from numina_infer.runs.history import LoggedProblem, read_events, read_info, read_logged_problems
from numina_infer.voting.ballot import MILLI
from numina_infer.voting.referee import Ledger, Stop, decide, fold

WIDTH, HEIGHT = 9.0, 6.8


@dataclass(frozen=True)
class Moment:
    """A problem after one ending."""

    at: float
    leading: int
    following: int
    chance: float


def moments(events: list[Event], problem_id: str, policy: Policy) -> list[Moment]:
    """The ballot of one problem as it grew until it was stopped."""
    ledger: Ledger | None = None
    found = []
    for event in events:
        if event.problem_id == problem_id:
            ledger = fold(ledger, event, policy.weights)
            if isinstance(event, Ended) and ledger.ballot.votes:
                found.append(_moment(event.at - ledger.opened_at, ledger, policy))
                if isinstance(decide(policy, ledger, event.at), Stop):
                    break
    return found


def _moment(at: float, ledger: Ledger, policy: Policy) -> Moment:
    votes = [count // MILLI for _, count in ledger.ballot.ranking] + [0]
    to_come = (policy.num_samples - ledger.num_ended) * MILLI
    return Moment(at, votes[0], votes[1], float(ledger.ballot.chance_of_change(to_come)))


def draw_slices(axes: Any, attempts: list[LoggedProblem]) -> None:
    """What each problem was given and what it took."""
    for row, attempt in enumerate(attempts):
        cut, solution = attempt.opened.slice, attempt.solution
        if cut is None or solution is None:
            continue
        axes.barh(row, cut.seconds, color="#d8dee9", height=0.8)
        axes.barh(row, solution.solved_at - solution.opened_at, color="#5e81ac", height=0.8)
        if cut.left_s is not None and cut.num_left is not None:
            axes.plot([cut.left_s / cut.num_left] * 2, [row - 0.4, row + 0.4], color="#bf616a", linewidth=2)
        axes.text(cut.seconds, row, f" {solution.stop_reason}", va="center", fontsize=8)
    axes.set_yticks(range(len(attempts)), [attempt.opened.problem_id for attempt in attempts], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("seconds: slice (grey), taken (blue), fair share (red)")
    axes.set_title("Slices", loc="left")


def draw_ballot(axes: Any, seen: list[Moment], problem_id: str, epsilon: float) -> None:
    """One problem's votes, and the chance that they are not the last word."""
    times = [moment.at for moment in seen]
    axes.step(times, [moment.leading for moment in seen], where="post", color="#5e81ac", label="winner")
    axes.step(times, [moment.following for moment in seen], where="post", color="#a3be8c", label="runner-up")
    axes.set_xlabel("seconds since the problem came")
    axes.set_ylabel("votes")
    chance = axes.twinx()
    chance.semilogy(times, [max(moment.chance, 1e-6) for moment in seen], color="#bf616a", marker=".", label="chance")
    chance.axhline(epsilon, color="#bf616a", linestyle=":", label="epsilon")
    chance.set_ylabel("chance of another winner")
    chance.set_ylim(epsilon / 10, 1.5)
    axes.legend(loc="center left", fontsize=8)
    chance.legend(loc="lower right", fontsize=8)
    print(f"{problem_id}: stopped after {len(seen)} endings with {seen[-1]}")  # noqa: T201
    axes.set_title(f"The ballot of {problem_id} until it was stopped", loc="left")


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("problem", nargs="?", help="default: the first")
    chosen = parser.parse_args()
    import matplotlib as mpl  # noqa: PLC0415 (help works without it)

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "numina_infer"
    from matplotlib import pyplot as plt  # noqa: PLC0415

    told = read_info(chosen.run)["preset"]["policy"]
    policy = Policy(told["num_samples"], told["width"], epsilon=told["epsilon"])
    events, attempts = list(read_events(chosen.run)), read_logged_problems(chosen.run)
    problem_id = chosen.problem or next(event.problem_id for event in events if isinstance(event, Opened))
    figure, (slices, ballot) = plt.subplots(2, 1, figsize=(WIDTH, HEIGHT), height_ratios=[3, 2], layout="constrained")
    draw_slices(slices, attempts)
    draw_ballot(ballot, moments(events, problem_id, policy), problem_id, policy.epsilon)
    figure.savefig(Path(__file__).with_name("slice-and-stop.svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
