"""The kinds of training that an export is for, and the columns that TRL 1.16 takes for each.

SFT. `SFTTrainer` masks by message (`assistant_only_loss`), which needs a chat template that marks the assistant's
words, or takes `input_ids` with `labels` as they are; of a `prompt` and a `completion` it masks the prompt alone. So
rows are `messages`, for a template of ours, with token ids too where a tokenizer is given: then the loss is on
the very tokens that were sampled.

KTO. `KTOTrainer` has no mask within a completion, so rows are plain text, which no template can change; `parts` is the
completion split by who wrote it, for a trainer that masks outputs. Both right and wrong trajectories are in it.
"""

from dataclasses import asdict
from enum import StrEnum
from typing import Any

from numina_infer.answers.references import Accepted, show_reference
from numina_infer.lab.export.chat_rows import Row, join, to_messages
from numina_infer.lab.export.export_filter import ExportStatus
from numina_infer.lab.export.selection import OpenedTrajectory
from numina_infer.lab.export.token_rows import Tokens

TEMPLATE_FILE = "chat_template.jinja"


class Training(StrEnum):
    """The kind of training that an export is for."""

    SFT = "sft"
    """Supervised fine-tuning: right trajectories, with outputs marked."""
    KTO = "kto"
    """Kahneman-Tversky optimisation (arXiv 2402.01306): right and wrong trajectories, labelled."""

    @property
    def statuses(self) -> frozenset[ExportStatus]:
        """Which trajectories it takes."""
        return frozenset({ExportStatus.RIGHT} if self is Training.SFT else {ExportStatus.RIGHT, ExportStatus.WRONG})

    def schema(self, *, has_tokens: bool) -> Any:
        """The pyarrow schema of its rows."""
        import pyarrow as pa

        message = pa.struct([("role", pa.string()), ("content", pa.string())])
        text: list[tuple[str, Any]] = [("messages", pa.list_(message))]
        if self is Training.KTO:
            parts = ("parts", pa.list_(message))
            text = [("prompt", pa.string()), ("completion", pa.string()), ("label", pa.bool_()), parts]
        tokens = [("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))] if has_tokens else []
        whose = [("problem_id", pa.string()), ("index", pa.int32()), ("seed", pa.int64())]
        return pa.schema([*text, *tokens, *whose, ("answer", pa.int64()), ("reference", pa.string())])

    def row(self, one: OpenedTrajectory, accepted: Accepted, tokens: Tokens | None) -> Row:
        """One trajectory as a row: columns for the trainer, then where it comes from."""
        trajectory = one.trajectory
        messages = to_messages(one.opened.prompt, trajectory)
        is_right = trajectory.answer.value in accepted
        dicts = [asdict(message) for message in messages]
        text: Row = {"messages": dicts}
        if self is Training.KTO:
            first, completion = messages[0].content, join(messages[1:])
            text = {"prompt": first, "completion": completion, "label": is_right, "parts": dicts[1:]}
        whose: Row = {
            "problem_id": trajectory.problem_id,
            "index": trajectory.index,
            "seed": trajectory.turns[0].completion.seed,
            "answer": trajectory.answer.value,
            "reference": show_reference(accepted),
        }
        return {**text, **(tokens.row(one.opened, trajectory) if tokens else {}), **whose}

    def how_to(self, *, tokens: Tokens | None) -> str:
        """How to train on it, for the card."""
        if self is Training.KTO:
            return _KTO
        if tokens is None:
            return _SFT + _NO_BOS
        return _TOKENS


_MAX_LENGTH = """
TRL cuts a text at `max_length`, 1024 tokens by default: set it to what the model was run with.
"""

_SFT = (
    f"""
`messages` are stretches of one text: the prompt as the user's, what the model wrote as the assistant's, each output as
a tool's. `{TEMPLATE_FILE}` puts them together to the letter and marks the assistant's for the loss, so that prompt and
outputs are masked:

```python
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

folder = "path/to/this/folder"
config = SFTConfig(assistant_only_loss=True, chat_template_path=f"{{folder}}/{TEMPLATE_FILE}")
SFTTrainer(model, config, train_dataset=load_dataset(folder, split="train")).train()
```

Without these two settings everything is learnt, outputs too, in whatever template the model has.
"""
    + _MAX_LENGTH
)

_NO_BOS = """
The template puts no begin-of-sequence token in front, since a log doesn't tell whether the model's tokenizer does.
If it does (Llama's and DeepSeek's do), export again with `--tokenizer`, or put `{{ bos_token }}` before the template.
"""

_TOKENS = (
    """
`input_ids` are the tokens that the model saw and sampled, `labels` the same with -100 for prompt and outputs;
`messages` is their text. TRL takes them as they are, for a model with the same tokenizer:

```python
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

data = load_dataset("path/to/this/folder", split="train").select_columns(["input_ids", "labels"])
SFTTrainer(model, SFTConfig(max_length=4096), train_dataset=data).train()
```
"""
    + _MAX_LENGTH
)

_KTO = (
    """
`prompt` is the text that the model saw, `completion` the text after it, and `label` says whether its answer was
right:

```python
from datasets import load_dataset
from trl import KTOConfig, KTOTrainer

KTOTrainer(model, args=KTOConfig(), train_dataset=load_dataset("path/to/this/folder", split="train")).train()
```

A completion holds programs' outputs, and TRL's KTO weighs it as a whole; `parts` says which stretches of it are the
model's, for a trainer that masks the rest.
Where the prompt begins with the begin-of-sequence token, as some chat templates have it, keep the tokenizer from
putting a second one in front.
"""
    + _MAX_LENGTH
)
