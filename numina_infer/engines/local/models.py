"""From a model's name to its weights and tokenizer in memory.

A name is `smollm2`, a folder, or a hub id. Folders need a config, safetensors weights (pickled weights are not read)
and a tokenizer.json.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numina_infer.core.config import require
from numina_infer.core.engine_config import TransformersConfig
from numina_infer.core.errors import ConfigError, EngineError, ModelNotFoundError
from numina_infer.core.ports import Announce
from numina_infer.engines.local import smollm2
from numina_infer.engines.vocabulary import TokenizerVocabulary
from numina_infer.models.profiles import PROFILES

_WANTED_FILES = ("*.json", "*.safetensors", "tokenizer.model", "*.txt", "*.jinja")
_HASHED_BLOCKS = 256
_HASHED_BLOCK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that can decode."""

    model: Any
    vocabulary: TokenizerVocabulary
    max_model_len: int
    row_counts: tuple[int, ...]
    """How many rows a pass may have so that each gets the same bits in any batch."""
    description: Mapping[str, str | int]
    """For the run log, different for different models."""


def load(config: TransformersConfig, report: Announce) -> LoadedModel:
    """Find, check and load the model that `config` names.

    Raises:
        ConfigError: the name or the folder can't be used.
        ModelNotFoundError: a hub id that is neither cached nor reachable.
        EngineError: the weights couldn't be fetched, converted or read.
    """
    try:
        import torch
        import transformers  # noqa: F401 (only whether it is there)
    except ImportError as error:
        raise EngineError(f"{error}; install it with: pip install 'numina-infer[transformers]'") from error
    torch.set_num_threads(config.num_threads or max(1, len(os.sched_getaffinity(0)) // 2))
    folder = find_folder(config.model, report)
    require((folder / "config.json").is_file(), f"model folder {folder} has no config.json: it isn't a model's folder")
    require(
        any(folder.glob("*.safetensors")),
        f"model folder {folder} has no weights: save them as *.safetensors (pickled *.bin files are not read)",
    )
    require(
        (folder / "tokenizer.json").is_file(),
        f"model folder {folder} has no tokenizer.json: save one beside the weights with transformers.AutoTokenizer",
    )
    report(f"loading {config.model}")
    return _load_folder(config, folder)


def find_folder(name: str, report: Announce, download: Callable[[str], Path] | None = None) -> Path:
    """The folder that `name` stands for; `download` fetches a hub id."""
    if name == smollm2.ALIAS:
        return smollm2.find_or_convert(report)
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if name in PROFILES:
        name = PROFILES[name].model
    is_path = name.startswith((os.sep, ".", "~"))
    require(not is_path, f"model {name!r} is a path, and there is no such folder; check it, or use smollm2")
    try:
        return (download or _from_hub)(name)
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"model {name!r} is no folder here and couldn't be had from the hub ({_first_line(error)}). "
            f"Give a local folder, fetch it where there is a network with `hf download {name}`, "
            "or use smollm2"
        ) from error


def _from_hub(name: str) -> Path:
    """A snapshot of the hub's repository: the cached one where there is one, without asking the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    wanted = list(_WANTED_FILES)
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
    except LocalEntryNotFoundError:
        return Path(snapshot_download(name, allow_patterns=wanted))


def _load_folder(config: TransformersConfig, folder: Path) -> LoadedModel:
    import torch
    import transformers
    from safetensors import SafetensorError

    from numina_infer.engines.local.passes import exact_row_counts

    vocabulary = TokenizerVocabulary.from_folder(folder)
    try:
        model = _load_weights(config, folder)
        row_counts = exact_row_counts(model)
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError) as error:
        if isinstance(error, ConfigError):
            raise
        raise EngineError(f"model folder {folder} can't be loaded: {_first_line(error)}") from error
    own = int(model.config.max_position_embeddings)
    require(
        config.max_model_len <= own,
        f"max_model_len is {config.max_model_len}; {config.model} reads at most {own} tokens",
    )
    max_model_len = config.max_model_len or own
    is_embedded = config.model == smollm2.ALIAS
    description = {
        "model": smollm2.MODEL if is_embedded else config.model,
        "weights": smollm2.WHEEL_SHA256 if is_embedded else weights_hash(folder),
        "tokenizer": vocabulary.fingerprint,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "num_threads": torch.get_num_threads(),
        "max_model_len": max_model_len,
    }
    return LoadedModel(model, vocabulary, max_model_len, row_counts, description)


def _load_weights(config: TransformersConfig, folder: Path) -> Any:
    import torch
    from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    from numina_infer.engines.local.passes import ATTENTION_NAME, attend

    require_plain_attention(AutoConfig.from_pretrained(folder), config.model)
    AttentionInterface.register(ATTENTION_NAME, attend)
    disable_progress_bar()  # the command line draws its own
    dtype = getattr(torch, config.dtype)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation=ATTENTION_NAME, use_safetensors=True
    )
    return model.to(config.device).eval()


def require_plain_attention(model_config: Any, name: str) -> None:
    """Raise `ConfigError` unless every layer is full causal attention (Llama, Qwen, Mistral and their like)."""
    kinds = set(getattr(model_config, "layer_types", None) or ())
    windowed = getattr(model_config, "sliding_window", None) and getattr(model_config, "use_sliding_window", True)
    is_plain = kinds <= {"full_attention"} and (bool(kinds) or not windowed)
    require(
        is_plain and not getattr(model_config, "attn_logit_softcapping", None),
        f"model {name!r} has layers other than full causal attention, which this engine doesn't compute; use vLLM",
    )


def weights_hash(folder: Path) -> str:
    """SHA-256 over the config and, of each weight file, name, size and 256 blocks spread over it.

    A fine-tune has the same names, sizes and headers as its base, so some of the numbers must be looked at;
    reading all of them at every start would cost more than it tells.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(f"{file.name} {file.stat().st_size} ".encode())
        with file.open("rb") as stream:
            for block in range(_HASHED_BLOCKS):
                stream.seek(file.stat().st_size * block // _HASHED_BLOCKS)
                digest.update(stream.read(_HASHED_BLOCK_BYTES))
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
