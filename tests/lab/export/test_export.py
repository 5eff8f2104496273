"""Training data of a run: what is right is in it once, to the letter, and everything else is counted."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.answers.references import Accepted
from numina_infer.cli import main
from numina_infer.core.errors import ConfigError, NothingToExportError
from numina_infer.core.events import Ended, Event, Solved
from numina_infer.core.records import Outcome, Problem, Solution, StopReason
from numina_infer.engines.scripted_engine import VOCABULARY
from numina_infer.formats.numina import NUMINA
from numina_infer.lab.export.export import DATA, ExportConfig, Training, export
from numina_infer.lab.export.selection import ExportStatus, Selection, opened_trajectories, select
from numina_infer.lab.export.training_rows import IGNORED, Tokens, join, to_messages
from numina_infer.runs.history import read_events
from numina_infer.runs.log import RUN_FILE, TRAJECTORIES_FILE
from tests.lab.export.exported_runs import INFO, PROBLEMS, attempt, events_of, opening, write_references, write_run

A, B = PROBLEMS
ENDINGS = [
    attempt(0),
    attempt(1, 3),
    attempt(2, None),
    attempt(3, outcome=Outcome.CUTOFF),
    attempt(4, outcome=Outcome.ENGINE_ERROR),
    attempt(5, words="Attempt 0 says \\boxed{2}."),
    attempt(6, outcome=Outcome.MAX_TURNS),
    attempt(7),
]
RIGHT, BOTH = Training.SFT.statuses, Training.KTO.statuses
answers = st.sampled_from([None, 2, 3, 4])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Eight endings of one problem, three of the other."""
    others = [attempt(index, value, problem=B) for index, value in enumerate([5, 5, 6])]
    return write_run(tmp_path / "run", [*events_of(A, ENDINGS), *events_of(B, others)])


@pytest.fixture
def references(tmp_path: Path) -> Path:
    """Both problems' answers, as a file of integers may have them."""
    return write_references(tmp_path / "references.jsonl", {A: "2.0", B: 5})


def rows_of(folder: Path) -> list[dict[str, object]]:
    """The rows of an exported data set."""
    rows: list[dict[str, object]] = pq.read_table(folder / DATA).to_pylist()
    return rows


def known(answers: dict[Problem, int]) -> Callable[[Problem], Accepted]:
    """What is right of whom."""
    return lambda problem: frozenset({answers[problem]} if problem in answers else ())


def chosen(selection: Selection) -> list[tuple[int, int]]:
    """Openings and indices, in order."""
    return sorted(selection.statuses)


def test_what_ended_right_is_in_it_once(run: Path, references: Path) -> None:
    """Cut off, broken, wrong, silent and doubled ones are left out, and counted by why."""
    selection = export(run, ExportConfig(Training.SFT, references, run / "sft"))
    rows = rows_of(run / "sft")
    assert [(row["problem_id"], row["index"]) for row in rows] == [("a", 0), ("a", 7), ("b", 0), ("b", 1)]
    assert [(row["answer"], row["reference"], row["seed"]) for row in rows[1:3]] == [(2, "2", 107), (5, "5", 100)]
    assert selection.left_out == Counter(
        {ExportStatus.WRONG: 2, ExportStatus.NO_ANSWER: 1, ExportStatus.UNFINISHED: 3, ExportStatus.SAME_TEXT: 1}
    )


def test_messages_are_the_text_that_the_model_saw(run: Path, references: Path) -> None:
    """The prompt is the user's, outputs are a tool's, and nothing stands between."""
    export(run, ExportConfig(Training.SFT, references, run / "sft"))
    messages = rows_of(run / "sft")[0]["messages"]
    assert messages == [
        {"role": "user", "content": opening(A).prompt},
        {"role": "assistant", "content": "```python\nprint(2)\n```\n```output\n"},
        {"role": "tool", "content": "2\n```"},
        {"role": "assistant", "content": "Attempt 0 says \\boxed{2}."},
    ]


def test_right_and_wrong_completions_are_labelled(run: Path, references: Path) -> None:
    """`parts` are the completion again, so that whoever masks outputs finds them."""
    export(run, ExportConfig(Training.KTO, references, run / "kto"))
    rows = rows_of(run / "kto")
    labels = [(row["problem_id"], row["index"], row["label"]) for row in rows]
    assert labels[:3] == [("a", 0, True), ("a", 1, False), ("a", 7, True)]
    assert labels[3:] == [("b", 0, True), ("b", 1, True), ("b", 2, False)]
    for row in rows:
        parts = row["parts"]
        assert isinstance(parts, list)
        assert "".join(part["content"] for part in parts) == row["completion"]
        assert [part["role"] for part in parts] == ["assistant", "tool", "assistant"]
    assert rows[0]["prompt"] == opening(A).prompt


