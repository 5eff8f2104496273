"""Runs with a cache: from the command line, killed and resumed, one after the other over one folder."""

import io
import json
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from numina_infer import read_run, solve
from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.collection import collect
from numina_infer.app.composition import Backends
from numina_infer.app.tasks import Collection, read_task
from numina_infer.cli import main
from numina_infer.core.errors import ConfigError
from numina_infer.engines.scripted_engine import Cue, ScriptedEngine, sum_of_numbers
from numina_infer.runs.history import read_info
from numina_infer.runs.progress import RunConsole
from tests.app.scripted_collections import arguments, assert_complete, stop_after, write_script
from tests.summing import SUMMING, summing_sandbox, write_sums


class Logged:
    """The built-in script, that remembers every turn it was asked for and stops the run at one of them."""

    name = "logged"

    def __init__(self, stop_at: int | None = None) -> None:
        self.turns: Counter[tuple[str, int]] = Counter()
        self._stop_at = stop_at

    def line(self, cue: Cue) -> str:
        """What the sum script says, unless it is time to stop."""
        if self._stop_at is not None and self.turns.total() == self._stop_at:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        self.turns[cue.context_text, cue.seed] += 1
        return sum_of_numbers(cue.context_text, cue.seed)


def chosen(problems: Path, cache: Path) -> Collection:
    """A scripted collection with a cache."""
    choices = Choices(engine=EngineName.SCRIPTED, preset="collect", num_samples=3, cache=str(cache))
    return Collection(str(problems), choices, 2)


def test_a_collection_that_is_stopped_in_the_middle_generates_no_turn_twice(
    tmp_path: Path,
) -> None:
    """Recorded solutions and cached turns; what the stop broke off in the middle of its text was never whole."""
    script, folder = Logged(stop_at=25), tmp_path / "run"
    collection, quiet = chosen(write_sums(tmp_path / "sums.jsonl", 40), tmp_path / "cache"), Console(quiet=True)
    with pytest.raises(KeyboardInterrupt):
        collect(collection, folder, quiet, backends=Backends(lambda *_: ScriptedEngine(script), summing_sandbox))
    assert 0 < len(read_run(folder).solutions) < 40
    whole = len(list((tmp_path / "cache").glob("*/*.json")))
    assert 0 < whole < 40 * 3 * 2

    again, shown = Logged(), io.StringIO()
    backends = Backends(lambda *_: ScriptedEngine(again), summing_sandbox)
    collect(read_task(Collection, folder), folder, RunConsole(shown), resume=True, backends=backends)
    assert_complete(folder, 40)
    assert whole + again.turns.total() == 40 * 3 * 2
    assert max(again.turns.values()) == 1
    assert f"{again.turns.total()} were generated" in shown.getvalue()


def test_a_killed_collection_goes_on_from_what_is_on_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The cache stands in `run.json`, named from the root, and is used again without being named again."""
    problems, folder, cache = write_sums(tmp_path / "many.jsonl", 30), tmp_path / "run", tmp_path / "cache"
    stop_after(4, folder, arguments(problems, folder, "--cache", cache), signal.SIGKILL)
    assert read_info(folder)["choices"]["cache"] == str(cache)
    before = {file.name for file in cache.glob("*/*.json")}
    assert len(before) >= 4 * 3 * 2
    assert main(["collect", "--resume", str(folder)], backends=SUMMING) == 0
    assert_complete(folder, 30)
    generated = {file.name for file in cache.glob("*/*.json")} - before
    assert len(before) + len(generated) == 30 * 3 * 2
    assert f"{len(generated)} were generated" in capsys.readouterr().out


def test_a_second_run_over_the_same_folder_generates_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says the same."""
    problems, cache = write_sums(tmp_path / "sums.jsonl", 4), tmp_path / "cache"
    said = []
    for name, more in (("one", []), ("two", ["--concurrent-problems", "1"])):
        assert main(arguments(problems, tmp_path / name, "--cache", cache, *more), backends=SUMMING) == 0
        turns = read_run(tmp_path / name).turns.sort_values(["problem_id", "index", "turn"])
        said.append(turns.drop(columns=["wall_s", "cpu_s"]).to_dict("records"))
    assert said[0] == said[1]
    shown = capsys.readouterr().out
    assert "cache: 0 turns were there, 24 were generated; 0 tokens saved" in shown
    assert "cache: 24 turns were there, 0 were generated" in shown


