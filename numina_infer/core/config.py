"""Small frozen configs, one per consumer, validated when they are made, and the presets that bundle them.

No I/O, no environment, no network here.
Sampling parameters bear vLLM's names (vllm/sampling_params.py); the winner's values are those of
the Numina kernel (project-numina/aimo-progress-prize, kaggle-solution.ipynb).
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from numina_infer.core.errors import ConfigError
from numina_infer.core.records import LARGEST_WHOLE, AnswerRange


def require(condition: bool, message: str, *, setting: str = "", value: object = None) -> None:
    """Raise `ConfigError` unless `condition` holds; the message names the value and the fix."""
    if not condition:
        raise ConfigError(message, setting=setting, value=value)


def is_finite(name: str, value: float) -> bool:
    """Whether `value` is neither infinite nor NaN; `ConfigError` where it is an integer that no float holds."""
    try:
        return math.isfinite(value)
    except OverflowError as error:
        message = f"{name} is an integer beyond all floats; give a smaller one"
        raise ConfigError(message, setting=name, value=value) from error


def require_positive(name: str, value: float) -> None:
    """Raise `ConfigError` unless `value` is a finite number above zero."""
    is_positive = is_finite(name, value) and value > 0
    require(is_positive, f"{name} is {value}; it must be above 0", setting=name, value=value)


def require_whole(name: str, value: float, least: int, meaning: str = "") -> None:
    """Raise `ConfigError` unless `value` is a whole number that is `least` or above."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    too_large = f"{name} is beyond 2**63 - 1, which records hold at most; give less"
    require(not is_whole or value <= LARGEST_WHOLE, too_large, setting=name, value=value)
    least_means = f"{least}{f' ({meaning})' if meaning else ''}"
    too_small = f"{name} is {value!r}; it must be a whole number, {least_means} or above"
    require(is_whole and value >= least, too_small, setting=name, value=value)


Choice = TypeVar("Choice", bound=StrEnum)


def require_choice(name: str, value: str, kind: type[Choice]) -> Choice:
    """The member of `kind` that `value` is or names; `ConfigError` naming them all otherwise."""
    try:
        return kind(value)
    except ValueError as error:
        message = f"{name} is {value!r}; choose one of {', '.join(kind)}"
        raise ConfigError(message, setting=name, value=value) from error


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is drawn; vLLM's names and meanings."""

    temperature: float = 0.8
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 keeps all tokens."""
    min_p: float = 0.0
    max_tokens: int = 2048
    """Tokens of one turn."""
    stop: tuple[str, ...] = ()
    """Stop strings; the one that ends a text stays in it."""

    def __post_init__(self) -> None:
        require(
            is_finite("temperature", self.temperature) and self.temperature >= 0,
            f"temperature is {self.temperature}; it must be 0 (greedy) or above",
        )
        require(0 < self.top_p <= 1, f"top_p is {self.top_p}; it must be above 0 and at most 1")
        require_whole("top_k", self.top_k, 0, "all tokens")
        require(0 <= self.min_p < 1, f"min_p is {self.min_p}; it must be at least 0 and below 1")
        require_whole("max_tokens", self.max_tokens, 1)
        require(all(self.stop), "a stop string is empty; leave it out")


class Mode(StrEnum):
    """What the programs of one trajectory share."""

    FRESH = "fresh"
    """Nothing: every program starts anew (Numina, ToRA)."""
    REPLAY = "replay"
    """Their variables: earlier programs that succeeded are run again before each, in silence (Qwen2.5-Math)."""
    SESSION = "session"
    """Their variables, as in a notebook."""


class Rung(StrEnum):
    """What holds programs back, from the most to the least; all but the last refuse files, network and processes."""

    UID = "uid"
    """A user of its own for each program, no capability, a system-call filter, Landlock where the kernel has it."""
    READER = "reader"
    """The same but for the capability to read any file, which Landlock confines to the interpreter's folders: for an
    interpreter that no other user can reach."""
    LANDLOCK = "landlock"
    """The host's own user without capabilities, the filter, Landlock."""
    SECCOMP = "seccomp"
    """The host's own user without capabilities and the filter: it reads what that user may read."""
    LIMITS = "limits"
    """Kernel limits and certain death only: fences against accidents, no lock-down."""

    @property
    def has_own_user(self) -> bool:
        """True where a program isn't the host's user."""
        return self in {Rung.UID, Rung.READER}

    @property
    def needs_landlock(self) -> bool:
        """True where Landlock is what keeps files from being read."""
        return self in {Rung.READER, Rung.LANDLOCK}


