"""`numina-infer probe`: measures how fast vLLM is here, and writes each figure to `probe.json` as it comes.

For each layout: decoding steps over batch size and context, the rate of prompts, the room for keys and values, the
cost of one seed a request, and how many sandbox slots don't slow the servers down. The simulated engine is
made from these figures, and a preset is chosen by them.

A step is timed between pieces of the streams, once all requests of a batch are writing, so that prompts and the queue
aren't in it. Of several repeats the least counts: disturbances only ever add time.
"""

import itertools
import json
import subprocess
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console

from numina_infer.core.config import Mode, SamplingParams, SandboxConfig, require
from numina_infer.core.engine_config import LayoutName, ServerConfig
from numina_infer.core.errors import ConfigError, EngineError, SandboxError
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.http.wire import Chunk, TurnRequest
from numina_infer.engines.vllm.launch import Launch, plan_servers
from numina_infer.engines.vllm.server_group import ServerGroup
from numina_infer.engines.vocabulary import TokenizerVocabulary, Vocabulary
from numina_infer.models.gpus import find_gpus
from numina_infer.runs.provenance import machine
from numina_infer.sandbox import Sandbox

FORMAT_VERSION = 1
STEPS = 41
"""Tokens that each request of a batch writes: the first, and five pieces of eight."""
REPEATS = 3
_BATCHES = (1, 2, 4, 8, 12, 16, 24, 32, 48)
_CONTEXTS = (64, 512, 1024, 2048, 3584)
_SHORT_BATCHES, _SHORT_CONTEXTS = (1, 4, 8, 16), (64, 512)
_PREFILLS = (256, 1024, 2048)
_MOST_PASSES, _QUICK_S = 10, 60.0
"""Passes over the grid of decoding steps; beyond `REPEATS` only while they took less than a minute together."""
_WORDS = "Let the sum of the first n positive integers be 5050 and find the largest prime that divides it. "


def probe(
    model: str, server: ServerConfig, file: Path, console: Console, *, vllm_python: str = "", is_short: bool = False
) -> int:
    """Measure each layout that the GPUs allow, into `file`, which keeps the figures so far if the probe is stopped.

    Raises:
        ConfigError: the model can't be used here, or `file` can't be written.
        EngineError: a server doesn't come up.
    """
    least = _CONTEXTS[0] + STEPS
    require(
        not server.max_model_len or server.max_model_len >= least,
        f"max_model_len is {server.max_model_len}; the probe needs at least {least} tokens",
    )
    findings = _Findings(model, file, console)
    try:
        findings.write()
    except OSError as error:
        raise ConfigError(f"can't write {file}: {error.strerror or error}; name another with --out") from error
    batches, contexts = (_SHORT_BATCHES, _SHORT_CONTEXTS) if is_short else (_BATCHES, _CONTEXTS)
    fitting = [batch for batch in batches if batch <= server.max_num_seqs]
    is_choice = len(find_gpus()) > 1 and server.layout is LayoutName.AUTO
    for layout in (LayoutName.TENSOR_PARALLEL, LayoutName.REPLICAS) if is_choice else (server.layout,):
        config = replace(server, layout=layout)
        try:
            launches = plan_servers(model, config, python=vllm_python, report=console.print)
        except ConfigError as error:
            if not is_choice:
                raise
            console.print(f"{layout} is left out: {error}", soft_wrap=True)
            continue
        anyio.run(findings.measure, launches, fitting, contexts)
    console.print(f"written to {file}", soft_wrap=True)
    return 0


