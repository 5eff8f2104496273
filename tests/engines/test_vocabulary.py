"""A model's tokens, read from its folder."""

import json
import shutil
from pathlib import Path

import pytest

from numina_infer.core.engine_config import TransformersConfig
from numina_infer.core.errors import EngineError
from numina_infer.engines.local.models import load
from numina_infer.engines.vocabulary import TokenizerVocabulary


def test_the_folder_alone_says_the_same_as_the_loaded_model(tiny_model: Path) -> None:
    """So engines whose model runs elsewhere write the same contexts."""
    ours = TokenizerVocabulary.from_folder(tiny_model)
    loaded = load(TransformersConfig(model=str(tiny_model)), print).vocabulary
    assert (ours.bos, ours.end_ids) == (loaded.bos, loaded.end_ids)
    text = "a<|im_end|>b The sum é"
    assert ours.encode(text) == loaded.encode(text)
    assert ours.decode(ours.encode(text)) == text
    assert ours.special("<|im_end|>") == loaded.special("<|im_end|>")


@pytest.mark.parametrize("declared", [7, [7, 8], [8, 7]])
def test_declared_ends_of_a_text_end_it(declared: object, tiny_model: Path, tmp_path: Path) -> None:
    """A number or a list of numbers."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": declared}))
    assert 7 in TokenizerVocabulary.from_folder(folder).end_ids


def test_an_unknown_special_token_is_named(tiny_model: Path) -> None:
    """A format for another model must not go unnoticed."""
    with pytest.raises(EngineError, match=r"no special token '<\|start\|>'"):
        TokenizerVocabulary.from_folder(tiny_model).special("<|start|>")


def test_a_folder_without_a_readable_tokenizer_is_named(tmp_path: Path) -> None:
    """With what makes one."""
    with pytest.raises(EngineError, match=r"no tokenizer\.json; save one"):
        TokenizerVocabulary.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(EngineError, match="can't be read"):
        TokenizerVocabulary.from_folder(tmp_path)


@pytest.mark.parametrize(("adds", "expected"), [(True, 1), (False, 0), (None, 0)])
def test_a_declared_beginning_is_put_where_the_tokenizer_puts_none(
    adds: bool | None, expected: int, tiny_model: Path, tmp_path: Path
) -> None:
    """As DeepSeekMath's files have it."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"} | (
        {} if adds is None else {"add_bos_token": adds}
    )
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert len(TokenizerVocabulary.from_folder(folder).bos) == expected
