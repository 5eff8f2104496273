"""Scripts, and the engine that says them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import ConfigError, EngineError
from numina_infer.core.ports import Cutoff
from numina_infer.core.records import Completion, Execution, ExecutionStatus, FinishReason, Part
from numina_infer.engines.scripted_engine import (
    ByteVocabulary,
    Cue,
    ScriptedEngine,
    load_script,
    sum_of_numbers,
)
from numina_infer.formats.catalogue import make_format

NEVER = Cutoff(float("inf"))
encode, decode = ByteVocabulary().encode, ByteVocabulary().decode


@given(st.text())
def test_tokens_spell_the_text(text: str) -> None:
    """Characters of several bytes too."""
    text = text.encode(errors="replace").decode()
    assert decode(encode(text)) == text


@pytest.mark.anyio
async def test_each_ticket_speaks_its_own_lines_turn_by_turn() -> None:
    """And ends at once when it has none left."""
    engine = ScriptedEngine([["one", "two"], ["eins"]])
    said = []
    for ticket, context in ((0, ["p"]), (1, ["p"]), (2, ["p"])):
        async with engine.slot(ticket) as decoder:
            history: list[str | Completion] = list(context)
            for _ in range(3):
                completion = await decoder.generate(history, SamplingParams(), seed=0, cutoff=NEVER)
                assert completion.finish_reason is FinishReason.EOS
                history += [completion, "more"]
                said.append(completion.text)
    assert said == ["one", "two", "", "eins", "", "", "one", "two", ""]


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["numina", "numina-few-shot"])
async def test_the_sum_script_solves_a_sum_with_a_program(name: str) -> None:
    """It writes the program, waits for the output, and boxes what the output says, in both formats."""
    fmt = make_format(name)
    context: list[Part] = [*fmt.prompt("What is 12 plus 30 plus 8?")]
    params = SamplingParams(stop=fmt.stop)
    async with ScriptedEngine(sum_of_numbers).slot(0) as decoder:
        asked = await decoder.generate(context, params, seed=4, cutoff=NEVER)
        assert fmt.program(asked) == "numbers = [12, 30, 8]\nprint(sum(numbers))"
        context += [asked, fmt.observation(asked, Execution(ExecutionStatus.OK, "51"))]
        concluded = await decoder.generate(context, params, seed=5, cutoff=NEVER)
    assert concluded.text.endswith("The answer is $\\boxed{51}$.")
    assert concluded.finish_reason is FinishReason.EOS


def test_the_sum_script_has_no_answer_when_the_program_gave_none() -> None:
    """It doesn't make one up."""
    context = "### Problem: Add 1 and 2.\n### Solution: ```python\n1/0\n```\n```output\nZeroDivisionError\n```"
    assert "boxed" not in sum_of_numbers(context, 0)


def test_a_file_gives_lines_by_problem(tmp_path: Path) -> None:
    """The problem that stands last in the context counts, not one in a worked example."""
    file = tmp_path / "script.jsonl"
    file.write_text(
        '{"problem": "old", "completions": [["a"]]}\n\n{"problem": "new", "completions": [["b"], ["c", "d"]]}'
    )
    script = load_script(file)
    context = "### Problem: the old one\n### Problem: the new one"
    assert [script.line(Cue(context, 0, ticket, turn)) for ticket, turn in ((0, 0), (1, 1), (2, 0))] == ["b", "d", "b"]
    with pytest.raises(EngineError, match="no row for the problem"):
        script.line(Cue("another", 0, 0, 0))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "no JSON"),
        ("[1]", "no JSON object"),
        ('{"completions": [["a"]]}', "problem is None"),
        ('{"problem": "p", "completions": []}', "completions must be"),
        ('{"problem": "p", "completions": ["a"]}', "completions must be"),
        ('{"problem": "p", "completions": [[1]]}', "completions must be"),
        ('{"problem": "p", "completions": [["a"]]}\n{"problem": "p", "completions": [["a"]]}', "two rows"),
        ("", "no rows"),
    ],
)
def test_a_bad_row_is_refused_with_its_reason(tmp_path: Path, row: str, reason: str) -> None:
    """Before anything runs."""
    file = tmp_path / "script.jsonl"
    file.write_text(row)
    with pytest.raises(ConfigError, match=reason):
        load_script(file)


def test_a_script_that_is_missing_is_refused(tmp_path: Path) -> None:
    """Naming the file."""
    with pytest.raises(ConfigError, match="can't be read"):
        load_script(tmp_path / "none.jsonl")


@pytest.mark.parametrize(("lines", "reason"), [([], "empty"), (["one turn"], "each a list of turns")])
def test_lines_of_another_shape_are_refused(lines: list[str], reason: str) -> None:
    """A text is a sequence of texts to Python; here it would be a mistake."""
    with pytest.raises(ConfigError, match=reason):
        ScriptedEngine(lines)


def test_no_slots_at_all_is_refused() -> None:
    """Nothing could ever run."""
    with pytest.raises(ConfigError, match="max_num_seqs is 0"):
        ScriptedEngine([["one"]], max_num_seqs=0)
