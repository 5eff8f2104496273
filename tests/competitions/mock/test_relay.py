"""The relay that calls over gRPC: its patience, its ways of failing, and how nasty it is on purpose."""

import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from pyarrow import parquet

from numina_infer.competitions.api_versions import API_VERSIONS, Predict
from numina_infer.competitions.gateways import make_predict
from numina_infer.competitions.inference_server import InferenceServer
from numina_infer.competitions.mock.relay import Relay, RelayConfig, RelayFault, main
from numina_infer.competitions.mock.relay_client import RelayClient
from numina_infer.competitions.two_processes import SeparateCompetition
from numina_infer.core.config import ContestConfig, Policy, RolloutConfig, SamplingParams
from numina_infer.core.errors import ConfigError, GatewayError
from numina_infer.core.events import Opened, Solved
from numina_infer.core.presets import Preset
from numina_infer.core.records import Problem
from numina_infer.engines.scripted_engine import ScriptedEngine
from numina_infer.formats.numina import NUMINA
from numina_infer.runs.history import read_events
from numina_infer.runs.log import RunLog
from numina_infer.runs.problems import ProblemRow, ProblemSet
from numina_infer.sandbox.scripted_sandbox import ScriptedSandbox
from numina_infer.solving.contest import Contest, Parts
from tests.competitions.relays import ANY_PORT, GrpcCompetition
from tests.competitions.replies import TWO, failing, polars_reply, replying

TEN = ProblemSet(tuple(ProblemRow(Problem(f"p{n}", f"What is {n}?"), str(n)) for n in range(10)))
right = replying(polars_reply)


def result(folder: Path) -> dict[str, object]:
    """The content of `result.json`."""
    read: dict[str, object] = json.loads((folder / "result.json").read_text())
    return read


@pytest.fixture
def nobody() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def wedge() -> Iterator[threading.Event]:
    """An event to wait for in `predict`, set at the end of the test so that no thread outlives it."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A file with the two problems."""
    path = tmp_path / "two.csv"
    path.write_text("id,problem\n007,1+1?\n229ee8,1+2?\n")
    return path


def test_a_server_that_is_late_is_waited_for(tmp_path: Path) -> None:
    """Three looks find somebody who hangs up; then the server is there, and is asked."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with Relay(TWO, tmp_path, RelayConfig(ports=(port,))) as relay, ThreadPoolExecutor(1) as threads:
        run = threads.submit(relay.run)
        with listener:
            for _ in range(3):
                listener.accept()[0].close()
        with InferenceServer(right, API_VERSIONS["0.9.0"], ports=(port,)):
            run.result()
    assert result(tmp_path) == {"Succeeded": True}


def test_every_port_of_the_version_is_looked_at(tmp_path: Path, nobody: int) -> None:
    """The server takes another if the first isn't free."""
    with InferenceServer(right, API_VERSIONS["0.9.0"], ports=ANY_PORT) as server:
        config = RelayConfig(ports=(nobody, server.port))
        with Relay(TWO, tmp_path, config) as relay:
            relay.run()
    assert relay.submission.answers == (2, 3)


def test_a_server_that_never_starts_ends_the_run(tmp_path: Path, nobody: int) -> None:
    """After the start's time."""
    config = RelayConfig(ports=(nobody,), startup_limit_s=0.001)
    with Relay(TWO, tmp_path, config) as relay, pytest.raises(GatewayError, match="SERVER_NEVER_STARTED"):
        relay.run()
    assert (result(tmp_path)["ErrorType"], result(tmp_path)["ErrorName"]) == (1, "SERVER_NEVER_STARTED")


def test_a_function_of_another_name_is_a_missing_endpoint(tmp_path: Path) -> None:
    """The relay asks for `predict` and finds nothing."""

    def answer(id_: pl.Series, problem: pl.Series) -> object:
        return polars_reply("007")

    with InferenceServer(answer, API_VERSIONS["0.9.0"], ports=ANY_PORT) as server:
        config = RelayConfig(ports=(server.port,))
        with Relay(TWO, tmp_path, config) as relay, pytest.raises(GatewayError, match="MISSING_ENDPOINT"):
            relay.run()
    assert (result(tmp_path)["ErrorType"], result(tmp_path)["ErrorName"]) == (4, "SERVER_MISSING_ENDPOINT")


