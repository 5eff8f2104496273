"""What all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# A property is a property on a slow machine too; speed is measured in benchmarks/.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

if TYPE_CHECKING:
    import tokenizers

    from tests.vllm_servers import RunningServer


_TINY_EOS = "<|im_end|>"


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the library does."""
    return "asyncio"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded public data, where this checkout has one beside it; the test is skipped elsewhere."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    data = Path(os.environ.get("NUMINA_SHARED", beside)) / "data"
    if not data.is_dir():
        pytest.skip("the recorded data set is not on this machine; set NUMINA_SHARED to its folder")
    return data


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A real server takes a minute to start, more on a busy machine."""
    for item in items:
        if item.get_closest_marker("vllm") is not None:
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def tiny_server(tiny_model: Path) -> "Iterator[RunningServer]":
    """A real vLLM server with the tiny model."""
    from tests.vllm_servers import started, tiny_launch

    with started(tiny_launch(tiny_model)) as server:
        yield server


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a two-layer Llama with random weights and a byte-level tokenizer, made here in a second."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-llama")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_tiny_tokenizer(), eos_token=_TINY_EOS)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        # Wider than usual, so that the model has strong preferences and rounding could show.
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _tiny_tokenizer() -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", _TINY_EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    corpus = [
        "```python\nprint(sum(range(1, 101)))\n```\n```output\n5050\n``` The answer is \\boxed{50}.",
        "The sum of the numbers is 12. The product of the numbers is 35. Then we add the two.",
    ]
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer
