"""Completions on disk, each in a file that its key names, so that any number of processes may share the folder.

The layout is that of content-addressed stores such as git's: two digits of the key are a folder, the rest a file.
A file is written under another name and then renamed, so that it is whole or not there; its own hash shows where a
disk broke that. An entry that can't be used counts as missing, and the next completion replaces it.
"""

import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numina_infer.core.errors import ConfigError
from numina_infer.core.ports import Announce
from numina_infer.core.records import Completion
from numina_infer.runs.rows import read_record

_FORMAT_VERSION = 1
_ENTRY = re.compile(r"[0-9a-f]{62}\.json")
_DRAFT = re.compile(r"\.[0-9a-f]{62}\.[0-9]+-[0-9]+\.tmp")
_FOLDER = re.compile(r"[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class CacheSize:
    """The size of a cache."""

    num_entries: int = 0
    num_bytes: int = 0


class CacheFolder:
    """The completions in one folder, which is made when the first is kept.

    Files are read and written without a thread: an entry has a few kilobytes.
    """

    def __init__(self, path: Path, report: Announce) -> None:
        """`report` gets a line once for each kind of trouble; none of it stops a run.

        Raises:
            ConfigError: `path` is a file.
        """
        if path.exists() and not path.is_dir():
            raise ConfigError(f"the cache {path} is a file; give a folder")
        self.path = path
        self._report = report
        self._told: set[str] = set()
        self._numbers = itertools.count()

    def get(self, key: str) -> Completion | None:
        """The completion kept under `key`, exactly as it was; None where there is none that can be used."""
        file = self._file(key)
        try:
            return _read(file.read_bytes(), key)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._tell("read", f"the cache {self.path} can't be read, so completions are generated again: {error}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self._tell("entry", f"{file} is no completion of ours and is generated again ({error})")
        return None

    def put(self, key: str, completion: Completion) -> None:
        """Keep `completion` under `key`; where the disk refuses, nothing is kept."""
        file = self._file(key)
        draft = file.with_name(f".{file.stem}.{os.getpid()}-{next(self._numbers)}.tmp")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(_written(key, completion))
            draft.replace(file)
        except OSError as error:
            self._tell("write", f"the cache {self.path} takes nothing more, and the run goes on: {error}")
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    @property
    def size(self) -> CacheSize:
        """Number and bytes of the entries.

        Raises:
            OSError: the folder can't be read.
        """
        sizes = [file.stat().st_size for file in self._files(_ENTRY)]
        return CacheSize(len(sizes), sum(sizes))

    def clear(self) -> CacheSize:
        """Remove the entries, and what killed runs left of some; returns what there was. Other files stay.

        Raises:
            OSError: one can't be removed.
        """
        size = self.size
        for file in itertools.chain(self._files(_ENTRY), self._files(_DRAFT)):
            file.unlink(missing_ok=True)
        return size

    def _file(self, key: str) -> Path:
        return self.path / key[:2] / f"{key[2:]}.json"

    def _files(self, name: re.Pattern[str]) -> Iterator[Path]:
        for folder in sorted(self.path.iterdir()) if self.path.is_dir() else ():
            if _FOLDER.fullmatch(folder.name) and folder.is_dir():
                yield from (file for file in sorted(folder.iterdir()) if name.fullmatch(file.name) and file.is_file())

    def _tell(self, kind: str, what: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._report(what)


def _written(key: str, completion: Completion) -> bytes:
    fields = asdict(completion)
    entry = {"format_version": _FORMAT_VERSION, "key": key, "sha256": _digest(fields), "completion": fields}
    return json.dumps(entry, separators=(",", ":")).encode()


def _read(content: bytes, key: str) -> Completion:
    """The completion in an entry.

    Raises:
        ValueError, KeyError, TypeError, RecursionError: it is torn, damaged, or no entry for `key`.
    """
    entry: dict[str, Any] = json.loads(content)
    if (entry["format_version"], entry["key"]) != (_FORMAT_VERSION, key):
        raise ValueError("it is of another format or for another key")
    fields: dict[str, Any] = entry["completion"]
    if entry["sha256"] != _digest(fields):
        raise ValueError("it is damaged")
    return read_record(Completion, fields)


def _digest(fields: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
