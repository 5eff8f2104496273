"""Records of one drill: every reply, the log, the summary, and what was left running."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drills.contest_plan import ContestPlan
from numina_infer.core.records import Solution


@dataclass(frozen=True, slots=True)
class Reply:
    """What one call of the gateway got."""

    number: int
    """The problem's, from 1 in the order of first asking."""
    right: int
    """The problem's right answer."""
    asked_at: float
    """Loop time, like all of these."""
    due_at: float
    """The problem's deadline and its grace, or `asked_at` where it had its verdict already."""
    replied_at: float
    answer: object
    """What the relay reads in the reply: an integer, or whatever it would have refused."""
    solution: Solution | None = None
    """The evidence; None where another process has it."""
    is_first: bool = True
    """Whether the problem was asked for the first time."""

    @property
    def is_right(self) -> bool:
        """Whether a vote stands behind the right answer."""
        return self.answer == self.right and not self.is_fallback

    @property
    def is_fallback(self) -> bool:
        """Whether no vote stands behind the answer."""
        return self.solution is not None and self.solution.is_fallback


@dataclass(frozen=True, slots=True)
class LogSeen:
    """The run folder, read when all was over."""

    trouble: str = ""
    """Why it can't be read."""
    verdicts: Mapping[int, Solution] = field(default_factory=dict)
    """By problem number."""
    num_openings: Mapping[int, int] = field(default_factory=dict)
    """How often a problem was opened, by number."""
    num_replayed: int = 0
    """Verdicts that a replay of the log gives again, exactly."""


@dataclass(frozen=True, slots=True)
class Left:
    """Threads, descriptors and processes that the drill left running or open."""

    threads: tuple[str, ...] = ()
    descriptors: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()

    @property
    def everything(self) -> tuple[str, ...]:
        """All of it, named."""
        named = {"thread": self.threads, "descriptor": self.descriptors, "process": self.processes}
        return tuple(f"{kind} {one}" for kind, ones in named.items() for one in ones)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a fault ended the process, and what was on disk afterwards."""

    how: str = ""
    """Such as `exit code 130`; empty where the process lives on."""
    on_disk: Mapping[int, int] = field(default_factory=dict)
    """Answers in the log that it left, by problem number."""
    given: Mapping[int, int] = field(default_factory=dict)
    """Answers that it had given by then."""
    num_after_resume: int = 0
    """Problems with a verdict after the run was resumed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was seen of one drill."""

    plan: ContestPlan
    replies: tuple[Reply, ...]
    num_due: int
    """Calls that were made, each of which is due a reply."""
    began_at: float
    hard_end: float
    """Loop time by which every reply has to be there, unless the problem was asked later."""
    largest: int = 999
    """The largest integer that the competition takes."""
    away: tuple[tuple[float, float], ...] = ()
    """When there was no engine: from and to, loop time."""
    summary: tuple[str, ...] = ()
    """What a user reads at the end, line by line."""
    log: LogSeen = field(default_factory=LogSeen)
    num_before: int = 0
    """Replies that were there before the first fault struck."""
    trouble: str = ""
    """The error of the first call without a reply."""
    left: Left = field(default_factory=Left)
    ended: Ended = field(default_factory=Ended)
    slack_s: float = 1e-6
    """How late a reply may be: not at all under virtual time, some real time for a busy machine elsewhere."""
    wall_s: float = 0.0
    """How long the drill took, in real seconds."""

    @property
    def first_replies(self) -> tuple[Reply, ...]:
        """One a problem."""
        return tuple(reply for reply in self.replies if reply.is_first)

    @property
    def num_fallbacks(self) -> int:
        """Problems whose answer has no vote behind it."""
        return sum(reply.is_fallback for reply in self.first_replies)

    @property
    def num_right(self) -> int:
        """Problems with their right verdict."""
        return sum(reply.is_right for reply in self.first_replies)

    @property
    def line(self) -> str:
        """What was seen, in one line."""
        told = f"{len(self.replies)} of {self.num_due} replies, {self.num_right} of {len(self.first_replies)} right"
        ended = f", ended with {self.ended.how}" if self.ended.how else ""
        return f"{told}, {self.num_fallbacks} fallbacks{ended}"
