"""A run's trajectories as training data: sorted by whether they are right, written as a data set with its card.

The log is read twice, event by event: once to select, once to write. Training on solutions that ended right is
rejection sampling (STaR, arXiv 2203.14465; ToRA, arXiv 2309.17452, keeps programs' outputs out of the loss).

The columns are those that TRL 1.16 takes. `SFTTrainer` masks by message (`assistant_only_loss`), which needs a chat
template that marks the assistant's words, or takes `input_ids` with `labels` as they are; of a `prompt` and a
`completion` it masks the prompt alone. So rows for SFT are `messages`, for a template of ours, with token ids too
where a tokenizer is given: then the loss is on the very tokens that were sampled.
`KTOTrainer` has no mask within a completion, so rows for KTO are plain text, which no template can change; `parts` is
the completion split by who wrote it, for a trainer that masks outputs.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from numina_infer.answers.references import Accepted, read_reference, read_references, show_reference
from numina_infer.core.config import require, require_whole
from numina_infer.core.errors import ConfigError, NothingToExportError
from numina_infer.core.events import Opened
from numina_infer.core.records import AnswerRange, Problem, Trajectory
from numina_infer.lab.evaluate.matching import References, named
from numina_infer.lab.export.dataset_card import make_card, read_text, require_license
from numina_infer.lab.export.selection import ExportStatus, Selection, opened_trajectories, select
from numina_infer.lab.export.training_rows import Tokens, join, read_tokens, to_messages
from numina_infer.lab.replay.recording import read_preset
from numina_infer.runs.history import read_events, read_info

TEMPLATE_FILE = "chat_template.jinja"
DATA = Path("data") / "train-00000-of-00001.parquet"
_ROWS_AT_ONCE = 500

Row = Mapping[str, object]


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


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """The training, the references and the limits of an export."""

    training: Training
    references: Path
    """A problems file with answers."""
    out: Path
    """A new folder."""
    per_problem: int | None = None
    """At most so many of one problem, right and wrong ones each."""
    license: str | None = None
    """As the hub spells it."""
    tokenizer: Path | None = None
    """The folder of the model that was run: for exact tokens."""

    def __post_init__(self) -> None:
        if self.per_problem is not None:
            require_whole("per_problem", self.per_problem, 1)
        if self.license is not None:
            require_license(self.license)
        require(
            self.tokenizer is None or self.training is Training.SFT,
            "a tokenizer is for --format sft; TRL's KTO takes texts",
        )
        require(
            not self.out.exists() or (self.out.is_dir() and not any(self.out.iterdir())),
            f"{self.out} is there already; give another --out, or remove it",
        )


def export(run: Path, config: ExportConfig) -> Selection:
    """Write the data set to `config.out`, and return what was selected for it.

    Raises:
        RunLogError: there is no run, it is of an unknown format, or damaged.
        ConfigError: nothing can be made of this run with these references; nothing was written.
        NothingToExportError: no trajectory is of the kind that was asked for; nothing was written.
    """
    info = read_info(run)
    preset = read_preset(info)
    _require_texts(info)
    training, accepted_of = config.training, _accepted_of(config.references, preset.rollout.answer_range)
    tokens = read_tokens(config.tokenizer, preset) if config.tokenizer else None
    limits: dict[str, Any] = {"per_problem": config.per_problem, "needs_tokens": tokens is not None}
    selection = select(read_events(run), accepted_of, training.statuses, **limits)
    _require_some(selection, config)
    how_to = f"how_to_{training if tokens is None else 'tokens'}.md"
    texts = {
        "README.md": make_card(
            run, info, config.references, config.license, selection, training=training, how_to=how_to
        )
    }
    if training is Training.SFT:
        bos = "{{- bos_token -}}\n" if tokens is not None and tokens.vocabulary.bos else ""
        texts[TEMPLATE_FILE] = bos + read_text(TEMPLATE_FILE)
    rows = (
        _row(training, opened, trajectory, accepted_of(opened.problem), tokens)
        for opening, opened, trajectory in opened_trajectories(read_events(run))
        if (opening, trajectory.index) in selection.statuses
    )
    _write(config.out, _schema(training, has_tokens=tokens is not None), rows, texts)
    return selection


def _require_texts(info: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where the log's texts aren't a text that a model saw and wrote."""
    choices, engine = info.get("choices") or {}, info.get("engine") or {}
    require(
        not choices.get("paper"),
        "the run was made the paper's way, whose restarts throw text away: its turns are no text that a model saw",
    )
    require(engine.get("engine") != "simulated", "the run's engine was simulated: no model wrote its texts")


