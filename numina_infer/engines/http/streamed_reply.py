"""One turn's reply while it streams in: pieces go in, a completion comes out, whole or as far as it got.

Where an endpoint sends token ids, `context.Transcript` makes text and splice of them, as for a model in this process;
the server's own text isn't read. Where it sends text alone, the whole text is a tail (see the splice rule) that is
tokenised again at every turn.
"""

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError
from numina_infer.core.records import Completion, FinishReason
from numina_infer.engines.context import Transcript, find_stop
from numina_infer.engines.http.wire import Chunk
from numina_infer.engines.vocabulary import Vocabulary


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

    def take(self, chunk: Chunk) -> None:
        """Read one piece; tokens behind the end of the turn are left out.

        Raises:
            EngineError: it can't belong to what was asked.
        """
        for index, token_id in enumerate(chunk.token_ids):
            if self.finish_reason is not None:
                break
            self._push(token_id)
            if index < len(chunk.logprobs):
                self._logprob += chunk.logprobs[index]
                self._num_logprobs += 1
        self._num_cached_tokens = chunk.num_cached_tokens or self._num_cached_tokens
        if chunk.finish_reason is not None and self.finish_reason is None:
            self._end(chunk)

    def _push(self, token_id: int) -> None:
        if token_id in self._vocabulary.end_ids:
            self._transcript.push_eos()
        elif self._vocabulary.has(token_id):
            self._transcript.push(token_id)
        else:
            raise EngineError(
                f"the endpoint sent token {token_id}, which the tokenizer doesn't have; "
                "give the model's own folder as the tokenizer"
            )

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

    def take(self, chunk: Chunk) -> None:
        """Read one piece, and look for stop strings in it."""
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
