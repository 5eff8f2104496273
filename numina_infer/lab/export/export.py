"""A run's trajectories as training data: sorted by whether they are right, written as a data set with its card.

The log is read twice, event by event: once to choose, once to write.
A trajectory is right if its own answer is, whatever the vote said. Training on solutions that ended right is rejection
sampling (STaR, arXiv 2203.14465; ToRA, arXiv 2309.17452, keeps programs' outputs out of the loss).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from numina_infer.answers.references import Accepted, read_reference, read_references
from numina_infer.core.config import require, require_whole
from numina_infer.core.errors import ConfigError, NothingToExportError
from numina_infer.core.records import AnswerRange, Problem
from numina_infer.lab.evaluate.matching import References, named
from numina_infer.lab.export.chat_rows import Row, chat_template
from numina_infer.lab.export.dataset_card import Origin, make_card, require_license
from numina_infer.lab.export.dataset_folder import require_new, write_dataset
from numina_infer.lab.export.export_filter import ExportStatus
from numina_infer.lab.export.selection import Selection, WantedRows, opened_trajectories, select
from numina_infer.lab.export.token_rows import Tokens, read_tokens
from numina_infer.lab.export.training import TEMPLATE_FILE, Training
from numina_infer.lab.replay.recorded_preset import read_preset
from numina_infer.runs.history import read_events, read_info

CARD = "README.md"


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
        require_new(self.out)


@dataclass(frozen=True, slots=True)
class Exported:
    """The data set that was written, and what was left out."""

    folder: Path
    selection: Selection


def export(run: Path, config: ExportConfig) -> Exported:
    """Write the data set.

    Raises:
        RunLogError: there is no run, it is of an unknown format, or damaged.
        ConfigError: nothing can be made of this run with these references; nothing was written.
        NothingToExportError: no trajectory is of the kind that was asked for; nothing was written.
    """
    info = read_info(run)
    preset = read_preset(info)
    _require_texts(info)
    accepted_of = _accepted_of(config.references, preset.rollout.answer_range)
    tokens = read_tokens(config.tokenizer, preset) if config.tokenizer else None
    wanted = WantedRows(config.training.statuses, config.per_problem, needs_tokens=tokens is not None)
    selection = select(read_events(run), accepted_of, wanted)
    _require_some(selection, config)
    schema = config.training.schema(has_tokens=tokens is not None)
    rows = _rows(run, config.training, accepted_of, selection, tokens)
    origin = Origin.of(run, info, config.references, config.license)
    card = make_card(origin, config.training, selection, config.training.how_to(tokens=tokens))
    template = {TEMPLATE_FILE: chat_template(with_bos=_has_bos(tokens))} if config.training is Training.SFT else {}
    write_dataset(config.out, schema, rows, {CARD: card, **template})
    return Exported(config.out, selection)


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


def _rows(
    run: Path,
    training: Training,
    accepted_of: Callable[[Problem], Accepted],
    selection: Selection,
    tokens: Tokens | None,
) -> Iterator[Row]:
    for one in opened_trajectories(read_events(run)):
        if one.key in selection.statuses:
            yield training.row(one, accepted_of(one.opened.problem), tokens)


def _has_bos(tokens: Tokens | None) -> bool:
    return tokens is not None and bool(tokens.vocabulary.bos)
