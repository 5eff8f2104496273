"""From names to models."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from numina_infer.core.engine_config import TransformersConfig
from numina_infer.core.errors import ConfigError, EngineError, ModelNotFoundError
from numina_infer.engines.local.models import (
    find_folder,
    load,
    require_plain_attention,
    weights_hash,
)

LINES: list[str] = []


def unreachable(name: str) -> Path:
    """A hub without a network."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    raise OfflineModeIsEnabled("Cannot reach the hub: offline mode is enabled.\nMore lines.")


def test_a_hub_id_that_cannot_be_had_says_what_to_do() -> None:
    """Three ways out, in one line."""
    with pytest.raises(
        ModelNotFoundError, match=r"offline mode is enabled.*local folder.*hf download.*smollm2"
    ) as info:
        find_folder("nobody/no-model", LINES.append, unreachable)
    assert "\n" not in str(info.value)


def test_a_name_that_is_no_hub_id_says_what_to_do() -> None:
    """The hub's own complaint is in it; no network is asked."""
    with pytest.raises(ModelNotFoundError, match="smollm2"):
        find_folder("a/b/c", LINES.append)


@pytest.mark.parametrize("name", ["/no/such/model", "./model", "~nobody/model", "../model"])
def test_a_path_without_a_folder_is_never_looked_up_on_the_hub(name: str, tmp_path: Path) -> None:
    """It is a typing error."""
    with pytest.raises(ConfigError, match="no such folder"):
        find_folder(name, LINES.append, lambda name: tmp_path)


@pytest.mark.parametrize(
    ("missing", "reason"),
    [("config.json", "no config.json"), ("model.safetensors", "no weights"), ("tokenizer.json", "no tokenizer")],
)
def test_an_incomplete_folder_is_refused_naming_what_it_lacks(
    missing: str, reason: str, tiny_model: Path, tmp_path: Path
) -> None:
    """Before anything is loaded."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(ConfigError, match=reason):
        load(TransformersConfig(model=str(folder)), LINES.append)


def test_weights_that_cannot_be_read_are_an_engine_error(tiny_model: Path, tmp_path: Path) -> None:
    """Naming the folder."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(EngineError, match="can't be loaded"):
        load(TransformersConfig(model=str(folder)), LINES.append)


def test_a_context_longer_than_the_model_reads_is_refused(tiny_model: Path) -> None:
    """Naming what it does read."""
    with pytest.raises(ConfigError, match="at most 1024"):
        load(TransformersConfig(model=str(tiny_model), max_model_len=4096), LINES.append)


@pytest.mark.parametrize(
    "config",
    [
        SimpleNamespace(layer_types=["full_attention", "sliding_attention"]),
        SimpleNamespace(sliding_window=4096),
        SimpleNamespace(layer_types=["full_attention"], attn_logit_softcapping=50.0),
        SimpleNamespace(layer_types=["linear_attention"]),
    ],
)
def test_attention_that_is_not_computed_is_refused(config: SimpleNamespace) -> None:
    """Rather than computed wrongly."""
    with pytest.raises(ConfigError, match="use vLLM"):
        require_plain_attention(config, "m")


@pytest.mark.parametrize(
    "config",
    [
        SimpleNamespace(),
        SimpleNamespace(layer_types=["full_attention"], sliding_window=4096),
        SimpleNamespace(sliding_window=4096, use_sliding_window=False),
        SimpleNamespace(sliding_window=None),
    ],
)
def test_plain_attention_is_taken(config: SimpleNamespace) -> None:
    """A window that no layer uses is none."""
    require_plain_attention(config, "m")


def test_other_weights_have_another_hash(tiny_model: Path, tmp_path: Path) -> None:
    """The same ones have the same, wherever they lie."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    assert weights_hash(folder) == weights_hash(tiny_model)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2] + bytes(byte ^ 1 for byte in whole[len(whole) // 2 :]))
    assert weights_hash(folder) != weights_hash(tiny_model)  # a fine-tune: same names, sizes and shapes
    weights.write_bytes(whole)
    (folder / "config.json").write_text("{}")
    assert weights_hash(folder) != weights_hash(tiny_model)


def test_special_tokens_end_a_text_and_are_never_read_from_one(tiny_model: Path) -> None:
    """All of them, not only the declared end."""
    loaded = load(TransformersConfig(model=str(tiny_model)), LINES.append)
    specials = {loaded.vocabulary.special(token) for token in ("<|endoftext|>", "<|im_end|>")}
    assert specials <= loaded.vocabulary.end_ids
    ids = loaded.vocabulary.encode("a<|im_end|>b<|endoftext|>")
    assert not specials & set(ids)
    assert loaded.vocabulary.decode(ids) == "a<|im_end|>b<|endoftext|>"
    assert loaded.vocabulary.bos == ()


def test_an_alias_stands_for_its_hub_id() -> None:
    """The same names everywhere."""
    assert find_folder("numina-7b-gptq", LINES.append, Path) == Path("AI-MO/NuminaMath-7B-TIR-GPTQ")
