"""The result of a drill as a line and as JSON, and the tally of many."""

from collections.abc import Iterable
from dataclasses import dataclass

from drills.contest_plan import ContestPlan
from drills.fault import Drill
from drills.judge import Check, Finding, judge
from drills.seen import Seen


@dataclass(frozen=True, slots=True)
class Result:
    """One drill, played and judged."""

    name: str
    expected: str
    seen: Seen
    findings: tuple[Finding, ...]

    @property
    def has_failed(self) -> bool:
        """Whether anything was otherwise than expected."""
        return bool(self.findings)

    @property
    def line(self) -> str:
        """Name, expected, seen, and ok or what failed."""
        mark = "ok" if not self.findings else f"FAILED: {'; '.join(finding.line for finding in self.findings)}"
        return f"{self.name}: expected {self.expected}; seen {self.seen.line}, {self.seen.wall_s:.1f} s: {mark}"

    @property
    def row(self) -> dict[str, object]:
        """For JSON."""
        return {
            "name": self.name,
            "expected": self.expected,
            "seen": self.seen.line,
            "seconds": round(self.seen.wall_s, 3),
            "ok": not self.findings,
            "failed": {finding.check.name.lower(): finding.what for finding in self.findings},
        }


def run(drill: Drill) -> Result:
    """Play `drill` and judge it; a drill that raises has failed."""
    try:
        seen = drill.play()
        findings = judge(drill, seen)
    except Exception as error:  # noqa: BLE001 (whatever breaks in what is drilled is what is looked for)
        seen = Seen(ContestPlan(), (), num_due=0, began_at=0.0, hard_end=0.0)
        findings = (Finding(Check.PLAYED, f"it broke off: {error!r}"),)
    return Result(drill.name, drill.expected.line, seen, findings)


@dataclass(frozen=True, slots=True)
class Tally:
    """Many drills in numbers."""

    results: tuple[Result, ...]

    @classmethod
    def of(cls, results: Iterable[Result]) -> "Tally":
        """The tally of these."""
        return cls(tuple(results))

    @property
    def num_failed(self) -> int:
        """Drills in which something was otherwise than expected."""
        return sum(result.has_failed for result in self.results)

    def failed_at(self, *checks: Check) -> int:
        """Drills that failed at one of these checks."""
        return sum(any(finding.check in checks for finding in result.findings) for result in self.results)

    @property
    def line(self) -> str:
        """In one sentence."""
        seen = [result.seen for result in self.results]
        calls, problems = sum(one.num_due for one in seen), sum(len(one.first_replies) for one in seen)
        return (
            f"{len(seen)} drills, {calls} calls for {problems} problems: "
            f"{sum(one.num_right for one in seen)} right, {sum(one.num_fallbacks for one in seen)} fallbacks; "
            f"drills with a call unanswered {self.failed_at(Check.REPLIES)}, late {self.failed_at(Check.TIME)}, "
            f"out of range {self.failed_at(Check.RANGE)}, with too many fallbacks "
            f"{self.failed_at(Check.FALLBACKS, Check.RIGHT)}, failed in any way {self.num_failed}"
        )
