"""What is attached is found in both of Kaggle's layouts, by what is in a folder and not by its path."""

import os
from pathlib import Path

import pytest

from numina_infer.core.errors import ConfigError
from numina_infer.kaggle import place
from numina_infer.kaggle.place import Inputs

SLUG = "ai-mathematical-olympiad-progress-prize-3"
OLD = {
    "competition": SLUG,
    "model": "numina-7b-gptq/transformers/default/1",
    "wheels": "vllm-wheels",
}
NEW = {
    "competition": f"competitions/{SLUG}",
    "model": "models/someone/numina-7b-gptq/transformers/default/1",
    "wheels": "datasets/someone/vllm-wheels",
}


def put(root: Path, *files: str) -> None:
    """Empty files below `root`."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


@pytest.mark.parametrize("layout", [OLD, NEW], ids=["older", "newer"])
def test_both_layouts_are_read_alike(tmp_path: Path, layout: dict[str, str]) -> None:
    """Competition, problems, model and wheelhouse."""
    put(tmp_path, f"{layout['competition']}/test.csv", f"{layout['model']}/config.json")
    put(tmp_path, f"{layout['wheels']}/requirements.lock", f"{layout['wheels']}/vllm-0.19.1-cp38-abi3-x.whl")
    attached = Inputs(tmp_path)
    assert attached.competition(SLUG) == tmp_path / layout["competition"]
    assert attached.problems(SLUG) == tmp_path / layout["competition"] / "test.csv"
    assert attached.models() == (tmp_path / layout["model"],)
    assert attached.model() == tmp_path / layout["model"]
    assert attached.model("someone/numina-7b-gptq/transformers/default/1") == tmp_path / layout["model"]
    assert attached.wheelhouse() == tmp_path / layout["wheels"]


def test_nothing_attached_is_nothing_found(tmp_path: Path) -> None:
    """A laptop has no such folder at all; the error says what a model's folder has."""
    attached = Inputs(tmp_path / "nowhere")
    assert attached.competition(SLUG) is None
    assert attached.problems(SLUG) is None
    assert attached.models() == ()
    assert attached.wheelhouse() is None
    with pytest.raises(ConfigError, match=r"no model is attached.*config\.json"):
        attached.model()


def test_a_competition_without_problems_has_none(tmp_path: Path) -> None:
    """Its folder is found all the same."""
    put(tmp_path, f"{SLUG}/sample_submission.csv")
    assert Inputs(tmp_path).competition(SLUG) == tmp_path / SLUG
    assert Inputs(tmp_path).problems(SLUG) is None
    with pytest.raises(ConfigError, match="slug is empty"):
        Inputs(tmp_path).competition("")


@pytest.fixture
def several(tmp_path: Path) -> Inputs:
    """Three models, one of them in two versions, one in a data set."""
    put(
        tmp_path,
        "models/someone/Numina-7B/transformers/fp16/1/config.json",
        "models/someone/Numina-7B/transformers/fp16/2/config.json",
        "models/someone/Numina-7B-gptq/transformers/int8/1/config.json",
        "datasets/someone/tuned/qwen/checkpoint-100/config.json",
    )
    return Inputs(tmp_path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gptq", "Numina-7B-gptq/transformers/int8/1"),
        ("QWEN", "tuned/qwen/checkpoint-100"),
        ("fp16/2", "Numina-7B/transformers/fp16/2"),
        ("/numina-7b/transformers/fp16/1/", "Numina-7B/transformers/fp16/1"),
    ],
)
def test_a_name_picks_one_of_several(several: Inputs, name: str, found: str) -> None:
    """In any case of letters, from anywhere in the path."""
    assert several.model(name).as_posix().endswith(found)


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("", ["4 models are attached", "fp16/1", "fp16/2", "int8/1", "checkpoint-100"]),
        ("numina", ["3 models", "fp16/1", "fp16/2", "int8/1"]),
        ("llama", ["no model is named like 'llama'", "fp16/1", "fp16/2", "int8/1", "checkpoint-100"]),
    ],
)
def test_none_or_several_matches_are_listed(several: Inputs, name: str, listed: list[str]) -> None:
    """The user sees what to write."""
    with pytest.raises(ConfigError) as raised:
        several.model(name)
    assert all(words in str(raised.value) for words in listed)


def test_whole_folders_win_over_parts(several: Inputs) -> None:
    """`Numina-7B` is the two versions and not the other model, whose name begins alike."""
    with pytest.raises(ConfigError, match="2 models") as raised:
        several.model("numina-7b")
    assert "gptq" not in str(raised.value)


def test_what_lies_inside_a_model_is_no_model_of_its_own(tmp_path: Path) -> None:
    """Sentence encoders have such folders."""
    put(tmp_path, "encoder/config.json", "encoder/1_Pooling/config.json")
    assert Inputs(tmp_path).model() == tmp_path / "encoder"


def test_several_wheelhouses_are_listed_and_others_passed_over(tmp_path: Path) -> None:
    """Wheels without a lock, or without vLLM, are none."""
    put(tmp_path, "loose/vllm-0.4.2-cp310-x.whl", "small/requirements.lock", "small/numpy-2.0-x.whl")
    assert Inputs(tmp_path).wheelhouse() is None
    put(tmp_path, "a/requirements.lock", "a/vllm-0.19.1-x.whl", "b/c/requirements.lock", "b/c/vllm-0.33.0-x.whl")
    with pytest.raises(ConfigError, match=r"2 wheelhouses are attached.*: a, b/c"):
        Inputs(tmp_path).wheelhouse()


def test_links_are_followed_once(tmp_path: Path) -> None:
    """A loop ends, and a model that is reached twice is one."""
    put(tmp_path, "model/1/config.json", "data/readme")
    (tmp_path / "data" / "up").symlink_to(tmp_path)
    (tmp_path / "data" / "nowhere").symlink_to(tmp_path / "gone")
    assert Inputs(tmp_path).models() == (tmp_path / "model" / "1",)
    (tmp_path / "linked").symlink_to(tmp_path / "model")
    assert len(Inputs(tmp_path).models()) == 1


def test_big_data_sets_are_not_read_to_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model far down beside one is found before it, whatever its size."""
    monkeypatch.setattr(place, "_MOST_ENTRIES", 5)
    monkeypatch.setattr(place, "_MOST_FOLDERS", 12)
    put(tmp_path, *(f"images/{number}.png" for number in range(50)), "models/a/b/c/d/1/config.json")
    put(tmp_path, *(f"datasets/many/{number}/{inner}/x" for number in range(20) for inner in range(9)))
    entered: list[Path] = []
    scandir = os.scandir

    def counting(folder: Path) -> object:
        entered.append(folder)
        return scandir(folder)

    monkeypatch.setattr("os.scandir", counting)
    assert Inputs(tmp_path).model() == tmp_path / "models/a/b/c/d/1"
    assert len(entered) <= 12


@pytest.mark.parametrize("depth", range(1, 9))
def test_a_model_is_found_at_any_depth_of_the_two_layouts(tmp_path: Path, depth: int) -> None:
    """Down to two folders below the deepest known."""
    put(tmp_path, f"{'folder/' * depth}config.json")
    assert len(Inputs(tmp_path).models()) == 1
