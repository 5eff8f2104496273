"""Collections of sums, as tests start, stop and judge them."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from numina_infer import read_run
from tests.app.halting import halted
from tests.waiting import wait_until


def write_script(path: Path, *trajectories: str) -> Path:
    """A script whose trajectories have one turn each, for all sums."""
    path.write_text(json.dumps({"problem": "100 and 7", "completions": [[text] for text in trajectories]}))
    return path


def arguments(problems: Path, folder: Path, *more: str | Path, num_samples: int = 3) -> list[str]:
    """A scripted collection of `problems` into `folder`."""
    given = ["--problems", problems, "--engine", "scripted", "--num-samples", num_samples, "--out", folder]
    return ["collect", *map(str, (*given, *more))]


def assert_complete(folder: Path, num_problems: int, num_samples: int = 3) -> None:
    """Every problem has its verdict, and every sample came to its end."""
    recorded = read_run(folder)
    assert sorted(recorded.solutions["problem_id"]) == sorted(f"s{n}" for n in range(num_problems))
    assert set(recorded.solutions["stop_reason"]) == {"exhausted"}
    assert set(recorded.trajectories["outcome"]) == {"finished"}
    samples = set(zip(recorded.trajectories["problem_id"], recorded.trajectories["index"], strict=True))
    assert samples == {(f"s{n}", index) for n in range(num_problems) for index in range(num_samples)}
    assert len(recorded.trajectories) == len(samples)


def stop_after(num_solved: int, folder: Path, command: list[str], stop: signal.Signals) -> tuple[int, str, str]:
    """Run `command`, send `stop` once the log in `folder` has `num_solved` verdicts; exit code, stdout and stderr.

    It comes no further than 20 problems of three trajectories by itself.
    """
    halting = halted([sys.executable, "-m", "numina_infer", *command], 20 * 3)
    process = subprocess.Popen(halting, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = folder / "solutions.jsonl"
    wait_until(lambda: log.exists() and log.read_bytes().count(b"\n") >= num_solved)
    process.send_signal(stop)
    out, err = process.communicate()
    return process.returncode, out, err
