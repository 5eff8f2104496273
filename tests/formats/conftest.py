"""Tokenizers made here, in the manner of known ones: their template, their special tokens, their BOS."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers


@pytest.fixture(scope="session")
def make_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Saves a byte-level tokenizer with these tokens and this template, and returns its folder."""
    pytest.importorskip("transformers")

    def make(
        template: str | None,
        specials: Sequence[str | AddedToken],
        *,
        bos: str = "",
        puts_bos: bool = False,
        tags: Sequence[str] = (),
    ) -> Path:
        from transformers import PreTrainedTokenizerFast

        tokenizer = _byte_level(specials, tags)
        if puts_bos:
            tokenizer.post_processor = processors.TemplateProcessing(
                single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
            )
        folder = tmp_path_factory.mktemp("tokenizer")
        wrapped = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token=bos or None, eos_token=str(specials[-1]), chat_template=template
        )
        wrapped.save_pretrained(folder)
        return folder

    return make


def _byte_level(specials: Sequence[str | AddedToken], tags: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(["\n\nUser: the problem\n\nAssistant: the answer. ### Solution: the sum"], trainer)
    tokenizer.add_special_tokens(list(specials))
    tokenizer.add_tokens(list(tags))
    return tokenizer
