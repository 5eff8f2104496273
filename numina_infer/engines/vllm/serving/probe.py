"""`numina-infer probe`: measures how fast vLLM is here, and writes each figure to `probe.json` as it comes.

For each layout: decoding steps over batch size and context, the rate of prompts, the room for keys and values, the
cost of one seed a request, and how many sandbox slots don't slow the servers down. The simulated engine is made from
these figures, and a preset is chosen by them.
"""

import itertools
import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console

from numina_infer.core.config import Mode, SandboxConfig, require
from numina_infer.core.engine_config import LayoutName, ServerConfig
from numina_infer.core.errors import ConfigError, SandboxError
from numina_infer.core.ports import Cutoff
from numina_infer.core.records import StopReason
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.vllm.launch import Launch
from numina_infer.engines.vllm.serving.server_plan import plan_servers
from numina_infer.engines.vllm.serving.stopwatch import REPEATS, STEPS, Stopwatch
from numina_infer.engines.vllm.vllm_engine import ServerGroup
from numina_infer.engines.vocabulary import TokenizerVocabulary
from numina_infer.models.gpus import find_gpus
from numina_infer.runs.provenance import machine
from numina_infer.sandbox import Sandbox

FORMAT_VERSION = 1
_BATCHES = (1, 2, 4, 8, 12, 16, 24, 32, 48)
_CONTEXTS = (64, 512, 1024, 2048, 3584)
_SHORT_BATCHES, _SHORT_CONTEXTS = (1, 4, 8, 16), (64, 512)
_PREFILLS = (256, 1024, 2048)
_MOST_PASSES, _QUICK_S = 10, 60.0
"""Passes over the grid of decoding steps; beyond `REPEATS` only while they took less than a minute together."""
_LEFT_ALONE = 1.1
"""Steps may be this much longer while programs run for the servers to count as not slowed down."""
_BUSY = "while True:\n    pass"
_BUSY_S = 3600.0


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """The model, its servers, and the grid of batches and contexts."""

    model: str
    server: ServerConfig
    vllm_python: str = ""
    is_short: bool = False

    def __post_init__(self) -> None:
        least = self.contexts[0] + STEPS
        require(
            not self.server.max_model_len or self.server.max_model_len >= least,
            f"max_model_len is {self.server.max_model_len}; the probe needs at least {least} tokens",
        )

    @property
    def batches(self) -> Sequence[int]:
        """Requests at once, on each server."""
        grid = _SHORT_BATCHES if self.is_short else _BATCHES
        return [batch for batch in grid if batch <= self.server.max_num_seqs]

    @property
    def contexts(self) -> Sequence[int]:
        """Tokens that each request begins with."""
        return _SHORT_CONTEXTS if self.is_short else _CONTEXTS


class Findings:
    """The figures so far, kept on disk."""

    def __init__(self, file: Path, plan: ProbePlan) -> None:
        self._file = file
        self.content: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": dict(machine()),
            "model": plan.model,
            "peer_access": None,
            "layouts": [],
        }

    def write(self) -> None:
        """Write the file, whole or not at all."""
        draft = self._file.with_name(f"{self._file.name}.new")
        draft.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        draft.rename(self._file)


def probe(plan: ProbePlan, file: Path, console: Console) -> int:
    """Measure everything and write it to `file`, which keeps the figures so far if the probe is stopped.

    Raises:
        ConfigError: the model can't be used here, or `file` can't be written.
        EngineError: a server doesn't come up.
    """
    findings = Findings(file, plan)
    try:
        findings.write()
    except OSError as error:
        raise ConfigError(f"can't write {file}: {error.strerror or error}; name another with --out") from error
    for launches in _layouts(plan, console):
        findings.content["peer_access"] = _peer_access(launches[0])
        anyio.run(_probe_layout, plan, launches, findings, console)
    console.print(f"written to {file}", soft_wrap=True)
    return 0


def _layouts(plan: ProbePlan, console: Console) -> Sequence[tuple[Launch, ...]]:
    """The servers of each layout that the machine's GPUs allow; one layout where there is no choice."""
    if len(find_gpus()) < 2 or plan.server.layout is not LayoutName.AUTO:
        return [plan_servers(plan.model, plan.server, python=plan.vllm_python, report=console.print)]
    possible = []
    for layout in (LayoutName.TENSOR_PARALLEL, LayoutName.REPLICAS):
        config = replace(plan.server, layout=layout)
        try:
            possible.append(plan_servers(plan.model, config, python=plan.vllm_python, report=console.print))
        except ConfigError as error:
            console.print(f"{layout} is left out: {error}", soft_wrap=True)
    return possible


