"""Reads a model's folder before anything is loaded: config.json, the weights' headers, the chat template.

The layout is the Hugging Face hub's. Only JSON is read: a safetensors file begins with eight bytes of length and a
JSON table of its tensors (github.com/huggingface/safetensors), and pickled weights are refused unread.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numina_infer.core.config import require, require_whole
from numina_infer.core.errors import ConfigError
from numina_infer.models.weights import Architecture, Dtype, Quantisation, Weights

_OTHER_ARITHMETIC = ("num_local_experts", "num_experts", "n_routed_experts", "kv_lora_rank")
_LARGEST = 1_000_000_000
_SAMPLING = ("temperature", "top_p", "top_k", "min_p")
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl")
_POINTER = b"version https://git-lfs"
_FLOAT_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit


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


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in `file`.

    Raises:
        ConfigError: the file can't be read, or holds no JSON object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} holds no JSON, so it can't be read: {error}") from error
    require(isinstance(content, dict), f"{file} holds no JSON object")
    return dict(content)


def read_json_if_there(file: Path) -> dict[str, Any]:
    """The JSON object in `file`, empty where there is no such file; raises as `read_json` does."""
    return read_json(file) if file.is_file() else {}


def read_model_folder(path: Path) -> ModelFolder:
    """Read the folder of a model.

    Raises:
        ConfigError: there is no config.json, a key is missing in it, or the weights are pickled, cut short or absent.
    """
    file = path / "config.json"
    require(path.is_dir(), f"model folder {path} doesn't exist")
    is_adapter = (path / "adapter_config.json").is_file() and not file.is_file()
    require(not is_adapter, f"model folder {path} holds an adapter only: merge it into its base model and save that")
    require(file.is_file(), f"model folder {path} has no config.json: it isn't a model's folder")
    config = read_json(file)
    text = config.get("text_config")
    inner = {**config, **text} if isinstance(text, dict) else config
    architecture = _architecture(inner | {"model_type": config.get("model_type")}, file)
    return ModelFolder(
        path,
        _read_weights(path, architecture, _read_quantisation(config, file), _dtype(inner)),
        chat_template=_chat_template(path),
        made_from=str(config.get("_name_or_path") or ""),
        sampling=_sampling(path),
    )


def _architecture(config: Mapping[str, Any], source: Path) -> Architecture:
    """The shapes in a config.json; `source` is named where one is missing."""
    special = [key for key in _OTHER_ARITHMETIC if config.get(key)]
    require(
        not special,
        f"{source} has {', '.join(special)}: the memory of such models (experts, compressed keys) isn't known here",
    )
    model_type = config.get("model_type")
    require(isinstance(model_type, str), f"{source} lacks model_type: it isn't a config.json that transformers wrote")
    hidden, heads = _whole(config, "hidden_size", source), _whole(config, "num_attention_heads", source)
    if config.get("head_dim") is None:
        uneven = f"hidden_size {hidden} isn't a multiple of num_attention_heads {heads}"
        require(hidden % heads == 0, f"{source} lacks head_dim, and {uneven}")
    # What a config leaves out has transformers' defaults.
    own = {key: value for key, value in config.items() if value is not None}
    return Architecture(
        model_type=str(model_type),
        num_hidden_layers=_whole(config, "num_hidden_layers", source),
        hidden_size=hidden,
        intermediate_size=_whole(config, "intermediate_size", source),
        num_attention_heads=heads,
        num_key_value_heads=_whole({"num_key_value_heads": heads} | own, "num_key_value_heads", source),
        head_dim=_whole({"head_dim": hidden // heads} | own, "head_dim", source),
        vocab_size=_whole(config, "vocab_size", source),
        max_position_embeddings=_whole(config, "max_position_embeddings", source),
        tie_word_embeddings=bool(config.get("tie_word_embeddings", str(model_type).startswith("gemma"))),
        attention_bias=bool(config.get("attention_bias", model_type == "qwen2")),
    )


def _whole(config: Mapping[str, Any], key: str, source: Path) -> int:
    require(key in config, f"{source} lacks {key}, which tells the model's size")
    size = config[key]
    is_small = not isinstance(size, int) or size <= _LARGEST
    require(is_small, f"{key} in {source} is above {_LARGEST:,}: it is no model's")
    require_whole(f"{key} in {source}", size, 1)
    return int(size)


def _dtype(config: Mapping[str, Any]) -> Dtype:
    named = str(config.get("dtype") or config.get("torch_dtype")).removeprefix("torch.")
    return Dtype(named) if named in set(Dtype) else Dtype.FLOAT32


def _read_quantisation(config: Mapping[str, Any], source: Path) -> Quantisation | None:
    """How the weights are packed; raises `ConfigError` where that isn't known here."""
    given = config.get("quantization_config")
    if given is None:
        return None
    require(isinstance(given, dict), f"quantization_config in {source} is no JSON object")
    method = str(given.get("quant_method") or "")
    if method == "fp8":
        return Quantisation(method, bits=8)
    if method == "bitsandbytes":
        return Quantisation(method, bits=4 if given.get("load_in_4bit") else 8, group_size=64)
    is_known = method in {"gptq", "awq", "compressed-tensors"}
    known = "known are gptq, awq, fp8, bitsandbytes and compressed-tensors"
    require(is_known, f"{source} names quantisation {method!r}, which isn't known here; {known}")
    packing = _first_group(given) if method == "compressed-tensors" else given
    bits = packing.get("bits", packing.get("w_bit", packing.get("num_bits")))
    group_size = packing.get("group_size") or packing.get("q_group_size") or -1
    require_whole(f"bits of quantisation {method} in {source}", bits, 2)
    require_whole(f"group_size of quantisation {method} in {source}", group_size, -1, "one group an output")
    is_asymmetric = not packing.get("sym", packing.get("symmetric", True))
    return Quantisation(
        method,
        bits,
        group_size,
        desc_act=method == "gptq" and bool(packing.get("desc_act")),
        has_zero_points=bool(packing.get("zero_point", True)) if method == "awq" else is_asymmetric,
    )


