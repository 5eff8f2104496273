"""Whether a model fits: the table of two T4s, and what is refused before anything is loaded."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from numina_infer.core.errors import ConfigError
from numina_infer.models.fit import Fit, FitConfig, KvCacheDtype, Layout, choose, survey
from numina_infer.models.gpus import KNOWN_GPUS, T4, Device, find_cpu, find_gpus, get_gpu, read_gpus
from numina_infer.models.profiles import PROFILES
from numina_infer.models.weights import GIB, Architecture, Dtype, Quantisation, Weights

DEEPSEEK = PROFILES["deepseek-math-7b"].weights.architecture
QWEN = PROFILES["qwen2.5-math-7b"].weights.architecture
FP16 = Weights.computed(DEEPSEEK)
GPTQ8 = Weights.computed(DEEPSEEK, Quantisation("gptq", 8, 128))
AWQ4 = Weights.computed(DEEPSEEK, Quantisation("awq", 4, 128, has_zero_points=True))
L4, P100 = KNOWN_GPUS["L4"], KNOWN_GPUS["P100"]
SHORT = FitConfig(max_model_len=2048)


def on_two(weights: Weights, gpu: Device = T4, config: FitConfig = SHORT) -> tuple[Fit, Fit]:
    """One replica a GPU, and tensor parallel."""
    replicas, split = survey(weights, [gpu, gpu], config)
    return replicas, split


@pytest.mark.parametrize(
    ("weights", "size", "kv_gib", "thousands", "samples", "context"),
    [(FP16, 12.87, 6.23, 27.2, 13.3, 567), (GPTQ8, 7.31, 9.01, 39.4, 19.2, 820), (AWQ4, 4.50, 10.41, 45.5, 22.2, 948)],
)
def test_two_t4s_tensor_parallel(
    weights: Weights, size: float, kv_gib: float, thousands: float, samples: float, context: int
) -> None:
    """Each cell of the table, as it is rounded there."""
    split = on_two(weights)[1]
    assert split.layout == Layout(tensor_parallel_size=2)
    assert round(split.weights_bytes / GIB, 2) == size
    assert round(split.kv_bytes_per_gpu / GIB, 2) == kv_gib
    assert round(split.kv_tokens / 1000, 1) == thousands
    assert round(split.full_samples, 1) == samples
    assert round(split.mean_context(48)) == context
    assert split.is_possible


@pytest.mark.parametrize(
    ("weights", "kv_gib", "thousands", "samples", "context"),
    [(GPTQ8, 5.36, 11.7, 11.4, 487), (AWQ4, 8.16, 17.8, 17.4, 743)],
)
def test_two_t4s_with_a_replica_each(
    weights: Weights, kv_gib: float, thousands: float, samples: float, context: int
) -> None:
    """Tokens are those of one replica, samples those of both."""
    replicas = on_two(weights)[0]
    assert replicas.layout == Layout(num_replicas=2)
    assert round(replicas.kv_bytes_per_gpu / GIB, 2) == kv_gib
    assert round(replicas.kv_tokens_per_replica / 1000, 1) == thousands
    assert round(replicas.full_samples, 1) == samples
    assert round(replicas.mean_context(48)) == context


def test_no_layout_holds_48_full_samples() -> None:
    """Of DeepSeekMath on two T4s, whatever the weights."""
    assert all(fit.full_samples < 48 for weights in (FP16, GPTQ8, AWQ4) for fit in on_two(weights))


def test_sixteen_bits_do_not_fit_on_one_t4() -> None:
    """The refusal has the arithmetic."""
    replicas = on_two(FP16)[0]
    assert not replicas.is_possible
    assert replicas.kv_tokens == 0
    for figure in ("14.74 GiB × 0.92 − 0.90 GiB = 12.66 GiB a T4", "weights take 12.87 GiB", "-0.21 GiB remain"):
        assert figure in replicas.refusal
    with pytest.raises(ConfigError, match=r"doesn't fit \(one replica: .*12\.87 GiB.*fewer bits"):
        choose(survey(FP16, [T4], SHORT))


def test_eight_bits_are_split_and_four_bits_replicated() -> None:
    """Replicas are taken where they keep three quarters of the tokens."""
    assert choose(on_two(FP16)).layout == Layout(tensor_parallel_size=2)
    assert choose(on_two(GPTQ8)).layout == Layout(tensor_parallel_size=2)
    assert choose(on_two(AWQ4)).layout == Layout(num_replicas=2)


def test_tokens_that_no_sample_can_use_do_not_decide() -> None:
    """Qwen's grouped heads leave more than 48 samples need in either layout."""
    replicas, split = on_two(Weights.computed(QWEN, Quantisation("awq", 4, 128, has_zero_points=True)))
    assert replicas.kv_tokens < 0.75 * split.kv_tokens
    assert choose([replicas, split]) is replicas


