"""One trajectory: what goes in, what comes out, and how it ends."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.config import Mode, RolloutConfig, SamplingParams
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Cutoff, Decoder, Session
from numina_infer.core.records import (
    AnswerRange,
    Execution,
    ExecutionStatus,
    NoAnswer,
    Outcome,
    Problem,
    StopReason,
    Trajectory,
)
from numina_infer.engines.scripted_engine import ScriptedEngine
from numina_infer.formats.numina import NUMINA
from numina_infer.sandbox.scripted_sandbox import ScriptedSandbox
from numina_infer.solving.rollout import Draft, end_of, rollout, turn_seed

pytestmark = pytest.mark.anyio

PROBLEM = Problem("p", "What is $1+1$?")
PROGRAM = "We compute.\n```python\nprint(1 + 1)\n```\n```output\n"
CONCLUSION = "\nThe answer is $\\boxed{2}$."
CONFIG = RolloutConfig(sampling=SamplingParams(max_tokens=100))


def two(code: str) -> Execution:
    """Every program prints 2."""
    return Execution(ExecutionStatus.OK, "2", stdout="2\n")


async def attempt(
    decoder: Decoder, session: Session, cutoff: Cutoff, *, index: int = 0, config: RolloutConfig = CONFIG
) -> Trajectory:
    """One attempt from its places to its ending."""
    draft = Draft(PROBLEM, index, NUMINA, config.answer_range)
    work = rollout(draft, decoder=decoder, session=session, config=config, run_seed=0, cutoff=cutoff)
    return await end_of(draft, work, cutoff)


async def play(
    *turns: str,
    config: RolloutConfig = CONFIG,
    run: Callable[[str], Execution] = two,
    cutoff: Cutoff | None = None,
) -> Trajectory:
    """The trajectory of a model that says `turns`."""
    async with (
        ScriptedEngine([list(turns)]).slot(0) as decoder,
        ScriptedSandbox(run) as sandbox,
        sandbox.session(Mode.FRESH) as session,
    ):
        cutoff = cutoff or Cutoff(anyio.current_time() + 100)
        return await attempt(decoder, session, cutoff, index=3, config=config)


async def test_a_program_runs_and_its_output_goes_back() -> None:
    """Code, output, conclusion: the shape of SC-TIR."""
    trajectory = await play(PROGRAM, CONCLUSION)
    first, second = trajectory.turns
    assert (first.code, first.observation) == ("print(1 + 1)", "2\n```")
    assert (second.code, second.observation) == (None, "")
    assert (trajectory.outcome, trajectory.answer.value, trajectory.printed) == (Outcome.FINISHED, 2, 2)
    assert trajectory.index == 3


async def test_history_is_only_extended() -> None:
    """Each turn's prompt is the one before, what was written, and what came back."""
    trajectory = await play(PROGRAM, PROGRAM, CONCLUSION)
    prompts = [turn.completion.num_prompt_tokens for turn in trajectory.turns]
    written = [len(turn.completion.token_ids) for turn in trajectory.turns]
    assert prompts[1] >= prompts[0] + written[0]
    assert prompts[2] >= prompts[1] + written[1]


async def test_an_answer_without_a_program_is_a_vote() -> None:
    """The reference kernel lost these."""
    trajectory = await play("It is clear. The answer is $\\boxed{2}$.")
    assert (trajectory.outcome, trajectory.answer.value, len(trajectory.turns)) == (Outcome.FINISHED, 2, 1)


async def test_an_answer_stated_early_is_not_lost() -> None:
    """The model boxes first and only verifies afterwards."""
    trajectory = await play("So $\\boxed{2}$. We verify.\n" + PROGRAM, "\nThis confirms it.")
    assert trajectory.answer.value == 2


@pytest.mark.parametrize(
    "program",
    [
        "```python\nprint(1 + 1)\n```output\n",
        "```python\nprint(1 + 1)```\n```output\n",
        "```python\nprint(1 + 1)",
        "```python\r\nprint(1 + 1)\r\n```\r\n```output\r\n",
    ],
)
async def test_a_sloppy_block_hides_no_answer(program: str) -> None:
    """A fence that was left open belongs to the program, not to what is said after it."""
    trajectory = await play(program, CONCLUSION)
    assert (trajectory.turns[0].code, trajectory.answer.value) == ("print(1 + 1)", 2)


async def test_what_a_program_prints_is_no_vote() -> None:
    """A box in an output is no statement of the model; the integer is kept for the fallback."""
    boxed = Execution(ExecutionStatus.OK, "\\boxed{7}")
    assert (await play(PROGRAM, "\nDone.", run=lambda code: boxed)).answer.reason is NoAnswer.NOT_STATED
    trajectory = await play(PROGRAM, "\nDone.")
    assert (trajectory.answer.reason, trajectory.printed) == (NoAnswer.NOT_STATED, 2)


async def test_the_last_turns_program_is_not_run() -> None:
    """Nobody would read its output."""
    ran: list[str] = []

    def note(code: str) -> Execution:
        ran.append(code)
        return two(code)

    trajectory = await play(PROGRAM, PROGRAM, PROGRAM, config=replace(CONFIG, max_turns=2), run=note)
    assert trajectory.outcome is Outcome.MAX_TURNS
    assert (len(trajectory.turns), len(ran), trajectory.turns[-1].code) == (2, 1, "print(1 + 1)")


