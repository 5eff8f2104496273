"""A model's tokens: text → ids and back, its special tokens, and where a text ends.

Read from a model's folder with the `tokenizers` library alone, so that an engine whose model runs elsewhere needs
neither torch nor transformers.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from numina_infer.core.errors import EngineError, EngineRefusalError
from numina_infer.models.model_folder import read_json_if_there

_TOO_LARGE = 1 << 32
"""`tokenizers` takes no number that doesn't fit its own type."""


class Vocabulary(Protocol):
    """A model's tokens, as engines use them."""

    @property
    def fingerprint(self) -> str:
        """Equal only for vocabularies that make the same ids of every text and end texts at the same ids."""

    @property
    def bos(self) -> tuple[int, ...]:
        """The tokens that the tokenizer itself puts in front of a text."""

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end a text: the end-of-sequence tokens, and all special tokens, which are never text."""

    def encode(self, text: str) -> Sequence[int]:
        """Plain text as ids; special tokens in it are spelled out."""

    def special(self, token: str) -> int:
        """The id of the special token that is spelled `token`; raises `EngineError` where there is none."""

    def has(self, token_id: int) -> bool:
        """Whether there is such a token."""

    def decode(self, ids: Sequence[int]) -> str:
        """Ids as text: special tokens spelled out, U+FFFD where bytes are no UTF-8."""


@dataclass(frozen=True, slots=True)
class TokenizerVocabulary:
    """A `Vocabulary` over a `tokenizers.Tokenizer`."""

    tokenizer: Any
    bos: tuple[int, ...]
    end_ids: frozenset[int]

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """The vocabulary of the model in `folder`; its tokenizer is set to spell special tokens out.

        Raises:
            EngineError: there is no `tokenizer.json`, or it can't be read.
        """
        from tokenizers import Tokenizer

        file = folder / "tokenizer.json"
        if not file.is_file():
            raise EngineError(
                f"{folder} has no tokenizer.json; save one there with "
                "transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
            )
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing narrower
            raise EngineError(f"{file} can't be read: {error}") from error
        ends = declared_eos(tokenizer, folder)
        specials = [token_id for token_id, token in tokenizer.get_added_tokens_decoder().items() if token.special]
        first = tokenizer.encode("", add_special_tokens=True).ids[:1]
        tokenizer.encode_special_tokens = True
        # An end-of-sequence token in front is no beginning: some tokenizers close even an empty text.
        put = [token_id for token_id in first if token_id not in ends]
        return cls(tokenizer, tuple(put or _declared_bos(tokenizer, folder)), frozenset([*specials, *ends]))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the tokenizer and what texts begin and end with."""
        ends = f"{self.bos} {sorted(self.end_ids)}"
        return hashlib.sha256(f"{self.tokenizer.to_str()} {ends}".encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Plain text as ids."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def special(self, token: str) -> int:
        """The id of the special token `token`."""
        added = self.tokenizer.get_added_tokens_decoder()
        found = [token_id for token_id, entry in added.items() if entry.content == token]
        if not found:
            raise EngineRefusalError(
                f"the model has no special token {token!r}; choose the format that it was trained on"
            )
        return int(found[0])

    def has(self, token_id: int) -> bool:
        """Whether there is such a token."""
        return token_id < _TOO_LARGE and self.tokenizer.id_to_token(token_id) is not None

    def decode(self, ids: Sequence[int]) -> str:
        """Ids as text, special tokens spelled out."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=False))


def declared_eos(tokenizer: Any, folder: Path) -> list[int]:
    """The end-of-sequence ids that the files in `folder` declare, by number or by spelling."""
    found: list[object] = []
    for name, key in (
        ("generation_config.json", "eos_token_id"),
        ("config.json", "eos_token_id"),
        ("tokenizer_config.json", "eos_token"),
    ):
        declared = read_json_if_there(folder / name).get(key)
        found += declared if isinstance(declared, list) else [declared]
    return [token_id for entry in found if (token_id := _token_id(tokenizer, entry)) is not None]


def _declared_bos(tokenizer: Any, folder: Path) -> list[int]:
    """The token in front of texts by the files in `folder`: Llama's `add_bos_token`, which older tokenizers obey."""
    config = read_json_if_there(folder / "tokenizer_config.json")
    declared = _token_id(tokenizer, config.get("bos_token")) if config.get("add_bos_token") is True else None
    return [] if declared is None else [declared]


def _token_id(tokenizer: Any, entry: object) -> int | None:
    spelling = entry.get("content") if isinstance(entry, dict) else entry
    if isinstance(spelling, str):
        token_id: int | None = tokenizer.token_to_id(spelling)
        return token_id
    return entry if isinstance(entry, int) else None
