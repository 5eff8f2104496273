"""One turn on the wire: the request to `/v1/completions`, the stream that comes back, and the completion made of it.

There are two dialects.
`tokens` is vLLM's: the prompt as token ids, token ids in the reply, stop strings that stay in the text, a priority.
`context.Transcript` makes text and splice of the ids, as for a model in this process; the server's text isn't read.
`text` is what every OpenAI-compatible server takes: prompt and reply are text, stop strings are found here, and the
whole text of a reply is a tail (see the splice rule) that is tokenised again at every turn.
vLLM's fields are those of vllm/entrypoints/openai/completion/protocol.py; both pinned versions were tried.
"""

import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError
from numina_infer.core.records import Completion, FinishReason, is_count
from numina_infer.engines.context import Transcript, find_stop
from numina_infer.engines.http.address import without_key
from numina_infer.engines.vocabulary import Vocabulary

_MOST_SHAPES = 5
"""How deep a server's message may be wrapped; known servers wrap it twice."""


class EndpointLostError(EngineError):
    """The endpoint went away or failed in the middle of a turn, which can be asked again there or elsewhere."""


class Dialect(StrEnum):
    """How an endpoint is spoken to."""

    TOKENS = "tokens"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Abilities:
    """An endpoint's model and capacity, and how it is spoken to."""

    model: str
    """The name under which it serves the model."""
    dialect: Dialect
    takes_priority: bool = False
    max_model_len: int | None = None
    kv_tokens: int | None = None
    """The size of its cache of keys and values, in tokens."""
    version: str = ""
    root: str = ""
    """Where the model lies on the server's machine."""


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


