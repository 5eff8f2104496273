"""What models write that hurts: loops, floods, huge numbers, no answer, one token for ever, attacks."""

from functools import partial

from drills.contest_plan import right_answer
from drills.fault import Expected, Fault, struck
from drills.model import Says, program
from drills.scene import Scene

_FIVE = (0.1, 0.3, 0.5, 0.7, 0.9)


def _say(words: Says, scene: Scene, numbers: frozenset[int]) -> None:
    scene.says.append(lambda number, text, seed: words(number, text, seed) if number in numbers else None)


def _endless_loop(_number: int, _text: str, _seed: int) -> str:
    return program("# simulated: 3600.000 s\nprint(1)")


def _huge_answer(_number: int, _text: str, _seed: int) -> str:
    return "The answer is $\\boxed{10^{30}}$."


def _output_only(number: int, text: str, _seed: int) -> str:
    if "```output" in text:
        return "As the program shows."
    return program(f"# simulated: 1.000 s\nprint({right_answer(number)})")


def _one_token(_number: int, _text: str, _seed: int) -> str:
    return "so  " * 5000


MODEL_FAULTS = (
    Fault(
        "endless-loops",
        "On five problems the model writes nothing but programs that never end.",
        partial(_say, _endless_loop),
        Expected(struck, 5, says=("5 without a vote", "timeout)")),
        at=_FIVE,
    ),
    Fault(
        "huge-answers",
        "On five problems every answer is 10^30, which is 0 by a competition that takes answers modulo 1000.",
        partial(_say, _huge_answer),
        Expected(struck, 5, says=("45 of 50 with a reference right",)),
        at=_FIVE,
    ),
    Fault(
        "answers-in-outputs-only",
        "On five problems the answer stands in a program's output and the model states none.",
        partial(_say, _output_only),
        Expected(struck, 5, says=("5 without a vote", "60 not_stated")),
        at=_FIVE,
    ),
    Fault(
        "one-token-for-ever",
        "On two problems the model repeats one token until its limit.",
        partial(_say, _one_token),
        Expected(struck, 2, says=("2 without a vote", "24 not_stated")),
        at=(0.3, 0.6),
    ),
)
