"""The generation cache, an engine around an engine: what was generated once is never generated again.

A turn that is in the folder is answered from there, exactly as it was recorded, whether or not the engine would write
the same text again. Any other is generated and kept, unless the cutoff ended it early.
Two equal turns at once are generated once ("single flight", as Go's x/sync has it); where the first is cut off, the
second writes it. A trajectory takes its place in the engine with its first turn that isn't in the folder, so one whose
turns are all there never waits.

The key is everything that decides which text comes, and nothing else. A context's runs and the tokenizer's fingerprint
stand for the prompt's token ids, so the key works where the endpoint tokenises. Where an engine runs, and how much it
takes at once, isn't part of a request.

Any number of processes may share the folder. Two digits of the key are a folder, the rest a file, which is written
under another name and then renamed, so that it is whole or not there; its own hash shows where a disk broke that. An
entry that can't be used counts as missing.
"""

import hashlib
import itertools
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from numina_infer.core.config import SamplingParams, require
from numina_infer.core.errors import EngineError
from numina_infer.core.ports import Announce, CacheStats, Cutoff, Decoder, Engine, EngineStats
from numina_infer.core.records import Completion, FinishReason, Part, SpecialToken
from numina_infer.core.restarts import Openable
from numina_infer.engines.context import Run, runs
from numina_infer.runs.rows import read_record

_log = logging.getLogger(__name__)
_KEY_VERSION = 1
"""Goes up when the same request gets another key, or an engine's meaning changes."""
_NO_PART_OF_A_REQUEST = frozenset(
    {"endpoints", "num_endpoints", "servers", "gpus", "cache", "max_num_seqs", "num_threads", "kv_tokens"}
)
_FORMAT_VERSION = 1
_FOLDER, _NAME = 2 * "[0-9a-f]", 62 * "[0-9a-f]"

Identity = Mapping[str, str | int | float]
"""Which engine, of which version, with which weights and tokenizer."""


def identity(described: Identity) -> Identity:
    """The part of an engine's description that its texts depend on.

    Unknown entries are kept: at worst a completion is generated again, never a wrong one used.
    Weights with a hash need no name, so that a model's folder may be moved.
    """
    left_out = _NO_PART_OF_A_REQUEST | ({"model", "root"} if described.get("weights") else frozenset())
    return {name: value for name, value in described.items() if name not in left_out}


def cache_key(engine: Identity, context: Sequence[Part], params: SamplingParams, seed: int) -> str:
    """The key of one turn, 64 hex digits: equal for requests that ask the same, different for all others."""
    # A temperature of 1 is one of 1.0.
    numbers = {name: float(getattr(params, name)) for name in ("temperature", "top_p", "min_p")}
    asked = [_KEY_VERSION, dict(engine), list(map(_spelled, runs(context))), asdict(params) | numbers, seed]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _spelled(run: Run) -> object:
    """`run` such that special tokens, text and ids stay different in JSON."""
    return {"special": run.text} if isinstance(run, SpecialToken) else run


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
        require(path.is_dir() or not path.exists(), f"the cache {path} is a file; give a folder")
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
        """Number and bytes of the entries."""
        sizes = [file.stat().st_size for file in self.path.glob(f"{_FOLDER}/{_NAME}.json")]
        return CacheSize(len(sizes), sum(sizes))

    def clear(self) -> CacheSize:
        """Remove the entries, and what killed runs left of some; returns what there was. Other files stay.

        Raises:
            OSError: one can't be removed.
        """
        size = self.size
        for name in (f"{_NAME}.json", f".{_NAME}.*-*.tmp"):
            for file in self.path.glob(f"{_FOLDER}/{name}"):
                file.unlink(missing_ok=True)
        return size

    def _file(self, key: str) -> Path:
        return self.path / key[:2] / f"{key[2:]}.json"

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


@dataclass(slots=True)
class _Flight:
    """One turn that is being generated, for all trajectories that ask for it."""

    completion: Completion | None = None
    """None until it is whole, and for ever where it was cut off."""
    is_over: anyio.Event = field(default_factory=anyio.Event)


