"""One turn on the wire: the request to `/v1/completions`, and the stream that comes back, in one of two dialects.

`tokens` is vLLM's: the prompt as token ids, token ids in the reply, stop strings that stay in the text, a priority.
`text` is what every OpenAI-compatible server takes: prompt and reply are text, stop strings are found here, and the
history of a trajectory is tokenised again at every turn.
vLLM's fields are those of vllm/entrypoints/openai/completion/protocol.py; both pinned versions were tried.
"""

import json
import logging
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError
from numina_infer.core.records import LARGEST_WHOLE, is_count
from numina_infer.engines.http.address import without_key

_log = logging.getLogger(__name__)

_MOST_SHAPES = 5
"""How deep a server's message may be wrapped; known servers wrap it twice."""
_DATA = b"data:"
_DONE = b"[DONE]"


class BrokenOffError(EngineError):
    """The server reports an error in the middle of a reply, as vLLM does when its engine dies."""


class Dialect(StrEnum):
    """How an endpoint is spoken to."""

    TOKENS = "tokens"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One turn as it is put to an endpoint."""

    prompt: Sequence[int] | str
    params: SamplingParams
    max_tokens: int
    """The turn's own limit, or what is left of the context."""
    seed: int | None
    """None takes the server's own generator, which the whole batch shares."""
    priority: int
    """The ticket: lower goes first."""
    end_ids: Sequence[int] = ()
    """Tokens that end the text."""
    ignore_eos: bool = False
    """Write on to `max_tokens` past the end of the text: for measurements."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a reply."""

    token_ids: tuple[int, ...] = ()
    text: str = ""
    logprobs: tuple[float, ...] = ()
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    num_tokens: int | None = None
    """Tokens sampled in the whole turn, where the server says so."""
    num_prompt_tokens: int | None = None
    num_cached_tokens: int | None = None


def request(turn: TurnRequest, *, model: str, dialect: Dialect, takes_priority: bool = True) -> dict[str, Any]:
    """The body of the request for `turn`."""
    params = turn.params
    body: dict[str, Any] = {
        "model": model,
        "prompt": turn.prompt,
        "max_tokens": turn.max_tokens,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if turn.seed is not None:
        body["seed"] = turn.seed
    if dialect is Dialect.TEXT:
        _refuse_filters(params)
        return body
    body |= {
        "prompt": list(turn.prompt),
        "top_k": params.top_k,
        "min_p": params.min_p,
        "repetition_penalty": 1.0,  # or the model's generation_config.json would choose
        "stop": list(params.stop),
        "include_stop_str_in_output": True,
        "stop_token_ids": list(turn.end_ids),
        "logprobs": 0,
        "return_token_ids": True,
    }
    if turn.ignore_eos:
        body["ignore_eos"] = True
    return {**body, "priority": turn.priority} if takes_priority else body


def _refuse_filters(params: SamplingParams) -> None:
    given = [name for name, value in (("top_k", params.top_k), ("min_p", params.min_p)) if value]
    if given:
        raise EngineError(
            f"{' and '.join(given)} can't be asked of an endpoint that lacks vLLM's extensions; leave it out"
        )


async def read_chunks(received: AsyncIterator[bytes]) -> AsyncIterator[Chunk]:
    """The pieces of a reply that is streamed as server-sent events, however its bytes are cut.

    Raises:
        BrokenOffError: the server reports an error in it.
        EngineError: the stream holds something else.
    """
    async for line in _lines(received):
        if not line.startswith(_DATA):
            continue
        data = line.removeprefix(_DATA).strip()
        if data == _DONE:
            return
        yield _chunk(data)


async def _lines(received: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines. Unicode's other line ends are text here, and vLLM sends them as they are."""
    rest = b""
    async for data in received:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line


def _chunk(data: bytes) -> Chunk:
    try:
        event = json.loads(data)
        if event.get("error"):
            raise BrokenOffError(without_key(error_message(event)))
        return _read(event)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        said = without_key(data.decode(errors="replace"))[:200]
        raise EngineError(f"the endpoint sent what is no completion: {said!r} ({error!r})") from error


def _read(event: Mapping[str, Any]) -> Chunk:
    usage = event.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    choices = event.get("choices") or [{}]
    choice = choices[0]
    logprobs = (choice.get("logprobs") or {}).get("token_logprobs") or ()
    return Chunk(
        token_ids=tuple(map(_token_id, choice.get("token_ids") or ())),
        text=_encodable(str(choice.get("text") or "")),
        logprobs=tuple(float(value) for value in logprobs if value is not None and math.isfinite(value)),
        finish_reason=choice.get("finish_reason"),
        stop_reason=choice.get("stop_reason"),
        num_tokens=_count(usage.get("completion_tokens")),
        num_prompt_tokens=_count(usage.get("prompt_tokens")),
        num_cached_tokens=_count(details.get("cached_tokens")),
    )


def _encodable(text: str) -> str:
    """`text` with a question mark for half a surrogate pair, which JSON can spell and no later request can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _token_id(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r:.60} is no token id")
    return value  # however large: no vocabulary has it, which is said where it is looked up


def _count(value: object) -> int | None:
    """How many tokens the server says; None where it doesn't, or says more than a record can hold."""
    if value is None or is_count(value):
        return value
    if isinstance(value, int) and value > LARGEST_WHOLE:
        _warn_of_absurd_counts()
        return None
    raise ValueError(f"{value!r:.60} is no number of tokens")


@cache
def _warn_of_absurd_counts() -> None:
    """Warn once: the text is good all the same, and no vote is lost for a wrong figure."""
    _log.warning("an endpoint counts more than 2**63 - 1 tokens; what comes in is counted here instead")


def error_message(reply: object) -> str:
    """The message of a server's error, whichever way servers wrap it."""
    for _ in range(_MOST_SHAPES):
        key = next((key for key in ("error", "message", "detail") if isinstance(reply, Mapping) and key in reply), "")
        reply = reply[key] if key and isinstance(reply, Mapping) else reply
    try:
        return str(reply)[:500]
    except RecursionError:
        return "it said what is nested too deep to be shown"
