"""What a model is made of, by arithmetic and as its folder tells."""

import json
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.errors import ConfigError
from numina_infer.models.model_folder import read_model_folder
from numina_infer.models.profiles import PROFILES
from numina_infer.models.weights import GIB, Architecture, Dtype, Quantisation, Weights

DEEPSEEK = PROFILES["deepseek-math-7b"].weights.architecture
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
    "torch_dtype": "bfloat16",
}
GPTQ = {"bits": 8, "group_size": 128, "desc_act": True, "sym": True, "damp_percent": 0.1}


def make_folder(folder: Path, config: dict[str, Any], **files: dict[str, Any]) -> Path:
    """A model's folder with its config.json and other JSON files."""
    folder.mkdir(exist_ok=True)
    for name, content in {"config": config, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def write_safetensors(file: Path, *tensors: tuple[str, int]) -> None:
    """A file with tensors of these dtypes and sizes in bytes, all zero, without taking room on the disk."""
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for number, (dtype, size) in enumerate(tensors):
        table[f"t{number}"] = {"dtype": dtype, "shape": [size], "data_offsets": [position, position + size]}
        position += size
    header = json.dumps(table).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + position)


@pytest.mark.parametrize(
    ("quantisation", "size_gib"),
    [
        (None, 12.87),
        (Quantisation("gptq", 8, 128), 7.31),
        (Quantisation("gptq", 8, 128, desc_act=True), 7.31),
        (Quantisation("awq", 4, 128, has_zero_points=True), 4.50),
    ],
)
def test_deepseek_math_has_its_known_sizes(quantisation: Quantisation | None, size_gib: float) -> None:
    """12.87 GB of 16 bits were measured loaded on a T4."""
    assert round(Weights.computed(DEEPSEEK, quantisation).num_bytes() / GIB, 2) == size_gib


def test_the_parameters_are_those_of_the_published_files() -> None:
    """OpenMath-Nemotron-7B is 15.23 GB on the hub; DeepSeekMath-7B is 6.91 billion parameters."""
    openmath = PROFILES["openmath-7b"].weights
    assert openmath.num_bytes() / 1e9 == pytest.approx(15.23, abs=0.01)
    assert (DEEPSEEK.num_linear + DEEPSEEK.num_other) / 1e9 == pytest.approx(6.91, abs=0.005)
    assert DEEPSEEK.num_linear == 30 * (4 * 4096**2 + 3 * 4096 * 11008)


def test_the_published_gptq_file_is_the_arithmetic_with_zero_points() -> None:
    """7.9 GB on the hub; in memory the zero points of a symmetric quantisation are dropped."""
    file = Weights.computed(DEEPSEEK, Quantisation("gptq", 8, 128, has_zero_points=True))
    assert file.num_bytes() / 1e9 == pytest.approx(7.9, abs=0.02)


@pytest.mark.parametrize(("kv_heads", "size", "expected"), [(32, 1, 491520), (32, 2, 245760), (4, 2, 30720)])
def test_keys_and_values_are_split_by_heads(kv_heads: int, size: int, expected: int) -> None:
    """480 KiB a token for DeepSeekMath, which has no grouped heads."""
    shapes = Architecture("llama", 30, 4096, 11008, 32, kv_heads, 128, 102400, 4096)
    assert shapes.kv_bytes_per_token(2, size) == expected


def test_a_head_that_cannot_be_split_is_kept_by_every_gpu() -> None:
    """Two heads over eight GPUs."""
    shapes = Architecture("llama", 30, 4096, 11008, 32, 2, 128, 102400, 4096)
    assert shapes.kv_bytes_per_token(2, 8) == shapes.kv_bytes_per_token(2, 2) == 30 * 2 * 128 * 2


@given(st.sampled_from([2, 3, 4, 8]), st.sampled_from([-1, 32, 64, 128]), st.booleans())
def test_fewer_bits_are_never_more_bytes(bits: int, group_size: int, zero_points: bool) -> None:
    """And none are more than 16."""
    packed = Weights.computed(DEEPSEEK, Quantisation("gptq", bits, group_size, has_zero_points=zero_points))
    wider = Weights.computed(DEEPSEEK, Quantisation("gptq", min(8, bits + 1), group_size, has_zero_points=zero_points))
    assert packed.num_bytes() <= wider.num_bytes() < Weights.computed(DEEPSEEK).num_bytes()


def test_a_llama_folder_is_read(tmp_path: Path) -> None:
    """What old configs leave out has transformers' defaults."""
    read = read_model_folder(make_folder(tmp_path / "m", LLAMA | {"num_key_value_heads": None})).weights
    shapes = read.architecture
    assert (shapes.num_key_value_heads, shapes.head_dim, shapes.attention_bias) == (8, 32, False)
    assert not shapes.tie_word_embeddings
    assert read.dtype is Dtype.BFLOAT16
    assert read.num_bytes() == 2 * (shapes.num_linear + shapes.num_other)


def test_a_qwen2_folder_has_biases(tmp_path: Path) -> None:
    """On queries, keys and values, though its config doesn't say so."""
    config = LLAMA | {"model_type": "qwen2", "tie_word_embeddings": True}
    shapes = read_model_folder(make_folder(tmp_path / "m", config)).weights.architecture
    assert shapes.num_other == 1000 * 256 + 5 * 256 + 2 * (8 + 2 * 2) * 32


def test_gptq_is_read(tmp_path: Path) -> None:
    """From config.json, where all tools write it today."""
    folder = make_folder(tmp_path / "m", LLAMA | {"quantization_config": GPTQ | {"quant_method": "gptq"}})
    assert read_model_folder(folder).weights.quantisation == Quantisation("gptq", 8, 128, desc_act=True)


