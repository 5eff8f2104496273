"""What the embedded model makes of the ten example problems: how far the machinery runs on real completions.

Counted a seed: programs that the model wrote and that ran without an error, problems on which some trajectory's
first program printed the reference and the trajectory boxed it, verdicts that hit, tokens, and wall time.
`--short` takes the first two problems and one seed.
"""

import argparse
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks.frame import finish, name_machine, read_options, show
from numina_infer.answers.references import Accepted
from numina_infer.app.choices import Choices
from numina_infer.app.rehearsal import rehearse
from numina_infer.app.tasks import Rehearsal
from numina_infer.core.records import ExecutionStatus, Trajectory
from numina_infer.core.usage import HelpFormatter
from numina_infer.runs.problems import example_problems_path
from numina_infer.runs.summary import ProblemSummary, Summary


def is_confirmed(trajectory: Trajectory, accepted: Accepted) -> bool:
    """Whether the first turn's program printed the reference and the trajectory's box agrees."""
    first = trajectory.turns[0].execution if trajectory.turns else None
    if first is None or first.status is not ExecutionStatus.OK:
        return False
    return trajectory.answer.value in accepted and first.output.strip() == str(trajectory.answer.value)


def figures(summary: Summary, seconds: float) -> dict[str, float]:
    """The counts of one run."""
    problems: tuple[ProblemSummary, ...] = summary.problems
    return {
        "problems": len(problems),
        "programs": sum(problem.num_programs for problem in problems),
        "programs_ok": sum(problem.num_programs_ok for problem in problems),
        "confirmed": sum(any(is_confirmed(t, p.reference) for t in p.trajectories) for p in problems),
        "right": summary.num_correct,
        "fallbacks": summary.num_fallbacks,
        "tokens": sum(problem.num_tokens for problem in problems),
        "seconds": round(seconds, 1),
    }


def run(problems: str, seed: int) -> dict[str, float]:
    """One rehearsal with the preset `cpu`."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        summary = rehearse(Rehearsal(problems, Choices(seed=seed)), Path(folder), Console(quiet=True))
        seconds = time.perf_counter() - start
    return figures(summary, seconds)


def main() -> None:
    """Run, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(formatter_class=HelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = read_options(__doc__, "two problems, one seed", parser=parser)
    print(name_machine())
    with tempfile.TemporaryDirectory() as scratch:
        two = Path(scratch) / "two.jsonl"
        two.write_text("".join(example_problems_path().read_text().splitlines(keepends=True)[:2]))
        seeds = options.seeds[:1] if options.short else options.seeds
        rows = {seed: run(str(two) if options.short else "", seed) for seed in seeds}
    names = list(next(iter(rows.values())))
    show(["seed", *names], [(seed, *row.values()) for seed, row in rows.items()])
    finish(options, {"seeds": rows})


if __name__ == "__main__":
    main()