def _accepted_of(file: Path, answer_range: AnswerRange) -> Callable[[Problem], Accepted]:
    """Which votes are right of a problem; none where its id isn't in `file`, or is another problem's there."""
    references = References.read(file)
    require(
        bool(read_references(references.answers, answer_range)),
        f"{file} has no answer that is an integer in range; give a problems file with answers",
    )
    return cache(lambda problem: read_reference(references.answer_to(problem), answer_range))


def _require_some(selection: Selection, config: ExportConfig) -> None:
    """Raise where there is nothing to write, with the reason."""
    if selection.statuses:
        return
    if set(selection.left_out) == {ExportStatus.NO_REFERENCE}:
        raise ConfigError(
            f"{config.references} has none of the run's {named(selection.unknown)} with the same id and statement and "
            "an integer in range as its answer; give the file that the run was made from"
        )
    counts = ", ".join(f"{count} {status}" for status, count in selection.left_out.most_common()) or "none has ended"
    raise NothingToExportError(
        f"no trajectory of the run is for --format {config.training}: {counts}; nothing was written"
    )


def _schema(training: Training, *, has_tokens: bool) -> Any:
    """The pyarrow schema of the rows: columns for the trainer, then where a row comes from."""
    import pyarrow as pa

    messages = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    columns: list[tuple[str, Any]] = [("messages", messages)]
    if training is Training.KTO:
        columns = [("prompt", pa.string()), ("completion", pa.string()), ("label", pa.bool_()), ("parts", messages)]
    if has_tokens:
        columns += [("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))]
    columns += [("problem_id", pa.string()), ("index", pa.int32()), ("seed", pa.int64())]
    return pa.schema([*columns, ("answer", pa.int64()), ("reference", pa.string())])


def _row(training: Training, opened: Opened, trajectory: Trajectory, accepted: Accepted, tokens: Tokens | None) -> Row:
    messages = to_messages(opened.prompt, trajectory)
    row: dict[str, object] = {"messages": messages}
    if training is Training.KTO:
        prompt, *parts = messages
        label = trajectory.answer.value in accepted
        row = {"prompt": prompt["content"], "completion": join(parts), "label": label, "parts": parts}
    if tokens is not None:
        row |= tokens.row(opened, trajectory)
    return row | {
        "problem_id": trajectory.problem_id,
        "index": trajectory.index,
        "seed": trajectory.turns[0].completion.seed,
        "answer": trajectory.answer.value,
        "reference": show_reference(accepted),
    }


def _write(folder: Path, schema: Any, rows: Iterable[Row], texts: Mapping[str, str]) -> None:
    """Write a data set as `datasets.load_dataset` reads it, whole or not at all; `texts` are files by name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        staging.chmod(0o755)
        (staging / DATA).parent.mkdir()
        _write_parquet(staging / DATA, schema, iter(rows))
        for name, text in texts.items():
            (staging / name).write_text(text, encoding="utf-8")
        staging.replace(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_parquet(file: Path, schema: Any, rows: Iterator[Row]) -> None:
    """Write `rows`, some hundred in memory at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetWriter(file, schema) as writer:
        while batch := list(islice(rows, _ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