@pytest.mark.parametrize(
    ("given_config", "expected"),
    [
        (
            {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"},
            Quantisation("awq", 4, 128, has_zero_points=True),
        ),
        (  # the names of older tools, which vLLM reads too
            {"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "zero_point": True, "version": "GEMM"},
            Quantisation("awq", 4, 64, has_zero_points=True),
        ),
        (GPTQ | {"quant_method": "gptq", "sym": False, "bits": 4}, Quantisation("gptq", 4, 128, True, True)),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, Quantisation("fp8", 8)),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, Quantisation("bitsandbytes", 4, 64)),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 32, "symmetric": True}}},
            },
            Quantisation("compressed-tensors", 4, 32),
        ),
    ],
)
def test_other_quantisations_are_read(given_config: dict[str, Any], expected: Quantisation, tmp_path: Path) -> None:
    """Each by its own keys."""
    folder = make_folder(tmp_path / "m", LLAMA | {"quantization_config": given_config})
    assert read_model_folder(folder).weights.quantisation == expected


def test_real_files_count_as_they_will_lie_in_memory(tmp_path: Path) -> None:
    """Floats are cast when they are loaded, whatever they were saved in; packed weights are not."""
    folder = make_folder(tmp_path / "m", LLAMA)
    write_safetensors(folder / "model.safetensors", ("F32", 4000), ("BF16", 2000), ("I32", 600))
    weights = read_model_folder(folder).weights
    assert (weights.num_bytes(), weights.num_bytes(Dtype.FLOAT32)) == (2000 * 2 + 600, 2000 * 4 + 600)


def test_only_the_files_that_the_index_lists_count(tmp_path: Path) -> None:
    """Some folders hold the weights twice."""
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-2.safetensors"}}
    folder = make_folder(tmp_path / "m", LLAMA, **{"model.safetensors.index": index})
    for name in ("model-1", "model-2", "consolidated"):
        write_safetensors(folder / f"{name}.safetensors", ("F16", 1000))
    assert read_model_folder(folder).weights.num_bytes() == 2000
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"lacks model-2\.safetensors.*fetch it again"):
        read_model_folder(folder)


def test_a_real_model_counts_all_its_numbers(tiny_model: Path) -> None:
    """The arithmetic of its config agrees with its file to the byte."""
    weights = read_model_folder(tiny_model).weights
    assert weights.num_bytes() == Weights.computed(weights.architecture).num_bytes()


@pytest.mark.parametrize("missing", ["hidden_size", "num_hidden_layers", "vocab_size", "model_type"])
def test_a_missing_key_is_named(missing: str, tmp_path: Path) -> None:
    """With the file that lacks it."""
    config = {key: value for key, value in LLAMA.items() if key != missing}
    with pytest.raises(ConfigError, match=rf"config\.json lacks {missing}"):
        read_model_folder(make_folder(tmp_path / "m", config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": "big"}, "hidden_size in .* is 'big'"),
        ({"num_hidden_layers": True}, "num_hidden_layers in .* is True"),
        ({"num_attention_heads": 7}, "isn't a multiple of num_attention_heads 7"),
        ({"num_key_value_heads": 3}, "it must divide num_attention_heads, 8"),
        ({"vocab_size": 10**400}, "vocab_size in .* is above 1,000,000,000"),
        ({"num_local_experts": 8}, "num_local_experts: the memory of such models"),
        ({"kv_lora_rank": 512}, "kv_lora_rank: the memory of such models"),
        ({"quantization_config": {"quant_method": "exl3", "bits": 3}}, "'exl3', which isn't known here"),
        ({"quantization_config": {"quant_method": "gptq", "group_size": 128}}, "bits of quantisation gptq .* is None"),
        ({"quantization_config": [8]}, "no JSON object"),
    ],
)
def test_a_config_that_tells_no_size_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Naming what is wrong with it."""
    with pytest.raises(ConfigError, match=message):
        read_model_folder(make_folder(tmp_path / "m", LLAMA | changes))


def test_pickled_weights_are_refused_unread(tmp_path: Path) -> None:
    """Beside safetensors they are ignored."""
    folder = make_folder(tmp_path / "m", LLAMA)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ConfigError, match=r"pickled weights only \(pytorch_model\.bin\)"):
        read_model_folder(folder)
    write_safetensors(folder / "model.safetensors", ("F16", 1000))
    assert read_model_folder(folder).weights.num_bytes() == 1000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7900000000\n", "git lfs pull"),
        (struct.pack("<Q", 63) + b'{"t": {"dtype": "F16", "shape": [9], "data_offsets": [0, 18]} }', "is cut short"),
    ],
)
def test_weights_that_are_not_whole_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    """Before a server is started on them."""
    folder = make_folder(tmp_path / "m", LLAMA)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_model_folder(folder)


tables = st.recursive(
    st.none() | st.integers() | st.floats() | st.sampled_from(["F16", "I32"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["t", "dtype", "data_offsets"]), inner)
    ),
).map(lambda table: json.dumps(table).encode())


@given(st.binary(max_size=80) | tables.map(lambda table: struct.pack("<Q", len(table)) + table))
def test_no_file_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """What has no table counts by its size, or is refused."""
    folder = make_folder(tmp_path_factory.mktemp("m"), LLAMA)
    (folder / "model.safetensors").write_bytes(content)
    with suppress(ConfigError):
        assert read_model_folder(folder).weights.num_bytes() >= 0


@pytest.mark.parametrize(
    ("files", "message"),
    [({}, "no config.json"), ({"adapter_config.json": "{}"}, "merge it"), ({"config.json": "{"}, "can't be read")],
)
def test_a_folder_that_is_no_model_says_why(files: dict[str, str], message: str, tmp_path: Path) -> None:
    """Empty, an adapter, broken JSON."""
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_model_folder(tmp_path)
