"""TRL takes what is exported: its own trainers prepare it, and what they would learn is what the model wrote.

`datasets` and `trl` are here for these tests alone.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from numina_infer.core.errors import ConfigError
from numina_infer.core.records import Completion, Trajectory, Turn
from numina_infer.engines.vocabulary import TokenizerVocabulary
from numina_infer.formats.fences import OUTPUT_FENCE
from numina_infer.lab.export.export import TEMPLATE_FILE, ExportConfig, Training, export
from numina_infer.lab.export.selection import ExportStatus
from numina_infer.lab.export.training_rows import IGNORED
from tests.lab.export.exported_runs import INFO, PROBLEMS, attempt, events_of, opening, write_references, write_run

if TYPE_CHECKING:
    from datasets import Dataset

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning"),
]
A, B = PROBLEMS
ENDINGS = [
    attempt(0),
    attempt(1, 3),
    attempt(2, words="The answer is ½ of 4, so \\boxed{2}."),
    attempt(3, words=""),
    attempt(4, words="\n\nIt is 2.", stop="### Problem:"),
]


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is fetched, and nothing is kept beyond the test."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def references(tmp_path: Path) -> Path:
    """Both problems' answers."""
    return write_references(tmp_path / "references.jsonl", {A: 2, B: 5})


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path) -> Path:
    """A run whose completions are the tiny model's tokens."""
    vocabulary = TokenizerVocabulary.from_folder(tiny_model)
    return write_run(tmp_path / "run", events_of(A, [tokenized(ending, vocabulary) for ending in ENDINGS]))


def tokenized(trajectory: Trajectory, vocabulary: TokenizerVocabulary) -> Trajectory:
    """`trajectory` with the token ids that its texts have."""
    turns = tuple(replace(turn, completion=with_ids(turn.completion, vocabulary)) for turn in trajectory.turns)
    return replace(trajectory, turns=turns)


def with_ids(completion: Completion, vocabulary: TokenizerVocabulary) -> Completion:
    """`completion` in tokens."""
    return replace(completion, token_ids=tuple(vocabulary.encode(completion.text)))


def exported(run: Path, references: Path, training: Training, **more: Any) -> Path:
    """The folder of an export."""
    export(run, ExportConfig(training, references, run / str(training), **more))
    return run / str(training)


def load(folder: Path, cache: Path) -> "Dataset":
    """The data set in `folder`, as its card's metadata describe it."""
    from datasets import load_dataset

    return load_dataset(str(folder), split="train", cache_dir=str(cache))


def prepared_for_sft(data: "Dataset", model: Path, out: Path, **settings: Any) -> tuple["Dataset", Any]:
    """What TRL's own trainer makes of `data`, and its tokenizer."""
    from trl import SFTConfig, SFTTrainer

    usual = {"max_length": None, "use_cpu": True, "report_to": "none", "shuffle_dataset": False}
    trainer = SFTTrainer(str(model), SFTConfig(output_dir=str(out), **usual, **settings), train_dataset=data)
    return trainer.train_dataset, trainer.processing_class


def stretches(row: Mapping[str, Any], tokenizer: Any) -> list[tuple[bool, str]]:
    """The text of a prepared row, in stretches that are learnt and that aren't."""
    found: list[tuple[bool, list[int]]] = []
    for token_id, label in zip(row["input_ids"], row["labels"], strict=True):
        assert label in {token_id, IGNORED}
        if not found or found[-1][0] != (label != IGNORED):
            found.append((label != IGNORED, []))
        found[-1][1].append(token_id)
    return [(is_learnt, tokenizer.decode(ids)) for is_learnt, ids in found]


def expected(trajectory: Trajectory, eos: str) -> list[tuple[bool, str]]:
    """What should be learnt: what the model wrote and its end, neither the prompt nor an output."""
    first, last = trajectory.turns
    words = last.completion.text.removesuffix(last.completion.stop_reason or "")
    prompt = opening(A).prompt
    return [(False, prompt), (True, first.completion.text), (False, first.observation), (True, words + eos)]


