"""The kernel behind the notebook: where it is, what it makes of what is attached, what a rerun gets if all breaks."""

import os
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.composition import Backends
from numina_infer.competitions.known import COMPETITIONS, Api, Competition
from numina_infer.core.errors import ConfigError, EngineError
from numina_infer.core.ports import Engine
from numina_infer.core.presets import Preset
from numina_infer.core.records import Problem
from numina_infer.core.restarts import RestartPolicy
from numina_infer.engines.scripted_engine import ScriptedEngine
from numina_infer.formats.numina import NUMINA
from numina_infer.kaggle.kernel import Kernel
from numina_infer.kaggle.kernel_log import KernelLog
from numina_infer.kaggle.place import RERUN_VARIABLE, RUN_TYPE_VARIABLE, Inputs, Place
from numina_infer.kaggle.preflight.light import Light, Preflight
from numina_infer.kaggle.preflight.machine import RunPlan
from numina_infer.kaggle.problem_source import ProblemSource
from tests.summing import summing_sandbox

PROBLEMS = [Problem(f"p{number}", f"What is {number} plus 100?") for number in range(3)]
COMMIT, RERUN = {RUN_TYPE_VARIABLE: "Batch"}, {RERUN_VARIABLE: ""}


def right(context_text: str, seed: int) -> str:
    """The sum that is asked for last."""
    return f"\\boxed{{{int(re.findall(r'What is ([0-9]+)', context_text)[-1]) + 100}}}"


def no_servers(*_: object) -> AbstractAsyncContextManager[Engine]:
    """An engine that never starts."""
    raise EngineError("the servers don't start")


RIGHT = Backends(lambda *_: ScriptedEngine(right), summing_sandbox)
SOON = RestartPolicy(max_starts=2, pause_s=0.01)
DEAD = Backends(no_servers, summing_sandbox, starts=SOON)


class Asker:
    """A gateway that asks for `PROBLEMS`, each twice."""

    def __init__(self) -> None:
        self.replies: list[list[int]] = []

    def serve(self, answer: Callable[[Problem], int]) -> None:
        """Ask."""
        self.replies = [[answer(problem), answer(problem)] for problem in PROBLEMS]

    @property
    def source(self) -> ProblemSource:
        """It, as what asks instead of Kaggle's package."""
        return ProblemSource(self, len(PROBLEMS))


@pytest.fixture
def asker() -> Asker:
    """One that hasn't asked yet."""
    return Asker()


def test_a_rerun_is_answered_by_votes(tmp_path: Path, asker: Asker) -> None:
    """Its verdicts are the engine's, and nothing of its log is in the output but the one text file."""
    kernel = Kernel("aimo-3", environment=RERUN, output=tmp_path / "out", backends=RIGHT)
    assert kernel.place is Place.RERUN
    assert kernel.run(asker.source) is None
    assert asker.replies == [[100, 100], [101, 101], [102, 102]]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["kernel.txt"]


