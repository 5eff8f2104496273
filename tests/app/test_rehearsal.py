"""Whole competitions with a script for a model: real mock, real files, and the real sandbox where it matters."""

import contextlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from numina_infer import read_run
from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.composition import Backends
from numina_infer.app.rehearsal import rehearse
from numina_infer.app.tasks import Rehearsal, read_task
from numina_infer.cli import main
from numina_infer.competitions.known import Api
from numina_infer.competitions.mock.relay import RelayFault
from numina_infer.core.errors import ConfigError, RunLogError
from numina_infer.core.records import AnswerRange
from numina_infer.runs.problems import read_problems
from numina_infer.runs.progress import RunConsole
from numina_infer.runs.summary import Summary
from tests.app.halting import halted
from tests.summing import SUMMING, write_sums
from tests.waiting import wait_until

SCRIPTED = Choices(engine=EngineName.SCRIPTED, num_samples=3)
APIS = [Api.AIMO, Api.KAGGLE_EVALUATION]


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    """Six problems that the built-in script solves, with references as real files have them."""
    return write_sums(tmp_path / "sums.jsonl", 6)


@pytest.fixture
def many_sums(tmp_path: Path) -> Path:
    """So many that a signal arrives in the middle."""
    return write_sums(tmp_path / "many_sums.jsonl", 25)


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    """A JSONL file of `rows`."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(
    problems: Path,
    folder: Path,
    api: Api = Api.AIMO,
    choices: Choices = SCRIPTED,
    backends: Backends | None = SUMMING,
) -> tuple[Summary, str]:
    """The summary of a rehearsal, and what a log file would show of it."""
    log = io.StringIO()
    summary = rehearse(Rehearsal(str(problems), choices, api), folder, RunConsole(log), backends=backends)
    return summary, log.getvalue()


@pytest.mark.parametrize("api", APIS)
def test_a_competition_ends_in_a_submission_a_log_and_a_summary(sums: Path, tmp_path: Path, api: Api) -> None:
    """Every problem is solved by votes that real programs stand behind."""
    summary, shown = run(sums, tmp_path / "run", api, backends=None)
    assert (summary.num_correct, summary.num_scored, summary.num_fallbacks) == (6, 6, 0)
    for read, name in ((pd.read_csv, "submission.csv"), (pd.read_parquet, "submission.parquet")):
        frame = read(tmp_path / "run" / name)
        assert dict(zip(frame["id"], frame["answer"], strict=True)) == {f"s{n}": n + 107 for n in range(6)}
    recorded = read_run(tmp_path / "run")
    assert recorded.info["engine"]["engine"] == "scripted"
    assert (recorded.turns["status"] == "ok").sum() >= 12
    assert "[6/6] s5: 112 (" in shown


def test_a_quiet_console_stays_quiet(sums: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Notebooks and benchmarks show what they want to."""
    rehearse(Rehearsal(str(sums), SCRIPTED), tmp_path / "run", Console(quiet=True), backends=SUMMING)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("name", ["amc12_2022_2023", "aimo1_train10"])
def test_real_problem_files_run_through(shared_data: Path, tmp_path: Path, name: str, api: Api) -> None:
    """Their ids, their LaTeX, their references such as `142.0`."""
    problems = shared_data / "problems" / f"{name}.jsonl"
    num_problems = len(problems.read_text().splitlines())
    summary, _ = run(problems, tmp_path / "run", api)
    assert len(summary.problems) == num_problems
    assert summary.num_scored >= num_problems - 1  # one AMC answer is negative, which no AIMO answer can be
    submission = pd.read_csv(tmp_path / "run" / "submission.csv")
    assert list(submission["id"]) == [json.loads(line)["id"] for line in problems.read_text().splitlines()]
    assert submission["answer"].between(0, 999).all()


