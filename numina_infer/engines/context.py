"""Text and tokens of one trajectory, both ways, and the splice where a completion was cut.

A context alternates text of ours and completions. Text of ours is tokenised, a special token is one id; a
completion's token ids are used as they were sampled, so that history is only ever extended and prefix caches (vLLM,
arXiv 2309.06180) serve all of it.

The splice rule. A completion's text ends right behind its stop string; tokens can't be cut.
Its `token_ids` are the sampled tokens that lie wholly within the text, and its `tail` is the end of the text that
they don't cover. The tail is tokenised together with the text of ours that follows.

The rule for halves of characters. A token may hold a part of a character's UTF-8 bytes.
The text shows a character once all its bytes are there, and a token counts as within the text from then on.
A completion that ends before that leaves the half character and its tokens out.
Bytes that can't become a character once others have followed them are shown as U+FFFD, as tokenizers do.

Detokenisation decodes a short window and takes what is new, as text-generation-inference and vLLM do.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import chain, groupby
from operator import add

from numina_infer.core.config import SamplingParams
from numina_infer.core.records import Completion, FinishReason, Part, SpecialToken
from numina_infer.engines.vocabulary import Vocabulary

Decode = Callable[[Sequence[int]], str]
"""Token ids → text, U+FFFD where bytes are no UTF-8."""

Run = str | SpecialToken | tuple[int, ...]
"""A stretch of a context that is tokenised as one."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_PROMPT_OVERLAP = 4


def runs(context: Sequence[Part]) -> Iterator[Run]:
    """`context` as a tokenizer takes it: text to encode, special tokens, and ids that stay as they were sampled.

    Neighbours of one kind are one run, so contexts of equal runs have equal token ids under any vocabulary.
    A completion without ids still parts the text before it from the text behind it, or ids would be made again.
    """
    pieces = chain.from_iterable(
        (part.token_ids, part.tail) if isinstance(part, Completion) else (part,) for part in context
    )
    for kind, alike in groupby((piece for piece in pieces if piece != ""), key=type):
        if kind is SpecialToken:
            yield from alike
        else:
            yield reduce(add, alike)


def render(context: Sequence[Part], vocabulary: Vocabulary) -> list[int]:
    """The token ids of `context`, behind what the tokenizer puts in front of a text.

    Nothing is put in front of a special token: a chat template that begins with one is whole.
    With a completion and text added to the context, the ids only grow: they begin with these ids followed by the
    completion's `token_ids`.
    """
    ids: list[int] = []
    begins_whole = False
    for number, run in enumerate(runs(context)):
        match run:
            case SpecialToken():
                begins_whole |= number == 0
                ids.append(vocabulary.special(run.text))
            case str():
                # UTF-8 doesn't know a lone surrogate; it becomes a question mark.
                ids += vocabulary.encode(run.encode("utf-8", "replace").decode())
            case _:
                ids += run
    return ids if begins_whole else [*vocabulary.bos, *ids]


def find_stop(text: str, stop: Sequence[str], start: int = 0) -> tuple[str, int] | None:
    """The stop string that is complete first in `text[start:]` (of two, the longer), and the index behind it."""
    found = [
        (text.find(string, start) + len(string), -len(string), string) for string in stop if string in text[start:]
    ]
    if not found:
        return None
    end, _, string = min(found)
    return string, end


class Transcript:
    """One completion while it is being written: tokens go in, text, limits and the splice come out."""

    def __init__(self, decode: Decode, params: SamplingParams, *, room: int, prompt_ids: Sequence[int] = ()) -> None:
        """`room` is what the context window leaves, in tokens; `prompt_ids` show how the first token joins on."""
        self.finish_reason: FinishReason | None = None if room > 0 else FinishReason.CONTEXT
        self.num_tokens = 0
        self._decode, self._params, self._room = decode, params, room
        self._longest_stop = max(map(len, params.stop), default=0)
        self._stop_reason: str | None = None
        self.text = self._settled = ""
        """The text so far, whole characters only; and what of it no later token changes."""
        self._ids: list[int] = []
        self._ends: list[int] = []
        self._overlap = list(prompt_ids[-_PROMPT_OVERLAP:])
        self._overlap_chars = len(decode(self._overlap))

    def push(self, token_id: int) -> FinishReason | None:
        """Take one sampled token; the reason to stop, if there now is one."""
        searched = max(0, len(self.text) - self._longest_stop + 1)
        self.num_tokens += 1
        self._ids.append(token_id)
        self._read()
        if stop := find_stop(self.text, self._params.stop, searched):
            self._stop_reason, end = stop
            self.text = self.text[:end]
            self.finish_reason = FinishReason.STOP
        elif self.num_tokens >= self._params.max_tokens:
            self.finish_reason = FinishReason.LENGTH
        elif self.num_tokens >= self._room:
            self.finish_reason = FinishReason.CONTEXT
        return self.finish_reason

    def push_eos(self) -> FinishReason:
        """Take the sampled token that ends the text; it is counted, and neither text nor history shows it."""
        self.num_tokens += 1
        self.finish_reason = FinishReason.EOS
        return FinishReason.EOS

    def _read(self) -> None:
        """Decode the tokens since the last whole character; settle them when none is cut in half."""
        open_ids = self._ids[len(self._ends) :]
        window = self._decode([*self._overlap, *open_ids])
        shown = window.rstrip(_REPLACEMENT)
        self.text = self._settled + shown[self._overlap_chars :]
        if shown == window:
            self._settled = self.text
            self._ends += [len(self.text)] * len(open_ids)
            self._overlap, self._overlap_chars = open_ids, len(self._decode(open_ids))

    def completion(
        self, *, seed: int, num_prompt_tokens: int, num_cached_tokens: int = 0, cumulative_logprob: float | None = None
    ) -> Completion:
        """The text so far, spliced; `FinishReason.ABORT` where nothing else has ended it."""
        num_within = sum(end <= len(self.text) for end in self._ends)
        covered = self._ends[num_within - 1] if num_within else 0
        return Completion(
            text=self.text,
            token_ids=tuple(self._ids[:num_within]),
            finish_reason=self.finish_reason or FinishReason.ABORT,
            stop_reason=self._stop_reason,
            tail=self.text[covered:],
            num_tokens=self.num_tokens,
            num_prompt_tokens=num_prompt_tokens,
            num_cached_tokens=num_cached_tokens,
            # JSON can't hold a sum that has overflowed.
            cumulative_logprob=cumulative_logprob if math.isfinite(cumulative_logprob or 0.0) else None,
            seed=seed,
        )