LADDER = tuple(Rung)
"""All rungs, the highest first."""


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Limits of the processes that run programs. Sources: facts of the peers' limits, see docs/experiments.md."""

    num_slots: int = 0
    """Programs that run at once; 0 takes the machine's cores, less one where there are more than two."""
    memory_bytes: int = 2 * 1024**3
    """Address space of one program."""
    max_output_bytes: int = 16 * 1024
    """Kept of stdout and of stderr each; a program that writes more is stopped."""
    max_file_bytes: int = 1024**2
    """Largest file a program may write."""
    kill_grace_s: float = 2.0
    """How long a kill may take to be confirmed before its slot is retired."""
    wall_factor: float = 3.0
    """A program's limit doesn't count what it waits for a processor; so many times as much may pass in all."""
    highest_rung: Rung = Rung.UID
    lowest_rung: Rung = Rung.SECCOMP
    """Where no rung between the two holds, the sandbox refuses to start. `Rung.LIMITS` has to be asked for."""

    def __post_init__(self) -> None:
        require_whole("num_slots", self.num_slots, 0, "by the cores")
        require_whole("memory_bytes", self.memory_bytes, 256 * 1024**2, "what sympy and numpy need")
        require_whole("max_output_bytes", self.max_output_bytes, 256)
        require_whole("max_file_bytes", self.max_file_bytes, 0)
        require_positive("kill_grace_s", self.kill_grace_s)
        require(
            is_finite("wall_factor", self.wall_factor) and self.wall_factor >= 1,
            f"wall_factor is {self.wall_factor}; it must be 1 or above",
        )
        require(
            bool(self.rungs),
            f"lowest_rung {self.lowest_rung} stands above highest_rung {self.highest_rung}; "
            f"the order is {', '.join(LADDER)}",
        )

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs to try, the highest first."""
        return LADDER[LADDER.index(self.highest_rung) : LADDER.index(self.lowest_rung) + 1]


@dataclass(frozen=True, slots=True)
class RolloutConfig:
    """What one trajectory may do."""

    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_turns: int = 4
    """Completions of one trajectory; its depth."""
    code_timeout_s: float = 5.0
    """Seconds of one program, without what it waits for a processor; see `SandboxConfig.wall_factor`."""
    answer_range: AnswerRange = AnswerRange.MOD_1000

    def __post_init__(self) -> None:
        require_whole("max_turns", self.max_turns, 1)
        require_positive("code_timeout_s", self.code_timeout_s)
        require(
            isinstance(self.answer_range, AnswerRange),
            f"answer_range is {self.answer_range!r}; it must be an AnswerRange, such as AnswerRange.MOD_1000",
        )


class StopRule(StrEnum):
    """When a problem counts as decided."""

    DECIDED = "decided"
    """When what is still out can't change the winner, or is unlikely to (`Policy.epsilon`)."""
    NEVER = "never"
    """When every trajectory has ended: for logs that other policies can be replayed on."""


