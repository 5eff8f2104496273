r"""Makes chat messages of a trajectory: the prompt is the user's, the model's text the assistant's, outputs a tool's.

So a trainer that learns from the assistant's messages alone never learns to write an output. The layouts are those of
TRL's documentation, "Dataset formats" (conversational language modelling, and standard unpaired preference), checked
against TRL 1.16's own code.

An SC-TIR text is one text: outputs stand in the middle of the model's turn, and the prompt has headings or a chat
template already. So contents are the recorded text, and `chat_template` joins them with nothing between. A model's
own template would put its marks around every output, and few of those mark the assistant's text (`{% generation %}`),
which `assistant_only_loss` needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from numina_infer.core.records import Completion, Trajectory

Row = Mapping[str, object]


class Role(StrEnum):
    """Who wrote a message, by TRL's names."""

    USER = "user"
    """The prompt."""
    ASSISTANT = "assistant"
    """The model's text."""
    TOOL = "tool"
    """An output as it was appended, fences included."""


@dataclass(frozen=True, slots=True)
class Message:
    """A part of a trajectory's text, and who wrote it."""

    role: Role
    content: str


def chat_template(*, with_bos: bool) -> str:
    """The Jinja template that renders messages as the text they were, for `SFTConfig.chat_template_path`.

    Between `generation` and `endgeneration` stands the text to learn: the assistant's, and the end-of-sequence token
    wherever no tool's message is next. `with_bos` puts the begin-of-sequence token in front.
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
    """The prompt, then completions and outputs in turns, up to the last completion.

    A stop string that ended the last completion is cut off: in training the model's turn ends instead.
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
    """The text of a trajectory's last completion, without the stop string that ended it."""
    return completion.text.removesuffix(completion.stop_reason or "")


def join(messages: Sequence[Message]) -> str:
    """The whole text of `messages`."""
    return "".join(message.content for message in messages)
