"""The records that travel through the system, all frozen.

A `Problem` is attempted by trajectories; a `Trajectory` is a list of turns and how it ended;
a `Turn` is one `Completion` and at most one `Execution`; a `Solution` is the verdict and its evidence.
Times are seconds of the event loop's monotonic clock.
The vocabulary is docs/glossary.md; the shape of an attempt is SC-TIR as NuminaMath's 2024 kernel runs it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeGuard

LARGEST_WHOLE = 2**63 - 1
"""The largest whole number in a record: programs that read our logs hold no larger one.

Whoever takes a number from an endpoint or a user refuses what is beyond, and so does whoever reads a log.
"""


def is_count(value: object) -> TypeGuard[int]:
    """Whether `value`, which somebody else says, is a whole number from 0 that a record may hold."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_WHOLE


@dataclass(frozen=True, slots=True)
class Problem:
    """What the competition asks."""

    id: str
    """The competition's own identifier."""
    statement: str
    """The problem's text, usually LaTeX."""


class AnswerRange(StrEnum):
    """Which integers the competition takes, and what becomes of others."""

    MOD_1000 = "mod-1000"
    """AIMO-1: a non-negative integer, reported modulo 1000."""
    UP_TO_999 = "0-999"
    """AIMO-2: 0 to 999; anything else is no answer."""
    UP_TO_99999 = "0-99999"
    """AIMO-3: 0 to 99999; anything else is no answer."""

    @classmethod
    def _missing_(cls, value: object) -> "AnswerRange | None":
        """`MOD_1000`, as the names in the code are spelled, is taken too."""
        return cls.__members__.get(str(value).upper())

    @property
    def largest(self) -> int:
        """The largest integer that may be submitted."""
        return 99_999 if self is AnswerRange.UP_TO_99999 else 999

    def place(self, integer: int) -> "int | NoAnswer":
        """The vote that `integer` is in this range, or why it is none."""
        if integer < 0:
            return NoAnswer.NEGATIVE
        if self is AnswerRange.MOD_1000:
            return integer % 1000
        return integer if integer <= self.largest else NoAnswer.OUT_OF_RANGE


class NoAnswer(StrEnum):
    """Why a text gives no vote."""

    NOT_STATED = "not_stated"
    """No box and no «the answer is»."""
    NOT_AN_INTEGER = "not_an_integer"
    """A value was read, and it isn't an integer."""
    UNREADABLE = "unreadable"
    """Something was stated that the reader can't turn into a number."""
    NEGATIVE = "negative"
    """An integer below zero."""
    OUT_OF_RANGE = "out_of_range"
    """An integer that the competition doesn't take."""
    TOO_LARGE = "too_large"
    """An expression whose value is beyond the reader's bounds."""
    CUT_OFF = "cut_off"
    """The text ends inside the number, so that more digits may have followed."""
    UNFINISHED = "unfinished"
    """The attempt was ended from outside before it stated anything."""
    WEIGHTLESS = "weightless"
    """An integer was stated, and the policy's weights give it no vote."""


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
    """The vote: within the answer range it was read for."""
    reason: NoAnswer | None = None
    source: AnswerSource = AnswerSource.NOWHERE
    raw: str = ""
    """What stood in the box or behind the sentence, before it was read."""

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"an answer has a value or a reason, not {self.value=} and {self.reason=}")


class FinishReason(StrEnum):
    """Why the engine stopped writing."""

    STOP = "stop"
    """A stop string; `Completion.stop_reason` says which."""
    EOS = "eos"
    """The model ended its text."""
    LENGTH = "length"
    """`max_tokens` were generated."""
    CONTEXT = "context"
    """The context window is full."""
    ABORT = "abort"
    """The cutoff passed; the text is what there was by then."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model added in one turn.

    The splice rule: `text` is cut right behind a stop string, tokens can't be cut.
    `token_ids` are the sampled tokens that lie wholly within `text`, and `tail` is the end of `text` that
    they don't cover (empty unless a token hung over the stop string).
    The tail is tokenised together with what is appended next, so history stays exact in text and is only
    ever extended in tokens.
    """

    text: str
    """The text, stop string included."""
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    stop_reason: str | None = None
    """The stop string that ended it."""
    tail: str = ""
    num_tokens: int = 0
    """Tokens sampled, an overhanging one included."""
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    """How many of the prompt's tokens were not computed again."""
    cumulative_logprob: float | None = None
    """Natural log of the probability of the sampled tokens, where the engine knows it."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """A special token of the model, by its spelling; the only way in which one gets into a context."""

    text: str
    """Such as `<|im_start|>`."""


Part = str | SpecialToken | Completion
"""What a context is made of: plain text of ours, special tokens, and what the model wrote."""


def plain_text(context: Sequence[Part]) -> str:
    """What a reader sees of `context`."""
    return "".join(part if isinstance(part, str) else part.text for part in context)


class ExecutionStatus(StrEnum):
    """How a program ended."""

    OK = "ok"
    ERROR = "error"
    """An uncaught Python exception."""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    """It printed more than is kept, and was stopped."""
    CRASHED = "crashed"
    """It died without a Python exception: a signal, or an exit behind Python's back."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What came of one program: data, never an exception."""

    status: ExecutionStatus
    output: str
    """What the model is told: clean text, before a TIR format shortens it."""
    stdout: str = ""
    stderr: str = ""
    wall_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One completion, the program in it that was run, and what was written back."""

    completion: Completion
    code: str | None = None
    execution: Execution | None = None
    observation: str = ""
    """The text appended behind the completion: the only thing in a context that the model didn't write."""


