"""The lock of a wheelhouse: every wheel by name, version and hash, in pip's own format, without markers or addresses.

Its first line names the requirements and the target, so that an interrupted download resumes with the same versions.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from numina_infer.core.errors import ConfigError
from numina_infer.kaggle.inputs import LOCK
from numina_infer.kaggle.wheelhouse.target import Target

_HEADING = "# wheels of "
_ENTRY = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)\s+--hash=sha256:(?P<sha256>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One wheel of a lock."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version} \\\n    --hash=sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class Lock:
    """The wheels of a wheelhouse."""

    wanted: tuple[str, ...]
    """The requirements, such as `vllm==0.19.1`."""
    target: Target
    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, wanted: Iterable[str], target: Target, entries: Iterable[Entry]) -> "Lock":
        """A lock with its entries sorted."""
        return cls(tuple(wanted), target, tuple(sorted(entries)))

    @classmethod
    def read(cls, folder: Path) -> "Lock":
        """Read it from a wheelhouse; `ConfigError` where it isn't there or isn't one of ours."""
        path = folder / LOCK
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path} can't be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} is no text: {error}") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, path: str = LOCK) -> "Lock":
        """Read it from text; `ConfigError` names the line that can't be read."""
        heading, _, rest = text.partition("\n")
        target = Target.parse(heading)
        if not heading.startswith(_HEADING) or target is None:
            raise ConfigError(f"{path} doesn't begin with what it was made for; build the wheelhouse again")
        wanted = heading.removeprefix(_HEADING).rpartition(" for ")[0].split()
        lines = [line for line in rest.replace("\\\n", " ").splitlines() if line.strip()]
        return cls(tuple(wanted), target, tuple(_entry(line, path) for line in lines))

    @property
    def heading(self) -> str:
        """The first line: requirements and target."""
        return f"{_HEADING}{' '.join(self.wanted)} for {self.target}"

    @property
    def text(self) -> str:
        """The file's text."""
        return "\n".join([self.heading, *map(str, self.entries)]) + "\n"

    def write(self, folder: Path) -> None:
        """Write it into a wheelhouse."""
        (folder / LOCK).write_text(self.text, encoding="utf-8")


def _entry(line: str, path: str) -> Entry:
    match = _ENTRY.fullmatch(line.strip())
    if match is None:
        raise ConfigError(f"{path} has the line {line.strip()!r}; name==version with one sha256 hash is wanted")
    return Entry(match["name"], match["version"], match["sha256"])
