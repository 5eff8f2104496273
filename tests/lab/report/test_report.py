"""Reports: what a run log holds is what its page shows, of whole runs and of broken ones."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.cli import main
from numina_infer.core.errors import RunLogError
from numina_infer.core.events import Ended, Event, Opened, Stopped
from numina_infer.core.records import (
    AnswerSource,
    Bound,
    Completion,
    Execution,
    ExecutionStatus,
    ExtractedAnswer,
    FinishReason,
    NoAnswer,
    Outcome,
    Problem,
    Slice,
    StopReason,
    Trajectory,
    Turn,
)
from numina_infer.lab.evaluate.matching import own_references
from numina_infer.lab.report import formulae, page_data
from numina_infer.lab.report.report_page import write_report
from numina_infer.runs.log import SOLUTIONS_FILE, TRAJECTORIES_FILE, RunLog
from numina_infer.runs.problems import example_problems_path
from numina_infer.runs.provenance import file_sha256
from tests.lab.report.hostile_events import hostile_events
from tests.lab.report.pages import HOSTILE, Page, read_page, strings
from tests.run_folders import EVENTS, events_of, write_run

TEMPLATE = Path(page_data.__file__).with_name("report.html")


def trajectory(
    problem_id: str, index: int, text: str = "\\boxed{2}", value: int | None = 2, **more: object
) -> Trajectory:
    """One attempt of one turn."""
    answer = ExtractedAnswer(value, None if value is not None else NoAnswer.NOT_STATED, AnswerSource.BOXED, text)
    turn = Turn(Completion(text, (1,), FinishReason.EOS, num_tokens=3))
    given_fields = {"started_at": 1.0, "ended_at": 2.0, **more}
    return Trajectory(problem_id, index, (turn,), Outcome.FINISHED, answer, **given_fields)  # type: ignore[arg-type] # what a test chooses


def page_of(folder: Path, events: list[Event], references: dict[str, str] | None = None) -> Page:
    """The report of a run with `events`."""
    write_run(folder, events)
    return read_page(write_report(folder, references=references))


def test_a_page_has_all_that_a_log_has(tmp_path: Path) -> None:
    """Verdicts, trajectories and their texts."""
    page = page_of(tmp_path / "run", EVENTS, {"a": "2.0", "b": "3 or 081"})
    first, second = page.index["problems"]
    assert (first["id"], first["accepted"], first["solution"]["answer"]) == ("a", [2], 2)
    assert (second["accepted"], second["reference"]) == ([3, 81], "3 or 81")
    assert second["statement"] == ["Wie viel? \u00fc\U0001f600\u0000\n"]
    assert [row["answer"] for row in page.trajectories] == [2, None, 2, None]
    body = page.body(page.trajectories[0])
    assert body["turns"][0]["pieces"] == [["b", "print", "", "(", "m", "2", "", ")"], "\n"]
    assert (body["turns"][0]["output"], body["turns"][0]["status"]) == ("2", "ok")
    assert body["turns"][1]["pieces"] == ["\\boxed{2}"]


def test_hostile_texts_are_in_the_page_and_none_is_markup(tmp_path: Path) -> None:
    """The page's elements are the template's, whatever a log holds, and the texts come out as they went in."""
    hostile = page_of(tmp_path / "hostile", hostile_events(), {f"{n} {text}": text for n, text in enumerate(HOSTILE)})
    harmless = page_of(tmp_path / "harmless", EVENTS)
    assert hostile.tags == harmless.tags
    assert [text.strip() for text in hostile.texts if text.strip()] == [
        text.strip() for text in harmless.texts if text.strip()
    ]
    for number, text in enumerate(HOSTILE):
        problem = hostile.index["problems"][number]
        assert problem["prompt"] == text
        assert problem["solution"]["error"] == text
        assert hostile.body(hostile.trajectories[number])["turns"][0]["output"] == text


@given(st.text(st.characters(), max_size=200), st.text(max_size=200))
def test_any_text_survives_its_way_into_a_page(
    tmp_path_factory: pytest.TempPathFactory, text: str, output: str
) -> None:
    """What the model wrote and what programs printed, formulae by their source."""
    run = Execution(ExecutionStatus.OK, output)
    attempt = replace(
        trajectory("a", 0), turns=(Turn(Completion(text, (), FinishReason.STOP, ""), "?", execution=run),)
    )
    opened = Opened(Problem("a", "?"), "", deadline=10.0, num_samples=1, at=0.0)
    page = page_of(tmp_path_factory.mktemp("run") / "run", [opened, Ended(attempt, 1.0)])
    turn = page.body(page.trajectories[0])["turns"][0]
    assert turn["output"] == output
    sources = [formula[0] for formula in page.body(page.trajectories[0])["formulae"]]
    shown = [sources[piece] if isinstance(piece, int) else piece for piece in turn["pieces"]]
    if all(isinstance(piece, str) for piece in shown):
        assert "".join(shown) == text.replace("\r\n", "\n").replace("\r", "\n")


def test_a_page_loads_nothing_and_runs_nothing_else(tmp_path: Path) -> None:
    """No element with an address, and a policy that names its own style and script by their hashes."""
    page = page_of(tmp_path / "run", EVENTS)
    addresses = [
        value for _, attributes in page.elements for name, value in attributes.items() if name in {"src", "href"}
    ]
    assert all(address is not None and address.startswith("#") for address in addresses)
    [policy] = [attributes["content"] for tag, attributes in page.elements if attributes.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not {"img", "iframe", "link", "object", "base", "form"} & set(page.tags)


def test_the_template_never_makes_markup_of_a_text() -> None:
    """No script of ours has a way to."""
    script = TEMPLATE.read_text(encoding="utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser", "srcdoc"):
        assert way not in script


@given(st.data())
def test_a_log_cut_at_any_byte_has_a_page(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """As far as its whole lines go."""
    folder = tmp_path_factory.mktemp("run") / "cut"
    write_run(folder, EVENTS)
    for name in (TRAJECTORIES_FILE, SOLUTIONS_FILE):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    page = read_page(write_report(folder))
    unfinished = [problem for problem in page.index["problems"] if problem["solution"] is None]
    assert bool(unfinished) == any("Without a verdict" in note for note in page.index["notes"])


def test_an_empty_run_has_a_page(tmp_path: Path) -> None:
    """It has begun, and no more."""
    assert page_of(tmp_path / "run", []).index["problems"] == []


def test_of_a_problem_opened_again_the_last_opening_is_shown(tmp_path: Path) -> None:
    """Behind a break, since the run was resumed."""
    problem = Problem("a", "1+1?")
    first: list[Event] = [
        Opened(problem, "", deadline=10.0, num_samples=2, at=0.0),
        Ended(trajectory("a", 0, "lost"), 2.0),
    ]
    page = page_of(tmp_path / "run", [*first, *events_of(problem, at=500.0)])
    assert len(page.index["problems"]) == 1
    assert len(page.trajectories) == 2
    assert "lost" not in strings(page.data)
    assert page.index["timeline"]["breaks"] == [2.0]
    assert page.index["timeline"]["length"] == 5.0


def test_the_stop_is_where_the_log_says(tmp_path: Path) -> None:
    """Endings behind it were handed over."""
    events: list[Event] = [Opened(Problem("a", "?"), "", deadline=10.0, num_samples=4, at=0.0)]
    events += [Ended(trajectory("a", index, ended_at=float(index)), float(index)) for index in range(3)]
    events += [Stopped("a", StopReason.DECIDED, 2.5), Ended(trajectory("a", 3, ended_at=3.0), 3.0)]
    problem = page_of(tmp_path / "run", events).index["problems"][0]
    assert (problem["decisive"], problem["stopped"]) == (3, 2.5)


def test_an_older_log_has_its_stop_before_the_first_that_was_broken_off(tmp_path: Path) -> None:
    """And slices are not made up for it."""
    ended = [trajectory("a", 0), trajectory("a", 1), replace(trajectory("a", 2, value=None), outcome=Outcome.CUTOFF)]
    opened = Opened(Problem("a", "?"), "", deadline=10.0, num_samples=4, at=0.0)
    page = page_of(tmp_path / "run", [opened, *(Ended(each, 2.0) for each in ended)])
    assert page.index["problems"][0]["decisive"] == 2
    assert page.index["problems"][0]["slice"] is None


def test_slices_are_told_with_what_bound_them(tmp_path: Path) -> None:
    """As the bank cut them."""
    cut = Slice(100.0, 10.0, Bound.SHARE, left_s=800.0, num_left=10)
    opened = Opened(Problem("a", "?"), "", deadline=100.0, num_samples=4, at=0.0, slice=cut)
    shown = page_of(tmp_path / "run", [opened]).index["problems"][0]["slice"]
    assert shown == {"seconds": 100.0, "grace_s": 10.0, "bound": "share", "left_s": 800.0, "num_left": 10}


def test_moments_that_no_log_can_have_cost_no_page(tmp_path: Path) -> None:
    """A damaged log may hold what JSON has no number for."""
    opened = Opened(Problem("a", "?"), "", deadline=float("inf"), num_samples=4, at=float("nan"))
    attempt = trajectory("a", 0, started_at=float("-inf"), ended_at=float("nan"))
    page = page_of(tmp_path / "run", [opened, Ended(attempt, float("inf"))])
    assert len(page.trajectories) == 1


def test_long_texts_are_cut_and_said_to_be(tmp_path: Path) -> None:
    """A flood is of no use in a page."""
    opened = Opened(Problem("a", "?"), "", deadline=10.0, num_samples=1, at=0.0)
    page = page_of(tmp_path / "run", [opened, Ended(trajectory("a", 0, "x" * 1_000_000), 1.0)])
    [text] = page.body(page.trajectories[0])["turns"][0]["pieces"]
    assert len(text) < 30_000
    assert text.endswith("980000 more characters are in the run log.")


def test_texts_beyond_what_a_browser_takes_are_left_out(tmp_path: Path) -> None:
    """Their trajectories' rows stay, and the page says so."""
    opened = Opened(Problem("a", "?"), "", deadline=10.0, num_samples=1, at=0.0)
    many = [Ended(trajectory("a", index, f"{index} " + "x" * 1000), 1.0) for index in range(120)]
    write_run(tmp_path / "run", [opened, *many])
    page = read_page(write_report(tmp_path / "run", max_text_bytes=60_000))
    assert len(page.trajectories) == 120
    assert set(page.data) == {"index", "chunk-0"}
    assert any("left out" in note for note in page.index["notes"])