async def test_a_number_at_a_token_limit_is_no_vote() -> None:
    """The number may be the half of a longer one."""
    half = replace(CONFIG, sampling=SamplingParams(max_tokens=len("The answer is $\\boxed{2") // 4 + 1))
    trajectory = await play("The answer is $\\boxed{2" + "3" * 40 + "}$.", config=half)
    assert trajectory.outcome is Outcome.MAX_TOKENS
    assert trajectory.answer.value is None


async def test_a_cutoff_that_has_passed_ends_the_first_turn() -> None:
    """The trajectory ends with what it has: nothing."""
    trajectory = await play(PROGRAM, cutoff=Cutoff(anyio.current_time() - 1))
    assert (trajectory.outcome, trajectory.answer.reason) == (Outcome.CUTOFF, NoAnswer.UNFINISHED)


async def test_a_program_that_the_cutoff_ended_is_no_time_out() -> None:
    """It would have counted against the program; its own time-out does."""
    slow = Execution(ExecutionStatus.OK, "2", wall_s=1000.0)
    cutoff = Cutoff(anyio.current_time() + 100)

    def decide_meanwhile(code: str) -> Execution:
        cutoff.move(anyio.current_time(), StopReason.DECIDED)
        return slow

    cut_off = await play(PROGRAM, CONCLUSION, run=decide_meanwhile, cutoff=cutoff)
    assert (cut_off.outcome, cut_off.executions, cut_off.turns[0].code) == (Outcome.CUTOFF, (), "print(1 + 1)")
    hasty = replace(CONFIG, code_timeout_s=0.02)
    timed_out = await play(PROGRAM, CONCLUSION, run=lambda code: slow, config=hasty)
    assert [execution.status for execution in timed_out.executions] == [ExecutionStatus.TIMEOUT]


async def test_a_failed_program_is_told_to_the_model() -> None:
    """Failure is data."""
    error = Execution(ExecutionStatus.ERROR, "NameError: name 'x' is not defined")
    trajectory = await play(PROGRAM, CONCLUSION, run=lambda code: error)
    assert "NameError" in trajectory.turns[0].observation
    assert (trajectory.outcome, trajectory.printed) == (Outcome.FINISHED, None)


async def test_an_engine_that_fails_costs_one_trajectory_and_keeps_its_turns() -> None:
    """Infrastructure's failure ends the attempt; what was stated before counts."""

    def fail_later(context_text: str, seed: int) -> str:
        if "```output" in context_text:
            raise EngineError("out of memory")
        return "So $\\boxed{2}$.\n" + PROGRAM

    async with (
        ScriptedEngine(fail_later).slot(0) as decoder,
        ScriptedSandbox(two) as sandbox,
        sandbox.session(Mode.FRESH) as session,
    ):
        trajectory = await attempt(decoder, session, Cutoff(anyio.current_time() + 100))
    assert (trajectory.outcome, trajectory.error) == (Outcome.ENGINE_ERROR, "out of memory")
    assert (len(trajectory.turns), trajectory.answer.value) == (1, 2)


async def test_the_answer_is_read_for_the_competitions_range() -> None:
    """1002 is 2 in AIMO-1 and nothing in AIMO-2."""
    large = "The answer is $\\boxed{1002}$."
    assert (await play(large)).answer.value == 2
    up_to_999 = replace(CONFIG, answer_range=AnswerRange.UP_TO_999)
    assert (await play(large, config=up_to_999)).answer.reason is NoAnswer.OUT_OF_RANGE


@given(st.integers(0, 2**31), st.text(max_size=20), st.integers(0, 500), st.integers(0, 10))
def test_seeds_depend_on_nothing_but_run_problem_index_and_turn(
    run_seed: int, statement: str, index: int, turn: int
) -> None:
    """And are numbers that every engine takes."""
    seed = turn_seed(run_seed, statement, index, turn)
    assert seed == turn_seed(run_seed, statement, index, turn)
    assert 0 <= seed < 2**31


def test_seeds_of_a_contest_differ() -> None:
    """Fifty problems, 48 trajectories, four turns: all but a handful of seeds are distinct."""
    seeds = {turn_seed(0, f"problem {p}", i, t) for p in range(50) for i in range(48) for t in range(4)}
    assert len(seeds) > 50 * 48 * 4 - 50


def turn_texts(trajectory: Trajectory) -> Sequence[str]:
    """What the model wrote, turn by turn."""
    return [turn.completion.text for turn in trajectory.turns]


@pytest.mark.parametrize("reason", [StopReason.DECIDED, StopReason.INTERRUPTED])
async def test_a_cutoff_in_the_middle_keeps_a_prefix(reason: StopReason) -> None:
    """What was written by then is handed over, wherever the cutoff falls."""
    whole = "".join(turn_texts(await play(PROGRAM, CONCLUSION)))
    for ticks in range(0, 40, 3):
        cutoff = Cutoff(anyio.current_time() + 100)
        endings: list[Trajectory] = []

        async def one(cutoff: Cutoff = cutoff, endings: list[Trajectory] = endings) -> None:
            async with (
                ScriptedEngine([[PROGRAM, CONCLUSION]]).slot(0) as decoder,
                ScriptedSandbox(two) as sandbox,
                sandbox.session(Mode.FRESH) as session,
            ):
                endings.append(await attempt(decoder, session, cutoff))

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            for _ in range(ticks):
                await anyio.lowlevel.checkpoint()
            cutoff.move(anyio.current_time(), reason)
        (ending,) = endings
        assert whole.startswith("".join(turn_texts(ending)))
        assert ending.outcome in {Outcome.CUTOFF, Outcome.FINISHED}
