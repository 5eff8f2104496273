"""What the competition's side does that it shouldn't: it asks twice, late, at once, and for odd things."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from drills.fault import Expected, Fault, struck
from drills.scene import Call, Round, Scene
from drills.seen import Reply, Seen
from numina_infer.core.records import Problem

_THREE = (0.2, 0.5, 0.8)
_LATE_SHARE = 600.0 / (9 * 3600)
"""Of the contest: ten minutes of nine hours."""
_HOURS_LATE_SHARE = 6 / 9
_TOO_FEW = 0.8
_CROWD = 4
_LONG = 100_000
_LOPSIDED = "Let $\\frac{a}{b$ and $\\sqrt[3}{x_{n^{k}$ with }}} \\left( \\begin{align} & {{{ hold. "


def _worded(words: Callable[[str], str], scene: Scene, numbers: frozenset[int]) -> None:
    """Have these problems worded otherwise."""
    scene.calls_changed(
        numbers, lambda call: replace(call, problem=Problem(call.problem.id, words(call.problem.statement)))
    )


def _again(scene: Scene, numbers: frozenset[int]) -> None:
    def reorder(rounds: Sequence[Round]) -> Sequence[Round]:
        return [
            calls for each in rounds for calls in ([each, each] if any(c.number in numbers for c in each) else [each])
        ]

    scene.reorder.append(reorder)


def _dropped(scene: Scene, numbers: frozenset[int]) -> None:
    """The second call comes while the first is worked on: who asked first hangs up, and nobody tells us."""

    def reorder(rounds: Sequence[Round]) -> Sequence[Round]:
        return [calls + tuple(call for call in calls if call.number in numbers) for calls in rounds]

    scene.reorder.append(reorder)


def late(share: float, scene: Scene, numbers: frozenset[int]) -> None:
    """Before these problems the gateway takes that share of the contest."""
    late_s = share * scene.plan.time_limit_s
    scene.calls_changed(numbers, lambda call: replace(call, pause_s=call.pause_s + late_s))


def open_since(numbers: frozenset[int], reply: Reply, seen: Seen) -> bool:
    """The first of these problems, those in work when it is asked, and all behind it."""
    late_at = min((first.asked_at for first in seen.first_replies if first.number in numbers), default=math.inf)
    return reply.replied_at >= late_at


def _with_more(scene: Scene, numbers: frozenset[int]) -> None:
    scene.calls_changed(numbers, lambda call: replace(call, extra=("4", "of no worth")))


def _same_id(scene: Scene, numbers: frozenset[int]) -> None:
    """Another problem under an id that was there before."""
    first = scene.plan.problems[0].id

    def renamed(call: Call) -> Call:
        return replace(call, problem=Problem(first, call.problem.statement))

    scene.calls_changed(numbers, renamed)


def _in_crowds(scene: Scene, _numbers: frozenset[int]) -> None:
    def reorder(rounds: Sequence[Round]) -> Sequence[Round]:
        calls = [call for each in rounds for call in each]
        return [tuple(calls[at : at + _CROWD]) for at in range(0, len(calls), _CROWD)]

    scene.reorder.append(reorder)


def _announced(share: float, scene: Scene, _numbers: frozenset[int]) -> None:
    scene.num_announced = max(1, round(share * scene.plan.num_problems))


def _beyond_announced(_numbers: frozenset[int], reply: Reply, seen: Seen) -> bool:
    return reply.number > _TOO_FEW * seen.plan.num_problems


_AGAIN = Expected(says=("the gateway asked for a problem again (3 times)",))

GATEWAY_FAULTS = (
    Fault("asks-twice", "Three problems are asked once more when they have their reply.", _again, _AGAIN, at=_THREE),
    Fault(
        "asks-late",
        "Three times the gateway takes ten minutes before it asks.",
        partial(late, _LATE_SHARE),
        Expected(says=("between problems 30:00",)),
        at=_THREE,
    ),
    Fault(
        "asks-hours-late",
        "Once the gateway takes six hours before it asks, so that all problems behind have a minute or two each.",
        partial(late, _HOURS_LATE_SHARE),
        Expected(open_since, 10, says=("between problems 6:00:00",)),
        at=(0.5,),
    ),
    Fault(
        "drops-connection",
        "Three calls lose their connection, and the same problem is asked again while it is worked on.",
        _dropped,
        _AGAIN,
        at=_THREE,
    ),
    Fault(
        "empty-statement",
        "A problem has no text.",
        partial(_worded, lambda _: ""),
        Expected(struck, 1, says=("1 without a vote", "12 not_stated")),
        at=(0.3,),
    ),
    Fault(
        "long-statement",
        "A statement has 100 kB.",
        partial(_worded, lambda text: "Consider this. " * (_LONG // 15) + text),
        at=(0.3,),
    ),
    Fault(
        "nul-bytes",
        "A statement has NUL bytes and other control characters in it.",
        partial(_worded, lambda text: f"\x00\x00{text}\x00\x1b\x07\u202e"),
        at=(0.4,),
    ),
    Fault(
        "unbalanced-latex",
        "In a statement every brace is unbalanced.",
        partial(_worded, lambda text: f"{_LOPSIDED}{text} {{{{ \\boxed{{"),
        at=(0.5,),
    ),
    Fault("duplicate-id", "Two other problems come under the first one's id.", _same_id, at=(0.5, 0.9)),
    Fault("extra-columns", "Three calls hand over more than id and statement.", _with_more, at=_THREE),
    Fault(
        "fewer-problems",
        "Sixty problems were announced for fifty that come.",
        partial(_announced, 1.2),
        Expected(says_once=("60 problems were announced, and 50 came",)),
    ),
    Fault(
        "more-problems",
        "Forty problems were announced for fifty that come.",
        partial(_announced, _TOO_FEW),
        Expected(
            _beyond_announced,
            costs_votes_with=("servers-crawl",),
            says_once=("40 problems were announced, and 50 came",),
        ),
    ),
    Fault("several-threads", "Four problems are asked at once, from a thread each.", _in_crowds),
)
