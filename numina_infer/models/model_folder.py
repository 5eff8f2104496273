"""Reads a model's folder before anything is loaded: config.json, the weights' headers, the chat template.

The layout is the Hugging Face hub's. Only JSON and the tables of weight files are read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numina_infer.core.config import require, require_whole
from numina_infer.models.json_file import read_json
from numina_infer.models.weight_files import count, weight_files
from numina_infer.models.weights import Architecture, Dtype, Quantisation, Weights

_OTHER_ARITHMETIC = ("num_local_experts", "num_experts", "n_routed_experts", "kv_lora_rank")
_LARGEST = 1_000_000_000
_SAMPLING = ("temperature", "top_p", "top_k", "min_p")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The contents of a model's folder, except for the numbers."""

    path: Path
    weights: Weights
    chat_template: str = ""
    made_from: str = ""
    """The model that it was made from, by config.json; empty where that doesn't say."""
    sampling: Mapping[str, float] = field(default_factory=dict)
    """The values in generation_config.json, by the names of `SamplingParams`."""


def read_model_folder(path: Path) -> ModelFolder:
    """Read the folder of a model.

    Raises:
        ConfigError: there is no config.json, a key is missing in it, or the weights are pickled, cut short or absent.
    """
    _require_model(path)
    config = read_json(path / "config.json")
    text = config.get("text_config")
    inner = {**config, **text} if isinstance(text, dict) else config
    architecture = read_architecture(inner | {"model_type": config.get("model_type")}, path / "config.json")
    return ModelFolder(
        path,
        _read_weights(path, architecture, read_quantisation(path, config), _dtype(inner)),
        chat_template=_chat_template(path),
        made_from=str(config.get("_name_or_path") or ""),
        sampling=_sampling(path),
    )


def _require_model(path: Path) -> None:
    require(path.is_dir(), f"model folder {path} doesn't exist")
    is_adapter = (path / "adapter_config.json").is_file() and not (path / "config.json").is_file()
    require(not is_adapter, f"model folder {path} holds an adapter only: merge it into its base model and save that")
    require((path / "config.json").is_file(), f"model folder {path} has no config.json: it isn't a model's folder")


def read_architecture(config: Mapping[str, Any], source: Path) -> Architecture:
    """The shapes in a config.json; `source` is named where one is missing.

    Raises:
        ConfigError: a key is missing or no whole number, or the model isn't a plain decoder.
    """
    special = [key for key in _OTHER_ARITHMETIC if config.get(key)]
    require(
        not special,
        f"{source} has {', '.join(special)}: the memory of such models (experts, compressed keys) isn't known here",
    )
    model_type = config.get("model_type")
    require(isinstance(model_type, str), f"{source} lacks model_type: it isn't a config.json that transformers wrote")
    hidden, heads = _whole(config, "hidden_size", source), _whole(config, "num_attention_heads", source)
    head_dim = hidden // heads
    if config.get("head_dim") is not None:
        head_dim = _whole(config, "head_dim", source)
    else:
        uneven = f"hidden_size {hidden} isn't a multiple of num_attention_heads {heads}"
        require(hidden % heads == 0, f"{source} lacks head_dim, and {uneven}")
    has_kv_heads = config.get("num_key_value_heads") is not None
    return Architecture(
        model_type=str(model_type),
        num_hidden_layers=_whole(config, "num_hidden_layers", source),
        hidden_size=hidden,
        intermediate_size=_whole(config, "intermediate_size", source),
        num_attention_heads=heads,
        num_key_value_heads=_whole(config, "num_key_value_heads", source) if has_kv_heads else heads,
        head_dim=head_dim,
        vocab_size=_whole(config, "vocab_size", source),
        max_position_embeddings=_whole(config, "max_position_embeddings", source),
        # These are transformers' defaults.
        tie_word_embeddings=bool(config.get("tie_word_embeddings", str(model_type).startswith("gemma"))),
        attention_bias=bool(config.get("attention_bias", model_type == "qwen2")),
    )