def test_a_full_length_sample_must_fit_beside_the_weights() -> None:
    """The server refuses to start otherwise."""
    tight = replace(T4, memory_bytes=int((7.31 + 0.9 + 0.5) / 0.92 * GIB))
    refusal = survey(GPTQ8, [tight], FitConfig(max_model_len=2048))[0].refusal
    assert "no sample of 2048 tokens fits" in refusal
    assert "tokens of KV" in refusal


@pytest.mark.parametrize(
    ("weights", "num_gpus", "reason"),
    [
        (Weights.computed(QWEN), 8, "28 attention heads can't be split over 8 GPUs"),
        (GPTQ8, 4, "intermediate_size 11008 over 4 GPUs cuts the quantisation's groups of 128"),
        (Weights.computed(replace(DEEPSEEK, num_key_value_heads=2, num_attention_heads=30)), 3, "2 key-value heads"),
    ],
)
def test_a_model_that_cannot_be_split_so_is_not(weights: Weights, num_gpus: int, reason: str) -> None:
    """And another layout is taken."""
    fits = survey(weights, [L4] * num_gpus, SHORT)
    assert reason in fits[-1].refusal
    assert fits[-1].kv_tokens == 0
    assert choose(fits).layout.tensor_parallel_size < num_gpus


def test_layouts_use_every_gpu_once() -> None:
    """Of four: a replica each, two by two, all for one."""
    layouts = Layout.all_over(4)
    assert [str(layout) for layout in layouts] == [
        "4 replicas",
        "2 replicas, each tensor parallel over 2",
        "tensor parallel over 4",
    ]
    assert layouts[1].devices == ((0, 1), (2, 3))
    assert [str(layout) for layout in Layout.all_over(1)] == ["one replica"]


def test_an_odd_sample_counts_for_the_fullest_replica() -> None:
    """One sample of two replicas has one replica's tokens, not both's."""
    replicas = on_two(GPTQ8)[0]
    assert replicas.mean_context(1) == replicas.mean_context(2) == replicas.kv_tokens_per_replica
    assert replicas.mean_context(3) == replicas.kv_tokens_per_replica / 2


architectures = st.builds(
    lambda layers, groups, per_group, head_dim, vocab: Architecture(
        "llama", layers, groups * per_group * head_dim, 4096, groups * per_group, groups, head_dim, vocab, 8192
    ),
    st.integers(1, 60),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([64, 128]),
    st.integers(1000, 150_000),
)


@given(architectures, st.integers(1, 6))
def test_splitting_never_leaves_less(shapes: Architecture, num_gpus: int) -> None:
    """On a GPU, for KV, the more a model is split."""
    fits = survey(Weights.computed(shapes), [L4] * num_gpus, SHORT)
    kv = [fit.kv_bytes_per_gpu for fit in fits]
    assert kv == sorted(kv)


@given(architectures)
def test_more_key_value_heads_never_leave_more_tokens(shapes: Architecture) -> None:
    """In any layout."""
    assume(shapes.num_attention_heads % (2 * shapes.num_key_value_heads) == 0)
    grouped = on_two(Weights.computed(shapes))
    wider = on_two(Weights.computed(replace(shapes, num_key_value_heads=2 * shapes.num_key_value_heads)))
    assert all(
        more.kv_tokens <= less.kv_tokens for more, less in zip(wider, grouped, strict=True) if not less.obstacle
    )


@given(architectures, st.integers(1, 4))
def test_what_is_chosen_fits_and_keeps_its_share(shapes: Architecture, num_gpus: int) -> None:
    """Or all are refused, with a reason each."""
    fits = survey(Weights.computed(shapes), [T4] * num_gpus, SHORT)
    try:
        chosen = choose(fits)
    except ConfigError:
        assert all(fit.refusal for fit in fits)
        return
    assert chosen.is_possible
    assert chosen.full_samples >= 1
    assert chosen.useful_tokens >= 0.75 * max(fit.useful_tokens for fit in fits if fit.is_possible)


def test_the_least_of_mixed_gpus_counts() -> None:
    """A split model is as large as the smallest lets it be."""
    split = survey(GPTQ8, [L4, T4], SHORT)[1]
    assert split.device.memory_bytes == T4.memory_bytes
    assert split.device.compute_capability == (7, 5)


@pytest.mark.parametrize("model_type", ["gemma2", "gemma3", "gemma3_text", "glm4"])
def test_a_model_that_breaks_in_float16_is_refused_where_there_is_no_bfloat16(model_type: str) -> None:
    """With what it would take in float32; newer GPUs compute it."""
    weights = Weights.computed(replace(DEEPSEEK, model_type=model_type))
    with pytest.raises(ConfigError, match=r"break in float16.*a T4 has 7\.5.*float32: 25\.74 GiB .* 14\.74 GiB"):
        survey(weights, [T4, T4], SHORT)
    assert survey(weights, [L4], SHORT)[0].dtype is Dtype.BFLOAT16
    packed = Weights.computed(weights.architecture, AWQ4.quantisation)
    assert survey(packed, [L4], SHORT)[0].dtype is Dtype.BFLOAT16
    with pytest.raises(ConfigError, match="break in float16; take bfloat16"):
        survey(weights, [L4], replace(SHORT, dtype=Dtype.FLOAT16))