DYING_SERVER = """\
import os, polars as pl
from numina_infer.competitions.api_versions import API_VERSIONS
from numina_infer.competitions.inference_server import InferenceServer
def predict(id_, problem):
    if id_.item(0) != "007":
        os._exit(1)
    return pl.DataFrame({"id": id_, "answer": [2]})
with InferenceServer(predict, API_VERSIONS["0.9.0"], ports=(0,)) as server:
    print(server.port, flush=True)
    server.serve()
"""


@pytest.mark.parametrize("version", ["0.3.0", "0.9.0"])
def test_a_server_that_dies_in_a_call_ends_the_run(tmp_path: Path, version: str) -> None:
    """Its process is gone at the second problem, and no retry finds another."""
    with subprocess.Popen([sys.executable, "-c", DYING_SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        config = RelayConfig(version=version, ports=(int(server.stdout.readline()),))
        with Relay(TWO, tmp_path, config) as relay, pytest.raises(GatewayError, match="CONNECTION_FAILED"):
            relay.run()
    assert (result(tmp_path)["ErrorType"], result(tmp_path)["ErrorName"]) == (2, "SERVER_CONNECTION_FAILED")
    assert "UNAVAILABLE" in str(result(tmp_path)["ErrorDetails"])
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_seed_shuffles_the_order(tmp_path: Path) -> None:
    """As Kaggle does, and the same seed gives the same one."""
    competition = GrpcCompetition(TEN, tmp_path, RelayConfig(shuffle_seed=3))
    competition.run(make_predict(lambda problem: int(problem.id[1:])))
    assert competition.submission.ids == tuple(problem.id for problem in TEN.shuffled(3).problems)


def sums_contest(folder: Path) -> tuple[Contest, RunLog]:
    """A contest whose every trajectory answers the number in the statement, and its log."""

    def say(context: str, seed: int) -> str:
        number = int(context.rsplit("What is ", 1)[1].split("?", maxsplit=1)[0])
        return f"The answer is $\\boxed{{{number + 100}}}$."

    preset = Preset(
        "numina",
        RolloutConfig(sampling=SamplingParams(max_tokens=1000)),
        Policy(num_samples=3),
        ContestConfig(problem_time_s=60.0),
    )
    log = RunLog(folder)
    return Contest(Parts(preset, NUMINA, ScriptedEngine(say), ScriptedSandbox(lambda _: "")), log), log


@pytest.mark.parametrize(
    "nasty",
    [
        (RelayFault.ASK_TWICE,),
        (RelayFault.DROP,),
        (RelayFault.EXTRA_COLUMNS,),
        (RelayFault.ASK_TWICE, RelayFault.DROP, RelayFault.EXTRA_COLUMNS),
    ],
    ids="+".join,
)
@pytest.mark.parametrize("version", ["0.3.0", "0.9.0"])
def test_a_nasty_relay_gets_one_verdict_a_problem(tmp_path: Path, nasty: tuple[RelayFault, ...], version: str) -> None:
    """However often a problem is asked for, it is worked on once and always has the same reply."""
    run, out = tmp_path / "run", tmp_path / "out"
    calls: Counter[str] = Counter()
    columns: set[int] = set()
    competition = GrpcCompetition(TEN, out, RelayConfig(version=version, nasty=nasty, nasty_seed=1))
    contest, log = sums_contest(run)
    with log, contest:
        ours = make_predict(contest.answer)

        def predict(*arguments: object) -> object:
            columns.add(len(arguments))
            reply = ours(*arguments)
            assert isinstance(reply, pl.DataFrame)
            calls[f"{reply['id'].item()} {reply['answer'].item()}"] += 1
            return reply

        competition.run(predict)
    table = parquet.read_table(out / "submission.parquet").to_pydict()
    assert table == {"id": [f"p{n}" for n in range(10)], "answer": [100 + n for n in range(10)]}
    assert set(calls) == {f"p{n} {100 + n}" for n in range(10)}
    events = list(read_events(run))
    assert Counter(event.problem.id for event in events if isinstance(event, Opened)) == Counter(
        f"p{n}" for n in range(10)
    )
    assert sum(isinstance(event, Solved) for event in events) == 10
    assert (calls.total() > 10) == bool({RelayFault.DROP, RelayFault.ASK_TWICE} & set(nasty))
    assert columns == ({4} if RelayFault.EXTRA_COLUMNS in nasty else {2})


def test_a_dropped_call_is_made_again_while_the_first_still_runs(tmp_path: Path) -> None:
    """The connection breaks when the request is through: gRPC asks again, and both calls are answered alike."""
    competition = GrpcCompetition(TEN, tmp_path, RelayConfig(nasty=(RelayFault.DROP,), nasty_seed=1))
    asked: list[str] = []

    def predict(id_: pl.Series, problem: pl.Series) -> object:
        asked.append(id_.item())
        return polars_reply(id_.item())

    competition.run(predict)
    assert set(Counter(asked).values()) == {1, 2}
    assert competition.submission.answers == (3,) * 10


def test_another_reply_to_the_same_problem_ends_the_run(tmp_path: Path) -> None:
    """Kaggle takes the last one; a rehearsal shows that there were two."""
    replies = iter(range(100))
    competition = GrpcCompetition(TEN, tmp_path, RelayConfig(nasty=(RelayFault.ASK_TWICE,), nasty_seed=1))
    with pytest.raises(GatewayError, match=r"asked twice, predict replied"):
        competition.run(make_predict(lambda _: next(replies)))


def test_delays_are_drawn_from_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to a second, before some calls."""
    delays: list[list[float]] = []
    monkeypatch.setattr(RelayClient, "pause", lambda _, seconds: delays[-1].append(seconds))
    for _ in range(2):
        delays.append([])
        GrpcCompetition(TEN, tmp_path, RelayConfig(nasty=(RelayFault.DELAY,))).run(make_predict(lambda _: 5))
    assert delays[0] == delays[1]
    assert 0 < len(delays[0]) < 10
    assert all(0 < seconds < 1 for seconds in delays[0])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--version", "2.0"], "'2.0'"),
        (["--nasty", "rude"], "nasty is 'rude'"),
        (["--config", '{"deadline_s": 0}'], "deadline_s is 0"),
        (["--config", '{"startup_limit_s": NaN}'], "startup_limit_s is nan"),
    ],
)
def test_bad_settings_are_named_in_one_line(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    """Exit code 2."""
    assert main(["--problems", str(two), "--out", str(tmp_path / "out"), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert named in line


def test_an_interrupt_before_the_first_call_leaves_a_submission(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its starter may be gone before the relay looks."""

    def interrupted(_: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    assert main(["--problems", str(two), "--out", str(tmp_path / "out"), "--config", "{}"]) == 130
    assert (tmp_path / "out" / "submission.csv").read_text() == "id,answer\n"


def serve_separately(predict: Predict, problems: Path, out: Path) -> None:
    """A relay in a process of its own, asking a server here."""
    SeparateCompetition(problems, out, RelayConfig(ports=ANY_PORT)).run(predict)


def test_a_process_of_its_own_writes_the_submission(two: Path, tmp_path: Path) -> None:
    """As in a rerun: two processes and gRPC between them."""
    serve_separately(right, two, tmp_path / "out")
    assert (tmp_path / "out" / "submission.csv").read_text() == "id,answer\n007,2\n229ee8,3\n"


def test_a_process_that_aborts_says_why(two: Path, tmp_path: Path) -> None:
    """The error is that of `result.json`, and names the problem."""
    with pytest.raises(GatewayError, match=r"'229ee8'.*SERVER_RAISED_EXCEPTION: no model for 229ee8"):
        serve_separately(replying(failing), two, tmp_path / "out")
    assert result(tmp_path / "out")["ErrorName"] == "SERVER_RAISED_EXCEPTION"


def test_a_process_that_cannot_read_its_problems_says_so(tmp_path: Path) -> None:
    """It ends with the code for a value that can't be used."""
    with pytest.raises(ConfigError, match=r"no file .*none\.csv"):
        serve_separately(right, tmp_path / "none.csv", tmp_path / "out")