class _Findings:
    """The figures so far, kept on disk."""

    def __init__(self, model: str, file: Path, console: Console) -> None:
        self._file, self._console = file, console
        self._content: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": dict(machine()),
            "model": model,
            "peer_access": None,
            "layouts": [],
        }

    def write(self) -> None:
        """Write the file, whole or not at all."""
        draft = self._file.with_name(f"{self._file.name}.new")
        draft.write_text(json.dumps(self._content, indent=1) + "\n", encoding="utf-8")
        draft.rename(self._file)

    def _report(self, line: str) -> None:
        self.write()
        self._console.print(line, soft_wrap=True)

    async def measure(self, launches: Sequence[Launch], batches: Sequence[int], contexts: Sequence[int]) -> None:
        """Start the servers of one layout and measure them: decoding with each batch and context that has room."""
        self._content["peer_access"] = _peer_access(launches[0])
        group = ServerGroup(launches, keep=False, report=self._console.print)
        async with group, AsyncExitStack() as stack:
            endpoints = [await stack.enter_async_context(Endpoint(server.address)) for server in group.servers]
            known = [await endpoint.greet() for endpoint in endpoints]
            layout: dict[str, Any] = {
                "servers": [list(launch.gpus) for launch in launches],
                "arguments": list(launches[0].arguments),
                "vllm": known[0].version,
                "max_model_len": known[0].max_model_len,
                "kv_tokens": sum(each.kv_tokens or 0 for each in known),
                "decode": [],
                "prefill": [],
            }
            self._content["layouts"].append(layout)
            watch = Stopwatch(endpoints, TokenizerVocabulary.from_folder(launches[0].model))
            room = layout["kv_tokens"] / len(launches)
            grid = [
                (context, batch)
                for context, batch in itertools.product(contexts, batches)
                if batch * (context + STEPS) <= room and context + STEPS <= layout["max_model_len"]
            ]
            await self._decode(watch, grid, layout)
            await self._prefill(watch, layout)
            typical = max(batch for batch in batches if batch <= 8)
            await self._seeds(watch, typical, contexts[0], layout)
            try:
                await self._sandbox(watch, typical, contexts[0], layout)
            except SandboxError as error:
                self._report(f"sandbox slots aren't measured: {error}")

    async def _decode(self, watch: "Stopwatch", grid: Sequence[tuple[int, int]], layout: dict[str, Any]) -> None:
        """Measure the whole grid several times, so that one bad minute spoils no figure; more often if it is quick."""
        least: dict[tuple[int, int], float] = {}
        begun = anyio.current_time()
        for number, (context, batch) in itertools.product(range(1, _MOST_PASSES + 1), grid):
            if number > REPEATS and (context, batch) == grid[0] and anyio.current_time() - begun > _QUICK_S:
                break
            step_s = await watch.step_s(batch, context)
            least[context, batch] = min(step_s, least.get((context, batch), step_s))
            layout["decode"] = [
                {"batch": batch, "context": context, "step_s": step_s, "tokens_per_s": batch / step_s}
                for (context, batch), step_s in least.items()
            ]
            self._report(f"pass {number}: {batch} × {context} tokens: {1000 * step_s:.1f} ms a step")

    async def _prefill(self, watch: "Stopwatch", layout: dict[str, Any]) -> None:
        for tokens in [tokens for tokens in _PREFILLS if tokens < layout["max_model_len"]]:
            seconds = await watch.prefill_s(tokens)
            layout["prefill"].append({"tokens": tokens, "seconds": seconds, "tokens_per_s": tokens / seconds})
            self._report(f"prompt of {tokens} tokens: {tokens / seconds:.0f} tokens a second")

    async def _seeds(self, watch: "Stopwatch", batch: int, context: int, layout: dict[str, Any]) -> None:
        pairs = [
            [await watch.step_s(batch, context, seeded=seeded) for seeded in (True, False)] for _ in range(REPEATS)
        ]
        seeded, plain = map(min, zip(*pairs, strict=True))
        layout["seeds"] = {"batch": batch, "step_s": seeded, "step_s_without": plain, "cost": seeded / plain - 1}
        self._report(f"seeds of their own cost {100 * (seeded / plain - 1):.0f} % of a step at {batch}")

    async def _sandbox(self, watch: "Stopwatch", batch: int, context: int, layout: dict[str, Any]) -> None:
        """Measure steps while 0, 1, … programs are busy; a tenth longer counts as not slowed down."""
        steps: list[float] = []
        for busy in range(int(self._content["machine"]["cores"]) + 1):
            async with Sandbox(SandboxConfig(num_slots=busy or 1)) as sandbox, anyio.create_task_group() as programs:
                for _ in range(busy):
                    programs.start_soon(_stay_busy, sandbox)
                steps.append(min([await watch.step_s(batch, context) for _ in range(REPEATS)]))
                programs.cancel_scope.cancel()
            self._report(f"with {busy} busy programs: {1000 * steps[-1]:.1f} ms a step")
        num_slots = len(list(itertools.takewhile(lambda step_s: step_s <= 1.1 * steps[0], steps))) - 1
        layout["sandbox"] = {"batch": batch, "step_s": steps, "num_slots": num_slots}
        self._report(f"sandbox slots that leave the servers alone: {num_slots}")