@pytest.mark.parametrize("api", APIS)
def test_large_answers_are_submitted_where_the_competition_takes_them(tmp_path: Path, api: Api) -> None:
    """AIMO-3's range goes through either API shape."""
    problems = write_rows(tmp_path / "large.jsonl", [{"id": "a", "problem": "Add 90000 and 9999.", "answer": "99999"}])
    chosen = Choices(engine=EngineName.SCRIPTED, num_samples=1, answer_range=AnswerRange.UP_TO_99999)
    summary, _ = run(problems, tmp_path / "run", api, chosen)
    assert (summary.num_correct, summary.problems[0].solution.answer) == (1, 99999)


def test_a_finished_run_resumes_to_itself(sums: Path, tmp_path: Path) -> None:
    """Every problem is answered from the log, and no byte of it changes."""
    run(sums, tmp_path / "run")
    files = ["trajectories.jsonl", "solutions.jsonl", "submission.csv"]
    before = {name: (tmp_path / "run" / name).read_bytes() for name in files}
    rehearsal = read_task(Rehearsal, tmp_path / "run")
    summary = rehearse(rehearsal, tmp_path / "run", Console(quiet=True), resume=True, backends=SUMMING)
    assert {name: (tmp_path / "run" / name).read_bytes() for name in files} == before
    assert summary.num_correct == 6
    assert len(read_run(tmp_path / "run").info["sessions"]) == 2


def test_a_run_is_resumed_from_its_folder_alone(sums: Path, tmp_path: Path) -> None:
    """Everything that was chosen stands in run.json."""
    chosen = Choices(engine=EngineName.SCRIPTED, num_samples=2, seed=5, answer_range=AnswerRange.UP_TO_999)
    run(sums, tmp_path / "run", Api.KAGGLE_EVALUATION, chosen)
    assert read_task(Rehearsal, tmp_path / "run") == Rehearsal(str(sums), chosen, Api.KAGGLE_EVALUATION)


def test_the_format_that_was_chosen_is_that_of_every_prompt(sums: Path, tmp_path: Path) -> None:
    """It goes before the preset's, the model is told of as many programs as it may run, and a resumed run keeps it."""
    script = tmp_path / "script.jsonl"
    turns = ["<tool_call>\nprint(107)\n</tool_call>", "So $\\boxed{107}$."]
    script.write_text(json.dumps({"problem": "100 and 7", "completions": [turns]}))
    choices = replace(SCRIPTED, script=str(script), format="openmath", max_turns=3)
    run(sums, tmp_path / "run", choices=choices)
    recorded = read_run(tmp_path / "run")
    assert recorded.problems["prompt"].str.startswith("<|im_start|>system\n<|im_end|>").all()
    assert recorded.problems["prompt"].str.contains("up to 2 Python code calls").all()
    assert set(recorded.solutions["answer"]) == {107}
    assert not recorded.solutions["is_fallback"].any()
    assert read_task(Rehearsal, tmp_path / "run").choices == choices


def test_changed_problems_are_not_resumed(sums: Path, tmp_path: Path) -> None:
    """Verdicts of other problems under the same ids would be lies."""
    run(sums, tmp_path / "run")
    sums.write_text(sums.read_text().replace("Add 5", "Add 6"))
    with pytest.raises(ConfigError, match="changed"):
        rehearse(read_task(Rehearsal, tmp_path / "run"), tmp_path / "run", Console(quiet=True), resume=True)


def test_a_folder_without_a_run_is_not_resumed(tmp_path: Path) -> None:
    """The error says what is missing."""
    with pytest.raises(RunLogError, match=r"run\.json"):
        read_task(Rehearsal, tmp_path)


def stop_after(
    num_solved: int, command: list[str], stop: signal.Signals, limit: int = 20 * 3
) -> subprocess.CompletedProcess[str]:
    """Run `command`, which comes no further than `limit` trajectories, and send `stop` at `num_solved` verdicts."""
    process = subprocess.Popen(halted(command, limit), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(f"[{num_solved}/") and "votes" in line:
            process.send_signal(stop)
            break
    out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, "".join(lines) + out, err)


