"""Small frozen configs, one per consumer, validated when they are made; `presets.py` bundles them.

No I/O, no environment, no network here.
Sampling parameters have vLLM's names (vllm/sampling_params.py); the winner's values are those of the Numina kernel
(project-numina/aimo-progress-prize, kaggle-solution.ipynb).
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


def require_number(
    name: str,
    value: float,
    least: float = 0.0,
    most: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
    least_means: str = "",
) -> None:
    """Raise `ConfigError` unless `value` is finite and from `least` to `most`.

    `above` and `below` exclude the two ends. `least_means` explains what the least value does.
    """
    try:
        is_finite = math.isfinite(value)
    except OverflowError as error:
        message = f"{name} is an integer beyond all floats; give a smaller one"
        raise ConfigError(message, setting=name, value=value) from error
    is_within = (least < value if above else least <= value) and (value < most if below else value <= most)
    low = f"{least:g} ({least_means})" if least_means else f"{least:g}"
    if most == math.inf:
        bounds = f"above {low}" if above else f"{low} or above"
    else:
        bounds = f"{'above' if above else 'at least'} {low} and {'below' if below else 'at most'} {most:g}"
    require(is_finite and is_within, f"{name} is {value}; it must be {bounds}", setting=name, value=value)


def require_positive(name: str, value: float) -> None:
    """Raise `ConfigError` unless `value` is a finite number above zero."""
    require_number(name, value, above=True)


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
    """How the next token is sampled; names and meanings are vLLM's."""

    temperature: float = 0.8
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 keeps all tokens."""
    min_p: float = 0.0
    max_tokens: int = 2048
    """Of one turn."""
    stop: tuple[str, ...] = ()
    """Stop strings; the one that ends a text stays in it."""

    def __post_init__(self) -> None:
        require_number("temperature", self.temperature, least_means="greedy")
        require_number("top_p", self.top_p, most=1, above=True)
        require_whole("top_k", self.top_k, 0, "all tokens")
        require_number("min_p", self.min_p, most=1, below=True)
        require_whole("max_tokens", self.max_tokens, 1)
        require(all(self.stop), "a stop string is empty; leave it out")


class Mode(StrEnum):
    """How much the programs of one trajectory share."""

    FRESH = "fresh"
    """Nothing: every program starts anew (Numina, ToRA)."""
    REPLAY = "replay"
    """Variables: each program runs behind all earlier ones that succeeded, without their output (Qwen2.5-Math)."""
    SESSION = "session"
    """Variables, as in a notebook."""


class Rung(StrEnum):
    """Levels of lock-down for programs, the strictest first; all but the last refuse files, network and processes."""

    UID = "uid"
    """A user of its own for each program, no capability, a system-call filter, Landlock where the kernel has it."""
    READER = "reader"
    """The same, with the capability to read any file, which Landlock confines to the interpreter's folders: for an
    interpreter that no other user can reach."""
    LANDLOCK = "landlock"
    """The host's own user without capabilities, the filter, Landlock."""
    SECCOMP = "seccomp"
    """The host's own user without capabilities, and the filter: programs read the files that this user may read."""
    LIMITS = "limits"
    """Kernel limits and reliable kills only: they stop accidents, and are no lock-down."""

    @property
    def has_own_user(self) -> bool:
        """Whether programs run as another user than the host."""
        return self in {Rung.UID, Rung.READER}

    @property
    def needs_landlock(self) -> bool:
        """Whether only Landlock keeps programs from reading files."""
        return self in {Rung.READER, Rung.LANDLOCK}


LADDER = tuple(Rung)
"""All rungs, the highest first."""


PRELOADED = ("sympy", "numpy", "mpmath", "scipy", "networkx")
"""The packages that programs use most, loaded once for all of them where they are installed."""


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Limits of the processes that run programs; docs/experiments.md compares them with other projects' limits."""

    num_slots: int = 0
    """Programs that run at once; 0 takes the machine's cores, less one of more than two."""
    memory_bytes: int = 2 * 1024**3
    """Address space of one program."""
    max_output_bytes: int = 16 * 1024
    """Of stdout and of stderr each; a program that writes more is stopped."""
    max_file_bytes: int = 1024**2
    """Largest file a program may write."""
    kill_grace_s: float = 2.0
    """How long the confirmation of a kill may take before its slot is retired."""
    wall_factor: float = 3.0
    """A program's time limit counts only its time on a processor; the wall clock may count this many times as much."""
    highest_rung: Rung = Rung.UID
    lowest_rung: Rung = Rung.SECCOMP
    """The sandbox refuses to start if no rung from the highest to this one holds. Only the user sets `Rung.LIMITS`."""
    preload: bool = True
    """Whether programs find `PRELOADED` loaded, with `sp` and `np` among their names."""

    def __post_init__(self) -> None:
        require_whole("num_slots", self.num_slots, 0, "by the cores")
        require_whole("memory_bytes", self.memory_bytes, 256 * 1024**2, "what sympy and numpy need")
        require_whole("max_output_bytes", self.max_output_bytes, 256)
        require_whole("max_file_bytes", self.max_file_bytes, 0)
        require_positive("kill_grace_s", self.kill_grace_s)
        require_number("wall_factor", self.wall_factor, 1)
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
    """Limits of one trajectory."""

    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_turns: int = 4
    """Completions of one trajectory; its depth."""
    code_timeout_s: float = 5.0
    """Seconds of one program on a processor; see `SandboxConfig.wall_factor`."""
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
    """When the attempts still to end can't change the winner, or are unlikely to (`Policy.epsilon`)."""
    NEVER = "never"
    """When every attempt has ended: for logs on which other policies are replayed."""


