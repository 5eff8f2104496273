"""A run log that was cut, edited, or is none: its readers end in events or in a `RunLogError`, and in nothing else."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.errors import RunLogError
from numina_infer.core.records import Completion, ExtractedAnswer
from numina_infer.lab.replay.recording import read_preset, read_recording
from numina_infer.lab.replay.replay import replay_run
from numina_infer.runs.history import read_events, read_info, read_outlines, read_run, solved_problems
from numina_infer.runs.log import RUN_FILE, SOLUTIONS_FILE, TRAJECTORIES_FILE
from numina_infer.runs.rows import RowError, read_record
from tests.fuzz.damage import DEEP, altered, damaged, json_values, line
from tests.fuzz.run_files import FILES, INFO, LOGS, ROWS, in_folder
from tests.run_folders import write_run


def read_all(folder: Path) -> None:
    """Whatever reads a run, as far as each gets."""
    for read in (read_run, read_outlines, solved_problems, lambda path: replay_run(read_recording(path))):
        with suppress(RunLogError):
            read(folder)


@given(st.data())
def test_a_log_with_damaged_bytes_is_read_or_refused(data: st.DataObject) -> None:
    """In either file, or in `run.json`."""
    name = data.draw(st.sampled_from([*LOGS, RUN_FILE]))
    in_folder({**FILES, name: data.draw(damaged(FILES[name]))}, read_all)


@given(st.data())
def test_events_with_altered_fields_are_read_or_refused(data: st.DataObject) -> None:
    """Wrong types, huge numbers, missing and unknown fields, at any depth of a row."""
    rows = [data.draw(altered(row)) if data.draw(st.integers(0, 5)) == 0 else row for row in ROWS]
    in_folder({**FILES, TRAJECTORIES_FILE: b"".join(map(line, rows)), SOLUTIONS_FILE: b""}, read_all)


@given(st.data())
def test_what_is_read_of_an_altered_log_has_the_types_that_it_should(data: st.DataObject) -> None:
    """So it can be written again, and reads the same then."""
    at = data.draw(st.integers(0, len(ROWS) - 1))
    rows = [*ROWS[:at], data.draw(altered(ROWS[at])), *ROWS[at + 1 :]]

    def check(folder: Path) -> None:
        with suppress(RunLogError):
            events = list(read_events(folder))
            write_run(folder / "again", events)
            assert repr(list(read_events(folder / "again"))) == repr(events)  # NaN is no NaN

    in_folder({TRAJECTORIES_FILE: b"".join(map(line, sorted(rows, key=seq)))}, check)


def seq(row: Any) -> int:
    """Where a row belongs; one without a number comes first."""
    found = row.get("seq") if isinstance(row, dict) else None
    return found if isinstance(found, int) else 0


@given(st.data())
def test_a_run_json_with_altered_fields_is_read_or_refused(data: st.DataObject) -> None:
    """What a run was made with is a preset whose fields have their types, or an error."""
    info = data.draw(altered({"format_version": 2, **INFO}))

    def check(folder: Path) -> None:
        with suppress(RunLogError):
            preset = read_preset(read_info(folder))
            assert type(preset.policy.num_samples) is int
            assert type(preset.contest.seed) is int
        read_all(folder)

    in_folder({**FILES, RUN_FILE: line(info)}, check)


@given(
    st.binary(max_size=200) | json_values.map(line) | st.lists(json_values).map(lambda rows: b"".join(map(line, rows)))
)
def test_files_that_are_no_run_are_read_or_refused(content: bytes) -> None:
    """Whatever stands in them."""
    in_folder(dict.fromkeys(FILES, content), read_all)


@given(json_values, st.sampled_from([Completion, ExtractedAnswer]))
def test_a_row_is_a_record_or_a_row_error(row: object, kind: type[object]) -> None:
    """Nothing else comes of it."""
    with suppress(RowError):
        assert isinstance(read_record(kind, row), kind)


@given(st.lists(st.integers(-(10**30), 10**30)))
def test_token_ids_of_any_size_are_read_as_they_were_written(ids: list[int]) -> None:
    """An engine out of its mind may give them, and its run has to be read all the same."""
    row = {"text": "", "token_ids": ids, "finish_reason": "eos"}
    assert read_record(Completion, row).token_ids == tuple(ids)
    with pytest.raises(RowError, match="is no integer"):
        read_record(Completion, {**row, "token_ids": [*ids, 2**63, "1"]})


@pytest.mark.parametrize("name", [*LOGS, RUN_FILE])
def test_a_nest_that_is_too_deep_is_refused(name: str) -> None:
    """Python's reader gives up on it in its own way."""
    for content in (b"[" * DEEP + b"\n", b'{"format_version":2,"engine":' + b'{"a":' * 50 + b"1" + b"}" * 51 + b"\n"):

        def check(folder: Path) -> None:
            with pytest.raises(RunLogError):
                read_run(folder)

        in_folder({**FILES, name: content}, check)


def test_a_field_of_another_type_is_named() -> None:
    """With the row and the place in it."""
    row = json.loads(json.dumps(ROWS[3]))
    row["trajectory"]["turns"][0]["completion"]["num_tokens"] = "2"

    def check(folder: Path) -> None:
        with pytest.raises(RunLogError, match=r"row 3 .*trajectory: turns: completion: num_tokens: '2' is no integer"):
            list(read_events(folder))

    in_folder({TRAJECTORIES_FILE: b"".join(map(line, [*ROWS[:3], row]))}, check)


@pytest.mark.parametrize(
    "wrong",
    [
        {"format_version": [2]},
        {"choices": [1]},
        {"engine": "vllm"},
        {"sessions": {}},
        {"problems": 7},
        {"preset": 1},
    ],
)
def test_a_run_json_of_another_shape_is_refused(wrong: dict[str, object]) -> None:
    """By whoever reads it first, since all that read it after that rely on it."""

    def check(folder: Path) -> None:
        with pytest.raises(RunLogError):
            read_info(folder)

    in_folder({RUN_FILE: line({"format_version": 2, **INFO, **wrong})}, check)
