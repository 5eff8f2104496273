"""The records that travel through the system, all frozen.

A `Trajectory` is one attempt at a `Problem`: its turns and how it ended. A `Turn` is one `Completion` and at most one
`Execution`. A `Solution` is the verdict on a problem and its evidence. Times are seconds of the event loop's clock.
The shape of an attempt is SC-TIR as NuminaMath's 2024 kernel runs it; docs/glossary.md explains the words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeGuard

LARGEST_WHOLE = 2**63 - 1
"""The largest whole number in a record, since other programs that read our logs hold no larger one.

Larger numbers of an endpoint, a user or a log are refused.
"""


def is_count(value: object) -> TypeGuard[int]:
    """Whether `value`, from outside, is a whole number from 0 to `LARGEST_WHOLE`."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_WHOLE


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of the competition."""

    id: str
    """The competition's own identifier."""
    statement: str
    """The problem's text, usually LaTeX."""


class AnswerRange(StrEnum):
    """The integers that the competition accepts."""

    MOD_1000 = "mod-1000"
    """AIMO-1: a non-negative integer, reported modulo 1000."""
    UP_TO_999 = "0-999"
    """AIMO-2: 0 to 999; anything else is no answer."""
    UP_TO_99999 = "0-99999"
    """AIMO-3: 0 to 99999; anything else is no answer."""

    @classmethod
    def _missing_(cls, value: object) -> "AnswerRange | None":
        """Accept the names of the members too, such as `MOD_1000`."""
        return cls.__members__.get(str(value).upper())

    @property
    def largest(self) -> int:
        """The largest integer in the range."""
        return 99_999 if self is AnswerRange.UP_TO_99999 else 999

    def place(self, integer: int) -> "int | NoAnswer":
        """The vote for `integer` in this range, or the reason why it is none."""
        if integer < 0:
            return NoAnswer.NEGATIVE
        if self is AnswerRange.MOD_1000:
            return integer % 1000
        return integer if integer <= self.largest else NoAnswer.OUT_OF_RANGE


class NoAnswer(StrEnum):
    """Why a text gives no vote."""

    NOT_STATED = "not_stated"
    """It has no box and no «the answer is»."""
    NOT_AN_INTEGER = "not_an_integer"
    UNREADABLE = "unreadable"
    """The stated answer can't be read as a number."""
    NEGATIVE = "negative"
    OUT_OF_RANGE = "out_of_range"
    """The integer is outside the answer range."""
    TOO_LARGE = "too_large"
    """The value of the stated expression is beyond the reader's bounds."""
    CUT_OFF = "cut_off"
    """The text ends inside the number, so that more digits may have followed."""
    UNFINISHED = "unfinished"
    """The attempt was ended from outside before it stated an answer."""
    WEIGHTLESS = "weightless"
    """The policy's weights give the integer no vote."""


class AnswerSource(StrEnum):
    """Where in the text the answer stood."""

    BOXED = "boxed"
    UNCLOSED_BOX = "unclosed_box"
    SENTENCE = "sentence"
    """«the answer is 52»."""
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class ExtractedAnswer:
    """An integer that a text states, or the reason there is none: exactly one of the two."""

    value: int | None
    """The vote, within the answer range."""
    reason: NoAnswer | None = None
    source: AnswerSource = AnswerSource.NOWHERE
    raw: str = ""
    """The text in the box or behind «the answer is»."""

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"an answer has a value or a reason, not {self.value=} and {self.reason=}")


class FinishReason(StrEnum):
    """Why a completion ended."""

    STOP = "stop"
    """At a stop string, which is `Completion.stop_reason`."""
    EOS = "eos"
    """The model ended its text."""
    LENGTH = "length"
    """`max_tokens` were generated."""
    CONTEXT = "context"
    """The context window is full."""
    ABORT = "abort"
    """The cutoff passed; the text stops there."""


@dataclass(frozen=True, slots=True)
class Completion:
    """The model's text of one turn.

    The splice rule: `text` is cut right behind a stop string, but tokens can't be cut. `token_ids` are the sampled
    tokens that lie wholly within `text`, and `tail` is the end of `text` that they don't cover (empty unless a token
    extends over the stop string). The tail is tokenised together with the text appended next, so that a context is
    exact in text and only ever extended in tokens.
    """

    text: str
    """The text, stop string included."""
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    stop_reason: str | None = None
    """The stop string that ended it."""
    tail: str = ""
    num_tokens: int = 0
    """Tokens sampled, one that extends over the stop string included."""
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    """Prompt tokens that weren't computed again."""
    cumulative_logprob: float | None = None
    """Natural log of the probability of the sampled tokens, if the engine knows it."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """A special token of the model; a context holds one only as this record, never as text."""

    text: str
    """Such as `<|im_start|>`."""


Part = str | SpecialToken | Completion
"""A piece of a context: our plain text, a special token, or the model's text."""


def plain_text(context: Sequence[Part]) -> str:
    """The text of `context`."""
    return "".join(part if isinstance(part, str) else part.text for part in context)


