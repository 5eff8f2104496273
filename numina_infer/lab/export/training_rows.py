r"""Makes chat messages and token rows of a trajectory, so that outputs can be kept out of the loss.

Messages: the prompt is the user's, the model's text the assistant's, an output a tool's, as TRL's "Dataset formats"
have them (checked against TRL 1.16's code). A trainer that learns from the assistant's messages alone never learns to
write an output. An SC-TIR text is one text, so contents are the recorded text, and a chat template of ours joins them
with nothing between: a model's own template would put its marks around every output, and few of those mark the
assistant's text (`{% generation %}`), which `assistant_only_loss` needs.

Tokens: tokenising a text again may give other tokens than were sampled, most of all where an output joins a
completion. So completions are the ids of the log; prompt and outputs are tokenised by the model's tokenizer as the
engine did it (`engines/context.py`). TRL's SFTTrainer takes `input_ids` and `labels` as they are, with -100 for tokens
that aren't learnt.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from numina_infer.core.config import require
from numina_infer.core.errors import ConfigError, EngineError
from numina_infer.core.events import Opened
from numina_infer.core.ports import Format
from numina_infer.core.presets import Preset
from numina_infer.core.records import Completion, Part, Trajectory, plain_text
from numina_infer.engines.context import render
from numina_infer.engines.vocabulary import TokenizerVocabulary, Vocabulary, declared_eos
from numina_infer.formats.catalogue import make_format

IGNORED = -100
"""The label of tokens that the loss ignores."""

Message = Mapping[str, str]
"""`role` and `content`, by TRL's names."""


def to_messages(prompt: str, trajectory: Trajectory) -> list[Message]:
    """The prompt, then completions and outputs in turns, up to the last completion.

    Outputs stand as they were appended, fences included. A stop string that ended the last completion is cut off: in
    training the model's turn ends instead.
    """
    stretches = [("user", prompt)]
    for turn in trajectory.turns[:-1]:
        stretches += [("assistant", turn.completion.text), ("tool", turn.observation)]
    stretches.append(("assistant", _last_words(trajectory.turns[-1].completion)))
    return [{"role": role, "content": _whole(content)} for role, content in stretches]


def join(messages: Sequence[Message]) -> str:
    """The whole text of `messages`."""
    return "".join(message["content"] for message in messages)


def _whole(text: str) -> str:
    """`text` with question marks for lone surrogates, as engines tokenise it: no file of UTF-8 holds one."""
    return text.encode("utf-8", "replace").decode()


def _last_words(completion: Completion) -> str:
    """The text of a trajectory's last completion, without the stop string that ended it."""
    return completion.text.removesuffix(completion.stop_reason or "")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokenizer of the model that was run, and the format in which it was asked."""

    vocabulary: Vocabulary
    eos_id: int
    fmt: Format

    def row(self, opened: Opened, trajectory: Trajectory) -> Mapping[str, list[int]]:
        """`input_ids` and `labels` of one trajectory, the end-of-sequence token last.

        Raises:
            ConfigError: the tokenizer's prompt isn't the one in the log.
        """
        context = list(self._prompt(opened))
        ids = render(context, self.vocabulary)
        labels = [IGNORED] * len(ids)
        for turn in trajectory.turns[:-1]:
            labels += turn.completion.token_ids
            context += [turn.completion, turn.observation]
            ids = render(context, self.vocabulary)
            labels += [IGNORED] * (len(ids) - len(labels))
        last = [*self._last_ids(trajectory.turns[-1].completion), self.eos_id]
        return {"input_ids": ids + last, "labels": labels + last}

    def _prompt(self, opened: Opened) -> Sequence[Part]:
        prompt = self.fmt.prompt(opened.problem.statement)
        if plain_text(prompt) != opened.prompt:
            raise ConfigError(
                f"with this tokenizer, format {self.fmt.name} asks problem {opened.problem_id!r} in other words than "
                "the log has; give the tokenizer of the model that was run, or leave out --tokenizer"
            )
        return prompt

    def _last_ids(self, completion: Completion) -> Iterable[int]:
        """The ids without those of the stop string that ended it."""
        ids, text = list(completion.token_ids), _last_words(completion)
        while ids and text != completion.text and len(self.vocabulary.decode(ids)) > len(text):
            ids.pop()
        return ids


def read_tokens(folder: Path, preset: Preset) -> Tokens:
    """The tokenizer in `folder`, for a run that was made with `preset`.

    Raises:
        ConfigError: there is none, it can't be read, or it has no end-of-sequence token.
    """
    try:
        vocabulary = TokenizerVocabulary.from_folder(folder)
        declared = declared_eos(vocabulary.tokenizer, folder)
    except (EngineError, ImportError) as error:
        raise ConfigError(f"the tokenizer can't be used: {error}") from error
    require(bool(declared), f"the files in {folder} name no end-of-sequence token, which every text has to end with")
    fmt = make_format(preset.format, max_calls=preset.rollout.max_turns - 1, model_folder=folder)
    return Tokens(vocabulary, declared[-1], fmt)