def _first_group(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """How compressed-tensors packs the weights of the first group of modules."""
    groups = given.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = first.get("weights") if isinstance(first, dict) else None
    return weights if isinstance(weights, dict) else {}


def _chat_template(path: Path) -> str:
    """The chat template, from its own file or from the tokenizer's config; empty where there is none."""
    own_file = path / "chat_template.jinja"
    if own_file.is_file():
        return own_file.read_text(encoding="utf-8", errors="replace")
    template = read_json_if_there(path / "tokenizer_config.json").get("chat_template")
    return template if isinstance(template, str) else json.dumps(template or "")


def _sampling(path: Path) -> dict[str, float]:
    given = read_json_if_there(path / "generation_config.json")
    if given.get("do_sample") is False:
        return {}
    return {name: given[name] for name in _SAMPLING if type(given.get(name)) in {int, float}}


def _read_weights(path: Path, architecture: Architecture, packed: Quantisation | None, dtype: Dtype) -> Weights:
    files = _weight_files(path)
    if not files:
        return Weights.computed(architecture, packed, dtype)
    counts = [_count(file) for file in files]
    num_floats, packed_bytes = (sum(column) for column in zip(*counts, strict=True))
    return Weights(architecture, num_floats, packed_bytes, packed, dtype)


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files that belong to the model: those its index lists, else all; none where there are none."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        weight_map = read_json(index).get("weight_map")
        names = sorted({Path(str(name)).name for name in weight_map.values()}) if isinstance(weight_map, dict) else []
        require(bool(names), f"{index} lists no weights")
        missing = ", ".join(name for name in names if not (folder / name).is_file())
        require(not missing, f"model folder {folder} lacks {missing}, which {index.name} lists: fetch it again")
        return [folder / name for name in names]
    files = sorted(folder.glob("*.safetensors"))
    pickled = sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern))
    require(
        bool(files) or not pickled,
        f"model folder {folder} has pickled weights only ({', '.join(pickled[:3])}), which are never read: "
        "save them as *.safetensors",
    )
    return files


def _count(file: Path) -> tuple[int, int]:
    """The floats in a safetensors file, and the bytes of all other numbers.

    A file whose table can't be read counts by its size: whether it can be loaded is for the engine to say.
    """
    size = file.stat().st_size
    tensors = _tensors(file)
    if not tensors or any(end < begin for _, begin, end in tensors):
        return 0, size
    whole = max(end for _, _, end in tensors)
    require(size >= whole, f"{file} is cut short: {size} bytes of {whole} are there; fetch it again")
    floats = sum((end - begin) // _FLOAT_BYTES[dtype] for dtype, begin, end in tensors if dtype in _FLOAT_BYTES)
    rest = sum(end - begin for dtype, begin, end in tensors if dtype not in _FLOAT_BYTES)
    return floats, rest


def _tensors(file: Path) -> list[tuple[str, int, int]]:
    """Each tensor's dtype, beginning and end in the file; none where the file has no readable table."""
    with file.open("rb") as stream:
        start = stream.read(len(_POINTER))
        require(start != _POINTER, f"{file} is a pointer of git-lfs without its content: run `git lfs pull` there")
        length = struct.unpack("<Q", start[:_LENGTH_BYTES])[0] if len(start) >= _LENGTH_BYTES else 0
        if not 0 < length <= _MAX_HEADER_BYTES:
            return []
        stream.seek(_LENGTH_BYTES)
        try:
            table = json.loads(stream.read(length))
            spans = [(t["dtype"], *t["data_offsets"]) for name, t in table.items() if name != "__metadata__"]
            first = _LENGTH_BYTES + length
            return [(str(dtype), first + int(begin), first + int(end)) for dtype, begin, end in spans]
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return []
