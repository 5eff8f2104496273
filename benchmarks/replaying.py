"""Replay at size: 10,000 scripted trajectories decided again under 36 policies, against making the run.

Two shapes of run: a hundred problems of 100 samples, and one problem of 10,000, where each decision of the predictive
rule looks furthest ahead. The sweep is three horizons, four bounds and three answer ranges.
Both runs are made with the scripted engine, whose text costs nothing, so the ratio to a run with a model is larger.
"""

import json
import tempfile
import time
from pathlib import Path
from random import Random

from rich.console import Console

from benchmarks.frame import Target, finish, name_machine, read_options, show
from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.collection import collect
from numina_infer.app.tasks import COLLECT, Collection
from numina_infer.core.records import AnswerRange
from numina_infer.lab.replay.recording import read_recording
from numina_infer.lab.replay.replay import replay_all, replay_run
from numina_infer.lab.replay.variant import sweep

NUM_TRAJECTORIES = 10_000
EPSILONS = (0.0, 0.001, 0.01, 0.05)
ANSWERS = ("3", "3", "3", "3", "12", "12", "1005", "40", "41", "-3", "2.5", "100000")


def make_run(folder: Path, num_problems: int, num_samples: int) -> float:
    """A run whose samples all come to their end; seconds that it took."""
    drawn = Random(num_problems)  # noqa: S311 (samples, no secret)
    rows = [{"id": str(number), "problem": f"What is ({number})?", "answer": "3"} for number in range(num_problems)]
    script = [{"problem": row["problem"], "completions": [_line(drawn) for _ in range(997)]} for row in rows]
    for name, lines in (("problems.jsonl", rows), ("script.jsonl", script)):
        (folder / name).write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    choices = Choices(
        preset=COLLECT,
        engine=EngineName.SCRIPTED,
        script=str(folder / "script.jsonl"),
        num_samples=num_samples,
    )
    began = time.perf_counter()
    collect(Collection(str(folder / "problems.jsonl"), choices), folder / "run", Console(quiet=True))
    return time.perf_counter() - began


def _line(drawn: Random) -> list[str]:
    return [f"The answer is $\\boxed{{{drawn.choice(ANSWERS)}}}$."]


def measure(num_problems: int, num_samples: int) -> dict[str, float]:
    """Seconds of the run, of reading it, of its own replay and of the sweep."""
    with tempfile.TemporaryDirectory() as name:
        run_s = make_run(Path(name), num_problems, num_samples)
        began = time.perf_counter()
        recording = read_recording(Path(name) / "run")
        read_s = time.perf_counter() - began
    began = time.perf_counter()
    assert replay_run(recording).num_as_recorded == num_problems
    own_s = time.perf_counter() - began
    changes = list(
        sweep(
            num_samples=[num_samples // 10, num_samples // 2, num_samples],
            epsilon=EPSILONS,
            answer_range=list(AnswerRange),
        )
    )
    began = time.perf_counter()
    assert not sum(one.num_unrecorded for one in replay_all(recording, changes))
    sweep_s = time.perf_counter() - began
    return {"run": run_s, "read": read_s, "own policy": own_s, "36 policies": sweep_s, "ratio": 36 * run_s / sweep_s}


def main() -> None:
    """Measure, print, and write the figures if asked."""
    options = read_options(__doc__, "a tenth of the trajectories")
    print(name_machine())
    size = NUM_TRAJECTORIES // (10 if options.short else 1)
    shapes = {f"{n} x {size // n}": measure(n, size // n) for n in (max(1, size // 100), 1)}
    head = ["run", "made, s", "read, s", "own policy, s", "36 policies, s", "36 runs / 36 replays"]
    show(head, [(name, *figures.values()) for name, figures in shapes.items()])
    longest = max(figures["36 policies"] for figures in shapes.values())
    finish(options, shapes, [Target("a sweep of 36 policies", longest, 10, None, " s", at_most=True)])


if __name__ == "__main__":
    main()
