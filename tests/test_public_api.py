"""What `import numina_infer` promises."""

import subprocess
import sys
from importlib import import_module

import pytest

import numina_infer
from numina_infer.core.errors import ConfigError
from numina_infer.core.presets import PRESETS, get_preset
from numina_infer.formats.catalogue import make_format

HEAVY = ("torch", "transformers", "pandas", "numpy", "sympy", "polars", "pyarrow", "rich", "scipy")


@pytest.mark.parametrize("name", numina_infer.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """And documented."""
    assert getattr(numina_infer, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As in any module."""
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = numina_infer.no_such_name


@pytest.mark.parametrize("arguments", [["-c", "import numina_infer"], ["-m", "numina_infer", "--help"]])
def test_nothing_heavy_is_imported_before_it_is_used(arguments: list[str]) -> None:
    """Neither by the package nor by its help."""
    done = subprocess.run([sys.executable, "-X", "importtime", *arguments], check=True, capture_output=True, text=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "numina_infer" in imported
    assert not imported.intersection(HEAVY)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_names_a_format(name: str) -> None:
    """A preset that can't run is found here, not at nine hours' end."""
    assert make_format(get_preset(name).format).stop


@pytest.mark.parametrize(
    ("config", "field", "bad"),
    [
        ("SamplingParams", "temperature", -0.1),
        ("SamplingParams", "top_p", 0.0),
        ("SamplingParams", "top_k", -1),
        ("SamplingParams", "min_p", 1.0),
        ("SamplingParams", "max_tokens", 0),
        ("SamplingParams", "stop", ("",)),
        ("SandboxConfig", "num_slots", -1),
        ("SandboxConfig", "memory_bytes", 1),
        ("SandboxConfig", "max_output_bytes", 0),
        ("SandboxConfig", "max_file_bytes", -1),
        ("SandboxConfig", "kill_grace_s", 0.0),
        ("SandboxConfig", "wall_factor", 0.5),
        ("TransformersConfig", "model", " "),
        ("TransformersConfig", "max_num_seqs", 0),
        ("TransformersConfig", "dtype", "int4"),
        ("ServerConfig", "dtype", "int4"),
        ("ServerConfig", "max_model_len", -1),
        ("ServerConfig", "max_num_seqs", 0),
        ("ServerConfig", "max_num_batched_tokens", 0),
        ("ServerConfig", "gpu_memory_utilization", 1.0),
        ("ServerConfig", "start_timeout_s", 0.0),
        ("ServerConfig", "cpu_kv_cache_gib", 0),
        ("ServerConfig", "layout", "diagonal"),
        ("ClientConfig", "max_num_seqs", 0),
        ("ClientConfig", "max_model_len", -1),
        ("ClientConfig", "stall_s", 0.0),
        ("ClientConfig", "patience_s", float("nan")),
        ("ClientConfig", "greet_s", -1.0),
        ("ClientConfig", "max_losses", -1),
        ("RolloutConfig", "max_turns", 0),
        ("RolloutConfig", "code_timeout_s", -5.0),
        ("Policy", "num_samples", 0),
        ("Policy", "fallback_answer", 1000),
        ("Policy", "epsilon", 1.0),
        ("Policy", "epsilon", float("nan")),
        ("ContestConfig", "problem_time_s", float("inf")),
        ("ContestConfig", "reply_grace_s", float("nan")),
        ("ContestConfig", "seed", -1),
        ("ContestConfig", "seed", 2**63),
    ],
)
def test_a_value_that_cannot_be_used_is_named(config: str, field: str, bad: object) -> None:
    """When the config is made, with the field in the message."""
    modules = [import_module(f"numina_infer.{name}") for name in ("core.config", "core.engine_config")]
    (kind,) = [getattr(module, config) for module in modules if hasattr(module, config)]
    with pytest.raises(ConfigError, match=field.replace("stop", "stop string")):
        kind(**{field: bad})
