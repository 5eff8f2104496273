"""The nine hours before they count: the submission notebook as Kaggle runs it again, on a machine that isn't here.

Real: the notebook, executed by Jupyter in one process, with its preflight, keeper, client of vLLM, sandbox and
inference server; the relay in another, over gRPC; fifty problems of AIME 2020 to 2025; their recorded solutions, whose
programs run. A stand-in: nvidia-smi, which names two T4s, and vLLM, which is the stand-in server at the pace of two
T4s by arithmetic. The model's folder has the shapes of NuminaMath's GPTQ and the embedded model's tokenizer.

Scaled by `--speed` (12: nine hours are 45 minutes): the pace of the stand-in, its start of ten minutes, and the
competition's time limit, from which reserve, floors and graces follow. Not scaled: programs and their limit of 5 s,
the most that one problem may take (25 minutes), every patience of the client and the supervisors, and our own work.

Each problem has 61 trajectories that take turns: by its number a tenth, a third, six or nine tenths of them are
recordings of that problem, the others those of some other problem. So some are easy, some contested and some hopeless;
how many are right says nothing.
Floors: every problem has its reply in range and, by the log, its verdict in time, none is a fallback, and of the
processes nothing is left. On a slow machine fallbacks may come: programs that never end may hold its slots for a whole
scaled slice.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.frame import Target, finish, name_machine, pass_over, read_options, show
from benchmarks.recorded import NOT_HERE, data_folder, rows
from drills.engines.stand_in_server import write_interpreter
from drills.leftovers import descendants
from numina_infer.core.config import BankConfig
from numina_infer.core.errors import EngineError
from numina_infer.core.presets import Preset, get_preset
from numina_infer.core.records import ExecutionStatus
from numina_infer.core.terminal import HelpFormatter
from numina_infer.engines.local.models import find_folder
from numina_infer.kaggle.build.notebook import Notebook
from numina_infer.kaggle.place import RERUN_VARIABLE
from numina_infer.runs.summary import ProblemSummary, Summary, summarize

NUM_PROBLEMS, NUM_TRAJECTORIES = 50, 61
LIMIT_S, START_S = 9 * 3600.0, 600.0
SPEED = 12.0
SHORT = 3
SHARES = (0.1, 0.33, 0.6, 0.9)
SOURCE = "dynamic_cheatsheet_aime"
ROOT = Path(__file__).resolve().parents[1]
_LOOK_EVERY_S = 1.0
_PATIENCE_S = 30.0
_SLACK_S = 1.0
"""What a busy machine may be late by."""
_KINDS = {"notebook": "ipykernel", "server": "stand_in_server", "sandbox": "zygote", "relay": "mock.relay"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One, with the solutions that were recorded of it."""

    statement: str
    answer: int
    recorded: tuple[tuple[str, ...], ...]
    """Each a list of turns."""


def read_recorded(folder: Path) -> list[Problem]:
    """The problems with their recordings, those with most of them first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows(folder / "transcripts" / f"{SOURCE}.jsonl"):
        found.setdefault(row["problem"].strip(), []).append(row)
    problems = [
        Problem(statement, int(its[0]["reference"]), tuple(tuple(turns(row["turns"])) for row in its))
        for statement, its in found.items()
        if 0 <= int(its[0]["reference"]) <= 999
    ]
    return sorted(problems, key=lambda problem: -len(problem.recorded))


def turns(recorded: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """What the model writes in each turn: up to the output that it waits for, or its end."""
    text = ""
    for part in recorded:
        if part["kind"] == "output":
            yield f"{text}\n```output\n"
            text = ""
        else:
            text += f"\n```python\n{part['content'].strip()}\n```" if part["kind"] == "code" else part["content"]
    yield text


def write_lines(problems: Sequence[Problem], everybody: Sequence[Problem], file: Path) -> None:
    """The stand-in's script: for each problem its own recordings, in their share, among those of others."""
    chance = random.Random(0)  # noqa: S311 (which recording is played)
    with file.open("w", encoding="utf-8") as lines:
        for number, problem in enumerate(problems):
            own_share = SHARES[number % len(SHARES)]
            played = [
                chance.choice((problem if chance.random() < own_share else chance.choice(everybody)).recorded)
                for _ in range(NUM_TRAJECTORIES)
            ]
            lines.write(json.dumps({"problem": problem.statement, "completions": played}) + "\n")


_CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 30,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 102400,
    "max_position_embeddings": 4096,
    "torch_dtype": "float16",
    "quantization_config": {"quant_method": "gptq", "bits": 8, "group_size": 128, "desc_act": True, "sym": True},
}
_NVIDIA_SMI = """\
#!/bin/sh
case "$1" in
*driver_version*) answer="550.90.07, 15000" ;;
*) answer="Tesla T4, 15360, 266, 7.5" ;;
esac
echo "0, GPU-aaaa, $answer"
echo "1, GPU-bbbb, $answer"
"""
_COMPETITION = """\
from dataclasses import replace
from pathlib import Path
from numina_infer.competitions.known import COMPETITIONS
from numina_infer.kaggle.place import Inputs
COMPETITION = replace(
    COMPETITIONS["aimo-3"], gpu="T4", num_gpus=2, machine_shape="NvidiaTeslaT4", answer_range="0-999",
    num_problems={num_problems}, time_limit_s={time_limit_s},
)
INPUTS = Inputs(Path({root!r}))
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """The folders of one rehearsal."""

    folder: Path
    problems: tuple[Problem, ...]
    speed: float
    start_s: float = START_S
    """Of the servers, on the machine that is rehearsed."""

    @property
    def limit_s(self) -> float:
        """The competition's limit, scaled: as much of the nine hours as so many problems have."""
        return LIMIT_S * len(self.problems) / NUM_PROBLEMS / self.speed

    @property
    def bank(self) -> BankConfig:
        """What the kernel makes of that."""
        return replace(BankConfig.of_limit(self.limit_s), num_problems=len(self.problems))

    @property
    def preset(self) -> Preset:
        """The kernel's, for two T4s."""
        preset = get_preset("t4x2")
        return replace(preset, contest=replace(preset.contest, bank=self.bank))

    @property
    def relayed(self) -> Path:
        """What Kaggle's side writes."""
        return self.folder / "relay"

    def set(self, everybody: Sequence[Problem], tokenizer: Path) -> None:
        """Put everything there."""
        for name in ("tmp", "bin", "input/numina-7b-gptq/transformers/default/1"):
            (self.folder / name).mkdir(parents=True)
        self._write_model(self.folder / "input/numina-7b-gptq/transformers/default/1", tokenizer)
        smi = self.folder / "bin" / "nvidia-smi"
        smi.write_text(_NVIDIA_SMI)
        smi.chmod(0o755)
        lines = self.folder / "lines.jsonl"
        write_lines(self.problems, everybody, lines)
        write_interpreter(
            self.folder / "bin" / "vllm", lines=lines, speed=self.speed, start_s=self.start_s / self.speed
        )
        with (self.folder / "problems.jsonl").open("w", encoding="utf-8") as file:
            for number, problem in enumerate(self.problems):
                row = {"id": f"p{number}", "problem": problem.statement, "answer": str(problem.answer)}
                file.write(json.dumps(row) + "\n")
        self._write_notebook()

    def _write_model(self, folder: Path, tokenizer: Path) -> None:
        (folder / "config.json").write_text(json.dumps(_CONFIG))
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).symlink_to(tokenizer / name)

    def _write_notebook(self) -> None:
        """The one that is submitted, but for the competition, and the place of what is attached."""
        settings = _COMPETITION.format(
            num_problems=len(self.problems), time_limit_s=self.limit_s, root=str(self.folder / "input")
        )
        changes = {'COMPETITION = "aimo-1"\n': settings, "PRESET, PROBLEMS)": "PRESET, PROBLEMS, inputs=INPUTS)"}
        content = json.loads(Notebook.read(ROOT / "notebooks" / "submission.ipynb").text)
        for old, new in changes.items():
            cells = [cell for cell in content["cells"] if old in "".join(cell["source"])]
            assert len(cells) == 1, f"{old!r} stands in {len(cells)} cells"
            cells[0]["source"] = "".join(cells[0]["source"]).replace(old, new).splitlines(keepends=True)
        (self.folder / "submission.ipynb").write_text(json.dumps(content))

    @property
    def environment(self) -> dict[str, str]:
        """Kaggle's, of a rerun, and this checkout's library."""
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("KAGGLE", "CUDA_"))}
        return keep | {
            RERUN_VARIABLE: "1",
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "NUMINA_VLLM_PYTHON": str(self.folder / "bin" / "vllm"),
            "TMPDIR": str(self.folder / "tmp"),
        }

    @contextmanager
    def notebook(self) -> "Iterator[subprocess.Popen[bytes]]":
        """Executed, until Kaggle ends it, which is by SIGKILL."""
        converting = ["-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--output", "executed.ipynb"]
        with (self.folder / "notebook.txt").open("w") as said:
            process = subprocess.Popen(
                [sys.executable, *converting, "submission.ipynb"],
                cwd=self.folder,
                env=self.environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def relay(self) -> "subprocess.Popen[bytes]":
        """Kaggle's side, begun."""
        command = [sys.executable, "-m", "numina_infer.competitions.mock.relay", "--version=0.9.0", "--shuffle-seed=1"]
        files = [f"--problems={self.folder / 'problems.jsonl'}", f"--out={self.relayed}"]
        return subprocess.Popen([*command, *files], env=self.environment, cwd=self.folder)


class Peaks:
    """The most that each kind of process has held, in MB."""

    def __init__(self) -> None:
        self.most: dict[str, float] = {}
        self.most_processes = 0

    def look(self, *roots: int) -> None:
        """Once more."""
        pids = [pid for root in roots for pid in (root, *descendants(root))]
        self.most_processes = max(self.most_processes, len(pids))
        for pid in pids:
            kind, peak_mb = _kind(pid), _peak_mb(pid)
            self.most[kind] = max(self.most.get(kind, 0.0), peak_mb)


def _kind(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return "other"
    return next((kind for kind, mark in _KINDS.items() if mark in command), "other")


def _peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What came of it; seconds are real ones, hours those of the rehearsed machine."""

    speed: float
    limit_s: float
    wall_s: float
    relay_code: int
    result: str
    problems: int
    answered: int
    late: int
    """Replies behind the end that the bank keeps."""
    out_of_range: int
    fallbacks: int
    decided: int
    right: int
    trajectories: int
    tokens: int
    programs: int
    programs_ok: int
    seconds_a_problem: tuple[float, float, float]
    """Least, median, most."""
    unused: float
    """Share of the limit that was left behind the last reply, the reserve included."""
    told: tuple[str, ...]
    time_line: str
    peaks_mb: Mapping[str, float]
    most_processes: int
    left: int
    """Processes that outlived the notebook."""


def rehearse(scene: Scene) -> Rehearsed:
    """All of it."""
    peaks, began = Peaks(), time.monotonic()
    with scene.notebook() as notebook, scene.relay() as relay:
        while relay.poll() is None and notebook.poll() is None:
            peaks.look(notebook.pid, relay.pid)
            time.sleep(_LOOK_EVERY_S)
        relay.kill()
        ours = descendants(notebook.pid)
    wall_s = time.monotonic() - began
    return _read(scene, peaks, wall_s, relay.wait(), _left_of(ours))


def _left_of(pids: Sequence[int]) -> int:
    """How many of `pids` are there after a while; those of a killed notebook end by themselves."""
    until = time.monotonic() + _PATIENCE_S
    while (left := sum(_is_alive(pid) for pid in pids)) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _read(scene: Scene, peaks: Peaks, wall_s: float, relay_code: int, left: int) -> Rehearsed:
    import pandas as pd

    (log,) = (scene.folder / "tmp").glob("numina-run-*")
    references = {f"p{number}": str(problem.answer) for number, problem in enumerate(scene.problems)}
    summary = summarize(log, references, scene.preset)
    solutions = [problem.solution for problem in summary.problems]
    seconds = [solution.solved_at - solution.opened_at for solution in solutions]
    end = _end(summary)
    answers = pd.read_parquet(scene.relayed / "submission.parquet")["answer"].tolist() if relay_code == 0 else []
    return Rehearsed(
        speed=scene.speed,
        limit_s=scene.limit_s,
        wall_s=wall_s,
        relay_code=relay_code,
        result=(scene.relayed / "result.json").read_text(),
        problems=len(scene.problems),
        answered=len(answers),
        late=sum(problem.solution.solved_at > min(end, _due(problem)) + _SLACK_S for problem in summary.problems),
        out_of_range=sum(not 0 <= answer <= 999 for answer in answers),
        fallbacks=summary.num_fallbacks,
        decided=sum(solution.stop_reason == "decided" for solution in solutions),
        right=summary.num_correct,
        trajectories=sum(problem.outline.num_ended for problem in summary.problems),
        tokens=summary.num_tokens,
        programs=sum(problem.outline.programs.total() for problem in summary.problems),
        programs_ok=sum(problem.outline.programs[ExecutionStatus.OK] for problem in summary.problems),
        seconds_a_problem=(min(seconds), statistics.median(seconds), max(seconds)),
        unused=(end + scene.bank.reserve_s - max(solution.solved_at for solution in solutions)) / scene.limit_s,
        told=summary.failures,
        time_line=summary.time_line,
        peaks_mb=peaks.most,
        most_processes=peaks.most_processes,
        left=left,
    )


def _due(problem: ProblemSummary) -> float:
    """Loop time that its slice and its grace let no reply pass."""
    cut = problem.outline.opened.slice
    assert cut is not None
    return problem.solution.opened_at + cut.seconds + cut.grace_s


def _end(summary: Summary) -> float:
    """Loop time that the bank lets no reply pass: the first problem was told how long that is."""
    first = min(summary.problems, key=lambda problem: problem.solution.opened_at)
    cut = first.outline.opened.slice
    assert cut is not None
    assert cut.left_s is not None
    return first.solution.opened_at + cut.left_s


def targets(found: Rehearsed) -> list[Target]:
    """What must be so."""
    counts = {
        "problems without a reply": found.problems - found.answered,
        "verdicts behind their slice and grace, or the end": found.late,
        "replies out of range": found.out_of_range,
        "fallbacks": found.fallbacks,
        "processes left": found.left,
    }
    return [Target(name, count, 0, at_most=True) for name, count in counts.items()]


def main() -> None:
    """Rehearse, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(formatter_class=HelpFormatter)
    parser.add_argument("--speed", type=float, default=SPEED, help="seconds of the machine's in one (default: 12)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder for notebook, log and submission")
    options = read_options(__doc__, f"{SHORT} problems of fifty, and servers that start in a minute", parser=parser)
    data = data_folder()
    if data is None:
        pass_over(options, NOT_HERE)
    try:
        tokenizer = find_folder("smollm2", print)
    except EngineError as error:
        pass_over(options, f"the embedded model's tokenizer is needed: {error}")
    print(name_machine(), flush=True)
    everybody = read_recorded(data)
    problems = everybody[: SHORT if options.short else NUM_PROBLEMS]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch) / "rehearsal"
        scene = Scene(folder.absolute(), tuple(problems), options.speed, 60.0 if options.short else START_S)
        scene.set(everybody, tokenizer)
        found = rehearse(scene)
    _print(found)
    print(f"at the end: {name_machine()}")
    finish(options, asdict(found), targets(found))


def _print(found: Rehearsed) -> None:
    shown = asdict(found)
    show(["what", "figure"], [(name, shown[name]) for name in shown if name not in {"told", "time_line"}])
    print("", found.time_line, *found.told, sep="\n")


if __name__ == "__main__":
    main()