def test_right_is_by_its_own_answer_not_by_the_vote() -> None:
    """The verdict was wrong, and the one trajectory that disagreed is what is learnt."""
    solution = Solution("a", 3, is_fallback=False, stop_reason=StopReason.EXHAUSTED, votes={3: 2000, 2: 1000})
    events = [*events_of(A, [attempt(0, 3), attempt(1, 3), attempt(2, 2)]), Solved(solution, 3.0)]
    assert chosen(select(events, known({A: 2}), RIGHT)) == [(0, 2)]


@given(st.lists(st.tuples(answers, st.sampled_from(Outcome), st.integers(0, 3)), max_size=12), st.booleans())
def test_every_trajectory_is_in_it_or_counted(endings: list[tuple[int | None, Outcome, int]], with_max: bool) -> None:
    """Whatever ended however; and no two of a problem have the same text."""
    trajectories = [
        attempt(index, value, outcome=outcome, words=str(words))
        for index, (value, outcome, words) in enumerate(endings)
    ]
    selection = select(events_of(A, trajectories), known({A: 2}), BOTH, per_problem=2 if with_max else None)
    assert len(selection.statuses) + selection.left_out.total() == len(endings)
    texts = [join(to_messages("", trajectories[index])) for _, index in selection.statuses]
    assert len(set(texts)) == len(texts)
    assert all(trajectories[index].outcome is Outcome.FINISHED for _, index in selection.statuses)


@given(st.permutations(range(12)), st.integers(1, 7))
def test_a_problem_has_at_most_so_many_whatever_their_order(order: list[int], most: int) -> None:
    """Of right and wrong ones each; the same ones are drawn, so the short ones that end first aren't preferred."""
    trajectories = [attempt(index, 2 + index % 2) for index in range(12)]
    in_order = select(events_of(A, trajectories), known({A: 2}), BOTH, per_problem=most)
    shuffled = select(events_of(A, [trajectories[index] for index in order]), known({A: 2}), BOTH, per_problem=most)
    assert chosen(in_order) == chosen(shuffled)
    assert Counter(in_order.statuses.values()) == {ExportStatus.RIGHT: min(6, most), ExportStatus.WRONG: min(6, most)}
    assert in_order.left_out[ExportStatus.BEYOND_MAX] == 12 - 2 * min(6, most)


def test_the_lot_prefers_no_early_ones() -> None:
    """Over many problems the early half has about half of the places."""
    indices = []
    for number in range(100):
        problem = Problem(str(number), "What is 1 + 1?")
        events = events_of(problem, [attempt(index, problem=problem) for index in range(10)])
        indices += [index for _, index in select(events, known({problem: 2}), RIGHT, per_problem=2).statuses]
    assert 70 < sum(index < 5 for index in indices) < 130


def test_a_problem_that_was_opened_again_counts_from_there() -> None:
    """As in a resumed run: what ended before was thrown away."""
    events = [*events_of(A, [attempt(0), attempt(1)]), *events_of(A, [attempt(1, words="again")])]
    assert chosen(select(events, known({A: 2}), RIGHT)) == [(1, 1)]


def test_problems_at_once_keep_their_own() -> None:
    """The same text is another one for another problem, though their events are mixed."""
    first, second = attempt(0, problem=A, words="x"), attempt(0, problem=B, words="x")
    for ends in ([first, second], [second, first]):
        events: list[Event] = [opening(A), opening(B), *(Ended(trajectory, 1.0) for trajectory in ends)]
        assert chosen(select(events, known({A: 2, B: 2}), RIGHT)) == [(0, 0), (1, 0)]


def test_the_model_speaks_for_nobody_else() -> None:
    """A text that ended where it began a problem of its own ends in front of that; other stop strings stay."""
    messages = to_messages("p", attempt(0, words="It is 2.\n\n", stop="### Problem:"))
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[-1]["content"] == "It is 2.\n\n"
    assert messages[1]["content"].endswith("```output\n")