@dataclass(frozen=True, slots=True)
class VoteWeights:
    """Factors by which a vote counts less than a plain one; they multiply, and the defaults switch all of them off.

    The ideas are those of AIMO-2's and AIMO-3's winners, see docs/experiments.md.
    """

    unconfirmed: float = 1.0
    """For an attempt whose last program didn't print its answer."""
    no_code: float = 1.0
    """For an attempt that ran no program."""
    suspicious: float = 1.0
    """For an answer of 20 or less, or a multiple of 100."""
    partial: float = 1.0
    """For an answer in a text that the cutoff broke off; 0 doesn't count it."""
    length_tokens: int = 0
    """A longer attempt counts in inverse proportion to its tokens; 0 is off."""
    logprob: float = 0.0
    """The exponent of the mean probability of an attempt's tokens; 0 is off."""

    def __post_init__(self) -> None:
        for name in ("unconfirmed", "no_code", "suspicious"):
            require_number(name, getattr(self, name), most=1, above=True)
        require_number("partial", self.partial, most=1, least_means="not counted")
        require_whole("length_tokens", self.length_tokens, 0, "off")
        require_number("logprob", self.logprob, least_means="off")


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules by which the referee decides."""

    num_samples: int = 48
    """Attempts at a problem at most, fixed when it opens: the horizon N."""
    width: int = 0
    """Attempts at a problem that run at once; when one ends, another starts up to the horizon. 0 starts all."""
    stop_rule: StopRule = StopRule.DECIDED
    epsilon: float = 0.0
    """A problem is decided when its winner changes with a smaller chance than this; 0 is the exact, lossless rule."""
    weights: VoteWeights = field(default_factory=VoteWeights)
    fallback_answer: int = 0
    """Submitted if there is neither a vote nor an integer that a program printed."""

    def __post_init__(self) -> None:
        require_whole("fallback_answer", self.fallback_answer, 0)
        require(self.fallback_answer <= 999, f"fallback_answer is {self.fallback_answer}; it must be 0 to 999")
        require_whole("num_samples", self.num_samples, 1)
        require_whole("width", self.width, 0, "the whole horizon")
        require_number("epsilon", self.epsilon, most=1, below=True, least_means="lossless")

    @property
    def at_once(self) -> int:
        """Attempts at a problem that run at once."""
        return min(self.width or self.num_samples, self.num_samples)


_USUAL_RESERVE_S = 300.0


@dataclass(frozen=True, slots=True)
class BankConfig:
    """How a contest's time is shared among its problems."""

    time_limit_s: float = 9 * 3600.0
    """From the contest's start to its hard end; starting the engine counts."""
    num_problems: int | None = None
    """Problems that will come; None if that isn't known."""
    reserve_s: float = _USUAL_RESERVE_S
    """The part of the limit that is kept for the competition's own start and end."""
    most_of_fair_share: float = 1.25
    """The most that one problem may take, in fair shares of the time left: saved time is carried on, none borrowed."""
    floor_s: float = 60.0
    """Kept for every problem to come, or a quarter of a fair share if that is less."""
    predict_limit_s: float | None = None
    """The competition's time limit for one reply, if it has one."""

    def __post_init__(self) -> None:
        for name in ("time_limit_s", "most_of_fair_share"):
            require_positive(name, getattr(self, name))
        for name in ("reserve_s", "floor_s"):
            require_number(name, getattr(self, name))
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
    """The time of a contest and of its problems, and the seed."""

    problem_time_s: float = 600.0
    """From a problem's arrival to its deadline, at most; the bank may give less."""
    bank: BankConfig | None = None
    """None if the contest as a whole has no limit."""
    reply_grace_s: float = 10.0
    """From the deadline to the reply, which is then the best known answer."""
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
