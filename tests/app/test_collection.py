"""Collections with a script for a model: many problems at once, killed and resumed, on one engine or two endpoints."""

import io
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from rich.console import Console

from drills.engines.stand_in import StandIn
from numina_infer import read_run
from numina_infer.app import collection as collection_module
from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.collection import collect
from numina_infer.app.composition import Backends, make_engine
from numina_infer.app.rehearsal import rehearse
from numina_infer.app.tasks import Collection, Rehearsal, read_task
from numina_infer.cli import main
from numina_infer.core.engine_config import ClientConfig
from numina_infer.core.errors import ConfigError, EngineError, RunLogError
from numina_infer.core.events import Ended, Opened, Solved
from numina_infer.core.presets import PRESETS
from numina_infer.engines.scripted_engine import ScriptedDecoder, ScriptedEngine, sum_of_numbers
from numina_infer.runs.history import read_events, read_info
from numina_infer.runs.progress import LiveProgress, RunConsole, Scoreboard
from numina_infer.runs.summary import CollectionSummary
from numina_infer.solving.contest import Contest
from tests.app.halting import halt
from tests.app.scripted_collections import arguments, assert_complete, stop_after, write_script
from tests.run_folders import EVENTS
from tests.summing import SUMMING, summing_sandbox, write_sums
from tests.waiting import wait_until

NUM_PROBLEMS = 8


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    """Problems that the built-in script solves, with references as real files have them."""
    return write_sums(tmp_path / "sums.jsonl", NUM_PROBLEMS)


def run(
    problems: Path, folder: Path, at_once: int = 4, backends: Backends = SUMMING, **chosen: object
) -> tuple[CollectionSummary, str]:
    """What a collection brings in, and what a log file would show of it."""
    choices = Choices(**{"engine": EngineName.SCRIPTED, "preset": "collect", "num_samples": 3, **chosen})  # type: ignore[arg-type] # what a test chooses
    log = io.StringIO()
    harvest = collect(Collection(str(problems), choices, at_once), folder, RunConsole(log), backends=backends)
    return harvest, log.getvalue()


def openings(folder: Path) -> Counter[str]:
    """How often each problem was opened."""
    return Counter(event.problem_id for event in read_events(folder) if isinstance(event, Opened))


@pytest.mark.parametrize("at_once", [1, 3, 20])
def test_every_sample_of_every_problem_is_in_the_log_however_many_are_in_work(
    sums: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], at_once: int
) -> None:
    """The preset's stop rule lets none end early, and one line tells what came of it."""
    given = arguments(sums, tmp_path / "run", "--concurrent-problems", str(at_once))
    assert main(given, backends=SUMMING) == 0
    assert_complete(tmp_path / "run", NUM_PROBLEMS)
    assert read_info(tmp_path / "run")["concurrent_problems"] == at_once
    assert "8 of 8 with a reference right by vote (100.0%), pass@1 100.0%" in capsys.readouterr().out


def test_what_is_sampled_does_not_depend_on_how_many_problems_are_in_work(sums: Path, tmp_path: Path) -> None:
    """Seeds come from problem, trajectory and turn alone."""
    said = []
    for at_once in (1, 7):
        folder = tmp_path / str(at_once)
        run(sums, folder, at_once)
        recorded = read_run(folder)
        turns = recorded.turns.sort_values(["problem_id", "index", "turn"])
        solutions = recorded.solutions.sort_values("problem_id")
        said.append((list(turns["completion"]), list(turns["seed"]), list(solutions["votes"])))
    assert said[0] == said[1]


def test_problems_are_opened_in_the_order_of_the_file(sums: Path, tmp_path: Path) -> None:
    """One after the other, where one at a time is asked for."""
    run(sums, tmp_path / "run", 1)
    assert list(openings(tmp_path / "run")) == [f"s{n}" for n in range(NUM_PROBLEMS)]