def test_a_competition_may_have_accepted_two_answers(tmp_path: Path) -> None:
    """Both are right, and the row says so."""
    run = write_run(tmp_path / "run", events_of(A, [attempt(0, 80), attempt(1, 81), attempt(2, 82)]))
    references = write_references(tmp_path / "r.jsonl", {A: "080 or 081 (both were accepted)"})
    export(run, ExportConfig(Training.KTO, references, run / "kto"))
    assert [(row["label"], row["reference"]) for row in rows_of(run / "kto")] == [
        (True, "80 or 81"),
        (True, "80 or 81"),
        (False, "80 or 81"),
    ]


def test_half_a_character_is_no_trouble(tmp_path: Path, references: Path) -> None:
    """An endpoint's JSON may hold a lone surrogate, and NUL; Parquet holds no surrogate."""
    run = write_run(tmp_path / "run", events_of(A, [attempt(0, words="\ud800 \0 \U0001f600")]))
    export(run, ExportConfig(Training.KTO, references, run / "kto"))
    assert str(rows_of(run / "kto")[0]["completion"]).endswith("? \0 \U0001f600")


def test_problems_without_a_reference_are_named_and_the_rest_is_done(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An id that is another problem's in the file is no reference: ids such as 0, 1, 2 are everybody's."""
    file = write_references(tmp_path / "some.csv.jsonl", {A: 2, Problem("b", "Another problem"): 5})
    assert main(["export", str(run), "--format", "sft", "--references", str(file)]) == 0
    out = capsys.readouterr().out
    assert "2 trajectories of 1 problems: 2 right, 0 wrong" in out
    assert "without a reference: 1 problem (b)\n" in out
    assert "left out: 3, no reference for the problem" in out


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ({Problem("c", "c"): 1}, 2, "has none of the run's 2 problems (a, b)"),
        ({A: "x", B: ""}, 2, "no answer that is an integer in range"),
        ({A: 999, B: 999}, 1, "no trajectory of the run is for --format sft: 7 wrong, 3 unfinished, 1 no_answer"),
    ],
)
def test_nothing_to_export_is_said_and_nothing_is_written(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], answers: dict[Problem, object], code: int, said: str
) -> None:
    """2 where the references can't be used, 1 where nothing is right."""
    file = write_references(tmp_path / "r.jsonl", answers)
    assert main(["export", str(run), "--format", "sft", "--references", str(file)]) == code
    assert said in capsys.readouterr().err
    assert not (run / "sft").exists()


def test_a_run_without_an_ending_has_nothing(tmp_path: Path, references: Path) -> None:
    """It was killed before the first one."""
    run = write_run(tmp_path / "new", [opening(A)])
    with pytest.raises(NothingToExportError, match="none has ended"):
        export(run, ExportConfig(Training.SFT, references, tmp_path / "out"))


def test_a_run_cut_off_in_a_line_gives_what_is_whole(run: Path, references: Path) -> None:
    """The torn line is the last ending's."""
    log = run / TRAJECTORIES_FILE
    log.write_bytes(log.read_bytes()[:-40])
    selection = export(run, ExportConfig(Training.KTO, references, run / "kto"))
    assert [row["index"] for row in rows_of(run / "kto")] == [0, 1, 7, 0, 1]
    assert selection.left_out.total() == 5


def test_an_older_log_is_read_and_an_unknown_one_refused(
    run: Path, references: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Format 1 has no stops; one that nobody knows yet is named."""
    info = json.loads((run / RUN_FILE).read_text())
    command = ["export", str(run), "--format", "sft", "--references", str(references)]
    (run / RUN_FILE).write_text(json.dumps({**info, "format_version": 99}))
    assert main(command) == 2
    assert "run log format 99" in capsys.readouterr().err
    (run / RUN_FILE).write_text(json.dumps({**info, "format_version": 1}))
    assert main(command) == 0


@pytest.mark.parametrize(
    ("changed", "why"),
    [({"choices": {"paper": True}}, "paper's way"), ({"engine": {"engine": "simulated"}}, "simulated")],
)
def test_texts_that_no_model_wrote_are_refused(
    tmp_path: Path, references: Path, changed: dict[str, object], why: str
) -> None:
    """Restarts of the paper's way aren't one text, and a simulated engine's are nobody's."""
    run = write_run(tmp_path / "run", events_of(A, ENDINGS), {**INFO, **changed})
    with pytest.raises(ConfigError, match=why):
        export(run, ExportConfig(Training.SFT, references, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_card_says_where_it_came_from_and_names_no_path(run: Path, references: Path) -> None:
    """Model, preset, hashes, counts; of a path the last part alone, and nothing of the machine."""
    config = ExportConfig(Training.SFT, references, run / "sft", license="mit")
    export(run, config)
    card = (run / "sft" / "README.md").read_text()
    for told in (
        "license: mit",
        "| engine: model | my-7b |",
        "| preset | numina |",
        "| format | numina |",
        "| problems file | problems.jsonl |",
        "0" * 64,
        "temperature 0.8",
        "| a wrong answer | 2 |",
        "4 trajectories of 2 problems: 4 right, 0 wrong",
    ):
        assert told in card
    for secret in ("/home", "somebody", "processor", str(run.parent)):
        assert secret not in card


def test_a_hostile_name_stays_in_its_cell(tmp_path: Path, references: Path) -> None:
    """What a log names can't open a new line or a cell of the card."""
    hostile = {**INFO, "engine": {"engine": "vllm", "model": "x|y\n# Owned\n---"}}
    run = write_run(tmp_path / "run", events_of(A, ENDINGS), hostile)
    export(run, ExportConfig(Training.SFT, references, tmp_path / "out"))
    assert "| engine: model | x\\|y # Owned --- |" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--format", "dpo"], "choose one of sft, kto"),
        (["--per-problem", "0"], "per_problem is 0"),
        (["--license", "MIT License"], "license is 'MIT License'"),
        (["--format", "kto", "--tokenizer", "."], "TRL's KTO takes texts"),
        (["--tokenizer", "."], "no tokenizer.json"),
        (["--references", "nowhere.csv"], "there is no file nowhere.csv"),
    ],
)
def test_values_that_cannot_be_used_are_named(
    run: Path, references: Path, capsys: pytest.CaptureFixture[str], given: list[str], why: str
) -> None:
    """Exit code 2, and nothing is written."""
    usual = ["--format", "sft", "--references", str(references)]
    assert main(["export", str(run), *usual, *given]) == 2
    assert why in capsys.readouterr().err
    assert not {"sft", "kto"} & {entry.name for entry in run.iterdir()}


