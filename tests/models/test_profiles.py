"""The known models, and folders that are fine-tunes of them."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from numina_infer.cli import main
from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import ConfigError
from numina_infer.models.fit import FitConfig, Layout, choose, survey
from numina_infer.models.gpus import T4
from numina_infer.models.profiles import PROFILES, Profile, find_profile
from numina_infer.models.weights import Architecture, Quantisation

SPLIT, REPLICAS = Layout(tensor_parallel_size=2), Layout(num_replicas=2)


def make_folder(folder: Path, shapes: Architecture, template: str = "", **config: Any) -> Path:
    """A fine-tune's folder without weights."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(asdict(shapes) | {"torch_dtype": "bfloat16"} | config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    return folder


@pytest.mark.parametrize(
    ("name", "format_name", "length"),
    [
        ("AI-MO/NuminaMath-7B-TIR", "numina", 4096),
        ("project-numina/NuminaMath-7B-TIR-GPTQ", "numina", 4096),
        ("ai-mo/numinamath-7b-tir-gptq", "numina", 4096),
        ("deepseek-ai/deepseek-math-7b-rl", "deepseek-math", 4096),
        ("Qwen/Qwen2.5-Math-7B-Instruct", "qwen2.5-math", 4096),
        ("nvidia/OpenMath-Nemotron-7B", "openmath", 16384),
        ("openmath-7b", "openmath", 16384),
    ],
)
def test_models_are_found_by_id_and_alias(name: str, format_name: str, length: int) -> None:
    """In any case of letters."""
    profile = find_profile(name)
    assert (profile.format, profile.max_model_len) == (format_name, length)


def test_an_unknown_name_lists_the_known_ones() -> None:
    """By alias and by id."""
    with pytest.raises(ConfigError, match=re.escape("numina-7b-gptq (AI-MO/NuminaMath-7B-TIR-GPTQ)")):
        find_profile("nobody/no-model")


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.alias)
def test_every_known_model_fits_on_two_t4s(profile: Profile) -> None:
    """With the context that its profile names."""
    assert choose(survey(profile.weights, [T4, T4], FitConfig(profile.max_model_len))).full_samples > 1


def test_no_two_models_have_a_name_in_common() -> None:
    """Else one of them could never be found."""
    names = [name.casefold() for profile in PROFILES.values() for name in profile.names]
    assert len(names) == len(set(names))


def test_desc_act_is_warned_of_where_the_model_is_split() -> None:
    """With what to do; a replica a GPU isn't slowed."""
    gptq = PROFILES["numina-7b-gptq"]
    assert gptq.weights.quantisation == Quantisation("gptq", 8, 128, desc_act=True)
    (warning,) = gptq.warnings(SPLIT)
    assert "desc_act=False" in warning
    assert "one replica a GPU" in warning
    assert not gptq.warnings(REPLICAS)
    assert not PROFILES["numina-7b"].warnings(SPLIT)


DEEPSEEK = PROFILES["deepseek-math-7b"].weights.architecture
QWEN = PROFILES["qwen2.5-math-7b"].weights.architecture
OPENMATH = PROFILES["openmath-7b"].weights.architecture


@pytest.mark.parametrize(
    ("shapes", "template", "config", "base"),
    [
        (DEEPSEEK, "{{ '### Problem: ' + m['content'] }}", {}, "AI-MO/NuminaMath-7B-TIR"),
        (DEEPSEEK, "{{ 'User: ' + m['content'] }}", {}, "deepseek-ai/deepseek-math-7b-rl"),
        (DEEPSEEK, "", {"_name_or_path": "/w/deepseek-math-7b-rl"}, "deepseek-ai/deepseek-math-7b-rl"),
        (DEEPSEEK, "", {}, "AI-MO/NuminaMath-7B-TIR"),
        (QWEN, "Please reason step by step", {}, "Qwen/Qwen2.5-Math-7B-Instruct"),
        (OPENMATH, "", {}, "nvidia/OpenMath-Nemotron-7B"),
        (replace(DEEPSEEK, vocab_size=102464), "### Problem: ", {}, "AI-MO/NuminaMath-7B-TIR"),
        (replace(DEEPSEEK, max_position_embeddings=2048), "### Problem: ", {}, "AI-MO/NuminaMath-7B-TIR"),
    ],
)
def test_a_fine_tune_has_the_format_of_its_base(
    shapes: Architecture, template: str, config: dict[str, Any], base: str, tmp_path: Path
) -> None:
    """By its shapes, and among equals by template, then origin."""
    folder = make_folder(tmp_path / "mine", shapes, template, **config)
    profile = find_profile(str(folder))
    assert (profile.base, profile.format) == (base, find_profile(base).format)
    assert profile.max_model_len <= shapes.max_position_embeddings
    assert (profile.model, profile.alias) == (str(folder), "mine")


