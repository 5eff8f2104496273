"""A stand-in for vLLM's server: its API on a socket, a script instead of a model, and faults on demand.

It answers as both pinned versions of vLLM do (docs/engines.md), so that the client is tested against good and bad
servers without one. Tokens are those of the scripted engine or of a given vocabulary, at once or at a pace.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from anyio.lowlevel import checkpoint

from drills.engines.http_server import HttpServer, Request, Response
from drills.engines.pace import Pace
from numina_infer.core.config import SamplingParams
from numina_infer.core.records import FinishReason
from numina_infer.engines.context import Transcript
from numina_infer.engines.scripted_engine import VOCABULARY, Cue, Script, as_script
from numina_infer.engines.vocabulary import Vocabulary

MODEL = "stand-in"
_INTERVAL = 8
_LOGPROB = -0.5
_GARBAGE = 1 << 70


@dataclass(frozen=True, slots=True)
class Mood:
    """How the stand-in behaves."""

    is_vllm: bool = True
    """Whether it knows vLLM's extensions; without them it reads and writes text alone."""
    takes_priority: bool = True
    hangs_after: int | None = None
    """Tokens after which a reply goes no further, though the connection stays."""
    is_healthy: bool = True
    is_broken: bool = False
    """Every completion ends in an internal error, though it is healthy otherwise."""
    num_busy: int = 0
    """How many of the next requests are answered with 429."""
    num_broken: int = 0
    """How many of the next replies break off after `breaks_after` tokens."""
    breaks_after: int = 0
    says_why: bool = False
    """Whether a reply that breaks off ends with an error event, as vLLM's do when its engine dies."""
    sends_garbage: bool = False
    key: str = ""
    """The key that the authorization header must have."""


class StandIn:
    """A server with one model: `async with StandIn(socket, script) as server`, in the opener's loop."""

    def __init__(
        self,
        socket: Path | None,
        script: Callable[[str, int], str] | Sequence[Sequence[str]] | Script,
        *,
        model: str = MODEL,
        max_model_len: int = 1_000_000,
        kv_tokens: int | None = None,
        mood: Mood | None = None,
        vocabulary: Vocabulary = VOCABULARY,
        pace: Pace | None = None,
    ) -> None:
        """Without a `socket` it listens on a free port of the loopback interface."""
        self.mood = mood or Mood()
        self._vocabulary, self._pace = vocabulary, pace
        self.requests: list[dict[str, Any]] = []
        """The bodies of the completions that were asked for, refused ones too, trials excepted."""
        self.num_running = 0
        self.most_tokens = 0
        """Tokens of all contexts in flight, at most."""
        self._script, self._model = as_script(script), model
        self._socket = socket
        self._max_model_len, self._kv_tokens = max_model_len, kv_tokens
        self._http = HttpServer(socket, self._answer)
        self._live: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        await self._http.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    @property
    def address(self) -> str:
        """Where it listens, as a user would give it."""
        return str(self._socket) if self._socket is not None else f"http://127.0.0.1:{self._http.port}"

    async def _answer(self, request: Request) -> Response:
        if self.mood.key and request.headers.get("authorization") != f"Bearer {self.mood.key}":
            said = f"{request.headers.get('authorization')} is no key of ours"
            return Response.of({"error": {"message": said}}, 401)
        if request.path == "/v1/completions":
            return await self._completion(json.loads(request.body))
        if request.path == "/v1/models":
            window = {"max_model_len": self._max_model_len} if self.mood.is_vllm else {}
            return Response.of({"object": "list", "data": [{"id": self._model, "root": "", **window}]})
        if request.path == "/health":
            return Response(200 if self.mood.is_healthy else 500)
        if request.path == "/metrics" and self.mood.is_vllm and self._kv_tokens:
            blocks = f'block_size="1",num_gpu_blocks="{self._kv_tokens}"'
            return Response(body=f"vllm:cache_config_info{{{blocks}}} 1.0\n".encode())
        return Response.of({"detail": "Not Found"}, 404)

    async def _completion(self, body: dict[str, Any]) -> Response:
        if body.get("stream"):
            self.requests.append(body)
        if refusal := self._refusal(body):
            return refusal
        if not body.get("stream"):  # a trial
            choice: dict[str, Any] = {"text": "", "finish_reason": "length"}
            return Response.of({"choices": [{**choice, **({"token_ids": [0]} if self.mood.is_vllm else {})}]})
        return Response(pieces=self._stream(body), headers=(("content-type", "text/event-stream"),))

    def _refusal(self, body: Mapping[str, Any]) -> Response | None:
        if self.mood.is_broken:
            return Response.of({"error": {"message": "internal error"}}, 500)
        if self.mood.num_busy and body.get("stream"):
            self.mood = replace(self.mood, num_busy=self.mood.num_busy - 1)
            return Response.of({"error": {"message": "too many requests"}}, 429)
        if not self.mood.is_vllm and not isinstance(body["prompt"], str):
            return Response.of({"error": {"message": "prompt must be a string"}}, 400)
        if not self.mood.takes_priority and body.get("priority"):
            return Response.of({"error": {"message": "priority needs priority scheduling"}}, 400)
        if body["max_tokens"] > self._max_model_len:
            return Response.of({"error": {"message": "max_tokens is too large"}}, 400)
        return None

    async def _stream(self, body: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        key = id(body)
        self.num_running += 1
        try:
            async for event in self._events(body, key):
                yield _data(json.dumps(event, ensure_ascii=False))
            yield _data("[DONE]")
        except _BreaksOffError:
            if not self.mood.says_why:
                raise
            yield _data(json.dumps({"error": {"message": "the engine died", "code": 500}}))
            yield _data("[DONE]")
        finally:
            self.num_running -= 1
            self._live.pop(key, None)
            if self._pace is not None:
                self._pace.leave(key)

    async def _events(self, body: Mapping[str, Any], key: int) -> AsyncIterator[dict[str, Any]]:
        in_tokens = not isinstance(body["prompt"], str)
        vocabulary = self._vocabulary
        prompt_ids = list(body["prompt"]) if in_tokens else list(vocabulary.encode(body["prompt"]))
        params = SamplingParams(max_tokens=body["max_tokens"], stop=tuple(body.get("stop") or ()))
        room = self._max_model_len - len(prompt_ids)
        transcript = Transcript(vocabulary.decode, params, room=room, prompt_ids=prompt_ids)
        ids: list[int] = []
        async for token_id in self._tokens(body, prompt_ids, key):
            self._note(key, len(prompt_ids) + transcript.num_tokens)
            ids.append(token_id)
            end = transcript.push_eos() if token_id == self._eos else transcript.push(token_id)
            if end is not None or len(ids) == _INTERVAL:
                yield self._event(ids, transcript, in_tokens=in_tokens)
                ids = []
            if end is not None:
                break
        usage = {"prompt_tokens": len(prompt_ids), "completion_tokens": transcript.num_tokens}
        yield {"choices": [], "usage": usage}

    async def _tokens(self, body: Mapping[str, Any], prompt_ids: Sequence[int], key: int) -> AsyncIterator[int]:
        breaks_after = self._breaks_after()
        ticket = int(body.get("priority", 0))
        cue = Cue(self._vocabulary.decode(prompt_ids), int(body["seed"] or 0), ticket, turn=0)
        ids = [*self._vocabulary.encode(self._script.line(cue)), self._eos]
        if self._pace is not None:
            self._pace.join(key, ticket, prompt_ids, len(ids))
        for index, token_id in enumerate(ids):
            await (checkpoint() if self._pace is None else self._pace.wait(key, index + 1))
            if index == self.mood.hangs_after:
                await asyncio.Event().wait()
            if index == breaks_after:
                raise _BreaksOffError
            yield _GARBAGE if self.mood.sends_garbage else token_id

    @property
    def _eos(self) -> int:
        return min(self._vocabulary.end_ids)

    def _breaks_after(self) -> int | None:
        if not self.mood.num_broken:
            return None
        self.mood = replace(self.mood, num_broken=self.mood.num_broken - 1)
        return self.mood.breaks_after

    def _note(self, key: int, tokens: int) -> None:
        self._live[key] = tokens
        self.most_tokens = max(self.most_tokens, sum(self._live.values()))

    def _event(self, ids: Sequence[int], transcript: Transcript, *, in_tokens: bool) -> dict[str, Any]:
        """One piece of a stream, with what a server of either kind puts into it."""
        completion = transcript.completion(seed=0, num_prompt_tokens=0)
        choice: dict[str, Any] = {
            "index": 0,
            "text": self._vocabulary.decode([token_id for token_id in ids if token_id != self._eos]),
            "finish_reason": _FINISH.get(transcript.finish_reason, "length"),
        }
        if in_tokens:
            logprobs = {"token_logprobs": [_LOGPROB] * len(ids)}
            choice |= {"token_ids": list(ids), "logprobs": logprobs, "stop_reason": completion.stop_reason}
        return {"choices": [choice]}


class _BreaksOffError(ConnectionError):
    """The mood asks to break a reply off."""


def _data(said: str) -> bytes:
    return f"data: {said}\n\n".encode()


_FINISH = {FinishReason.STOP: "stop", FinishReason.EOS: "stop", None: None}