class CachedEngine(Openable):
    """An `Engine` with a cache: `async with CachedEngine(engine, folder) as engine`, over one that isn't open yet.

    Raises on entering:
        NuminaError: the engine inside doesn't start.
    """

    def __init__(
        self, engine: AbstractAsyncContextManager[Engine], folder: Path, *, report: Announce = _log.warning
    ) -> None:
        """`folder` is made when needed, and may be shared with other processes; `report` gets what goes wrong.

        Raises:
            ConfigError: `folder` is a file.
        """
        self._opening, self._folder = engine, CacheFolder(folder, report)
        self._inner: Engine | None = None
        self._identity: Identity = {}
        self._flights: dict[str, _Flight] = {}
        self._counts = CacheStats()

    async def _open(self, stack: AsyncExitStack) -> None:
        self._inner = await stack.enter_async_context(self._opening)
        self._identity = identity(self._inner.describe())

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[Decoder]:
        """A place for one trajectory, which takes a place in the engine inside when it needs one."""
        async with AsyncExitStack() as place:
            yield _CachedDecoder(self, ticket, place)

    @property
    def inner(self) -> Engine:
        """The engine inside."""
        if self._inner is None:
            raise EngineError("the engine isn't running; enter it with `async with` first")
        return self._inner

    @property
    def stats(self) -> EngineStats:
        """Those of the engine inside, and the cache's own."""
        inner = EngineStats() if self._inner is None else self._inner.stats
        return replace(inner, cache=self._counts)

    def describe(self) -> Mapping[str, str | int | float]:
        """The engine inside, and where the cache is."""
        return {**self.inner.describe(), "cache": str(self._folder.path)}

    def key(self, context: Sequence[Part], params: SamplingParams, seed: int) -> str:
        """The turn's key in the folder."""
        return cache_key(self._identity, context, params, seed)

    async def recall(self, key: str) -> Completion | None:
        """The completion, waited for if it is being generated; None where the caller must generate it."""
        while (completion := self._folder.get(key)) is None and (flight := self._flights.get(key)) is not None:
            await flight.is_over.wait()
            if (completion := flight.completion) is not None:
                break
        if completion is not None:
            counts = self._counts
            num_saved = counts.num_saved_tokens + completion.num_tokens
            self._counts = replace(counts, num_hits=counts.num_hits + 1, num_saved_tokens=num_saved)
        return completion

    @contextmanager
    def writing(self, key: str) -> Iterator[Callable[[Completion], None]]:
        """Make equal turns wait while this one is generated, and keep its completion if it is whole."""
        flight = self._flights[key] = _Flight()

        def keep(completion: Completion) -> None:
            if completion.finish_reason is not FinishReason.ABORT:
                flight.completion = completion
                self._counts = replace(self._counts, num_misses=self._counts.num_misses + 1)
                self._folder.put(key, completion)

        try:
            yield keep
        finally:
            del self._flights[key]
            flight.is_over.set()


class _CachedDecoder:
    """One trajectory's place; one `generate` at a time."""

    def __init__(self, engine: CachedEngine, ticket: int, place: AsyncExitStack) -> None:
        self._engine, self._ticket, self._place = engine, ticket, place
        self._inner: Decoder | None = None

    async def generate(
        self, context: Sequence[Part], params: SamplingParams, *, seed: int, cutoff: Cutoff
    ) -> Completion:
        """Continue `context`, as `ports.Decoder` says."""
        nothing = Completion("", (), FinishReason.ABORT, seed=seed)
        key = self._engine.key(context, params, seed)
        with cutoff.scope() as waiting:
            await checkpoint()
            if (known := await self._engine.recall(key)) is not None:
                return known
        if waiting.cancelled_caught:
            return nothing
        # No wait lies between `recall` and here, so nobody else has begun it.
        with self._engine.writing(key) as keep:
            inner = await self._place_inside(cutoff)
            completion = await inner.generate(context, params, seed=seed, cutoff=cutoff) if inner else nothing
            keep(completion)
        return completion

    async def _place_inside(self, cutoff: Cutoff) -> Decoder | None:
        """The place in the engine, taken now if it wasn't before; None when the cutoff comes first."""
        if self._inner is None:
            with cutoff.scope():
                self._inner = await self._place.enter_async_context(self._engine.inner.slot(self._ticket))
        return self._inner