class ExecutionStatus(StrEnum):
    """How a program ended."""

    OK = "ok"
    ERROR = "error"
    """An uncaught Python exception."""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    """It printed more than the limit, and was stopped."""
    CRASHED = "crashed"
    """It died without a Python exception, by a signal or `os._exit`."""


@dataclass(frozen=True, slots=True)
class Execution:
    """The result of one program: data, never an exception."""

    status: ExecutionStatus
    output: str
    """The text for the model, before its format shortens it."""
    stdout: str = ""
    stderr: str = ""
    wall_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One completion, the program of it that ran, and the observation."""

    completion: Completion
    code: str | None = None
    execution: Execution | None = None
    observation: str = ""
    """The text that was appended to the completion; with the prompt, all that the model didn't write."""


class Outcome(StrEnum):
    """How a trajectory ended."""

    FINISHED = "finished"
    """The model ended it."""
    MAX_TURNS = "max_turns"
    """Its last turn asked for another program."""
    MAX_TOKENS = "max_tokens"
    """A turn reached its token limit."""
    CONTEXT_FULL = "context_full"
    CUTOFF = "cutoff"
    """The problem was decided, or its time was over."""
    ENGINE_ERROR = "engine_error"
    SANDBOX_ERROR = "sandbox_error"
    ENGINE_GONE = "engine_gone"
    """The engine is dead and won't be started again."""
    ENGINE_REFUSED = "engine_refused"
    """The engine rejects the request, and would reject it again."""
    SANDBOX_GONE = "sandbox_gone"
    """The sandbox is dead and won't be started again."""
    FAILED = "failed"
    """A bug of ours, or of a package that we use."""

    @property
    def is_failure(self) -> bool:
        """Whether an error ended the attempt, rather than the model or a limit."""
        engine = {Outcome.ENGINE_ERROR, Outcome.ENGINE_GONE, Outcome.ENGINE_REFUSED}
        return self in engine | {Outcome.SANDBOX_ERROR, Outcome.SANDBOX_GONE, Outcome.FAILED}

    @property
    def may_pass(self) -> bool:
        """Whether the error may be gone soon, so that another attempt may succeed."""
        return self in {Outcome.ENGINE_ERROR, Outcome.SANDBOX_ERROR}


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One attempt at a problem, from its start to its end."""

    problem_id: str
    index: int
    """0 to N-1 within the problem."""
    turns: tuple[Turn, ...]
    outcome: Outcome
    answer: ExtractedAnswer
    printed: int | None = None
    """The integer in range that its last program printed, if any: no vote, but better than a constant."""
    started_at: float = 0.0
    ended_at: float = 0.0
    error: str = ""
    """The error of an attempt that failed."""

    @property
    def is_lost(self) -> bool:
        """Whether an error of engine or sandbox cost the attempt its vote."""
        return self.outcome.may_pass and self.answer.value is None

    @property
    def num_tokens(self) -> int:
        """Tokens sampled over all turns."""
        return sum(turn.completion.num_tokens for turn in self.turns)

    @property
    def executions(self) -> tuple[Execution, ...]:
        """The programs that were run, in order."""
        return tuple(turn.execution for turn in self.turns if turn.execution is not None)


class Bound(StrEnum):
    """The limit that set the length of a slice."""

    MOST = "most"
    """The most that any problem may take (`ContestConfig.problem_time_s`)."""
    SHARE = "share"
    """Its fair share, times `BankConfig.most_of_fair_share`."""
    FLOORS = "floors"
    """The time kept for the problems to come."""
    PREDICT_LIMIT = "predict_limit"
    """The competition's limit for one reply."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The time that one problem gets of the contest's."""

    seconds: float
    """From its arrival to its deadline."""
    grace_s: float
    """From its deadline to the reply, which is then the best known answer."""
    bound: Bound
    left_s: float | None = None
    """Seconds that the bank had when the problem came, to the hard end; None without a bank."""
    num_left: int | None = None
    """Problems that were still expected, this one included."""


class StopReason(StrEnum):
    """Why a problem ended."""

    DECIDED = "decided"
    """The leader can't be overtaken, or hardly (`Policy.epsilon`)."""
    EXHAUSTED = "exhausted"
    """Every trajectory of the horizon has ended."""
    DEADLINE = "deadline"
    INTERRUPTED = "interrupted"
    """By the user, or at the end of the contest."""
    FAILED = "failed"
    """By an error, which is `Solution.error`, or for lack of a verdict in time."""


@dataclass(frozen=True, slots=True)
class Solution:
    """The verdict on a problem, and its evidence."""

    problem_id: str
    answer: int
    """The submission: always an integer in range."""
    is_fallback: bool
    """Whether the answer has no vote."""
    stop_reason: StopReason
    votes: Mapping[int, int] = field(default_factory=dict)
    """Milli-votes by answer."""
    invalid: Mapping[NoAnswer, int] = field(default_factory=dict)
    """Ended trajectories without a vote, by reason."""
    num_started: int = 0
    num_ended: int = 0
    opened_at: float = 0.0
    solved_at: float = 0.0
    error: str = ""
    incidents: tuple[str, ...] = ()
    """Failures since the verdict before that engine, sandbox or gateway recovered from."""
