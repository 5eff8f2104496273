"""Makes token rows of a trajectory: the tokens that the model saw and sampled, with labels for the sampled ones.

Tokenising a text again may give other tokens than were sampled, most of all where an output joins a completion. So
completions are the ids of the log; prompt and outputs are tokenised by the model's tokenizer as the engine did it
(`engines/context.py`). TRL's SFTTrainer takes `input_ids` and `labels` as they are, with -100 for tokens that aren't
learnt (TRL 1.16, `SFTTrainer._prepare_dataset`).
"""

from collections.abc import Iterable, Sequence
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
from numina_infer.lab.export.chat_rows import Row, last_words

IGNORED = -100
"""The label of tokens that the loss ignores."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokenizer of the model that was run, and the format in which it was asked."""

    vocabulary: Vocabulary
    eos_id: int
    fmt: Format

    def row(self, opened: Opened, trajectory: Trajectory) -> Row:
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
        ids, text = list(completion.token_ids), last_words(completion)
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
