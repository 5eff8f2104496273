"""The engine and the format that choices name; what an engine needs is imported when it is chosen."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from numina_infer.app.choices import Choices, EngineName
from numina_infer.core.engine_config import TransformersConfig
from numina_infer.core.ports import Announce, Engine, Format
from numina_infer.core.presets import Preset
from numina_infer.formats.catalogue import make_format
from numina_infer.formats.chat import CHAT
from numina_infer.runs.problems import packaged_path

if TYPE_CHECKING:
    from numina_infer.engines.http.openai_api import OpenAIEngine
    from numina_infer.engines.vllm.vllm_engine import VllmEngine


def samples_path(choices: Choices) -> Path:
    """The file of recorded samples to simulate: the one chosen, or the one in the package."""
    return Path(choices.samples) if choices.samples else packaged_path("samples.jsonl")


def make_engine(
    choices: Choices, preset: Preset, report: Announce, at_once: int = 1
) -> AbstractAsyncContextManager[Engine]:
    """The engine that was chosen, not opened yet; raises as `make_parts` does."""
    if choices.engine is EngineName.SCRIPTED:
        from numina_infer.engines.scripted_engine import ScriptedEngine, load_script, sum_of_numbers

        return ScriptedEngine(load_script(Path(choices.script)) if choices.script else sum_of_numbers)
    if choices.engine is EngineName.VLLM:
        return _client_engine(choices, preset, report) if choices.endpoint else _vllm_engine(choices, preset, report)
    from numina_infer.engines.local.transformers_engine import TransformersEngine

    max_num_seqs = min(16, at_once * preset.policy.num_samples)
    config = TransformersConfig(model=choices.model_name, max_num_seqs=max_num_seqs)
    return TransformersEngine(config, report=report)


def _vllm_engine(choices: Choices, preset: Preset, report: Announce) -> "VllmEngine":
    from numina_infer.engines.vllm.serving.server_plan import plan_servers
    from numina_infer.engines.vllm.vllm_engine import VllmEngine

    python = choices.vllm_python or ""
    launches = plan_servers(choices.model_name, preset.server, python=python, report=report)
    return VllmEngine(launches, preset.client, keep=choices.keep_server, report=report)


def _client_engine(choices: Choices, preset: Preset, report: Announce) -> "OpenAIEngine":
    """The client of the endpoints that were named, with the tokenizer of the model that they serve if it is here."""
    from numina_infer.engines.http.address import Address
    from numina_infer.engines.http.openai_api import OpenAIEngine
    from numina_infer.engines.vocabulary import TokenizerVocabulary

    addresses = [Address.parse(text) for text in choices.endpoint]
    folder = endpoint_model(choices, report)
    if folder is None:
        report("no --model was given whose tokenizer could be used, so text is exchanged (docs/engines.md)")
    vocabulary = TokenizerVocabulary.from_folder(folder) if folder is not None else None
    return OpenAIEngine(addresses, vocabulary, preset.client, report=report)


def endpoint_model(choices: Choices, report: Announce) -> Path | None:
    """The folder of the model that the endpoints serve: the one named, or that of a server of ours; None otherwise."""
    from numina_infer.engines.http.address import Address
    from numina_infer.engines.local.models import find_folder
    from numina_infer.engines.vllm.serving.server_plan import served_model

    if choices.model:
        return find_folder(choices.model, report)
    sockets = [address.socket for address in map(Address.parse, choices.endpoint) if address.socket is not None]
    return next((folder for socket in sockets if (folder := served_model(socket)) is not None), None)


def choose_format(choices: Choices, preset: Preset, report: Announce) -> Format:
    """The format that was chosen; `chat` takes the template of the chosen model, which is fetched if it isn't here.

    Raises:
        ConfigError: there is no such model, or it has no template.
    """
    folder = _template_folder(choices, report) if preset.format == CHAT else None
    return make_format(preset.format, max_calls=preset.rollout.max_turns - 1, model_folder=folder)


def _template_folder(choices: Choices, report: Announce) -> Path | None:
    if choices.engine in {EngineName.SCRIPTED, EngineName.SIMULATED}:  # a script needs no model: fetch none
        return Path(choices.model_name) if Path(choices.model_name).is_dir() else None
    if choices.endpoint:
        return endpoint_model(choices, report)
    from numina_infer.engines.local.models import find_folder

    return find_folder(choices.model_name, report)