def request(turn: TurnRequest, endpoint: Abilities) -> dict[str, Any]:
    """The body of the request for `turn`.

    Raises:
        EngineError: the endpoint can't sample as `turn` wants.
    """
    params = turn.params
    body: dict[str, Any] = {
        "model": endpoint.model,
        "prompt": turn.prompt,
        "max_tokens": turn.max_tokens,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "seed": turn.seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if endpoint.dialect is Dialect.TEXT:
        if params.top_k or params.min_p:
            raise EngineError(
                "top_k and min_p can't be asked of an endpoint without vLLM's extensions; leave them out"
            )
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
    return {**body, "priority": turn.priority} if endpoint.takes_priority else body


async def read_chunks(received: AsyncIterator[bytes], place: object = "the endpoint") -> AsyncIterator[Chunk]:
    """The pieces of a reply that is streamed as server-sent events, however its bytes are cut.

    A line ends at a newline alone: Unicode's other line ends are text here, and vLLM sends them as they are.

    Raises:
        EndpointLostError: the server reports an error in it, as vLLM does when its engine dies.
        EngineError: the stream holds something else.
    """
    rest = b""
    async for data in received:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                said = line.removeprefix(b"data:").strip()
                if said == b"[DONE]":
                    return
                yield read_chunk(said, place)


def read_chunk(data: bytes, place: object) -> Chunk:
    """One piece of a reply, or the whole reply where nothing was streamed; raises as `read_chunks` does."""
    try:
        event = json.loads(data)
        if event.get("error"):
            raise EndpointLostError(f"{place} broke off: {without_key(error_message(event))}")
        return _read(event)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        said = without_key(data.decode(errors="replace"))[:200]
        raise EngineError(f"{place} sent what is no completion: {said!r} ({error!r})") from error


def _read(event: Mapping[str, Any]) -> Chunk:
    usage = event.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    choices = event.get("choices") or [{}]
    choice = choices[0]
    logprobs = (choice.get("logprobs") or {}).get("token_logprobs") or ()
    return Chunk(
        token_ids=tuple(map(_token_id, choice.get("token_ids") or ())),
        text=text_of(choice.get("text")),
        logprobs=tuple(float(value) for value in logprobs if value is not None and math.isfinite(value)),
        finish_reason=choice.get("finish_reason"),
        stop_reason=choice.get("stop_reason"),
        num_tokens=_count(usage.get("completion_tokens")),
        num_prompt_tokens=_count(usage.get("prompt_tokens")),
        num_cached_tokens=_count(details.get("cached_tokens")),
    )


def text_of(value: object) -> str:
    """`value` where it is a text, with a question mark for half a surrogate pair, which no request or log can hold."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""


def _token_id(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r:.60} is no token id")
    return value  # however large: no vocabulary has it, which is said where it is looked up


def _count(value: object) -> int | None:
    """How many tokens the server says. None where it doesn't, or says nonsense: what comes in is counted here."""
    return value if is_count(value) else None


def error_message(reply: object) -> str:
    """The message of a server's error, whichever way servers wrap it."""
    for _ in range(_MOST_SHAPES):
        if isinstance(reply, Mapping):
            reply = next((reply[key] for key in ("error", "message", "detail") if key in reply), reply)
    try:
        return str(reply)[:500]
    except RecursionError:
        return "it said what is nested too deep to be shown"


class TokenReply:
    """A reply in token ids."""

    def __init__(self, vocabulary: Vocabulary, params: SamplingParams, prompt_ids: list[int], *, room: int) -> None:
        """`room` is what the context window leaves, in tokens."""
        self._vocabulary = vocabulary
        self._transcript = Transcript(vocabulary.decode, params, room=room, prompt_ids=prompt_ids)
        self._num_prompt_tokens = len(prompt_ids)
        self._num_cached_tokens = 0
        self._logprob, self._num_logprobs = 0.0, 0

    @property
    def num_tokens(self) -> int:
        """Tokens received."""
        return self._transcript.num_tokens

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why it is complete."""
        return self._transcript.finish_reason

    def take(self, chunk: Chunk) -> bool:
        """Read one piece; returns whether the reply is complete. Tokens behind the end of the turn are left out.

        Raises:
            EngineError: it can't belong to what was asked.
        """
        for index, token_id in enumerate(chunk.token_ids):
            if self.finish_reason is not None:
                break
            if token_id in self._vocabulary.end_ids:
                self._transcript.push_eos()
            elif self._vocabulary.has(token_id):
                self._transcript.push(token_id)
            else:
                raise EngineError(
                    f"the endpoint sent token {token_id}, which the tokenizer doesn't have; "
                    "give the model's own folder as the tokenizer"
                )
            if index < len(chunk.logprobs):
                self._logprob += chunk.logprobs[index]
                self._num_logprobs += 1
        self._num_cached_tokens = chunk.num_cached_tokens or self._num_cached_tokens
        if chunk.finish_reason is not None and self.finish_reason is None:
            self._end(chunk)
        return self.finish_reason is not None

    def _end(self, chunk: Chunk) -> None:
        """End where the server stopped, though its tokens don't say so."""
        if chunk.finish_reason == "length":
            self._transcript.finish_reason = FinishReason.CONTEXT  # its window is shorter than it told us
        elif chunk.finish_reason == "stop" and not isinstance(chunk.stop_reason, str):
            self._transcript.finish_reason = FinishReason.EOS
        elif chunk.finish_reason == "stop":
            raise EngineError(
                f"the endpoint found the stop string {chunk.stop_reason!r} where this tokenizer reads "
                f"{self._transcript.text[-40:]!r}; give the model's own folder as the tokenizer"
            )

    def completion(self, seed: int) -> Completion:
        """All of it, or what there is."""
        knows_logprob = self._num_logprobs == self.num_tokens
        return self._transcript.completion(
            seed=seed,
            num_prompt_tokens=self._num_prompt_tokens,
            num_cached_tokens=self._num_cached_tokens,
            cumulative_logprob=self._logprob if knows_logprob else None,
        )


class TextReply:
    """A reply in text alone."""

    def __init__(self, params: SamplingParams) -> None:
        self.num_tokens = 0
        self.finish_reason: FinishReason | None = None
        self._params = params
        self._text = ""
        self._stop_reason: str | None = None
        self._num_prompt_tokens = self._num_cached_tokens = 0

    def take(self, chunk: Chunk) -> bool:
        """Read one piece, and look for stop strings in it; returns whether the reply is complete."""
        if self.finish_reason is None:
            searched = max(0, len(self._text) - max(map(len, self._params.stop), default=1) + 1)
            self._text += chunk.text
            self.num_tokens += bool(chunk.text)  # until the server tells
            self._find_end(chunk, searched)
        if chunk.num_tokens is not None:
            self.num_tokens = chunk.num_tokens
            if self.finish_reason is FinishReason.LENGTH and self.num_tokens < self._params.max_tokens:
                self.finish_reason = FinishReason.CONTEXT
        self._num_prompt_tokens = chunk.num_prompt_tokens or self._num_prompt_tokens
        self._num_cached_tokens = chunk.num_cached_tokens or self._num_cached_tokens
        return self.finish_reason is not None

    def _find_end(self, chunk: Chunk, searched: int) -> None:
        if stop := find_stop(self._text, self._params.stop, searched):
            self._stop_reason, end = stop
            self._text = self._text[:end]
            self.finish_reason = FinishReason.STOP
        elif chunk.finish_reason == "length":
            self.finish_reason = FinishReason.LENGTH
        elif chunk.finish_reason == "stop":
            self.finish_reason = FinishReason.EOS

    def completion(self, seed: int) -> Completion:
        """All of it, or what there is."""
        return Completion(
            text=self._text,
            token_ids=(),
            finish_reason=self.finish_reason or FinishReason.ABORT,
            stop_reason=self._stop_reason,
            tail=self._text,
            num_tokens=self.num_tokens,
            num_prompt_tokens=self._num_prompt_tokens,
            num_cached_tokens=self._num_cached_tokens,
            seed=seed,
        )


Reply = TokenReply | TextReply