RIGHT = [ending for ending in ENDINGS if ending.answer.value == 2]


def test_sft_learns_what_the_model_wrote_and_no_output(
    run: Path, references: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """By messages, with the template that is exported beside them."""
    from trl.data_utils import is_conversational

    folder = exported(run, references, Training.SFT)
    data = load(folder, tmp_path / "cache")
    assert all(map(is_conversational, data))
    settings = {"assistant_only_loss": True, "chat_template_path": str(folder / TEMPLATE_FILE)}
    rows, tokenizer = prepared_for_sft(data, tiny_model, tmp_path / "out", **settings)
    assert [stretches(row, tokenizer) for row in rows] == [expected(one, tokenizer.eos_token) for one in RIGHT]


def test_the_template_renders_the_text_and_teaches_to_stop(
    run: Path, references: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """To the letter, and as TRL's own check of templates wants it."""
    from transformers import AutoTokenizer
    from trl.chat_template_utils import has_generation_markers, is_chat_template_stop_token_trained
    from trl.data_utils import apply_chat_template

    folder = exported(run, references, Training.SFT)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = (folder / TEMPLATE_FILE).read_text()
    assert has_generation_markers(tokenizer.chat_template)
    assert is_chat_template_stop_token_trained(tokenizer)
    for row, ending in zip(load(folder, tmp_path / "cache"), RIGHT, strict=True):
        text = "".join(text for _, text in expected(ending, tokenizer.eos_token))
        assert apply_chat_template({"messages": row["messages"]}, tokenizer)["text"] == text


def test_with_a_tokenizer_sft_learns_the_sampled_tokens(
    run: Path, references: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """The same stretches of text, and no template."""
    data = load(exported(run, references, Training.SFT, tokenizer=tiny_model), tmp_path / "cache")
    rows, tokenizer = prepared_for_sft(data, tiny_model, tmp_path / "out")
    assert [stretches(row, tokenizer) for row in rows] == [expected(one, tokenizer.eos_token) for one in RIGHT]


def test_tokens_are_those_of_the_log_not_of_the_text(tmp_path: Path, references: Path, tiny_model: Path) -> None:
    """A text that was sampled character by character stays so, and a tail is joined to what follows it."""
    vocabulary = TokenizerVocabulary.from_folder(tiny_model)
    asked = f"```python\nprint(2)\n```\n{OUTPUT_FENCE}"
    sampled = tuple(vocabulary.encode(letter)[0] for letter in asked.removesuffix("\n"))
    first = Turn(replace(ENDINGS[0].turns[0].completion, token_ids=sampled, tail="\n"), observation="2\n```")
    last = Turn(with_ids(ENDINGS[0].turns[1].completion, vocabulary))
    run = write_run(tmp_path / "run", events_of(A, [replace(ENDINGS[0], turns=(first, last))]))
    (row,) = load(exported(run, references, Training.SFT, tokenizer=tiny_model), tmp_path / "cache")
    prompt = vocabulary.encode(opening(A).prompt)
    between = vocabulary.encode("\n2\n```")
    assert row["input_ids"][: len(prompt) + len(sampled)] == [*prompt, *sampled]
    learnt = [label for label in row["labels"] if label != IGNORED]
    assert learnt == [*sampled, *last.completion.token_ids, vocabulary.tokenizer.token_to_id("<|im_end|>")]
    assert row["labels"][len(prompt) + len(sampled) :][: len(between)] == [IGNORED] * len(between)


def test_a_text_begins_as_the_tokenizer_has_it(run: Path, references: Path, tiny_model: Path, tmp_path: Path) -> None:
    """A begin-of-sequence token that the model's files declare is in the tokens, and in what the template renders."""
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    declared = json.loads((model / "tokenizer_config.json").read_text())
    bos = {"bos_token": "<|endoftext|>", "add_bos_token": True}
    (model / "tokenizer_config.json").write_text(json.dumps({**declared, **bos}))
    folder = exported(run, references, Training.SFT, tokenizer=model)
    data = load(folder, tmp_path / "cache")
    assert data[0]["input_ids"][:2] == [0, *TokenizerVocabulary.from_folder(model).encode(opening(A).prompt)][:2]
    assert data[0]["labels"][0] == IGNORED
    settings = {"assistant_only_loss": True, "chat_template_path": str(folder / TEMPLATE_FILE)}
    texts = data.select_columns(["messages"])
    rows, tokenizer = prepared_for_sft(texts, model, tmp_path / "out", **settings)
    assert stretches(rows[0], tokenizer)[0] == (False, f"<|endoftext|>{opening(A).prompt}")


def test_another_models_tokenizer_is_refused_and_nothing_is_left(
    run: Path, tmp_path: Path, references: Path, tiny_model: Path
) -> None:
    """Where the log's prompt isn't what the format makes now; the half that was written is taken away."""
    info = {**INFO, "preset": {**INFO["preset"], "format": "qwen2.5-math"}}  # type: ignore[dict-item]
    other = write_run(tmp_path / "other", events_of(A, ENDINGS), info)
    with pytest.raises(ConfigError, match="in other words than the log has"):
        exported(other, references, Training.SFT, tokenizer=tiny_model)
    assert sorted(entry.name for entry in other.iterdir()) == sorted(entry.name for entry in run.iterdir())


def test_a_log_without_tokens_has_no_token_rows(tmp_path: Path, references: Path, tiny_model: Path) -> None:
    """As of an endpoint that speaks in texts: such trajectories are counted, and others exported."""
    vocabulary = TokenizerVocabulary.from_folder(tiny_model)
    first, *others = (tokenized(ending, vocabulary) for ending in ENDINGS)
    bare = tuple(replace(turn, completion=replace(turn.completion, token_ids=())) for turn in first.turns)
    run = write_run(tmp_path / "run", events_of(A, [replace(first, turns=bare), *others]))
    made = export(run, ExportConfig(Training.SFT, references, tmp_path / "out", tokenizer=tiny_model))
    assert (len(made.statuses), made.left_out[ExportStatus.NO_TOKENS]) == (3, 1)


def test_kto_weighs_whole_completions(run: Path, references: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Prompt, completion with its end, and label, as TRL's trainer prepares them."""
    from transformers import AutoTokenizer
    from trl import KTOConfig, KTOTrainer

    data = load(exported(run, references, Training.KTO), tmp_path / "cache")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    settings = {"use_cpu": True, "report_to": "none", "per_device_train_batch_size": 2, "max_length": None}
    config = KTOConfig(output_dir=str(tmp_path / "out"), **settings)
    trainer = KTOTrainer(str(tiny_model), args=config, train_dataset=data, processing_class=tokenizer)
    rows = list(trainer.train_dataset)
    assert [row["label"] for row in rows] == [True, False, True, True, True]
    for row, ending in zip(rows, ENDINGS, strict=True):
        (_, prompt), *rest = expected(ending, tokenizer.eos_token)
        assert tokenizer.decode(row["prompt_ids"]) == prompt
        assert tokenizer.decode(row["completion_ids"]) == "".join(text for _, text in rest)


def test_a_trainer_learns_from_it(run: Path, references: Path, tiny_model: Path, tmp_path: Path) -> None:
    """One step of each kind, from the folder to a finite loss."""
    from trl import SFTConfig, SFTTrainer

    folder = exported(run, references, Training.SFT)
    config = SFTConfig(
        output_dir=str(tmp_path / "out"),
        assistant_only_loss=True,
        chat_template_path=str(folder / TEMPLATE_FILE),
        max_steps=1,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
    )
    trainer = SFTTrainer(str(tiny_model), config, train_dataset=load(folder, tmp_path / "cache"))
    assert 0 < trainer.train().training_loss < 100


def test_the_card_is_one_that_the_hub_reads(run: Path, references: Path) -> None:
    """Its front is YAML with the licence and the files."""
    from huggingface_hub import DatasetCard

    folder = exported(run, references, Training.KTO, license="apache-2.0")
    card = DatasetCard.load(folder / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.to_dict()["configs"][0]["data_files"][0]["path"] == "data/train-*.parquet"