class Crowded(ScriptedEngine):
    """An engine that gives no slot before so many trajectories wait for one."""

    def __init__(self, crowd: int) -> None:
        super().__init__(sum_of_numbers)
        self._missing, self._is_crowded = crowd, anyio.Event()

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[ScriptedDecoder]:
        """A place once the crowd is there."""
        self._missing -= 1
        if self._missing <= 0:
            self._is_crowded.set()
        await self._is_crowded.wait()
        async with super().slot(ticket) as decoder:
            yield decoder


def test_as_many_problems_as_were_asked_for_are_in_work_and_no_more(sums: Path, tmp_path: Path) -> None:
    """The engine would wait for ever for the trajectories of a third problem if there were two."""
    run(sums, tmp_path / "run", 3, Backends(lambda *_: Crowded(3 * 3), summing_sandbox))
    open_now, most = 0, 0
    for event in read_events(tmp_path / "run"):
        open_now += isinstance(event, Opened) - isinstance(event, Solved)
        most = max(most, open_now)
    assert most == 3


def solved_lines(folder: Path) -> bytes:
    """The whole lines of the verdicts' file."""
    content = (folder / "solutions.jsonl").read_bytes()
    return content[: content.rfind(b"\n") + 1]


def test_a_killed_collection_goes_on_without_solving_anything_twice(tmp_path: Path) -> None:
    """What has a verdict stays byte for byte; what was in work is opened again; in the end all is there."""
    problems, folder = write_sums(tmp_path / "many.jsonl", 30), tmp_path / "run"
    code, _, _ = stop_after(4, folder, arguments(problems, folder), signal.SIGKILL)
    assert code == -signal.SIGKILL
    before = solved_lines(folder)
    solved = {json.loads(line)["solution"]["problem_id"] for line in before.splitlines()}
    assert 4 <= len(solved) < 30
    assert main(["collect", "--resume", str(folder)], backends=SUMMING) == 0
    assert_complete(folder, 30)
    assert solved_lines(folder).startswith(before)
    opened = openings(folder)
    assert {opened[name] for name in solved} == {1}
    assert opened.total() <= 30 + 4  # those that were in work
    assert len(read_info(folder)["sessions"]) == 2


def test_ctrl_c_leaves_what_is_in_work_open_and_says_how_to_go_on(tmp_path: Path) -> None:
    """Exit code 130, no traceback, and a collection that is resumed from its folder alone."""
    problems, folder = write_sums(tmp_path / "many.jsonl", 30), tmp_path / "run"
    code, out, err = stop_after(2, folder, arguments(problems, folder), signal.SIGINT)
    assert code == 130
    assert "Traceback" not in err
    assert f"numina-infer collect --resume {folder}" in out
    stopped = read_run(folder)
    assert 2 <= len(stopped.solutions) < 30
    assert set(stopped.solutions["stop_reason"]) == {"exhausted"}
    assert main(["collect", "--resume", str(folder)], backends=SUMMING) == 0
    assert_complete(folder, 30)


def test_a_rehearsal_of_before_commands_were_noted_is_no_collection(tmp_path: Path) -> None:
    """Its run.json names no command; only `rehearse` goes on with it."""
    folder = tmp_path / "run"
    rehearse(Rehearsal(choices=Choices(engine=EngineName.SCRIPTED)), folder, Console(quiet=True), backends=SUMMING)
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({name: info[name] for name in info if name != "command"}))
    assert read_task(Rehearsal, folder).choices.engine is EngineName.SCRIPTED
    with pytest.raises(RunLogError, match="go on with numina-infer rehearse --resume"):
        read_task(Collection, folder)


