r"""A trajectory as chat data: what the model wrote is the assistant's, the prompt the user's, each output a tool's.

So a trainer that learns from the assistant's messages alone never learns to write an output. The layouts are those of
TRL's documentation, "Dataset formats" (language modelling in conversational form, and unpaired preference in standard
form), checked against TRL 1.16's own code.

An SC-TIR text is one text: outputs stand in the middle of the model's turn, and the prompt has headings or a chat
template already. So contents are what was recorded to the letter, and `CHAT_TEMPLATE` puts them one behind the other
and nothing between: what is trained on is what the model saw. A model's own template would put its marks around every
output, and few of those mark what is the assistant's (`{% generation %}`), which `assistant_only_loss` needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from numina_infer.core.records import Completion, Trajectory

Row = Mapping[str, object]


class Role(StrEnum):
    """Whose a message is, by TRL's names."""

    USER = "user"
    """The prompt."""
    ASSISTANT = "assistant"
    """What the model wrote."""
    TOOL = "tool"
    """An output as it was appended, fences included."""


@dataclass(frozen=True, slots=True)
class Message:
    """A stretch of a trajectory's text, and whose it is."""

    role: Role
    content: str


def chat_template(*, with_bos: bool) -> str:
    """The Jinja template that renders messages as the text they were, for `SFTConfig.chat_template_path`.

    Between `generation` and `endgeneration` stands what is learnt: the assistant's words, and the end-of-sequence
    token wherever no tool speaks next. `with_bos` puts the begin-of-sequence token in front.
    """
    return ("{{- bos_token -}}" if with_bos else "") + _TEMPLATE


_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}"
    "{{- message['content'] -}}"
    "{%- if loop.last or loop.nextitem['role'] != 'tool' -%}{{- eos_token -}}{%- endif -%}"
    "{%- endgeneration -%}"
    "{%- else -%}"
    "{{- message['content'] -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
)


def to_messages(prompt: str, trajectory: Trajectory) -> tuple[Message, ...]:
    """The prompt, then completions and outputs in turns; it ends with the model's last word.

    A last completion that ended at a stop string is cut in front of it: there the model spoke for somebody else, and
    in training its turn ends instead.
    """
    stretches = [(Role.USER, prompt)]
    for turn in trajectory.turns[:-1]:
        stretches += [(Role.ASSISTANT, turn.completion.text), (Role.TOOL, turn.observation)]
    stretches.append((Role.ASSISTANT, last_words(trajectory.turns[-1].completion)))
    return tuple(Message(role, _whole(content)) for role, content in stretches)


def _whole(text: str) -> str:
    """`text` with question marks for lone surrogates, as engines tokenise it: no file of UTF-8 holds one."""
    return text.encode("utf-8", "replace").decode()


def last_words(completion: Completion) -> str:
    """What a trajectory's last completion says, without the stop string that ended it."""
    return completion.text.removesuffix(completion.stop_reason or "")


def join(messages: Sequence[Message]) -> str:
    """The text that `messages` are stretches of."""
    return "".join(message.content for message in messages)


def sft_row(messages: Sequence[Message]) -> Row:
    """TRL's conversational language modelling: `messages`."""
    return {"messages": [asdict(message) for message in messages]}


def kto_row(messages: Sequence[Message], *, is_right: bool) -> Row:
    """TRL's unpaired preference in standard form: `prompt`, `completion`, `label`.

    `parts` is the completion again, by whose it is: TRL's KTO weighs a completion as a whole, its outputs among it,
    and a trainer that masks them needs to know where they are.
    """
    parts = messages[1:]
    return {
        "prompt": messages[0].content,
        "completion": join(parts),
        "label": is_right,
        "parts": [asdict(part) for part in parts],
    }