def command(*arguments: str | Path) -> list[str]:
    """The command line of this very interpreter."""
    return [sys.executable, "-m", "numina_infer", *map(str, arguments)]


def rehearsal_command(sums: Path, folder: Path, *more: str) -> list[str]:
    """A scripted rehearsal of `sums` into `folder`."""
    scripted = ("--engine", "scripted", "--num-samples", "3", *more)
    return command("rehearse", "--problems", sums, *scripted, "--out", folder)


SEPARATE = ("--api", "kaggle-evaluation", "--separate")
either_place = pytest.mark.parametrize(
    "place", [(), pytest.param(SEPARATE, marks=pytest.mark.slow)], ids=["in process", "separate"]
)


def test_a_killed_run_resumes_to_the_same_submission(
    many_sums: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL in the middle: finished problems stay byte for byte, the rest is solved as if undisturbed."""
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    run(many_sums, undisturbed)
    assert stop_after(3, rehearsal_command(many_sums, killed), signal.SIGKILL).returncode == -signal.SIGKILL
    solutions = (killed / "solutions.jsonl").read_bytes()
    whole_lines = solutions[: solutions.rfind(b"\n") + 1]
    assert whole_lines.count(b"\n") >= 3
    assert main(["rehearse", "--resume", str(killed)], backends=SUMMING) == 0
    assert "25 of 25" in capsys.readouterr().out
    assert (killed / "solutions.jsonl").read_bytes().startswith(whole_lines)
    for name in ("submission.csv", "submission.parquet"):
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.slow
def test_a_killed_run_with_a_model_keeps_finished_problems_byte_for_byte(
    sums: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """And goes on to write what it would have written undisturbed."""
    chosen = ["--problems", str(sums), "--model", str(tiny_model), "--num-samples", "2", "--max-tokens", "12"]
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    subprocess.run(command("rehearse", *chosen, "--out", undisturbed), check=True, capture_output=True)
    stopped = stop_after(2, command("rehearse", *chosen, "--out", killed), signal.SIGKILL, limit=4 * 2)
    assert stopped.returncode == -signal.SIGKILL
    before = {name: (killed / name).read_bytes() for name in ("trajectories.jsonl", "solutions.jsonl")}
    subprocess.run(command("rehearse", "--resume", killed), check=True, capture_output=True)
    for name, content in before.items():
        assert (killed / name).read_bytes().startswith(content[: content.rfind(b"\n") + 1])
    texts = [
        read_run(folder).turns.sort_values(["problem_id", "index"])["completion"] for folder in (undisturbed, killed)
    ]
    assert list(texts[0]) == list(texts[1])


@either_place
def test_ctrl_c_writes_the_submission_so_far_and_says_how_to_go_on(
    many_sums: Path, tmp_path: Path, place: tuple[str, ...]
) -> None:
    """Exit code 130, no traceback, and a run that can be resumed."""
    folder = tmp_path / "interrupted"
    stopped = stop_after(2, rehearsal_command(many_sums, folder, *place), signal.SIGINT)
    assert stopped.returncode == 130
    assert "Traceback" not in stopped.stderr
    assert f"--resume {folder}" in stopped.stdout
    assert 1 <= len(pd.read_csv(folder / "submission.csv")) < 25
    assert main(["rehearse", "--resume", str(folder)], backends=SUMMING) == 0
    assert len(pd.read_csv(folder / "submission.csv")) == 25


@pytest.mark.slow
def test_a_killed_run_takes_its_relay_with_it(many_sums: Path, tmp_path: Path) -> None:
    """Left behind, it would ask the server of the next run."""
    folder = tmp_path / "killed"
    assert stop_after(2, rehearsal_command(many_sums, folder, *SEPARATE), signal.SIGKILL).returncode == -signal.SIGKILL
    wait_until(lambda: not processes_of(folder))
    subprocess.run(command("rehearse", "--resume", folder), check=True, capture_output=True)
    submission = pd.read_csv(folder / "submission.csv")
    assert dict(zip(submission["id"], submission["answer"], strict=True)) == {f"s{n}": n + 107 for n in range(25)}


def processes_of(folder: Path) -> list[str]:
    """Processes whose command line names `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().decode(errors="replace"))
    return [line for line in found if str(folder) in line]


def test_a_rerun_is_rehearsed_in_two_processes(sums: Path, tmp_path: Path) -> None:
    """The order is random, every trick of the relay is stood, and every verdict is right; a resumed run keeps it."""
    rehearsal = Rehearsal(str(sums), SCRIPTED, Api.KAGGLE_EVALUATION, separate=True, nasty=tuple(RelayFault))
    summary = rehearse(rehearsal, tmp_path / "run", Console(quiet=True), backends=SUMMING)
    assert (summary.num_correct, summary.num_scored, summary.num_fallbacks) == (6, 6, 0)
    order = [problem.id for problem in read_problems(sums).shuffled(SCRIPTED.seed).problems]
    assert list(pd.read_parquet(tmp_path / "run" / "submission.parquet")["id"]) == order
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == {"Succeeded": True}
    assert read_task(Rehearsal, tmp_path / "run") == rehearsal


def test_a_run_without_a_word_of_its_relay_is_resumed(sums: Path, tmp_path: Path) -> None:
    """Older ones had it in process."""
    run(sums, tmp_path / "run", Api.KAGGLE_EVALUATION)
    info_path = tmp_path / "run" / "run.json"
    info = json.loads(info_path.read_text())
    info_path.write_text(json.dumps({key: value for key, value in info.items() if key not in {"separate", "nasty"}}))
    assert read_task(Rehearsal, tmp_path / "run") == Rehearsal(str(sums), SCRIPTED, Api.KAGGLE_EVALUATION)


BAD_INPUT: list[tuple[str, Callable[[Path], list[str | Path]], str]] = [
    ("no columns", lambda tmp: ["--problems", write(tmp / "a.csv", "name,text\nx,y\n")], "id"),
    ("duplicate ids", lambda tmp: ["--problems", write(tmp / "b.csv", "id,problem\n7,x\n7,y\n")], "'7'"),
    ("empty statement", lambda tmp: ["--problems", write(tmp / "c.csv", "id,problem\n7,\n")], "'7'"),
    ("no such file", lambda tmp: ["--problems", tmp / "none.csv"], "none.csv"),
    ("unknown preset", lambda tmp: ["--preset", "fast"], "fast"),
    ("no samples", lambda tmp: ["--num-samples", "0"], "num_samples is 0"),
    ("no turns", lambda tmp: ["--max-turns", "0"], "max_turns is 0"),
    ("negative time-out", lambda tmp: ["--code-timeout", "-1"], "-1"),
    ("too much time", lambda tmp: ["--problem-time", "1e10"], "10000000000"),
    ("unknown range", lambda tmp: ["--answer-range", "foo"], "'foo'"),
    ("unknown API", lambda tmp: ["--api", "foo"], "'foo'"),
    ("a separate 2024 API", lambda tmp: ["--separate"], "separate means api kaggle-evaluation"),
    ("nasty in process", lambda tmp: ["--api", "kaggle-evaluation", "--nasty", "drop"], "only a separate one"),
    ("unknown nastiness", lambda tmp: [*SEPARATE, "--nasty", "rude"], "nasty is 'rude'"),
    ("unknown epsilon", lambda tmp: ["--epsilon", "1"], "epsilon is 1"),
    ("empty problems", lambda tmp: ["--problems", ""], "problems is empty"),
    ("no time", lambda tmp: ["--problem-time", "0"], "problem_time_s is 0"),
    ("nan", lambda tmp: ["--temperature", "nan"], "nan"),
    ("unwritable folder", lambda tmp: ["--out", write(tmp / "file", "") / "run"], "file"),
    ("unknown format", lambda tmp: ["--format", "tora"], "'tora'"),
    ("a template without a model", lambda tmp: ["--format", "chat"], "model's folder"),
    ("unknown script", lambda tmp: ["--script", tmp / "none.jsonl"], "none.jsonl"),
    ("resume of nothing", lambda tmp: ["--resume", tmp], "run.json"),
]


def write(path: Path, text: str) -> Path:
    """A file with `text`."""
    path.write_text(text)
    return path


@pytest.mark.parametrize(("arguments", "named"), [row[1:] for row in BAD_INPUT], ids=[row[0] for row in BAD_INPUT])
def test_bad_input_is_named_in_one_line(
    arguments: Callable[[Path], list[str | Path]], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, the value in the message, no traceback, nothing half made."""
    given = arguments(tmp_path)
    engine: list[str | Path] = [] if "--resume" in given else ["--engine", "scripted"]
    out: list[str | Path] = [] if {"--out", "--resume"} & set(given) else ["--out", tmp_path / "run"]
    assert main([str(argument) for argument in ("rehearse", *engine, *out, *given)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert named in line
    assert not (tmp_path / "run" / "trajectories.jsonl").exists()


@pytest.mark.torch
def test_a_model_folder_without_a_tokenizer_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error says which folder, and what it lacks."""
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert main(["solve", "1+1?", "--model", str(tmp_path)]) == 2
    assert "tokenizer" in capsys.readouterr().err


def test_nothing_else_may_be_chosen_when_a_run_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A resumed run with other settings would be another run."""
    assert main(["rehearse", "--resume", str(tmp_path), "--num-samples", "4"]) == 2
    assert "--num-samples" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--num-samples", "many"], ["--no-such"], ["--see", "3"]])
def test_what_the_command_line_cannot_read_is_said_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the way to the help."""
    with pytest.raises(SystemExit) as stopped:
        main(["rehearse", *arguments])
    (line,) = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert "--help" in line


def test_plain_names_may_stand_for_enums() -> None:
    """From Python as on the command line; others are refused by name."""
    assert Choices(engine="scripted", answer_range="0-999") == Choices(  # type: ignore[arg-type] # what users write
        engine=EngineName.SCRIPTED, answer_range=AnswerRange.UP_TO_999
    )
    with pytest.raises(ConfigError, match="'ollama'"):
        Choices(engine="ollama")  # type: ignore[arg-type] # what users write
    with pytest.raises(ConfigError, match=r"2\.5"):
        Choices(num_samples=2.5).resolve()  # type: ignore[arg-type] # what users write


def test_a_reader_that_leaves_costs_no_problem(many_sums: Path, tmp_path: Path) -> None:
    """`numina-infer rehearse | head -1`: the run goes on, and its verdicts are votes."""
    process = subprocess.Popen(rehearsal_command(many_sums, tmp_path / "run"), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.wait()
    solutions = read_run(tmp_path / "run").solutions
    assert len(solutions) == 25
    assert not solutions["is_fallback"].any()


def test_a_run_of_nothing_but_errors_does_not_pass_for_one(
    sums: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first cause is said, and the exit code is 1."""
    script = write(tmp_path / "script.jsonl", '{"problem": "another problem", "completions": [["x"]]}')
    given = ["--problems", sums, "--engine", "scripted", "--script", script, "--out", tmp_path / "run"]
    assert main(["rehearse", *map(str, given)], backends=SUMMING) == 1
    assert "no row for the problem" in capsys.readouterr().err


def test_a_run_resumes_from_another_folder(sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was named from here is found from there."""
    monkeypatch.chdir(sums.parent)
    quiet, folder = Console(quiet=True), tmp_path / "run"
    rehearse(Rehearsal(sums.name, SCRIPTED), Path("run"), quiet, backends=SUMMING)
    monkeypatch.chdir("/")
    assert rehearse(read_task(Rehearsal, folder), folder, quiet, resume=True, backends=SUMMING).num_correct == 6


def test_an_empty_problem_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to solve."""
    assert main(["solve", " ", "--engine", "scripted"]) == 2
    assert "empty" in capsys.readouterr().err


def test_solve_prints_a_verdict_as_json_and_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    """A pipe can read it."""
    assert main(["solve", "Add 5 and 6.", "--engine", "scripted", "--json"], backends=SUMMING) == 0
    verdict = json.loads(capfd.readouterr().out)
    assert (verdict["answer"], verdict["is_fallback"], verdict["stop_reason"]) == (11, False, "decided")


def test_solve_says_the_answer_to_people() -> None:
    """With the votes behind it."""
    done = subprocess.run(
        command("solve", "Add 5 and 6.", "--engine", "scripted"), check=True, capture_output=True, text=True
    )
    assert "answer: 11" in done.stdout
    assert "11×" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["rehearse"], ["solve"]])
def test_help_teaches(arguments: list[str]) -> None:
    """Every command explains itself, with examples."""
    done = subprocess.run(command(*arguments, "--help"), check=True, capture_output=True, text=True)
    assert "usage: numina-infer" in done.stdout
    assert not arguments or "examples:" in done.stdout


def test_fifty_problems_and_nine_hours_are_rehearsed_on_a_machine_that_is_not_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every line that has a figure says that it is simulated, and the summary says where the time went."""
    given = ["--preset", "t4x2", "--engine", "simulated", "--num-samples", "12", "--out", str(tmp_path)]
    assert main(["rehearse", *given]) == 0
    said = capsys.readouterr().out
    verdicts = [line for line in said.splitlines() if line.startswith("simulated [")]
    assert len([line for line in verdicts if "votes" in line and " running" not in line]) == 50
    assert "simulated: 50 problems in" in said
    assert "not used" in said
    assert "of 9:00:00" in said
    assert not [line for line in said.splitlines() if line.startswith("[")]
    info = read_run(tmp_path).info
    assert (info["engine"]["engine"], info["sandbox"]["sandbox"]) == ("simulated", "simulated")
    assert info["preset"]["contest"]["bank"]["num_problems"] == 50


def test_a_competition_brings_its_api_range_and_limits(sums: Path, tmp_path: Path) -> None:
    """What is chosen beside it wins, and a resumed run knows of it."""
    folder = tmp_path / "run"
    given = ["--problems", str(sums), "--engine", "scripted", "--competition", "aimo-2", "--out", str(folder)]
    assert main(["rehearse", *given], backends=SUMMING) == 0
    assert (folder / "result.json").is_file()  # the inference server's, not the 2024 API's
    rehearsal = read_task(Rehearsal, folder)
    assert rehearsal.choices.competition == "aimo-2"
    assert (rehearsal.api, rehearsal.api_version) == (Api.KAGGLE_EVALUATION, "0.3.0")
    preset = rehearsal.choices.resolve()
    assert preset.rollout.answer_range is AnswerRange.UP_TO_999
    assert preset.contest.bank is not None
    assert (preset.contest.bank.time_limit_s, preset.contest.bank.predict_limit_s) == (5 * 3600.0, 1800.0)
    shorter = Choices(competition="aimo-2", time_limit_s=600.0, answer_range=AnswerRange.UP_TO_99999).resolve()
    assert shorter.contest.bank is not None
    assert (shorter.contest.bank.time_limit_s, shorter.rollout.answer_range) == (600.0, AnswerRange.UP_TO_99999)


def test_an_unknown_competition_is_refused(sums: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the names of the known ones, and nothing is run."""
    assert main(["rehearse", "--competition", "aimo-9", "--out", str(tmp_path / "run")]) == 2
    assert "aimo-1, aimo-2, aimo-3" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