def _whole(config: Mapping[str, Any], key: str, source: Path) -> int:
    require(key in config, f"{source} lacks {key}, which tells the model's size")
    size = config[key]
    require(
        not isinstance(size, int) or size <= _LARGEST, f"{key} in {source} is above {_LARGEST:,}: it is no model's"
    )
    require_whole(f"{key} in {source}", size, 1)
    return int(size)


def _dtype(config: Mapping[str, Any]) -> Dtype:
    named = str(config.get("dtype") or config.get("torch_dtype") or Dtype.FLOAT32).removeprefix("torch.")
    return Dtype(named) if named in set(Dtype) else Dtype.FLOAT32


def read_quantisation(path: Path, config: Mapping[str, Any]) -> Quantisation | None:
    """How the weights in folder `path` are packed: from config.json, or from the file that older tools wrote.

    Raises:
        ConfigError: the method isn't known here, or it doesn't say how many bits it keeps.
    """
    for file, method in (("quantize_config.json", "gptq"), ("quant_config.json", "awq")):
        if config.get("quantization_config") is None and (path / file).is_file():
            return _quantisation({"quant_method": method} | read_json(path / file), path / file)
    given = config.get("quantization_config")
    if given is None:
        return None
    require(isinstance(given, dict), f"quantization_config in {path / 'config.json'} is no JSON object")
    return _quantisation(given, path / "config.json")


_BITS_KEYS = ("bits", "w_bit", "num_bits")
_GROUP_KEYS = ("group_size", "q_group_size")


def _quantisation(given: Mapping[str, Any], source: Path) -> Quantisation:
    method = str(given.get("quant_method") or "")
    if method == "fp8":
        return Quantisation(method, bits=8)
    if method == "bitsandbytes":
        return Quantisation(method, bits=4 if given.get("load_in_4bit") else 8, group_size=64)
    if method == "compressed-tensors":
        given = _first_group(given)
    else:
        require(
            method in {"gptq", "awq"},
            f"{source} names quantisation {method!r}, which isn't known here; known are gptq, awq, fp8, bitsandbytes "
            "and compressed-tensors",
        )
    bits = _first(given, _BITS_KEYS)
    require_whole(f"bits of quantisation {method} in {source}", bits, 2)
    group_size = _first(given, _GROUP_KEYS) or -1
    require_whole(f"group_size of quantisation {method} in {source}", group_size, -1, "one group an output")
    return Quantisation(
        method,
        bits,
        group_size,
        desc_act=method == "gptq" and bool(given.get("desc_act")),
        has_zero_points=bool(given.get("zero_point", True)) if method == "awq" else _is_asymmetric(given),
    )


def _is_asymmetric(given: Mapping[str, Any]) -> bool:
    return not given.get("sym", given.get("symmetric", True))


def _first_group(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """How compressed-tensors packs the weights of the first group of modules."""
    groups = given.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = first.get("weights") if isinstance(first, dict) else None
    return weights if isinstance(weights, dict) else {}


def _first(given: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((given[key] for key in keys if given.get(key) is not None), None)


def _read_weights(path: Path, architecture: Architecture, packed: Quantisation | None, dtype: Dtype) -> Weights:
    files = weight_files(path)
    if not files:
        return Weights.computed(architecture, packed, dtype)
    counts = [count(file) for file in files]
    return Weights(
        architecture,
        num_floats=sum(floats for floats, _ in counts),
        packed_bytes=sum(rest for _, rest in counts),
        quantisation=packed,
        dtype=dtype,
    )


def _chat_template(path: Path) -> str:
    """The chat template, from its own file or from the tokenizer's config; empty where there is none."""
    own_file, tokenizer = path / "chat_template.jinja", path / "tokenizer_config.json"
    if own_file.is_file():
        return own_file.read_text(encoding="utf-8", errors="replace")
    template = read_json(tokenizer).get("chat_template") if tokenizer.is_file() else None
    return template if isinstance(template, str) else json.dumps(template or "")


def _sampling(path: Path) -> dict[str, float]:
    file = path / "generation_config.json"
    given = read_json(file) if file.is_file() else {}
    if given.get("do_sample") is False:
        return {}
    return {name: given[name] for name in _SAMPLING if type(given.get(name)) in {int, float}}
