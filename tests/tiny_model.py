"""A model that is made in a second: two layers of Llama, random weights, a byte-level tokenizer of 400 entries.

It writes garbage, and ends a text after a number of tokens that varies as widely as that of real turns: the chance to
end is nearly the same at each token, with a mean of about 160 at temperature 0.8.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tokenizers

_EOS = "<|im_end|>"


def make_tiny_model(folder: Path, window: int = 1024) -> Path:
    """Put the model into `folder`, which is returned; it reads at most `window` tokens."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_tokenizer(), eos_token=_EOS)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=window,
        # Wider than usual, so that the model has strong preferences and rounding could show.
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _tokenizer() -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", _EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    corpus = [
        "```python\nprint(sum(range(1, 101)))\n```\n```output\n5050\n``` The answer is \\boxed{50}.",
        "The sum of the numbers is 12. The product of the numbers is 35. Then we add the two.",
    ]
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer
