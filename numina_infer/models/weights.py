"""The shapes of a model, and the bytes that its weights and its KV cache take.

A decoder of the Llama and Qwen2 family (arXiv 2307.09288, 2412.15115) is a stack of equal layers: four attention
matrices, three of a gated MLP, an embedding and a head. Its config.json has all their shapes, so its size is
arithmetic. Quantised weights keep `bits` a parameter, and 16 bits of scale for each group of inputs of an output
(GPTQ, arXiv 2210.17323), with a packed zero point where the quantisation isn't symmetric (AWQ, arXiv 2306.00978);
embedding and head stay in floating point. The order of GPTQ's desc_act, a few MB, isn't counted.
"""

from dataclasses import dataclass
from enum import StrEnum

from numina_infer.core.config import require

GIB = 1024**3


def gib(num_bytes: float) -> str:
    """`num_bytes` for people, in GiB."""
    return f"{num_bytes / GIB:.2f} GiB"


class Dtype(StrEnum):
    """The type of floating-point weights, and of the computation."""

    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"

    @property
    def num_bytes(self) -> int:
        """Of one number."""
        return 4 if self is Dtype.FLOAT32 else 2


@dataclass(frozen=True, slots=True)
class Architecture:
    """The shapes of a decoder; names and meanings are those of config.json."""

    model_type: str
    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    """Biases on queries, keys and values, as Qwen2 has them."""

    def __post_init__(self) -> None:
        require(
            self.num_attention_heads % self.num_key_value_heads == 0,
            f"num_key_value_heads is {self.num_key_value_heads}; it must divide num_attention_heads, "
            f"{self.num_attention_heads}",
        )

    @property
    def linear_shapes(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of one layer's matrices: queries, keys, values, output; gate, up, down."""
        hidden, inner = self.hidden_size, self.intermediate_size
        queries, keys = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        attention = ((hidden, queries), (hidden, keys), (hidden, keys), (queries, hidden))
        return (*attention, (hidden, inner), (hidden, inner), (inner, hidden))

    @property
    def num_linear(self) -> int:
        """Parameters of all layers' matrices, which a quantisation shrinks."""
        return self.num_hidden_layers * sum(inputs * outputs for inputs, outputs in self.linear_shapes)

    @property
    def num_other(self) -> int:
        """Parameters of embedding, head, norms and biases, which stay in floating point."""
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        norms = (2 * self.num_hidden_layers + 1) * self.hidden_size
        heads = self.num_attention_heads + 2 * self.num_key_value_heads
        biases = self.num_hidden_layers * heads * self.head_dim if self.attention_bias else 0
        return embeddings + norms + biases

    def kv_bytes_per_token(self, num_bytes: int = 2, tensor_parallel_size: int = 1) -> int:
        """Bytes of one token's keys and values on each GPU; `num_bytes` of one number.

        Heads are split over the GPUs; where there are fewer than GPUs, each GPU keeps a whole one.
        """
        heads = max(1, self.num_key_value_heads // tensor_parallel_size)
        return 2 * self.num_hidden_layers * heads * self.head_dim * num_bytes


@dataclass(frozen=True, slots=True)
class Quantisation:
    """The quantisation of the layers' matrices."""

    method: str
    """Its name in config.json: gptq, awq, fp8, and so on."""
    bits: int
    group_size: int = -1
    """Inputs that share a scale; -1 for all inputs of an output."""
    desc_act: bool = False
    """GPTQ's activation order: the groups' members are scattered over the inputs."""
    has_zero_points: bool = False

    def __post_init__(self) -> None:
        require(self.bits in range(2, 9), f"bits is {self.bits!r}; it must be 2 to 8")
        is_group = self.group_size == -1 or self.group_size > 0
        require(is_group, f"group_size is {self.group_size}; it must be above 0, or -1 for one group an output")

    def packed(self, inputs: int, outputs: int) -> tuple[int, int]:
        """A matrix's number of scales, and its bytes without them."""
        num_scales = outputs * (1 if self.group_size == -1 else -(-inputs // self.group_size))
        zero_points = num_scales if self.has_zero_points else 0
        return num_scales, (inputs * outputs + zero_points) * self.bits // 8

    def __str__(self) -> str:
        group = "" if self.group_size == -1 else f" g{self.group_size}"
        return f"{self.method} {self.bits}-bit{group}{' desc_act' if self.desc_act else ''}"


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's weights as the engine keeps them in memory."""

    architecture: Architecture
    num_floats: int
    """Numbers in the dtype that the engine computes in."""
    packed_bytes: int = 0
    """Bytes of the quantised matrices, whatever the dtype."""
    quantisation: Quantisation | None = None
    dtype: Dtype = Dtype.BFLOAT16
    """The dtype that the floats were saved in."""

    @classmethod
    def computed(
        cls, architecture: Architecture, quantisation: Quantisation | None = None, dtype: Dtype = Dtype.BFLOAT16
    ) -> "Weights":
        """The weights of an architecture, by arithmetic."""
        if quantisation is None:
            return cls(architecture, architecture.num_linear + architecture.num_other, dtype=dtype)
        of_layer = [quantisation.packed(*shape) for shape in architecture.linear_shapes]
        scales, packed = (architecture.num_hidden_layers * sum(column) for column in zip(*of_layer, strict=True))
        return cls(architecture, architecture.num_other + scales, packed, quantisation, dtype)

    def num_bytes(self, dtype: Dtype = Dtype.FLOAT16) -> int:
        """Bytes in memory with the floats in `dtype`."""
        return self.num_floats * dtype.num_bytes + self.packed_bytes

    @property
    def kind(self) -> str:
        """The quantisation in words."""
        return str(self.quantisation or "not quantised")
