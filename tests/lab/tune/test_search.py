"""Searches with a script for a model: what is tried, what is dropped, what is generated, stopped and gone on with."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from drills.engines.faulty import Faults, FaultyEngine
from numina_infer import read_run
from numina_infer.app import composition
from numina_infer.app.choices import Choices, EngineName
from numina_infer.cli import main
from numina_infer.core.errors import ConfigError, EngineError, RunLogError
from numina_infer.engines.scripted_engine import ScriptedEngine, sum_of_numbers
from numina_infer.lab.tune import search as searching
from numina_infer.lab.tune.search_space import SearchSpace, Setting
from numina_infer.lab.tune.tuning_folder import Tuning, read_tuning
from numina_infer.lab.tune.tuning_report import TrialStanding, TuningReport
from numina_infer.runs.history import read_info
from numina_infer.runs.progress import RunConsole
from tests.summing import SUMMING, write_sums
from tests.waiting import wait_until
from tests.witness import Witness

search = partial(searching.search, backends=SUMMING)
DEEP = {"max_turns": "1,2", "temperature": "0.2,0.6"}
"""One turn is too few for the built-in script, and it heeds no temperature."""


def scripted_search(problems: Path, space: dict[str, str] | None = None, **chosen: object) -> Tuning:
    """A scripted search: 2 to 4 samples of a problem, looked at after 4, 8 and 16."""
    choices = Choices(engine=EngineName.SCRIPTED, preset="collect", seed=int(str(chosen.pop("seed", 0))))
    given = {"num_samples": (2, 4), "heats": (4, 8, 16), "num_trials": 12, **chosen}
    return Tuning(str(problems), choices, SearchSpace(space or DEEP), **given)  # type: ignore[arg-type] # what a test chooses


def by_setting(report: TuningReport) -> dict[str, tuple[int, TrialStanding]]:
    """How far each setting was taken, in the order in which they were tried."""
    return {str(trial.setting): (trial.num_problems, trial.standing) for trial in report.trials}


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    """Twelve problems, of which the last has no answer."""
    path = write_sums(tmp_path / "sums.jsonl", 12)
    path.write_text(path.read_text() + '{"id": "bare", "problem": "Add 1, 100 and 7."}\n')
    return path


def watch(monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> Witness:
    """The engine of the next search, watched."""
    witness = Witness(ScriptedEngine(sum_of_numbers), stop_at)
    monkeypatch.setattr(composition, "make_engine", lambda *_: witness)
    return witness


def test_a_bad_setting_is_dropped_after_few_problems_and_good_ones_get_all(sums: Path, tmp_path: Path) -> None:
    """In pairs on the same problems; the first has nothing to be compared with, one without an answer is out."""
    report = search(scripted_search(sums), tmp_path / "tuning")
    assert by_setting(report) == {
        "temperature 0.2, max_turns 1": (12, TrialStanding.WHOLE),
        "temperature 0.2, max_turns 2": (12, TrialStanding.WHOLE),
        "temperature 0.6, max_turns 1": (4, TrialStanding.DROPPED),
        "temperature 0.6, max_turns 2": (12, TrialStanding.WHOLE),
    }
    assert [trial.score(4) for trial in report.ranked] == [1, 1, 0, 0]
    assert report.best.setting == Setting((("temperature", 0.2), ("max_turns", 2)))
    assert "temperature 0.2, max_turns 2 and temperature 0.6, max_turns 2 can't be told apart" in report.verdict


def test_every_setting_and_batch_is_a_run_that_can_be_read(sums: Path, tmp_path: Path) -> None:
    """Samples to their end, with the setting's own parameters, on batches of the same problems for all."""
    search(scripted_search(sums), tmp_path / "tuning")
    folders = sorted((tmp_path / "tuning" / "settings").iterdir())
    assert [folder.name for folder in folders] == [
        f"temperature={temperature},max_turns={turns}" for temperature in (0.2, 0.6) for turns in (1, 2)
    ]
    solved = {folder.name: list(read_run(folder / "0001-0004").solutions["problem_id"]) for folder in folders}
    assert len({tuple(sorted(ids)) for ids in solved.values()}) == 1
    assert sorted(path.name for path in folders[1].iterdir()) == ["0001-0004", "0005-0008", "0009-0012"]
    preset = read_info(folders[1] / "0001-0004")["preset"]
    assert (preset["rollout"]["sampling"]["temperature"], preset["rollout"]["max_turns"]) == (0.2, 2)
    assert (preset["policy"]["num_samples"], preset["policy"]["stop_rule"]) == (4, "never")