def test_a_folder_that_is_there_is_kept(run: Path, references: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second export needs another name."""
    command = ["export", str(run), "--format", "sft", "--references", str(references)]
    assert main(command) == 0
    before = (run / "sft" / DATA).read_bytes()
    assert main(command) == 2
    assert "is there already" in capsys.readouterr().err
    assert (run / "sft" / DATA).read_bytes() == before
    assert main([*command, "--out", str(run / "again")]) == 0
    assert (run / "again" / DATA).read_bytes() == before


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two that the scripted engine's own script solves, with a program each, and one that nobody does."""
    answers = {Problem("x", "Add 5 and 6."): 11, Problem("y", "Add 20 and 22."): 42, Problem("z", "Add 1 and 1."): 3}
    return write_references(tmp_path_factory.mktemp("sums") / "sums.jsonl", answers)


@pytest.fixture(scope="module")
def scripted_run(sums: Path) -> Path:
    """A collection of the sums, by real programs."""
    folder = sums.parent / "run"
    given = ["--engine", "scripted", "--num-samples", "3", "--format", "numina", "--out", str(folder)]
    assert main(["collect", "--problems", str(sums), *given]) == 0
    return folder


def test_a_real_run_goes_all_the_way(
    scripted_run: Path, sums: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Programs that ran, their outputs as they were appended, and of equal texts one."""
    given = ["--references", str(sums), "--out", str(tmp_path / "out")]
    assert main(["export", str(scripted_run), "--format", "sft", *given]) == 0
    told = capsys.readouterr().out
    assert "4 trajectories of 2 problems: 4 right, 0 wrong\nleft out: 3, a wrong answer\n" in told
    assert "left out: 2, the same text" in told
    for row in rows_of(tmp_path / "out"):
        messages = row["messages"]
        assert isinstance(messages, list)
        assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
        assert messages[2]["content"] == f"{row['answer']}\n```"


def test_token_rows_are_what_the_engine_counted(scripted_run: Path) -> None:
    """Every completion stands where its engine said that its prompt ended, and nothing before it is learnt."""
    tokens = Tokens(VOCABULARY, eos_id=0, fmt=NUMINA)
    num_turns = 0
    for _, opened, trajectory in opened_trajectories(read_events(scripted_run)):
        row = tokens.row(opened, trajectory)
        ids, labels = row["input_ids"], row["labels"]
        for turn in trajectory.turns:
            start, sampled = turn.completion.num_prompt_tokens, list(turn.completion.token_ids)
            assert ids[start:][: len(sampled)] == labels[start:][: len(sampled)] == sampled
            assert labels[start - 1] == IGNORED
            num_turns += 1
    assert num_turns > len(trajectory.turns) > 1