def test_a_finished_collection_resumes_to_itself(sums: Path, tmp_path: Path) -> None:
    """No engine is started, and no byte changes."""
    first, _ = run(sums, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    chosen = read_task(Collection, tmp_path / "run")
    again = collect(chosen, tmp_path / "run", Console(quiet=True), resume=True, backends=SUMMING)
    assert chosen == Collection(str(sums), Choices(engine=EngineName.SCRIPTED, preset="collect", num_samples=3), 4)
    assert again.problems == first.problems
    assert {name: content for name, content in before.items() if name != "run.json"} == {
        path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.name != "run.json"
    }


def test_problems_in_which_the_engine_broke_are_taken_again(sums: Path, tmp_path: Path) -> None:
    """A verdict on errors is none that a log can be replayed on; where nothing else came the exit code is 1."""
    script = tmp_path / "script.jsonl"
    script.write_text('{"problem": "another problem", "completions": [["x"]]}')
    few = write_sums(tmp_path / "few.jsonl", 3)
    assert main(arguments(few, tmp_path / "run", "--script", script), backends=SUMMING) == 1
    assert main(["collect", "--resume", str(tmp_path / "run")], backends=SUMMING) == 1
    assert set(openings(tmp_path / "run").values()) == {2}
    assert len(read_run(tmp_path / "run").solutions) == 3


def test_an_engine_that_is_gone_ends_the_collection(tmp_path: Path) -> None:
    """Or every problem to come would have a verdict without a trajectory."""
    script = tmp_path / "script.jsonl"
    script.write_text('{"problem": "another problem", "completions": [["x"]]}')
    with pytest.raises(EngineError, match=r"no row for the problem.* go on with numina-infer collect --resume"):
        run(write_sums(tmp_path / "many.jsonl", 60), tmp_path / "run", script=str(script))
    assert 8 <= len(read_run(tmp_path / "run").solutions) < 60


@pytest.mark.timeout(60)
def test_a_second_ctrl_c_waits_for_no_problem(sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which goes on for hours: leaving the contest ends it, before the threads are waited for."""
    interrupt, presses = Contest.interrupt, list[str]()

    def press(*_: object, **_options: object) -> NoReturn:
        wait_until(lambda: openings(tmp_path / "run").total() == 4)  # all that are in work at once
        presses.append("Ctrl-C")
        raise KeyboardInterrupt

    def press_once(contest: Contest) -> None:
        if len(presses) < 2:
            press()
        interrupt(contest)

    halting = Backends(lambda *given: halt(make_engine(*given), limit=0), summing_sandbox)
    monkeypatch.setattr(collection_module, "wait", press)
    monkeypatch.setattr(Contest, "interrupt", press_once)
    with pytest.raises(KeyboardInterrupt):
        run(sums, tmp_path / "run", backends=halting)
    assert len(presses) == 2


def test_accuracy_is_told_by_vote_and_by_trajectory(tmp_path: Path) -> None:
    """Half of the trajectories are right; the vote is a tie, which the larger answer wins."""
    one = write_sums(tmp_path / "one.jsonl", 1)
    script = write_script(tmp_path / "script.jsonl", "It is $\\boxed{107}$.", "It is $\\boxed{5}$.")
    summary, _ = run(one, tmp_path / "run", script=str(script), num_samples=4)
    assert (summary.num_correct, summary.pass_at_1) == (1, 0.5)
    assert summary.num_trajectories == 4
    assert "1 of 1 with a reference right by vote (100.0%), pass@1 50.0%; 4 trajectories" in summary.line


def test_without_references_nothing_is_scored(tmp_path: Path) -> None:
    """No share of nothing is made up."""
    path = tmp_path / "bare.jsonl"
    path.write_text('{"id": "a", "problem": "Add 1 and 2."}\n')
    summary, _ = run(path, tmp_path / "run")
    assert "1 problems, none with a reference; 3 trajectories" in summary.line


def test_a_time_bank_is_taken_out(sums: Path, tmp_path: Path) -> None:
    """A preset for a contest gives each problem its most, whatever the others took."""
    run(sums, tmp_path / "run", preset="t4x2", num_samples=2)
    assert read_info(tmp_path / "run")["preset"]["contest"]["bank"] is None
    slices = [event.slice for event in read_events(tmp_path / "run") if isinstance(event, Opened)]
    assert {(cut.seconds, str(cut.bound)) for cut in slices if cut} == {(1500.0, "most")}


def test_simulated_figures_are_called_so(tmp_path: Path) -> None:
    """Nobody takes them for a machine's that is here."""
    samples = tmp_path / "samples.jsonl"
    samples.write_text('{"id": "a", "problem": "1+1?", "answer": "2", "answers": [2, 2, 3], "tokens": [40, 50, 60]}\n')
    summary, shown = run(samples, tmp_path / "run", engine="simulated", samples=str(samples))
    assert summary.line.startswith("simulated: 1 problems: 1 of 1 with a reference right")
    assert "simulated [0/1] 1 problems in work" in shown


def test_empty_seats_of_the_engine_are_told_once(sums: Path, tmp_path: Path) -> None:
    """With the number of problems that fills them, but never more than there are."""
    _, shown = run(sums, tmp_path / "few", 2, num_samples=16)
    assert shown.count("--concurrent-problems 3 fills it") == 1
    _, shown = run(sums, tmp_path / "enough", 3, num_samples=16)
    assert "--concurrent-problems" not in shown


@pytest.fixture
def two_servers(sockets: Path) -> Iterator[tuple[StandIn, StandIn]]:
    """Stand-ins for two servers, on a loop of their own."""
    with start_blocking_portal() as portal, ExitStack() as stack:
        servers = (StandIn(sockets / "a", sum_of_numbers), StandIn(sockets / "b", sum_of_numbers))
        for server in servers:
            stack.enter_context(portal.wrap_async_context_manager(server))
        yield servers


def test_all_endpoints_are_used(sums: Path, tmp_path: Path, two_servers: tuple[StandIn, StandIn]) -> None:
    """Naming one is enough to mean vLLM's client; requests are the same wherever they go."""
    endpoints = [argument for server in two_servers for argument in ("--endpoint", server.address)]
    given = ["--problems", str(sums), "--num-samples", "3", "--out", str(tmp_path / "run")]
    assert main(["collect", *given, *endpoints], backends=SUMMING) == 0
    assert_complete(tmp_path / "run", NUM_PROBLEMS)
    shares = [len(server.requests) for server in two_servers]
    assert sum(shares) == NUM_PROBLEMS * 3 * 2
    assert min(shares) >= sum(shares) // 4
    assert read_info(tmp_path / "run")["engine"]["num_endpoints"] == 2


def test_an_endpoint_that_is_not_there_is_named(
    sums: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is 1, and the run can begin in the same folder later."""
    hasty = replace(PRESETS["collect"], client=ClientConfig(greet_s=0.05))
    monkeypatch.setitem(PRESETS, "collect", hasty)
    given = ["--problems", str(sums), "--out", str(tmp_path / "run"), "--endpoint", str(tmp_path / "nobody")]
    assert main(["collect", *given], backends=SUMMING) == 1
    assert f"no endpoint answers at {tmp_path / 'nobody'}" in capsys.readouterr().err
    assert main(arguments(sums, tmp_path / "run"), backends=SUMMING) == 0


BAD_INPUT: list[tuple[str, Callable[[Path], list[str | Path]], str]] = [
    ("no problem at once", lambda tmp: ["--concurrent-problems", "0"], "concurrent_problems is 0"),
    ("fewer", lambda tmp: ["--concurrent-problems", "-3"], "concurrent_problems is -3"),
    ("no such file", lambda tmp: ["--problems", tmp / "none.csv"], "none.csv"),
    ("a contest clock", lambda tmp: ["--time-limit", "600"], "time_limit_s is 600"),
    ("an endpoint beside a script", lambda tmp: ["--endpoint", "https://host"], "endpoint means engine vllm"),
    ("no address", lambda tmp: ["--engine", "vllm", "--endpoint", "ftp://host"], "'ftp://host'"),
    ("unknown preset", lambda tmp: ["--preset", "fast"], "fast"),
    ("resume of nothing", lambda tmp: ["--resume", tmp], "run.json"),
]


@pytest.mark.parametrize(("given", "named"), [row[1:] for row in BAD_INPUT], ids=[row[0] for row in BAD_INPUT])
def test_bad_input_is_named_in_one_line(
    given: Callable[[Path], list[str | Path]], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, the value in the message, nothing half made."""
    chosen = given(tmp_path)
    others = [] if "--resume" in chosen else ["--out", tmp_path / "run"]
    engine = [] if {"--engine", "--resume"} & set(chosen) else ["--engine", "scripted"]
    assert main([str(argument) for argument in ("collect", *engine, *others, *chosen)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert named in line
    assert not (tmp_path / "run").exists()


def test_a_whole_number_of_problems_is_in_work() -> None:
    """From Python as on the command line."""
    for bad in (2.5, True, "4"):
        with pytest.raises(ConfigError, match="concurrent_problems"):
            Collection(concurrent_problems=bad)  # type: ignore[arg-type] # what users write


def test_a_run_goes_on_only_by_the_command_that_began_it(
    sums: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says which that is."""
    run(sums, tmp_path / "collected")
    assert main(["rehearse", "--resume", str(tmp_path / "collected")]) == 2
    assert "numina-infer collect --resume" in capsys.readouterr().err
    rehearsed = ["--problems", str(sums), "--engine", "scripted", "--num-samples", "1"]
    assert main(["rehearse", *rehearsed, "--out", str(tmp_path / "rehearsed")], backends=SUMMING) == 0
    with pytest.raises(RunLogError, match="numina-infer rehearse --resume"):
        read_task(Collection, tmp_path / "rehearsed")


def test_changed_problems_are_not_resumed(sums: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Verdicts of other problems under the same ids would be lies."""
    run(sums, tmp_path / "run")
    sums.write_text(sums.read_text().replace("Add 5", "Add 6"))
    assert main(["collect", "--resume", str(tmp_path / "run")]) == 2
    assert "problems file has changed" in capsys.readouterr().err


def test_nothing_else_may_be_chosen_when_a_collection_is_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A resumed run with other settings would be another run."""
    assert main(["collect", "--resume", str(tmp_path), "--concurrent-problems", "8"]) == 2
    assert "--concurrent-problems" in capsys.readouterr().err


def test_a_scoreboard_keeps_open_problems_only() -> None:
    """Thousands of solved ones would fill memory; an ending behind a late verdict breaks nothing."""
    board = Scoreboard(num_problems=3)
    for event in EVENTS:
        board.update(event)
    late = next(event for event in EVENTS if isinstance(event, Ended))
    board.update(late)
    assert board.ledgers == {}
    assert (board.num_solved, board.num_ended) == (2, 5)


def test_the_time_left_is_that_of_the_problems_left() -> None:
    """Two of six were there before, one took ten seconds, so three take thirty."""
    now = 40.0  # the engine starts for a minute
    board = Scoreboard(num_problems=6, num_solved=2, now=lambda: now, is_collection=True)
    now = 100.0
    assert "[2/6]" in board.line
    assert "? left" in board.line
    for event in EVENTS[:7]:
        board.update(event)
    now = 110.0
    assert board.line == ("[3/6] 0 problems in work, 0 trajectories decoding, 2 ended, 0 tok/s, 0:30 left")


def test_a_log_file_gets_few_lines(sums: Path, tmp_path: Path) -> None:
    """Every problem's own would be thousands."""
    _, shown = run(sums, tmp_path / "run")
    assert sum("tok/s" in line for line in shown.splitlines()) < NUM_PROBLEMS


def test_a_terminal_gets_a_line_that_is_up_to_date() -> None:
    """For all problems together, and no line for each."""
    screen = io.StringIO()
    board = Scoreboard(num_problems=3, is_collection=True)
    console = Console(file=screen, force_terminal=True, width=140)
    with LiveProgress(board, console) as shown:
        for event in EVENTS:
            shown(event)
    assert "[2/3] 0 problems in work" in screen.getvalue()
    assert "[1/3] a:" not in screen.getvalue()


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """With examples, and without the contest's clock."""
    with pytest.raises(SystemExit):
        main(["collect", "--help"])
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert "--concurrent-problems" in shown
    assert "(default: collect)" in shown
    assert "--time-limit" not in shown