def test_a_wider_run_generates_what_is_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seeds don't depend on how many samples there are."""
    problems, cache = write_sums(tmp_path / "sums.jsonl", 2), tmp_path / "cache"
    for num_samples in (3, 5):
        given = arguments(problems, tmp_path / f"{num_samples}", "--cache", cache, num_samples=num_samples)
        assert main(given, backends=SUMMING) == 0
    assert "cache: 12 turns were there, 8 were generated" in capsys.readouterr().out


def test_a_changed_script_is_another_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file under the same name says something else."""
    problems, cache, script = write_sums(tmp_path / "one.jsonl", 1), tmp_path / "cache", tmp_path / "script.jsonl"
    for number in (107, 5):
        write_script(script, f"It is $\\boxed{{{number}}}$.")
        given = arguments(problems, tmp_path / f"{number}", "--cache", cache, "--script", script, num_samples=1)
        assert main(given, backends=SUMMING) == 0
    assert "were there, 1 were generated" in capsys.readouterr().out.splitlines()[-3]
    assert [read_run(tmp_path / name).solutions["answer"][0] for name in ("107", "5")] == [107, 5]


def test_a_damaged_entry_is_said_and_generated_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run ends well."""
    problems, cache = write_sums(tmp_path / "one.jsonl", 1), tmp_path / "cache"
    assert main(arguments(problems, tmp_path / "one", "--cache", cache), backends=SUMMING) == 0
    for file in cache.glob("*/*.json"):
        file.write_bytes(file.read_bytes()[:-9])
    assert main(arguments(problems, tmp_path / "two", "--cache", cache), backends=SUMMING) == 0
    shown = capsys.readouterr().out
    assert shown.count("is no completion of ours and is generated again") == 1
    assert "cache: 0 turns were there, 6 were generated" in shown.partition("is no completion")[2]


def test_solving_one_problem_may_use_a_cache(tmp_path: Path) -> None:
    """From Python too."""
    choices = Choices(engine=EngineName.SCRIPTED, preset="collect", num_samples=3, cache=str(tmp_path / "cache"))
    shown = io.StringIO()
    for _ in range(2):
        assert solve("Add 1 and 2.", choices, console=RunConsole(shown), backends=SUMMING).answer == 3
    assert "cache: 6 turns were there, 0 were generated" in shown.getvalue()


def test_a_simulated_engine_takes_no_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Said in one line."""
    assert main(["rehearse", "--engine", "simulated", "--cache", str(tmp_path / "cache")]) == 2
    assert "engine simulated, whose texts take no time to generate; leave it out" in capsys.readouterr().err


def test_a_cache_that_is_a_file_ends_with_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is run."""
    (tmp_path / "file").write_text("")
    problems = write_sums(tmp_path / "one.jsonl", 1)
    assert main(arguments(problems, tmp_path / "run", "--cache", tmp_path / "file")) == 2
    assert "is a file; give a folder" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError):
        solve("1+1?", Choices(engine=EngineName.SCRIPTED, cache=str(tmp_path / "file")))


def test_the_cache_command_tells_the_size_and_clears(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that isn't there is empty."""
    problems, cache = write_sums(tmp_path / "one.jsonl", 1), tmp_path / "cache"
    assert main(arguments(problems, tmp_path / "run", "--cache", cache), backends=SUMMING) == 0
    assert json.loads(next(cache.glob("*/*.json")).read_text())["completion"]["text"]
    for more, told in (
        ([], "holds 6 completions"),
        (["--clear"], "cleared of 6"),
        ([], "holds 0 completions, 0.0 MB"),
    ):
        assert main(["cache", str(cache), *more]) == 0
        assert told in capsys.readouterr().out
    assert main(["cache", str(tmp_path / "none")]) == 0
    assert main(["cache", str(problems)]) == 2
