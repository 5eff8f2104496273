"""The faults that a check finds, in a folder or in a field of a metadata file, each with its fix."""

from dataclasses import asdict, dataclass, replace
from typing import NamedTuple


class BadField(NamedTuple):
    """A field of a metadata file that is wrong."""

    key: str
    what: str
    fix: str = "correct it"


@dataclass(frozen=True, slots=True)
class Finding:
    """A file or folder that is wrong, in one line."""

    place: str
    """Relative to what was checked."""
    what: str
    fix: str

    def inside(self, folder: str) -> "Finding":
        """The same, seen from outside: `folder` is empty or ends in a slash."""
        return replace(self, place=f"{folder}{self.place}" or ".")

    def __str__(self) -> str:
        return f"{self.place}: {self.what}; {self.fix}"

    def as_dict(self) -> dict[str, str]:
        """For scripts."""
        return asdict(self)
