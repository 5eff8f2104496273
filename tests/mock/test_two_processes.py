"""A rerun's two sides in two processes, where the relay breaks off."""

import json
from pathlib import Path

import pytest

from numina_infer.competitions.mock.relay import RelayConfig
from numina_infer.competitions.two_processes import SeparateCompetition
from numina_infer.core.errors import GatewayError
from tests.relays import ANY_PORT
from tests.replies import failing, replying


def test_what_the_relay_aborts_with_ends_the_rehearsal(tmp_path: Path) -> None:
    """The error names the problem and Kaggle's name for what happened."""
    problems = tmp_path / "two.csv"
    problems.write_text("id,problem\n007,1+1?\n229ee8,1+2?\n")
    competition = SeparateCompetition(problems, tmp_path / "out", RelayConfig(ports=ANY_PORT))
    with pytest.raises(GatewayError, match=r"'229ee8', with no submission: SERVER_RAISED_EXCEPTION: no model"):
        competition.run(replying(failing))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result.json"]
    assert json.loads((tmp_path / "out" / "result.json").read_text())["ErrorType"] == 3


def test_an_exit_in_predict_is_the_callers_and_leaves_the_submission_so_far(tmp_path: Path) -> None:
    """As by Ctrl-C: the relay has written before it goes."""

    def leave(_: str) -> object:
        raise SystemExit(3)

    problems = tmp_path / "two.csv"
    problems.write_text("id,problem\n007,1+1?\n229ee8,1+2?\n")
    with pytest.raises(SystemExit):
        SeparateCompetition(problems, tmp_path / "out", RelayConfig(ports=ANY_PORT)).run(replying(leave))
    assert (tmp_path / "out" / "submission.csv").read_text() == "id,answer\n007,2\n"
