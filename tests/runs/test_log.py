"""The run log: what is written is what is read, as far as it was written."""

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.errors import RunLogError
from numina_infer.core.events import Ended, Opened, Solved, Started, Stopped
from numina_infer.core.records import (
    Problem,
)
from numina_infer.runs.history import read_events, read_info, read_outlines, read_run, solved_problems
from numina_infer.runs.log import SOLUTIONS_FILE, TRAJECTORIES_FILE, RunLog
from tests.run_folders import EVENTS, events_of, write_run
from tests.waiting import wait_until


def test_every_event_reads_back_as_it_was(tmp_path: Path) -> None:
    """Types, numbers, enums and hostile text survive; the order is that of writing, over both files."""
    write_run(tmp_path / "run", EVENTS)
    assert list(read_events(tmp_path / "run")) == EVENTS
    assert read_info(tmp_path / "run")["name"] == "test"


@given(st.data())
def test_a_log_cut_at_any_byte_reads_as_a_prefix(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever a kill left of each file, whole lines are read and nothing else."""
    folder = tmp_path_factory.mktemp("run") / "cut"
    write_run(folder, EVENTS)
    for name, kinds in ((TRAJECTORIES_FILE, (Opened, Started, Ended, Stopped)), (SOLUTIONS_FILE, (Solved,))):
        whole = [event for event in EVENTS if isinstance(event, kinds)]
        content = (folder / name).read_bytes()
        kept = data.draw(st.integers(0, len(content)), label=name)
        (folder / name).write_bytes(content[:kept])
        read = [event for event in read_events(folder) if isinstance(event, kinds)]
        assert read == whole[: content[:kept].count(b"\n")]
        (folder / name).write_bytes(content)


def test_resuming_cuts_the_torn_line_and_keeps_every_byte_before_it(tmp_path: Path) -> None:
    """What was whole stays byte for byte, and numbering goes on behind it."""
    folder = tmp_path / "run"
    write_run(folder, EVENTS)
    whole = (folder / TRAJECTORIES_FILE).read_bytes()
    (folder / TRAJECTORIES_FILE).write_bytes(whole + b'{"seq":99,"eve')
    with RunLog(folder, resume=True) as log:
        log.write(Started("a", 7, at=20.0))
    assert (folder / TRAJECTORIES_FILE).read_bytes().startswith(whole)
    assert list(read_events(folder)) == [*EVENTS, Started("a", 7, at=20.0)]


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    """Nothing that was done is ever written over."""
    write_run(tmp_path, EVENTS)
    with pytest.raises(RunLogError, match="--resume"):
        RunLog(tmp_path)


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_writer_is_kept_out(tmp_path: Path, resume: bool) -> None:
    """Two processes in one folder would mix their runs; the lock goes with the first."""
    with RunLog(tmp_path), pytest.raises(RunLogError, match="another process"):
        RunLog(tmp_path, resume=resume)
    RunLog(tmp_path, resume=resume).close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunLogError, match="file"):
        RunLog(tmp_path / "file" / "run")


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A disk that refuses is said once, and the log stays a prefix."""
    with RunLog(tmp_path / "run") as log:
        log.describe({})
        log.write(EVENTS[0])
        log.close()
        log.write(EVENTS[1])
        log.write(EVENTS[2])
    assert list(read_events(tmp_path / "run")) == EVENTS[:1]
    assert len(caplog.records) == 1


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    """A file that somebody edited isn't read as if it were whole."""
    folder = tmp_path / "run"
    write_run(folder, EVENTS)
    lines = (folder / TRAJECTORIES_FILE).read_bytes().split(b"\n")
    lines[1] = b"{"
    (folder / TRAJECTORIES_FILE).write_bytes(b"\n".join(lines))
    with pytest.raises(RunLogError, match="line 2") as raised:
        list(read_events(folder))
    assert raised.value.line == 2


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    """The error says what is missing."""
    with pytest.raises(RunLogError, match=r"run\.json"):
        read_run(tmp_path)


def test_problems_that_were_in_work_at_once_read_back_each_by_itself(tmp_path: Path) -> None:
    """Whatever the order in which their events came, and whichever ended first."""
    first, second = events_of(Problem("a", "1+1?")), events_of(Problem("b", "2+2?"))
    woven = [first[0], second[0], *second[1:3], *first[1:4], *second[3:], *first[4:]]
    write_run(tmp_path / "run", woven)
    assert list(read_events(tmp_path / "run")) == woven
    run = read_run(tmp_path / "run")
    assert run.trajectories.groupby("problem_id")["index"].apply(list).to_dict() == {"a": [0, 1], "b": [0, 1]}
    assert sorted(run.solutions["problem_id"]) == ["a", "b"]
    for outline in read_outlines(tmp_path / "run"):
        assert (outline.num_ended, outline.num_tokens, dict(outline.answers)) == (2, 4, {2: 1})
        assert outline.is_complete


def test_solved_problems_are_those_with_a_verdict(tmp_path: Path) -> None:
    """A problem that was open when the run was killed is open still."""
    write_run(tmp_path / "run", [*EVENTS[:7], *EVENTS[7:11]])
    assert solved_problems(tmp_path / "run") == {Problem("a", "1+1?"): EVENTS[6].solution}  # type: ignore[union-attr] # it is a Solved


def test_the_frames_hold_every_row_once(tmp_path: Path) -> None:
    """One row a problem, trajectory, turn and verdict."""
    write_run(tmp_path / "run", EVENTS)
    run = read_run(tmp_path / "run")
    assert list(run.problems["problem_id"]) == ["a", "b"]
    assert list(run.trajectories["no_answer"].dropna()) == ["not_an_integer"] * 2
    assert len(run.turns) == 6
    assert list(run.turns["status"].dropna()) == ["ok", "ok"]
    assert list(run.solutions["answer"]) == [2, 2]


def test_a_problem_opened_again_counts_from_its_last_opening(tmp_path: Path) -> None:
    """What a killed run began and a resumed one began anew isn't counted twice."""
    write_run(tmp_path / "run", [*EVENTS[:4], *EVENTS[:7]])
    run = read_run(tmp_path / "run")
    assert (len(run.problems), len(run.trajectories), len(run.solutions)) == (1, 2, 1)


def test_an_empty_run_has_frames_with_their_columns(tmp_path: Path) -> None:
    """A notebook that reads a run just begun doesn't break."""
    write_run(tmp_path / "run", [])
    run = read_run(tmp_path / "run")
    assert run.turns.empty
    assert {"problem_id", "code", "output"} <= set(run.turns.columns)


def test_a_log_that_is_removed_is_told_once_and_the_contest_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody would find out else: what is written to a file without a name is lost."""
    event = events_of(Problem("a", "?"))[0]
    with RunLog(tmp_path / "run") as log:
        log.write(event)
        log.flush(20)
        assert log.trouble == ""
        shutil.rmtree(tmp_path / "run")
        for _ in range(3):
            log.write(event)
        log.flush(20)
        assert log.trouble == f"the run log in {tmp_path / 'run'} was removed while the run went on"
    assert caplog.text.count("was removed while the run went on") == 1


class HangingFile:
    """A file whose writes hang from the `first` one on until `released`."""

    def __init__(self, inner: Any, first: int, released: threading.Event) -> None:
        self.inner, self.left, self.released = inner, first, released

    def write(self, line: bytes) -> int:
        """Take the line, or hang."""
        self.left -= 1
        if self.left < 0:
            self.released.wait(60)
        return int(self.inner.write(line))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.mark.parametrize("first", [0, 1, 4])
def test_a_disk_that_hangs_ends_the_log_and_keeps_nobody(tmp_path: Path, first: int) -> None:
    """What was written is a prefix; whoever writes and closes goes on, and the files are closed when it returns."""
    released = threading.Event()
    log = RunLog(tmp_path / "run", patience_s=0.05)
    log._trajectories = inner = HangingFile(log._trajectories, first, released)  # type: ignore[assignment] # stands in for one
    for event in EVENTS:
        log.write(event)
    log.close()
    assert log.trouble.endswith("a write took longer than 0.05 s, and the log is given up")
    assert not inner.closed
    log.write(EVENTS[0])
    released.set()
    wait_until(lambda: inner.closed)
    written = [event for event in read_events(tmp_path / "run") if not isinstance(event, Solved)]
    assert written == [event for event in EVENTS if not isinstance(event, Solved)][: first + 1]


def test_a_standard_error_that_hangs_keeps_nobody_who_speaks_after_the_log_is_closed(tmp_path: Path) -> None:
    """A late reply does, where the contest and its log are closed already."""
    released, said = threading.Event(), list[str]()

    def hang(_text: str) -> None:
        released.wait(60)

    log = RunLog(tmp_path / "run", patience_s=0.05)
    log.say(hang, "hangs")
    log.close()
    log.say(said.append, "late")
    assert said == []
    released.set()


def test_what_is_said_after_the_log_is_closed_is_heard(tmp_path: Path) -> None:
    """At once, where standard error works."""
    said = list[str]()
    with RunLog(tmp_path / "run") as log:
        pass
    log.say(said.append, "late")
    assert said == ["late"]


def test_a_disk_that_is_slow_for_a_while_loses_nothing(tmp_path: Path) -> None:
    """The log catches up."""
    released = threading.Event()
    with RunLog(tmp_path / "run") as log:
        log._trajectories = HangingFile(log._trajectories, 2, released)  # type: ignore[assignment] # stands in for one
        for event in EVENTS:
            log.write(event)
        released.set()
    assert log.trouble == ""
    assert list(read_events(tmp_path / "run")) == EVENTS


def test_an_event_that_is_no_json_ends_the_log_and_raises_nothing(tmp_path: Path) -> None:
    """A log without it would be none of what happened."""
    odd = Started("a", object(), 0.0)  # type: ignore[arg-type] # what an engine of somebody's may hand over
    with RunLog(tmp_path / "run") as log:
        for event in (EVENTS[0], odd, EVENTS[1]):
            log.write(event)
    assert "a started event can't be written" in log.trouble
    assert list(read_events(tmp_path / "run")) == EVENTS[:1]


@pytest.mark.parametrize("is_vital", [True, False])
def test_what_a_run_is_hangs_nobody_who_does_without_it(tmp_path: Path, is_vital: bool) -> None:
    """Where it is vital, whoever writes it is told."""
    released = threading.Event()
    log = RunLog(tmp_path / "run", is_vital=is_vital, patience_s=0.05)
    log._disk.do(lambda: released.wait(60))
    if is_vital:
        with pytest.raises(RunLogError, match="didn't take it within"):
            log.describe({})
    else:
        log.describe({})
    log.close()
    released.set()
    wait_until(lambda: "run-log" not in {thread.name for thread in threading.enumerate()})