@dataclass(frozen=True, slots=True)
class VoteWeights:
    """What a vote counts, as shares of a plain one that are multiplied; as they stand here all are off.

    Sources: AIMO-2's and AIMO-3's winners, as docs/experiments.md names them.
    """

    unconfirmed: float = 1.0
    """Programs ran, and the last didn't print the answer."""
    no_code: float = 1.0
    """No program ran."""
    suspicious: float = 1.0
    """The answer is 20 or less, or a multiple of 100."""
    partial: float = 1.0
    """It was read from a text that the cutoff broke off; 0 doesn't count those."""
    length_tokens: int = 0
    """A vote that took more tokens than this counts inversely to its length; 0 is off."""
    logprob: float = 0.0
    """A vote counts the mean probability of its tokens to this power; 0 is off."""

    def __post_init__(self) -> None:
        for name in ("unconfirmed", "no_code", "suspicious"):
            share = getattr(self, name)
            require(0 < share <= 1, f"{name} is {share}; it must be above 0 and at most 1, a plain vote")
        require(0 <= self.partial <= 1, f"partial is {self.partial}; it must be 0 (not counted) to 1, a plain vote")
        require_whole("length_tokens", self.length_tokens, 0, "off")
        require(
            is_finite("logprob", self.logprob) and self.logprob >= 0,
            f"logprob is {self.logprob}; it must be 0 (off) or above",
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What the referee decides by."""

    num_samples: int = 48
    """Trajectories of a problem at most, fixed when it opens: the horizon N."""
    width: int = 0
    """Trajectories of a problem at once; a place that comes free takes a new one up to the horizon. 0 starts all."""
    stop_rule: StopRule = StopRule.DECIDED
    epsilon: float = 0.0
    """A problem is decided when its winner changes with a smaller chance than this; 0 is the exact rule, lossless."""
    weights: VoteWeights = field(default_factory=VoteWeights)
    fallback_answer: int = 0
    """Submitted where no vote and no program's output says better."""

    def __post_init__(self) -> None:
        require_whole("fallback_answer", self.fallback_answer, 0)
        require(self.fallback_answer <= 999, f"fallback_answer is {self.fallback_answer}; it must be 0 to 999")
        require_whole("num_samples", self.num_samples, 1)
        require_whole("width", self.width, 0, "the whole horizon")
        require(0 <= self.epsilon < 1, f"epsilon is {self.epsilon}; it must be at least 0 (lossless) and below 1")

    @property
    def at_once(self) -> int:
        """Trajectories of a problem that run together."""
        return min(self.width or self.num_samples, self.num_samples)


_USUAL_RESERVE_S = 300.0


@dataclass(frozen=True, slots=True)
class BankConfig:
    """How a contest's time is shared out among its problems; seconds."""

    time_limit_s: float = 9 * 3600.0
    """From the contest's start to the end that nothing may pass; starting the engine counts."""
    num_problems: int | None = None
    """How many problems will come; None where nobody says."""
    reserve_s: float = _USUAL_RESERVE_S
    """Of the limit, kept for what isn't ours: the competition's own start and end."""
    most_of_fair_share: float = 1.25
    """What one problem may take of its fair share of the time left: saved time is carried on, none is borrowed."""
    floor_s: float = 60.0
    """Kept for every problem to come; less where a quarter of a fair share is less."""
    predict_limit_s: float | None = None
    """What the competition gives for one reply, where it limits that."""

    def __post_init__(self) -> None:
        for name in ("time_limit_s", "most_of_fair_share"):
            require_positive(name, getattr(self, name))
        for name in ("reserve_s", "floor_s"):
            value = getattr(self, name)
            require(is_finite(name, value) and value >= 0, f"{name} is {value}; it must be 0 or above")
        require(
            self.time_limit_s > self.reserve_s,
            f"time_limit_s is {self.time_limit_s:g}; it must be above the reserve of {self.reserve_s:g} s",
        )
        if self.num_problems is not None:
            require_whole("num_problems", self.num_problems, 1)
        if self.predict_limit_s is not None:
            require_positive("predict_limit_s", self.predict_limit_s)

    @classmethod
    def of_limit(cls, time_limit_s: float) -> "BankConfig":
        """A bank for any limit: the reserve is a twentieth of it, at most the usual one."""
        require_positive("time_limit_s", time_limit_s)
        return cls(time_limit_s, reserve_s=min(_USUAL_RESERVE_S, time_limit_s / 20))


MAX_PROBLEM_TIME_S = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class ContestConfig:
    """Time and the last resort."""

    problem_time_s: float = 600.0
    """From a problem's arrival to its deadline, at most; the bank may give less."""
    bank: BankConfig | None = None
    """None where the contest as a whole has no limit."""
    reply_grace_s: float = 10.0
    """Beyond the deadline, before the best known is the reply whatever still runs."""
    seed: int = 0
    """All other seeds derive from it."""

    def __post_init__(self) -> None:
        require_positive("problem_time_s", self.problem_time_s)
        require_positive("reply_grace_s", self.reply_grace_s)
        require(
            self.problem_time_s <= MAX_PROBLEM_TIME_S,
            f"problem_time_s is {self.problem_time_s}; it must be at most {MAX_PROBLEM_TIME_S:g}, which is 30 days",
        )
        require_whole("seed", self.seed, 0)
