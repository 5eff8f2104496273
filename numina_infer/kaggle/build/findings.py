"""What a check finds: where, what is wrong, and what to do, in one line each."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    place: str
    """A file or folder, relative to what was checked."""
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}; {self.fix}"

    def as_dict(self) -> dict[str, str]:
        """For scripts."""
        return asdict(self)