async def _stay_busy(sandbox: Sandbox) -> None:
    async with sandbox.session(Mode.FRESH) as session:
        await session.execute("while True:\n    pass", timeout_s=3600.0)


def _peer_access(launch: Launch) -> bool | None:
    """Whether the first two GPUs reach each other's memory, as torch of vLLM's environment says; None on fewer."""
    if len(find_gpus()) < 2:
        return None
    code = "import torch; print(torch.cuda.can_device_access_peer(0, 1))"
    command = [str(launch.python), "-c", code]
    asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 (no shell)
    return {"True": True, "False": False}.get(asked.stdout.strip())


_Pace = list[tuple[float, int]]
"""When the pieces of one reply came, and how many tokens there were by then."""


class Stopwatch:
    """Times decoding steps and prompts by made-up turns on endpoints that are otherwise idle."""

    def __init__(self, endpoints: Sequence[Endpoint], vocabulary: Vocabulary) -> None:
        self._endpoints, self._vocabulary = tuple(endpoints), vocabulary
        self._nonces = itertools.count(1)

    async def step_s(self, batch: int, context: int, *, seeded: bool = True) -> float:
        """Seconds of one decoding step with `batch` requests of `context` tokens on each endpoint."""
        prompt = self._prompt(context)
        for endpoint in self._endpoints:
            await self._play(endpoint, prompt, 1, seed=0)  # so that its keys and values are cached
        paces: list[_Pace] = []
        failures: list[EngineError] = []

        async def play(endpoint: Endpoint, seed: int) -> None:
            try:
                paces.append(await self._play(endpoint, prompt, STEPS, seed if seeded else None))
            except EngineError as error:
                failures.append(error)

        async with anyio.create_task_group() as group:
            for endpoint, seed in itertools.product(self._endpoints, range(batch)):
                group.start_soon(play, endpoint, seed)
        if failures:
            raise failures[0]
        return _common_step_s(paces)

    async def prefill_s(self, tokens: int) -> float:
        """Seconds that `tokens` of a prompt take which no cache has, beyond what one short request takes."""
        return max(1e-9, await self._least_first_s(tokens) - await self._least_first_s(1))

    async def _least_first_s(self, tokens: int) -> float:
        times = []
        for _ in range(REPEATS):
            prompt, begun = self._prompt(tokens), anyio.current_time()
            pace = await self._play(self._endpoints[0], prompt, 1, seed=0)
            times.append(pace[0][0] - begun)
        return min(times)

    async def _play(self, endpoint: Endpoint, prompt: list[int], num_tokens: int, seed: int | None) -> _Pace:
        pace: _Pace = []

        def take(chunk: Chunk) -> bool:
            if chunk.token_ids:
                written = pace[-1][1] if pace else 0
                pace.append((anyio.current_time(), written + len(chunk.token_ids)))
            return chunk.finish_reason is not None

        params = SamplingParams(max_tokens=num_tokens)
        await endpoint.play(TurnRequest(prompt, params, num_tokens, seed, 0, ignore_eos=True), take)
        if not pace:
            raise EngineError(f"{endpoint.address} sent no token ids, so nothing can be timed; it must be vLLM")
        return pace

    def _prompt(self, tokens: int) -> list[int]:
        """So many tokens, with a beginning that no earlier prompt had."""
        own = self._vocabulary.encode(f"{next(self._nonces)}. ")
        words = self._vocabulary.encode(_WORDS)
        return list(itertools.islice(itertools.chain(own, itertools.cycle(words)), tokens))


def _common_step_s(paces: Sequence[_Pace]) -> float:
    """The mean step while all requests were writing; of each, from its first piece in that time to its last."""
    begin = max(pace[0][0] for pace in paces)
    end = min(pace[-1][0] for pace in paces)
    steps = []
    for pace in paces:
        within = [(at, written) for at, written in pace if begin <= at <= end]
        if len(within) >= 2 and within[-1][1] > within[0][1]:
            steps.append((within[-1][0] - within[0][0]) / (within[-1][1] - within[0][1]))
    if not steps:
        raise EngineError("no two pieces of a reply came while the whole batch was writing; take a smaller batch")
    return sum(steps) / len(steps)