def test_the_engine_is_opened_once_and_asked_nothing_twice(
    sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deeper setting goes on where a shallower one ended, and a second search finds all of it."""
    witness, cache = watch(monkeypatch), tmp_path / "cache"
    tuning = scripted_search(sums)
    tuning = Tuning(
        str(sums),
        Choices(engine=EngineName.SCRIPTED, preset="collect", cache=str(cache)),
        tuning.space,
        num_samples=(4,),
        heats=(4, 8, 16),
    )
    report = search(tuning, tmp_path / "tuning")
    assert witness.num_openings == 1
    assert set(witness.written.values()) == {1}
    # First turns of both temperatures, the second turns of the deep ones; the dropped one stopped at 4 problems.
    assert witness.written.total() == 2 * 12 * 4 * 2
    assert report.cache.num_misses == witness.written.total()
    assert report.cache.num_hits == 12 * 4 + 4 * 4
    again = watch(monkeypatch)
    repeated = search(tuning, tmp_path / "again")
    assert again.asked == 0
    assert repeated.verdict == report.verdict


@pytest.mark.parametrize("stop_at", [0, 3, 40, 75])
def test_a_search_that_is_stopped_anywhere_goes_on_and_asks_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    """Both sessions together wrote what one would have, and came to the same, the settings tried included."""
    sums = write_sums(tmp_path / "sums.jsonl", 8)
    space = {"max_turns": "1:3", "temperature": "0.2:1.0:0.1"}
    tuning = scripted_search(sums, space, num_trials=6, seed=5)
    whole = watch(monkeypatch)
    expected = search(tuning, tmp_path / "whole")
    first = watch(monkeypatch, stop_at)
    with pytest.raises(KeyboardInterrupt):
        search(tuning, tmp_path / "tuning")
    second = watch(monkeypatch)
    report = search(None, tmp_path / "tuning", resume=True)
    assert by_setting(report) == by_setting(expected)
    assert report.verdict == expected.verdict
    assert (first.written + second.written) == whole.written
    assert set((first.written + second.written).values()) == {1}
    assert read_tuning(tmp_path / "tuning") == tuning


def test_a_finished_search_resumes_to_itself(sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine is opened."""
    report = search(scripted_search(sums), tmp_path / "tuning")
    result = json.loads((tmp_path / "tuning" / "result.json").read_text())
    witness = watch(monkeypatch)
    again = search(None, tmp_path / "tuning", resume=True)
    assert witness.num_openings == 0
    assert again.trials == report.trials
    assert json.loads((tmp_path / "tuning" / "result.json").read_text())["settings"] == result["settings"]


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_tells_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real process and a real signal; what it recorded is used, and the table comes in the end."""
    problems, folder = write_sums(tmp_path / "sums.jsonl", 40), tmp_path / "tuning"
    given = [
        "--engine",
        "scripted",
        "--problems",
        problems,
        "--max-turns",
        "1,2",
        "--num-samples",
        "4",
        "--out",
        folder,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "numina_infer", "tune", *map(str, given)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: len(list(folder.glob("settings/*/*/solutions.jsonl"))) >= 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert f"numina-infer tune --resume {folder}" in out
    assert main(["tune", "--resume", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "Settings, the best first" in shown
    assert "maj@4" in shown
    assert (folder / "result.json").exists()


def test_settings_that_come_up_again_are_tried_once(sums: Path, tmp_path: Path) -> None:
    """A space with fewer settings than trials is gone through, the preset's own values first."""
    report = search(scripted_search(sums, {"max_turns": "1,2,4"}), tmp_path / "tuning")
    assert [str(trial.setting) for trial in report.trials] == ["max_turns 4", "max_turns 1", "max_turns 2"]


def test_no_more_settings_are_tried_than_were_asked_for(sums: Path, tmp_path: Path) -> None:
    """Each of them another one, and another seed asks for others."""
    tried = []
    for seed in (1, 2):
        space = {"temperature": "0.2:1.0:0.05", "top_p": "0.8:1.0:0.05"}
        folder = tmp_path / f"{seed}"
        report = search(scripted_search(sums, space, num_trials=5, heats=(2,), seed=seed), folder)
        tried.append({str(trial.setting) for trial in report.trials})
    assert [len(settings) for settings in tried] == [5, 5]
    assert tried[0] != tried[1]


def test_progress_tells_place_result_and_time_left(sums: Path, tmp_path: Path) -> None:
    """A line when a setting begins, and one when it ends."""
    log = io.StringIO()
    search(scripted_search(sums, {"max_turns": "1,2"}), tmp_path / "tuning", RunConsole(log))
    shown = log.getvalue()
    assert "[2/2] max_turns 2\n" in shown
    assert "[1/2] max_turns 1: maj@4 0.0% (0.0 to" in shown
    assert "on 12 problems, whole; " in shown
    assert "left" in shown.splitlines()[-1]


@pytest.mark.slow
def test_an_engine_that_breaks_ends_the_search_and_it_goes_on_later(
    sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting stays open."""
    faults = Faults(max_batch=0)
    monkeypatch.setattr(composition, "make_engine", lambda *_: FaultyEngine(ScriptedEngine(sum_of_numbers), faults))
    with pytest.raises(EngineError, match="numina-infer tune --resume"):
        search(scripted_search(sums, {"max_turns": "1,2"}), tmp_path / "tuning")
    faults.max_batch = 99
    report = search(None, tmp_path / "tuning", resume=True)
    assert {trial.num_problems for trial in report.trials} == {12}
    assert report.best.score(4) == 1


def test_runs_that_are_gone_are_named(sums: Path, tmp_path: Path) -> None:
    """With the first folder that is missing; nothing is made up for them."""
    search(scripted_search(sums, {"max_turns": "1,2"}), tmp_path / "tuning")
    (tmp_path / "tuning" / "settings").rename(tmp_path / "elsewhere")
    with pytest.raises(RunLogError, match="max_turns=1/0001-0004 holds no run"):
        search(None, tmp_path / "tuning", resume=True)


BAD_INPUT: list[tuple[str, Callable[[Path], list[object]], str]] = [
    ("nothing to search", lambda _: [], "nothing is to be searched"),
    ("no number", lambda _: ["--temperature", "hot"], "temperature is 'hot'"),
    ("no list", lambda _: ["--max-turns", "2", "--num-samples", "few"], "num_samples is 'few'"),
    ("no trial", lambda _: ["--max-turns", "2", "--trials", "0"], "num_trials is 0"),
    ("falling heats", lambda _: ["--max-turns", "2", "--heats", "8,4"], "heats are (8, 4)"),
    ("a chance above 1", lambda _: ["--max-turns", "2", "--drop-below", "1.5"], "drop_below is 1.5"),
    ("the paper's way", lambda _: ["--max-turns", "2", "--paper"], "paper with a search"),
    ("a contest clock", lambda _: ["--max-turns", "2", "--time-limit", "60"], "time_limit_s is 60"),
    ("simulated", lambda _: ["--max-turns", "2", "--engine", "simulated"], "engine is simulated"),
    ("no file", lambda tmp: ["--max-turns", "2", "--problems", tmp / "none.csv"], "none.csv"),
    ("resume of nothing", lambda tmp: ["--resume", tmp], "holds no search"),
    ("resume and more", lambda tmp: ["--resume", tmp, "--max-turns", "2"], "--max-turns"),
]


@pytest.mark.parametrize(("given", "named"), [row[1:] for row in BAD_INPUT], ids=[row[0] for row in BAD_INPUT])
def test_bad_input_is_named_in_one_line(
    given: Callable[[Path], list[object]], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and no folder is made."""
    chosen = [str(argument) for argument in given(tmp_path)]
    engine = [] if {"--resume", "--engine"} & set(chosen) else ["--engine", "scripted"]
    others = [] if "--resume" in chosen else ["--out", str(tmp_path / "tuning")]
    assert main(["tune", *engine, *others, *chosen]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert named in line
    assert not (tmp_path / "tuning").exists()


def test_problems_without_answers_are_no_ground_to_search_on(tmp_path: Path) -> None:
    """Said before anything is made."""
    path = tmp_path / "bare.jsonl"
    path.write_text('{"id": "a", "problem": "Add 1 and 2."}\n')
    with pytest.raises(ConfigError, match="no problem with an answer that is a vote"):
        search(scripted_search(path), tmp_path / "tuning")
    assert not (tmp_path / "tuning").exists()


def test_problems_without_answers_are_left_out_and_named(sums: Path, tmp_path: Path) -> None:
    """The others are searched on."""
    _, remark = scripted_search(sums).scored_problems()
    assert remark.startswith("left out: 1 problem (bare) without an answer that is a vote in the range")
    shown = io.StringIO()
    search(scripted_search(sums, {"max_turns": "1,2"}, heats=(2,)), tmp_path / "tuning", RunConsole(shown))
    assert "bare" in shown.getvalue()


def test_a_search_goes_on_only_with_its_own_problems(sums: Path, tmp_path: Path) -> None:
    """And a folder holds one search."""
    search(scripted_search(sums, {"max_turns": "1,2"}), tmp_path / "tuning")
    with pytest.raises(RunLogError, match="already holds a search"):
        search(scripted_search(sums), tmp_path / "tuning")
    sums.write_text(sums.read_text().replace("Add 5", "Add 6"))
    with pytest.raises(ConfigError, match="problems file has changed"):
        search(None, tmp_path / "tuning", resume=True)


def test_a_damaged_search_is_named(tmp_path: Path) -> None:
    """Whatever stands in the file."""
    for content in ("{", "[]", '{"format_version": 2}', '{"format_version": 1}'):
        (tmp_path / "tuning.json").write_text(content)
        with pytest.raises(RunLogError, match=r"tuning\.json"):
            read_tuning(tmp_path)


def test_damaged_costs_are_named(sums: Path, tmp_path: Path) -> None:
    """They say which batches are whole."""
    search(scripted_search(sums, {"max_turns": "1,2"}), tmp_path / "tuning")
    spent = tmp_path / "tuning" / "spent.json"
    names = json.loads(spent.read_text())
    for costs in ("1", '{"seconds": []}', '{"num_hits": "x"}', "{"):
        spent.write_text(f"{{{', '.join(f'{json.dumps(name)}: {costs}' for name in names)}}}")
        with pytest.raises(RunLogError, match=r"can't read .*spent\.json"):
            search(None, tmp_path / "tuning", resume=True)


def test_two_searches_dont_share_a_folder(sums: Path, tmp_path: Path) -> None:
    """The second says so."""
    search(scripted_search(sums, {"max_turns": "1,2"}), tmp_path / "tuning")
    locked = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    command = [sys.executable, "-c", locked, str(tmp_path / "tuning" / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(RunLogError, match="another process is searching"):
            search(None, tmp_path / "tuning", resume=True)
        other.communicate("\n")


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """With examples, and each option once."""
    with pytest.raises(SystemExit):
        main(["tune", "--help"])
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert "--temperature VALUES" in shown
    assert "--temperature T " not in shown
    assert "--time-limit" not in shown