@pytest.mark.parametrize(
    ("weights", "device", "config", "message"),
    [
        (FP16, T4, replace(SHORT, dtype=Dtype.BFLOAT16), r"bfloat16, which takes compute capability 8\.0; a T4 has 7"),
        (FP16, T4, replace(SHORT, kv_cache_dtype=KvCacheDtype.FP8), r"fp8, which takes compute capability 8\.9"),
        (GPTQ8, P100, SHORT, r"vLLM takes compute capability 7\.0 or above; a P100 has 6\.0"),
        (AWQ4, Device("V100", 16 * GIB, (7, 0)), SHORT, r"awq takes compute capability 7\.5; a V100 has 7\.0"),
        (Weights.computed(DEEPSEEK, Quantisation("exl3", 4)), T4, SHORT, "'exl3' isn't known here"),
        (Weights.computed(DEEPSEEK, Quantisation("gptq", 5)), T4, SHORT, "gptq weights of 5 bits have no kernel"),
        (FP16, T4, FitConfig(max_model_len=4097), "max_model_len is 4097; the model reads at most 4096"),
        (FP16, find_cpu(), replace(SHORT, kv_cache_dtype=KvCacheDtype.FP8), "on a CPU it must be auto"),
    ],
)
def test_what_no_layout_cures_is_refused_first(
    weights: Weights, device: Device, config: FitConfig, message: str
) -> None:
    """With what the device has and what it takes."""
    with pytest.raises(ConfigError, match=message):
        survey(weights, [device], config)


def test_eight_bit_keys_and_values_are_twice_as_many_tokens() -> None:
    """Where the GPU computes them."""
    plain, packed = (survey(GPTQ8, [L4], replace(SHORT, kv_cache_dtype=kind))[0].kv_tokens for kind in KvCacheDtype)
    assert packed in {2 * plain, 2 * plain + 1}


def test_a_cpu_computes_in_float32() -> None:
    """Weights and KV take twice the room; what doesn't fit is refused with the arithmetic."""
    small = Device("CPU", 24 * GIB)
    with pytest.raises(ConfigError, match=r"24\.00 GiB × 0\.92 − 2\.25 GiB = 19\.83 GiB a CPU.*25\.74 GiB"):
        choose(survey(FP16, [small], SHORT))
    fit = choose(survey(FP16, [Device("CPU", 64 * GIB)], SHORT))
    assert (fit.dtype, fit.kv_bytes_per_token) == (Dtype.FLOAT32, 2 * 491520)


@pytest.mark.parametrize(
    ("field", "bad"), [("max_model_len", 0), ("max_num_seqs", 0), ("dtype", "int4"), ("kv_cache_dtype", "int2")]
)
def test_a_setting_that_cannot_be_used_is_named(field: str, bad: object) -> None:
    """When it is made."""
    with pytest.raises(ConfigError, match=field):
        FitConfig(**{"max_model_len": 2048, field: bad})  # type: ignore[arg-type]


SMI = """\
0, GPU-aaaa, Tesla T4, 15360, 258, 7.5
1, GPU-bbbb, Tesla T4, 15360, [N/A], 7.5
2, GPU-cccc, NVIDIA A10G, 23028, 320, 8.6
No devices were found
"""


def test_what_nvidia_smi_says_is_read() -> None:
    """A T4's memory is what CUDA gives, whether or not the driver tells what it keeps."""
    first, second, other = read_gpus(SMI)
    assert first == replace(T4, memory_bytes=first.memory_bytes)
    assert second == T4
    assert first.memory_bytes <= T4.memory_bytes
    assert other == Device("NVIDIA A10G", (23028 - 320) * 1024**2, (8, 6))


@pytest.mark.parametrize(
    ("visible", "names"),
    [("2,0", ["NVIDIA A10G", "T4"]), ("GPU-bb", ["T4"]), ("", []), ("-1", []), ("1", ["T4"])],
)
def test_cuda_visible_devices_is_minded(visible: str, names: list[str]) -> None:
    """By number or by identity, in its order."""
    assert [gpu.name for gpu in read_gpus(SMI, visible)] == names


def test_a_machine_without_nvidia_smi_has_no_gpus(tmp_path: Path) -> None:
    """Nor one whose nvidia-smi fails."""
    assert find_gpus({"PATH": str(tmp_path)}) == ()
    broken = tmp_path / "nvidia-smi"
    broken.write_text("#!/bin/sh\nexit 9\n")
    broken.chmod(0o755)
    assert find_gpus({"PATH": str(tmp_path)}) == ()
    broken.write_text("#!/bin/sh\necho '0, GPU-aaaa, Tesla T4, 15360, 258, 7.5'\n")
    assert [gpu.name for gpu in find_gpus({"PATH": str(tmp_path)})] == ["T4"]


def test_gpus_are_known_by_name() -> None:
    """In any case of letters; others are refused, naming them."""
    assert get_gpu("t4") is T4
    with pytest.raises(ConfigError, match="T4, P100, L4, H100"):
        get_gpu("T5")