def test_without_the_converter_formulae_stay_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is made all the same, and names what is missing."""
    formulae.typeset.cache_clear()
    for module in ("numina_infer.lab.report.formulae", "numina_infer.lab.report.report_page"):
        monkeypatch.setattr(f"{module}.can_typeset", lambda: False)
    opened = Opened(Problem("a", "What is $1+1$?"), "", deadline=10.0, num_samples=1, at=0.0)
    page = page_of(tmp_path / "run", [opened])
    formulae.typeset.cache_clear()
    assert page.index["problems"][0]["statement"] == ["What is $1+1$?"]
    assert any("numina-infer[report]" in note for note in page.index["notes"])


def test_references_that_are_no_integer_are_shown_and_not_scored(tmp_path: Path) -> None:
    """Those of problems that weren't run are nobody's."""
    page = page_of(tmp_path / "run", EVENTS, {"a": "\\frac12", "z": "5"})
    first, second = page.index["problems"]
    assert (first["accepted"], first["reference"]) == ([], "\\frac12")
    assert "reference" not in second


@pytest.mark.parametrize("named", [None, "a file"])
def test_a_run_brings_the_references_of_its_own_problems_file(named: str | None, tmp_path: Path) -> None:
    """As long as the file is the same."""
    path = example_problems_path() if named is None else tmp_path / "mine.jsonl"
    if named is not None:
        path.write_text(json.dumps({"id": "a", "problem": "1+1?", "answer": "2"}))
    info = {"problems": named and str(path), "problems_sha256": file_sha256(path)}
    assert own_references(info)
    assert not own_references({**info, "problems_sha256": "other"})
    assert not own_references({"problems": str(tmp_path / "gone.csv"), "problems_sha256": "x"})


def test_a_page_replaces_the_one_before_and_leaves_nothing_else(tmp_path: Path) -> None:
    """Written aside, then moved."""
    write_run(tmp_path / "run", EVENTS)
    for _ in range(2):
        write_report(tmp_path / "run", tmp_path / "page.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "run"]


def test_a_run_that_is_being_written_has_a_page(tmp_path: Path) -> None:
    """Its lock is for writers."""
    with RunLog(tmp_path / "run") as log:
        log.describe({})
        for event in EVENTS[:4]:
            log.write(event)
        log.flush(20)
        assert len(read_page(write_report(tmp_path / "run")).trajectories) == 1


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    """In events."""
    write_run(tmp_path / "run", EVENTS)
    told: list[tuple[int, int]] = []
    write_report(tmp_path / "run", on_progress=lambda read, total: told.append((read, total)))
    assert told == [(read, len(EVENTS)) for read in range(1, len(EVENTS) + 1)]


def test_no_run_is_an_error_with_its_name(tmp_path: Path) -> None:
    """A folder isn't a run."""
    with pytest.raises(RunLogError, match="holds no run"):
        write_report(tmp_path)


def told_missing_folder(folder: Path) -> list[str]:
    """A run that isn't there."""
    return [str(folder / "none")]


def told_missing_references(folder: Path) -> list[str]:
    """A problems file that isn't there."""
    write_run(folder / "run", EVENTS)
    return [str(folder / "run"), "--references", str(folder / "none.csv")]


@pytest.mark.parametrize("told", [told_missing_folder, told_missing_references])
def test_the_command_says_in_one_line_what_can_not_be_used(
    told: Callable[[Path], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2."""
    assert main(["report", *told(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_the_command_makes_the_page_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says where."""
    write_run(tmp_path / "run", EVENTS)
    (tmp_path / "answers.csv").write_text("id,problem,answer\na,1+1?,2\n")
    out = tmp_path / "page.html"
    assert (
        main(["report", str(tmp_path / "run"), "--out", str(out), "--references", str(tmp_path / "answers.csv")]) == 0
    )
    assert str(out) in capsys.readouterr().out
    assert read_page(out).index["problems"][0]["accepted"] == [2]
