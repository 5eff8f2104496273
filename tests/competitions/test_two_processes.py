"""A rerun's two sides in two processes, where ours breaks off."""

from pathlib import Path

import pytest

from numina_infer.competitions.mock.relay import RelayConfig
from numina_infer.competitions.two_processes import SeparateCompetition
from tests.competitions.relays import ANY_PORT
from tests.competitions.replies import replying


def test_an_exit_in_predict_is_the_callers_and_leaves_the_submission_so_far(tmp_path: Path) -> None:
    """As by Ctrl-C: the relay has written before it goes."""

    def leave(_: str) -> object:
        raise SystemExit(3)

    problems = tmp_path / "two.csv"
    problems.write_text("id,problem\n007,1+1?\n229ee8,1+2?\n")
    with pytest.raises(SystemExit):
        SeparateCompetition(problems, tmp_path / "out", RelayConfig(ports=ANY_PORT)).run(replying(leave))
    assert (tmp_path / "out" / "submission.csv").read_text() == "id,answer\n007,2\n"
    assert not (tmp_path / "out" / "result.json").exists()