def test_a_fine_tune_has_its_own_weights_and_warnings(tmp_path: Path) -> None:
    """The user's quantisation counts, not the base's."""
    packing = {"quant_method": "gptq", "bits": 8, "group_size": 128, "desc_act": True, "sym": True}
    folder = make_folder(tmp_path / "mine", DEEPSEEK, "### Problem: ", quantization_config=packing)
    profile = find_profile(str(folder))
    assert profile.base == "AI-MO/NuminaMath-7B-TIR-GPTQ"
    assert profile.weights.num_bytes() == PROFILES["numina-7b-gptq"].weights.num_bytes()
    assert "mine was quantised with desc_act" in profile.warnings(SPLIT)[0]


def test_sampling_is_the_folders_own_where_it_says_so(tmp_path: Path) -> None:
    """And the base's in all else."""
    folder = make_folder(tmp_path / "mine", QWEN)
    (folder / "generation_config.json").write_text(json.dumps({"temperature": 0.3, "top_k": None, "eos_token_id": 1}))
    assert find_profile(str(folder)).sampling == SamplingParams(temperature=0.3, top_p=0.8, top_k=20, max_tokens=2048)


@pytest.mark.parametrize(
    "shapes",
    [
        Architecture("qwen2", 24, 896, 4864, 14, 2, 64, 151936, 32768, True, True),
        replace(QWEN, max_position_embeddings=32768),  # Qwen2.5-7B, which isn't of mathematics
    ],
)
def test_another_model_is_a_chat_model(shapes: Architecture, tmp_path: Path) -> None:
    """Of no base, with a context that fits somewhere."""
    profile = find_profile(str(make_folder(tmp_path / "small", shapes, "<|im_start|>")))
    assert (profile.format, profile.base, profile.max_model_len) == ("chat", "", 4096)


def test_fit_shows_layouts_choice_and_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """For people."""
    assert main(["fit", "numina-7b-gptq", "--gpus", "T4", "--num-gpus", "2", "--max-model-len", "2048"]) == 0
    shown = capsys.readouterr().out
    for text in ("7.31 GiB", "9.01 GiB", "39,356", "19.2", "820", "taken", "warning: numina-7b-gptq was quantised"):
        assert text in shown


def test_fit_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For scripts, of a folder too."""
    folder = make_folder(tmp_path / "mine", QWEN)
    assert main(["fit", str(folder), "--gpus", "T4", "--num-gpus", "2", "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert (read["chosen"], read["base"]) == ("tensor parallel over 2", "Qwen/Qwen2.5-Math-7B-Instruct")
    assert [layout["tensor_parallel_size"] for layout in read["layouts"]] == [1, 2]
    assert read["layouts"][1]["kv_tokens"] == 208524


def test_fit_takes_the_type_of_keys_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    """Eight bits hold twice the tokens."""
    found = []
    for kind in ("auto", "fp8"):
        assert main(["fit", "numina-7b-gptq", "--gpus", "L4", "--kv-cache-dtype", kind, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["layouts"][0]["kv_tokens"])
    assert found[1] // 2 == found[0]


def test_fit_of_a_fine_tune_names_its_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the layouts."""
    folder = make_folder(tmp_path / "mine", QWEN)
    assert main(["fit", str(folder), "--gpus", "T4", "--num-gpus", "2"]) == 0
    shown = capsys.readouterr().out
    for text in ("Qwen/Qwen2.5-Math-7B-Instruct", "208,524"):
        assert text in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gpus", "T4"], "12.87 GiB"),
        (["--gpus", "T4", "--dtype", "bfloat16"], "takes compute capability 8.0"),
        (["--gpus", "T4", "--max-model-len", "5000"], "reads at most 4096"),
        (["--gpus", "T5"], "no GPU is known as 'T5'"),
        (["--gpus", "T4", "--num-gpus", "0"], "num_gpus is 0"),
    ],
)
def test_fit_refuses_with_its_reason(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And exit code 2."""
    assert main(["fit", "numina-7b", *options]) == 2
    assert message in capsys.readouterr().err
