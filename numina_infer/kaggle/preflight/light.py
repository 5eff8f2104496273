"""The result of a preflight: one check a line, each with a light and, where it isn't green, what to do."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Light(StrEnum):
    """The outcome of a check."""

    GREEN = "green"
    AMBER = "amber"
    """The run goes on, worse than it could."""
    RED = "red"
    """Without a change the run fails, or isn't scored."""


_ORDER = tuple(Light)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked."""

    name: str
    light: Light
    finding: str
    advice: str = ""
    """The next step for the user; empty where it is green."""

    @property
    def line(self) -> str:
        """For people."""
        return f"{self.light:<5}  {self.name}: {self.finding}{f'. {self.advice}' if self.advice else ''}"


def green(name: str, finding: str) -> Check:
    """A check that found nothing wrong."""
    return Check(name, Light.GREEN, finding)


def amber(name: str, finding: str, advice: str) -> Check:
    """A check that found something that costs speed, votes or certainty."""
    return Check(name, Light.AMBER, finding, advice)


def red(name: str, finding: str, advice: str) -> Check:
    """A check that found something that costs the run."""
    return Check(name, Light.RED, finding, advice)


@dataclass(frozen=True, slots=True)
class Preflight:
    """All checks of a run that is about to start."""

    checks: tuple[Check, ...]

    @property
    def worst(self) -> Light:
        """The light of the whole."""
        return max((check.light for check in self.checks), key=_ORDER.index, default=Light.GREEN)

    def of(self, light: Light) -> tuple[Check, ...]:
        """The checks with that light."""
        return tuple(check for check in self.checks if check.light is light)

    def lines(self) -> tuple[str, ...]:
        """For people, the worst first."""
        ordered = sorted(self.checks, key=lambda check: _ORDER.index(check.light), reverse=True)
        return tuple(check.line for check in ordered)

    def as_dict(self) -> dict[str, Any]:
        """For scripts and the run log."""
        return {"worst": str(self.worst), "checks": [asdict(check) for check in self.checks]}
