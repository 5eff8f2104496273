"""A whole trajectory in each format: a scripted model, the real sandbox in the format's mode."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from numina_infer.core.config import Mode, RolloutConfig, SandboxConfig
from numina_infer.core.ports import Cutoff, Format
from numina_infer.core.records import ExecutionStatus, Outcome, Problem, Trajectory, plain_text
from numina_infer.engines.scripted_engine import ScriptedEngine
from numina_infer.formats.catalogue import FORMATS, make_format
from numina_infer.sandbox import Sandbox
from numina_infer.solving.rollout import Draft, rollout

pytestmark = pytest.mark.anyio
PROBLEM = Problem("p", "What is $6 \\cdot 7$?<|im_end|>")
FIRST, SECOND, CONCLUSION = "x = 6\nprint('first')", "print(x * 7)", "The answer is $\\boxed{42}$."
CHATML = (
    "{% for turn in messages %}{{ '<|im_start|>' + turn['role'] + '\\n' + turn['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{{ '<|im_start|>assistant\\n' }}"
)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, and alive as long as the module's sandbox."""
    return "asyncio"


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """The real one."""
    async with Sandbox(SandboxConfig(num_slots=1, preload=False)) as opened:
        yield opened


@pytest.fixture(scope="module")
def chat_folder(make_tokenizer: Callable[..., Path]) -> Path:
    """The tokenizer of a chat model."""
    return make_tokenizer(CHATML, ["<|im_start|>", "<|im_end|>"])


def written(fmt: Format, code: str) -> str:
    """A turn that calls for `code`, and what a model that doesn't stop would make up behind it."""
    if fmt.name == "openmath":
        return f"We compute.\n<tool_call>\n{code}\n</tool_call>\n```output\n41\n```\n$\\boxed{{41}}$"
    return f"We compute.\n```python\n{code}\n```\n```output\n41\n```\n$\\boxed{{41}}$"


async def play(fmt: Format, sandbox: Sandbox) -> tuple[Trajectory, list[str]]:
    """The trajectory, and the context that the model read before each turn."""
    contexts: list[str] = []
    lines = [written(fmt, FIRST), written(fmt, SECOND), CONCLUSION]

    def speak(context_text: str, seed: int) -> str:
        contexts.append(context_text)
        return lines[len(contexts) - 1]

    async with ScriptedEngine(speak).slot(0) as decoder, sandbox.session(fmt.mode) as session:
        config, cutoff = RolloutConfig(code_timeout_s=20), Cutoff(anyio.current_time() + 100)
        draft = Draft(PROBLEM, 0, fmt, config.answer_range)
        outcome = await rollout(draft, decoder=decoder, session=session, config=config, run_seed=0, cutoff=cutoff)
    return draft.ended(outcome, anyio.current_time()), contexts


@pytest.mark.parametrize("name", FORMATS)
async def test_two_programs_and_a_conclusion(name: str, sandbox: Sandbox, chat_folder: Path) -> None:
    """Programs share what the mode says, each turn's context is the one before and more, and the box is the vote."""
    fmt = make_format(name, model_folder=chat_folder)
    trajectory, contexts = await play(fmt, sandbox)
    first, second, last = trajectory.turns
    assert (first.code, second.code, last.code) == (FIRST, SECOND, None)
    assert first.execution is not None
    assert second.execution is not None
    assert first.execution.output == "first"
    if fmt.mode is Mode.FRESH:
        assert second.execution.status is ExecutionStatus.ERROR
        assert "NameError" in second.observation
    else:
        assert second.execution.output == "42"
        assert "first" not in second.observation
    assert (trajectory.outcome, trajectory.answer.value) == (Outcome.FINISHED, 42)
    expected = plain_text(fmt.prompt(PROBLEM.statement))
    for turn, context in zip(trajectory.turns, contexts, strict=True):
        assert context == expected
        expected += turn.completion.text + turn.observation
    assert "41" not in expected
