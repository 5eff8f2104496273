"""How fast one running server is, in the shape of a layout of `probe.json` (`engines/vllm/probe.py`).

A simulator of schedules takes these figures; runs that were measured on the same server tell how right it is.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from numina_infer.core.errors import EngineError
from numina_infer.engines.http.endpoint import Endpoint
from numina_infer.engines.http.wire import EndpointLostError
from numina_infer.engines.vllm.probe import REPEATS, Stopwatch
from numina_infer.engines.vllm.vllm_server import VllmServer
from numina_infer.engines.vocabulary import TokenizerVocabulary


async def warm_up(server: VllmServer, batch: int, context: int) -> None:
    """Have `server` decode once, so that what its first steps cost is in no figure."""
    async with Endpoint(server.address) as endpoint:
        await endpoint.greet()
        await _step_s(Stopwatch([endpoint], TokenizerVocabulary.from_folder(server.launch.model)), batch, context)


async def time_steps(
    server: VllmServer, batches: Sequence[int], contexts: Sequence[int], prefills: Sequence[int]
) -> dict[str, Any]:
    """Decoding steps over batch size and context, and the rate of prompts."""
    vocabulary = TokenizerVocabulary.from_folder(server.launch.model)
    async with Endpoint(server.address) as endpoint:
        known = await endpoint.greet()
        watch = Stopwatch([endpoint], vocabulary)
        return {
            "servers": [list(server.launch.gpus)],
            "arguments": list(server.launch.arguments),
            "vllm": known.version,
            "max_model_len": known.max_model_len,
            "kv_tokens": known.kv_tokens,
            "decode": await _decode(watch, batches, contexts),
            "prefill": [await _prefill(watch, tokens) for tokens in prefills],
        }


async def _decode(watch: Stopwatch, batches: Sequence[int], contexts: Sequence[int]) -> list[dict[str, Any]]:
    """The least of several passes over the whole grid, so that one bad moment spoils no single figure."""
    grid = list(itertools.product(contexts, batches))
    passes = [[await _step_s(watch, batch, context) for context, batch in grid] for _ in range(REPEATS)]
    least = [min(times) for times in zip(*passes, strict=True)]
    return [
        {"batch": batch, "context": context, "step_s": step_s, "tokens_per_s": batch / step_s}
        for (context, batch), step_s in zip(grid, least, strict=True)
        if step_s < math.inf
    ]


async def _step_s(watch: Stopwatch, batch: int, context: int) -> float:
    """Infinity where the machine was so busy that the batch was never written all at once."""
    try:
        return await watch.step_s(batch, context)
    except EndpointLostError:
        raise
    except EngineError:
        return math.inf


async def _prefill(watch: Stopwatch, tokens: int) -> dict[str, Any]:
    seconds = await watch.prefill_s(tokens)
    return {"tokens": tokens, "seconds": seconds, "tokens_per_s": tokens / seconds}
