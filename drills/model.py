"""The model of a drill, which is right unless a fault says something else; half of its answers come from programs.

Problems are sums. Programs are written for the simulated sandbox, with how long they take and what they print, and the
real sandbox runs them just as well.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import anyio

from drills.contest_plan import right_answer
from drills.wrapped import WrappedEngine
from numina_infer.core.config import SamplingParams
from numina_infer.core.ports import Cutoff, Decoder, Engine
from numina_infer.core.records import Completion, FinishReason, Part

Says = Callable[[int, str, int], str | None]
"""Problem number, context and seed → the model's turn, or None for the right one."""

_ASKED = re.compile(r"What is (\d+) \+ 100\?")
_OUTPUT = re.compile(r"```output\n(-?\d+)\n")
NOBODY = 0
"""Stands for a problem whose statement asks for nothing."""


def asked_number(text: str) -> int:
    """The number of the problem in a context, or 0."""
    found = _ASKED.findall(text)
    return int(found[-1]) if found else NOBODY


def right_words(text: str, seed: int) -> str:
    """A turn on the way to the right answer: the answer itself, or a program that prints it."""
    number = asked_number(text)
    if number == NOBODY:
        return "Nothing is asked, so there is nothing to say."
    if told := _OUTPUT.findall(text):
        return f"It is $\\boxed{{{told[-1]}}}$."
    if seed % 2:
        return f"It is $\\boxed{{{right_answer(number)}}}$."
    return program(f"# simulated: {1 + seed % 3}.000 s\nprint({right_answer(number)})")


def program(code: str) -> str:
    """`code` as a model writes it to have it run."""
    return f"```python\n{code}\n```\n```output\n"


@dataclass(frozen=True, slots=True)
class Words:
    """The script: the first fault that says something speaks; otherwise the right words do."""

    says: Sequence[Says]

    def __call__(self, text: str, seed: int) -> str:
        """The next turn."""
        number = asked_number(text)
        said = (one(number, text, seed) for one in self.says)
        return next((words for words in said if words is not None), right_words(text, seed))


@dataclass(frozen=True, slots=True)
class Pace:
    """How long turns take: `turn_s`, give or take a quarter by the seed, times every factor in `slower`."""

    turn_s: float
    slower: Sequence[Callable[[float], float]]
    began_at: float

    def seconds(self, seed: int, now: float) -> float:
        """Seconds of one turn that begins now."""
        seconds = self.turn_s * (0.75 + seed % 1000 / 2000)
        for slower in self.slower:
            seconds *= slower(now - self.began_at)
        return seconds


class PacedEngine(WrappedEngine):
    """An engine whose turns take time; a turn that the cutoff ends has no text."""

    def __init__(self, engine: Engine, pace: Pace) -> None:
        super().__init__(engine)
        self._pace = pace

    async def generate(
        self, decoder: Decoder, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """One turn, when its time is over."""
        with cutoff.scope():
            await anyio.sleep(self._pace.seconds(seed, anyio.current_time()))
            return await decoder.generate(context, params, seed=seed, cutoff=cutoff)
        return Completion("", (), FinishReason.ABORT, seed=seed)


def retold(completion: Completion, text: str, token_ids: tuple[int, ...]) -> Completion:
    """`completion` with another text and other tokens."""
    return replace(
        completion, text=text, token_ids=token_ids, tail="", stop_reason=None, finish_reason=FinishReason.EOS
    )