class Outcome(StrEnum):
    """How a trajectory ended."""

    FINISHED = "finished"
    """The model came to an end of its own."""
    MAX_TURNS = "max_turns"
    """It asked for one program more than it may."""
    MAX_TOKENS = "max_tokens"
    """A turn ran into its token limit."""
    CONTEXT_FULL = "context_full"
    CUTOFF = "cutoff"
    """The problem was decided, or its time was over."""
    ENGINE_ERROR = "engine_error"
    SANDBOX_ERROR = "sandbox_error"
    ENGINE_GONE = "engine_gone"
    """The engine is dead and won't be started again."""
    ENGINE_REFUSED = "engine_refused"
    """The engine won't take what it was asked for, however often it is asked."""
    SANDBOX_GONE = "sandbox_gone"
    """The sandbox is dead and won't be started again."""
    FAILED = "failed"
    """An error that nobody foresaw: a fault of ours, or of a package that we use."""

    @property
    def is_failure(self) -> bool:
        """Whether something broke, rather than the model or a limit having ended the attempt."""
        return self in _FAILURES

    @property
    def may_pass(self) -> bool:
        """Whether what broke may be well again soon, so that another attempt may fare better."""
        return self in {Outcome.ENGINE_ERROR, Outcome.SANDBOX_ERROR}


_FAILURES = frozenset(
    {
        *(Outcome.ENGINE_ERROR, Outcome.ENGINE_GONE, Outcome.ENGINE_REFUSED),
        *(Outcome.SANDBOX_ERROR, Outcome.SANDBOX_GONE, Outcome.FAILED),
    }
)


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One attempt at a problem, from its start to its only end."""

    problem_id: str
    index: int
    """0 to N-1 within the problem."""
    turns: tuple[Turn, ...]
    outcome: Outcome
    answer: ExtractedAnswer
    printed: int | None = None
    """What its last program printed, where that was an integer in range: no vote, but better than a constant."""
    started_at: float = 0.0
    ended_at: float = 0.0
    error: str = ""
    """What broke, where something did."""

    @property
    def is_lost(self) -> bool:
        """Whether the engine or the sandbox broke before the attempt could vote."""
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
    """What made a slice as long as it is."""

    MOST = "most"
    """The most that any problem may take (`ContestConfig.problem_time_s`)."""
    SHARE = "share"
    """Its fair share and a quarter more."""
    FLOORS = "floors"
    """What is kept for the problems to come."""
    PREDICT_LIMIT = "predict_limit"
    """The competition's limit of one reply."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What one problem was given, and why."""

    seconds: float
    """From its arrival to its deadline."""
    grace_s: float
    """Beyond the deadline, before the best known is the reply."""
    bound: Bound
    left_s: float | None = None
    """What the bank had left when the problem came, to the hard end; None without a bank."""
    num_left: int | None = None
    """Problems that were expected still, this one counted."""

    @property
    def fair_s(self) -> float | None:
        """The fair share."""
        return None if self.left_s is None or self.num_left is None else self.left_s / self.num_left


class StopReason(StrEnum):
    """Why no more attempts at a problem were waited for."""

    DECIDED = "decided"
    """The leader can't be overtaken."""
    EXHAUSTED = "exhausted"
    """Every trajectory of the horizon has ended."""
    DEADLINE = "deadline"
    INTERRUPTED = "interrupted"
    """The user, or the end of the contest."""
    FAILED = "failed"
    """Something broke; `Solution.error` says what."""


@dataclass(frozen=True, slots=True)
class Solution:
    """The verdict on a problem, and its evidence."""

    problem_id: str
    answer: int
    """What was submitted: always an integer in range."""
    is_fallback: bool
    """True where no vote stands behind the answer."""
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
    """What went wrong since the verdict before and was put right: with engine, sandbox, or the gateway's calls."""