def test_a_rerun_without_a_usable_model_is_answered_all_the_same(
    tmp_path: Path, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GPUs are there, and no model is attached: every answer is a fallback, in range, and it is said."""
    monkeypatch.setattr(Kernel, "has_gpus", True)
    kernel = Kernel(
        "aimo-3",
        environment=RERUN,
        inputs=Inputs(tmp_path / "input"),
        output=tmp_path / "out",
        backends=DEAD,
    )
    kernel.run(asker.source)
    assert asker.replies == [[0, 0]] * 3
    said = (tmp_path / "out" / "kernel.txt").read_text()
    assert "what was chosen can't be used, so every answer is a fallback: no model is attached" in said


def test_a_rerun_whose_format_breaks_is_answered_all_the_same(
    tmp_path: Path, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an error of any kind; somebody who watches is shown it."""

    def broken(*_: object) -> None:
        raise KeyError("template")

    monkeypatch.setattr("numina_infer.kaggle.kernel.choose_format", broken)
    Kernel("aimo-3", environment=RERUN, output=tmp_path / "out", backends=DEAD).run(asker.source)
    assert asker.replies == [[0, 0]] * 3
    with pytest.raises(KeyError):
        Kernel("aimo-3", environment={}, output=tmp_path / "other", backends=DEAD).run(asker.source)


def test_a_process_that_seems_to_have_begun_long_ago_is_not_believed(
    tmp_path: Path, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where clocks disagree the bank would be empty from the start."""
    monkeypatch.setattr("numina_infer.kaggle.kernel_log.process_age_s", lambda: 400_000.0)
    Kernel("aimo-3", environment=RERUN, output=tmp_path / "out", backends=RIGHT).run(asker.source)
    assert asker.replies == [[100, 100], [101, 101], [102, 102]]


def test_a_rerun_with_nowhere_to_write_is_answered(tmp_path: Path, asker: Asker) -> None:
    """Neither the text file nor the run log is needed."""
    output = tmp_path / "out"
    kernel = Kernel("aimo-3", environment=RERUN, output=output, backends=RIGHT)
    (output / "kernel.txt").unlink()
    output.rmdir()
    output.touch()
    kernel.run(asker.source)
    assert asker.replies == [[100, 100], [101, 101], [102, 102]]


def test_a_rerun_on_a_full_disk_is_answered(tmp_path: Path, asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder can be made anywhere, not even the usual place for such folders be found."""

    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    monkeypatch.setattr("tempfile.gettempdir", full)
    with_real_sandbox = Backends(lambda *_: ScriptedEngine(right), starts=SOON)
    kernel = Kernel("aimo-3", environment=RERUN, output=tmp_path / "out", backends=with_real_sandbox)
    kernel.run(asker.source)
    assert asker.replies == [[100, 100], [101, 101], [102, 102]]
    assert "no run log in /dev/shm: [Errno 28] No space left on device" in (tmp_path / "out" / "kernel.txt").read_text(
        encoding="utf-8"
    )


def test_what_breaks_after_the_last_reply_fails_no_rerun(tmp_path: Path, asker: Asker) -> None:
    """Nor does a probe that was left on."""

    class Clinging(ScriptedEngine):
        async def __aexit__(self, *raised: object) -> None:
            raise RuntimeError("the servers don't end")

    backends = Backends(lambda *_: Clinging(right), summing_sandbox)
    kernel = Kernel("aimo-1", environment=RERUN, output=tmp_path / "out", backends=backends)
    kernel.run(asker.source)
    kernel.probe()
    assert asker.replies == [[100, 100], [101, 101], [102, 102]]


def test_a_rehearsal_made_of_guesses_fails_loudly(tmp_path: Path, asker: Asker) -> None:
    """A green commit run with a submission of zeros would be scored as one."""
    kernel = Kernel("aimo-3", environment={}, output=tmp_path / "out", backends=DEAD)
    with pytest.raises(EngineError, match=r"made of guesses.*the servers don't start"):
        kernel.run(asker.source)
    assert asker.replies == [[0, 0]] * 3


def test_a_preflight_that_breaks_says_why_in_a_rerun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contest begins without it; somebody who watches is shown the error itself."""

    def broken(plan: RunPlan) -> Preflight:
        raise KeyError("x")

    monkeypatch.setattr("numina_infer.kaggle.kernel.preflight", broken)
    (check,) = Kernel("aimo-1", environment=RERUN, output=tmp_path / "out").examine().checks
    assert (check.light, check.finding) == (Light.AMBER, "it broke: KeyError('x'); the contest begins without it")
    assert "it broke: KeyError('x')" in (tmp_path / "out" / "kernel.txt").read_text()
    with pytest.raises(KeyError):
        Kernel("aimo-1", environment=COMMIT, output=tmp_path / "other").examine()


class Driver:
    """A stand-in for nvidia-smi, which fails until it is told to answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.say("exit 9")

    def say(self, script: str) -> None:
        """Do that when asked."""
        program = self.folder / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def answer(self, num_gpus: int) -> None:
        """Have so many T4s."""
        rows = [f"{index}, GPU-{index}, Tesla T4, 15360, 258, 7.5" for index in range(num_gpus)]
        self.say("\n".join(f"echo '{row}'" for row in rows) or "true")


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """The only nvidia-smi there is."""
    stand_in = Driver(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{stand_in.folder}:{os.environ['PATH']}")
    return stand_in


def attach_model(root: Path) -> Inputs:
    """A folder of inputs with one model."""
    folder = root / "models" / "me" / "m" / "transformers" / "v" / "1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return Inputs(root)


@pytest.mark.parametrize("environment", [COMMIT, RERUN, {RUN_TYPE_VARIABLE: "Interactive"}])
def test_a_driver_that_fails_is_no_machine_without_gpus_on_kaggle(
    environment: dict[str, str], driver: Driver, tmp_path: Path
) -> None:
    """Elsewhere the CPU is taken, as for a machine whose driver was never right."""
    kernel = Kernel("aimo-1", environment=environment, inputs=Inputs(tmp_path / "no"), output=tmp_path / "out")
    assert kernel.has_gpus
    assert not Kernel("aimo-1", environment={}, output=tmp_path / "other").has_gpus


@pytest.mark.parametrize(("num_gpus", "has_gpus"), [(0, False), (2, True)])
def test_a_driver_that_answers_is_believed_where_somebody_watches(
    num_gpus: int, has_gpus: bool, driver: Driver, tmp_path: Path
) -> None:
    """A session without GPUs has the embedded model."""
    driver.answer(num_gpus)
    kernel = Kernel("aimo-1", environment=COMMIT, inputs=attach_model(tmp_path / "in"), output=tmp_path / "out")
    assert kernel.has_gpus is has_gpus


def test_gpus_are_asked_for_again_whenever_the_engine_starts(
    driver: Driver, asker: Asker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A driver that fails, then sees none, then has them: the third start is the engine that answers."""
    starts = []

    class Patient(Kernel):
        def _engine(self, choices: Choices, preset: Preset) -> AbstractAsyncContextManager[Engine]:
            starts.append(choices.engine)
            if len(starts) > 1:
                driver.answer(2 if len(starts) > 2 else 0)
            return super()._engine(choices, preset)

    monkeypatch.setattr("numina_infer.kaggle.kernel.choose_format", lambda *_: NUMINA)
    inputs, often = attach_model(tmp_path / "in"), replace(RIGHT, starts=RestartPolicy(max_starts=5, pause_s=0.01))
    Patient("aimo-3", environment=RERUN, inputs=inputs, output=tmp_path / "o", backends=often).run(asker.source)
    assert starts == [EngineName.VLLM] * 3
    assert asker.replies == [[100, 100], [101, 101], [102, 102]]
    assert "the engine didn't start: nvidia-smi doesn't tell which GPUs are here" in caplog.text
    assert "the engine didn't start: nvidia-smi finds no GPU here" in caplog.text


def test_red_ends_a_commit_run_before_anything_is_started(tmp_path: Path) -> None:
    """The error names what is red; elsewhere it is shown."""
    inputs = Inputs(tmp_path / "input")
    kernel = Kernel("aimo-1", environment=COMMIT, inputs=inputs, output=tmp_path / "out")
    with pytest.raises(ConfigError, match=r"the preflight is red.*gateway package"):
        kernel.examine()
    said = (tmp_path / "out" / "kernel.txt").read_text()
    assert "red    gateway package" in said
    assert "red    GPUs" in said
    assert Kernel("aimo-1", environment=RERUN, inputs=inputs, output=tmp_path / "out").examine().checks


@pytest.mark.parametrize("competition", [*COMPETITIONS.values()], ids=lambda competition: competition.name)
def test_a_rehearsal_ends_in_a_submission(competition: Competition, tmp_path: Path) -> None:
    """Through the mock of the competition's own API, in its range, on problems of the user's."""
    problems = tmp_path / "mine.csv"
    problems.write_text(
        "id,problem,answer\n" + "".join(f"{p.id},{p.statement},{n + 100}\n" for n, p in enumerate(PROBLEMS))
    )
    output = tmp_path / "out"
    summary = Kernel(competition, problems=str(problems), environment={}, output=output, backends=RIGHT).run()
    assert summary is not None
    assert summary.num_correct == 3
    frame = pd.read_parquet(tmp_path / "out" / "submission.parquet")
    assert frame["answer"].tolist() == [100, 101, 102]


def test_a_rehearsal_leaves_a_page_to_look_at(tmp_path: Path, asker: Asker) -> None:
    """Beside the submission, in place of downloading a run log."""
    Kernel("aimo-3", environment={}, output=tmp_path / "out", backends=RIGHT).run(asker.source)
    assert "application/json" in (tmp_path / "out" / "report.html").read_text()
    assert "report.html" in (tmp_path / "out" / "kernel.txt").read_text()


def test_a_page_that_fails_fails_no_rehearsal(tmp_path: Path, asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks in it, the run went well, and it is said."""

    def broken(*_: object) -> None:
        raise KeyError("template")

    monkeypatch.setattr("numina_infer.lab.report.report_page.write_report", broken)
    assert Kernel("aimo-3", environment={}, output=tmp_path / "out", backends=RIGHT).run(asker.source) is not None
    assert "no report of the run: KeyError('template')" in (tmp_path / "out" / "kernel.txt").read_text()


def test_a_competition_of_ones_own_is_taken(tmp_path: Path, asker: Asker) -> None:
    """Its range is the vote's."""
    own = Competition(
        name="mine", slug="mine", api=Api.AIMO, package="aimo", answer_range=COMPETITIONS["aimo-2"].answer_range,
        time_limit_s=9 * 3600.0, machine_shape="NvidiaTeslaT4", gpu="T4", num_problems=None,
    )  # fmt: skip
    Kernel(own, environment=RERUN, output=tmp_path / "out", backends=RIGHT).run(asker.source)
    assert asker.replies == [[100, 100], [101, 101], [102, 102]]


def test_an_unknown_competition_is_refused_by_name(tmp_path: Path) -> None:
    """The error lists the known ones."""
    with pytest.raises(ConfigError, match=r"aimo-9.*aimo-1, aimo-2, aimo-3"):
        Kernel("aimo-9", output=tmp_path)


def test_the_log_stamps_every_line_and_stays_small(tmp_path: Path) -> None:
    """Parts of a line are one, the file ends before it is large, and the screen has all."""
    screen = (tmp_path / "screen").open("w+")
    now = iter([1.0, 2.5, *map(float, range(3, 10_000))])
    log = KernelLog(tmp_path / "kernel.txt", started_at=1.0, screen=screen, now=lambda: next(now))
    log.write("one ")
    log.write("line\nanother\n")
    assert (tmp_path / "kernel.txt").read_text() == "[    0.0 s] one line\n[    1.5 s] another\n"
    for _ in range(5000):
        log.write("x" * 100 + "\n")
    kept = (tmp_path / "kernel.txt").read_text()
    assert kept.endswith("\n… more than this file may hold\n")
    assert len(kept) < 101_000
    screen.seek(0)
    assert screen.read().count("x" * 100) == 5000
    screen.close()


def test_the_log_takes_text_that_no_file_has(tmp_path: Path) -> None:
    """Half of a surrogate pair, as in a path that isn't UTF-8."""
    with (tmp_path / "screen").open("w", errors="strict") as screen:
        KernelLog(tmp_path / "kernel.txt", started_at=0.0, screen=screen).write("\udc80 is odd\n")
    assert (tmp_path / "kernel.txt").read_text().endswith("\\udc80 is odd\n")
