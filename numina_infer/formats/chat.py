"""Any model with a chat template: an instruction, two worked examples as earlier turns, and the problem.

The tokenizer renders its own template once, with a word in place of the statement; the text around the word is cut
into special tokens and plain text. So a statement is plain text in every prompt, whatever it spells, and no template
runs after that. A template is a program of the model's author: transformers runs it in Jinja's sandbox.

The model writes its whole solution as one turn of the assistant, with the outputs in between.
The template decides about the begin-of-sequence token: a prompt that begins with a special token gets no second one.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from numina_infer.core.config import Mode, require
from numina_infer.core.errors import ConfigError
from numina_infer.core.records import SpecialToken
from numina_infer.formats.fences import EXAMPLES, Fenced, Parts

CHAT = "chat"
_PLACEHOLDER = "STATEMENT0PLACE"
_INSTRUCTION = (
    "Solve the problems step by step. Use Python for all computations: write a program that prints its result in a "
    "```python block, then open an ```output block, where the output is put for you. "
    "Then go on, and put the final answer, an integer, within \\boxed{}."
)
_BRACKETED = re.compile(r"[<\[].*[>\]]")
"""Added tokens that look like tags; others are line breaks, runs of spaces and the like."""
_MIN_MARKER_CHARS = 3
_SPACE = r"\s*"
_NOWHERE = "(?!)"


def chat_format(folder: Path) -> Fenced:
    """The format of the model in `folder`, whose tokenizer has a chat template.

    Raises:
        ConfigError: there is no tokenizer or no template, or the template can't show a conversation.
    """
    tokenizer = _load_tokenizer(folder)
    tokens = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
    specials = {spelling: token for spelling, token in tokens.items() if token.special}
    before, after = (_parts(text, specials) for text in _around_statement(tokenizer, folder))
    return Fenced(
        name=CHAT,
        mode=Mode.SESSION,
        before=before,
        after=after,
        markers=_markers([*filter(_BRACKETED.fullmatch, tokens), _last_line(before), _last_line(after)]),
        max_output_chars=400,
        keeps_end=True,
        empty_output="(nothing was printed; print the result)",
        closing="```\n",
    )


def _load_tokenizer(folder: Path) -> Any:
    try:
        import jinja2  # noqa: F401 (templates need it)
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder)
    except ImportError as error:
        raise ConfigError(
            f"format {CHAT} needs transformers ({error}); install it with: pip install 'numina-infer[transformers]'"
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"format {CHAT} finds no tokenizer that can be read in {folder}: {error}") from error
    require(
        bool(tokenizer.chat_template),
        f"the tokenizer in {folder} has no chat template; choose the format that the model was trained on",
    )
    return tokenizer


def _around_statement(tokenizer: Any, folder: Path) -> tuple[str, str]:
    """The text that the template puts before the statement, and the text behind it."""
    from jinja2 import TemplateError

    try:
        text: str = tokenizer.apply_chat_template(
            conversation(_PLACEHOLDER), tokenize=False, add_generation_prompt=True
        )
    except (TemplateError, ValueError, TypeError) as error:
        raise ConfigError(
            f"the chat template in {folder} can't show turns of user and assistant ({error}); choose another format"
        ) from error
    before, found, after = text.partition(_PLACEHOLDER)
    require(
        bool(found) and _PLACEHOLDER not in after,
        f"the chat template in {folder} doesn't show the user's last turn once, as it is; choose another format",
    )
    return before, after


def conversation(statement: str) -> list[Mapping[str, str]]:
    """The turns up to the model's own; the instruction is a part of the first, since not all templates have a system.

    Statements are stripped, as many templates strip them anyway.
    """
    asked = [example.statement for example in EXAMPLES] + [statement.strip()]
    asked[0] = f"{_INSTRUCTION}\n\n{asked[0]}"
    turns: list[Mapping[str, str]] = []
    for content, example in zip(asked, (*EXAMPLES, None), strict=True):
        turns.append({"role": "user", "content": content})
        if example is not None:
            turns.append({"role": "assistant", "content": example.solution})
    return turns


def _parts(text: str, specials: Mapping[str, Any]) -> Parts:
    """`text` cut at its special tokens, each with the white space that its tokenizer strips around it."""
    if not specials:
        return (text,)
    longest_first = sorted(specials.values(), key=lambda token: -len(token.content))
    pattern = "|".join(
        (_SPACE if token.lstrip else "") + re.escape(token.content) + (_SPACE if token.rstrip else "")
        for token in longest_first
    )
    pieces = re.split(f"({pattern})", text)
    spelled = (piece if at % 2 == 0 or piece in specials else piece.strip() for at, piece in enumerate(pieces))
    cut = (SpecialToken(piece) if at % 2 else piece for at, piece in enumerate(spelled))
    return tuple(part for part in cut if part)


def _last_line(parts: Parts) -> str:
    """The last line that isn't blank, if it is plain text: in some templates such a line opens a turn."""
    text = "".join(part if isinstance(part, str) else "\0" for part in parts).rstrip(" \t\r\n")
    line = text.rpartition("\n")[2].strip()
    return "" if "\0" in line else line


def _markers(spellings: Iterable[str]) -> re.Pattern[str]:
    """A pattern for `spellings` in an output; one or two characters are too common to be markers."""
    long_enough = sorted((spelling for spelling in spellings if len(spelling) >= _MIN_MARKER_CHARS), key=len)
    return re.compile("|".join(map(re.escape, reversed(long_enough))) or _NOWHERE)