def _peer_access(launch: Launch) -> bool | None:
    """Whether the first two GPUs reach each other's memory, as torch of vLLM's environment says; None on fewer."""
    if len(find_gpus()) < 2:
        return None
    code = "import torch; print(torch.cuda.can_device_access_peer(0, 1))"
    asked = subprocess.run(  # noqa: S603 (a list of arguments, no shell)
        [str(launch.python), "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    return {"True": True, "False": False}.get(asked.stdout.strip())


async def _probe_layout(plan: ProbePlan, launches: Sequence[Launch], findings: Findings, console: Console) -> None:
    async with ServerGroup(launches, keep=False, report=console.print) as group, AsyncExitStack() as stack:
        endpoints = [await stack.enter_async_context(Endpoint(server.address)) for server in group.servers]
        for endpoint in endpoints:
            await endpoint.greet()
        found = _describe(launches, endpoints)
        findings.content["layouts"].append(found)
        watch = Stopwatch(endpoints, TokenizerVocabulary.from_folder(launches[0].model))
        await _Prober(plan, watch, found, findings, console).measure()


def _describe(launches: Sequence[Launch], endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    known = endpoints[0].known
    return {
        "servers": [list(launch.gpus) for launch in launches],
        "arguments": list(launches[0].arguments),
        "vllm": known.version,
        "max_model_len": known.max_model_len,
        "kv_tokens": sum(endpoint.known.kv_tokens or 0 for endpoint in endpoints),
        "decode": [],
        "prefill": [],
    }


@dataclass(frozen=True, slots=True)
class _Prober:
    """Measures one layout."""

    plan: ProbePlan
    watch: Stopwatch
    found: dict[str, Any]
    findings: Findings
    console: Console

    async def measure(self) -> None:
        await self._decode()
        await self._prefill()
        batch = self._some_batch
        await self._seeds(batch)
        try:
            await self._sandbox(batch)
        except SandboxError as error:
            self._report(f"sandbox slots aren't measured: {error}")

    @property
    def _some_batch(self) -> int:
        """A typical batch, for figures that are measured at one size only."""
        return max(batch for batch in self.plan.batches if batch <= 8)

    async def _decode(self) -> None:
        """Measure the whole grid several times, so that one bad minute spoils no figure; more often if it is quick."""
        least: dict[tuple[int, int], float] = {}
        begun = anyio.current_time()
        for number in range(1, _MOST_PASSES + 1):
            for context, batch in self._grid:
                step_s = await self.watch.step_s(batch, context)
                least[context, batch] = min(step_s, least.get((context, batch), step_s))
                self.found["decode"] = [
                    {"batch": batch, "context": context, "step_s": step_s, "tokens_per_s": batch / step_s}
                    for (context, batch), step_s in least.items()
                ]
                self._report(f"pass {number}: {batch} × {context} tokens: {1000 * step_s:.1f} ms a step")
            if number >= REPEATS and anyio.current_time() - begun > _QUICK_S:
                break

    @property
    def _grid(self) -> list[tuple[int, int]]:
        """Contexts and batches that the cache has room for."""
        room = self.found["kv_tokens"] / len(self.found["servers"])
        every = itertools.product(self._contexts, self.plan.batches)
        return [(context, batch) for context, batch in every if batch * (context + STEPS) <= room]

    @property
    def _contexts(self) -> list[int]:
        return [context for context in self.plan.contexts if context + STEPS <= self.found["max_model_len"]]

    async def _prefill(self) -> None:
        for tokens in [tokens for tokens in _PREFILLS if tokens < self.found["max_model_len"]]:
            seconds = await self.watch.prefill_s(tokens)
            figures = {"tokens": tokens, "seconds": seconds, "tokens_per_s": tokens / seconds}
            self.found["prefill"].append(figures)
            self._report(f"prompt of {tokens} tokens: {tokens / seconds:.0f} tokens a second")

    async def _seeds(self, batch: int) -> None:
        context = self._contexts[0]
        times: dict[bool, list[float]] = {True: [], False: []}
        for is_seeded in [True, False] * REPEATS:
            times[is_seeded].append(await self.watch.step_s(batch, context, seeded=is_seeded))
        seeded, plain = min(times[True]), min(times[False])
        self.found["seeds"] = {"batch": batch, "step_s": seeded, "step_s_without": plain, "cost": seeded / plain - 1}
        self._report(f"seeds of their own cost {100 * (seeded / plain - 1):.0f} % of a step at {batch}")

    async def _sandbox(self, batch: int) -> None:
        """Steps while 0, 1, … programs are busy; the most programs that don't slow the servers down."""
        context = self._contexts[0]
        cores = int(self.findings.content["machine"]["cores"])
        steps = []
        for busy in range(cores + 1):
            async with Sandbox(SandboxConfig(num_slots=max(1, busy))) as sandbox, _busy(sandbox, busy):
                steps.append(min([await self.watch.step_s(batch, context) for _ in range(REPEATS)]))
            self._report(f"with {busy} busy programs: {1000 * steps[-1]:.1f} ms a step")
        quiet = itertools.takewhile(lambda step_s: step_s <= _LEFT_ALONE * steps[0], steps)
        num_slots = len(list(quiet)) - 1
        self.found["sandbox"] = {"batch": batch, "step_s": steps, "num_slots": num_slots}
        self._report(f"sandbox slots that leave the servers alone: {num_slots}")

    def _report(self, line: str) -> None:
        self.findings.write()
        self.console.print(line, soft_wrap=True)


@asynccontextmanager
async def _busy(sandbox: Sandbox, count: int) -> AsyncIterator[None]:
    """Keep `count` programs busy until it is left."""
    cutoff = Cutoff(anyio.current_time() + _BUSY_S)

    async def run() -> None:
        async with sandbox.session(Mode.FRESH) as session:
            await session.execute(_BUSY, timeout_s=_BUSY_S, cutoff=cutoff)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(run)
        yield
        cutoff.move(anyio.current_time(), StopReason.INTERRUPTED)
