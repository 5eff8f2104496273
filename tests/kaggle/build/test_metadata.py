"""Metadata files: every field stated, and what the client or Kaggle would refuse refused here first."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.competitions.known import COMPETITIONS
from numina_infer.core.errors import ConfigError
from numina_infer.kaggle.build.metadata import DatasetMetadata, KernelMetadata, Metadata, own_model
from numina_infer.kaggle.build.push import Push
from numina_infer.kaggle.build.sources import ModelSource, dataset_fault, is_slug, kernel_fault, model_fault, slugify
from numina_infer.models.model_folder import read_json

KERNEL = KernelMetadata(id="me/my-kernel", title="my kernel", model_sources=("me/m/transformers/v/1",))
DATASET = DatasetMetadata(id="me/my-data", title="my data", subtitle="as long as it must be", description="")
SOURCE = ModelSource("me", "my-7b", "transformers", "gptq", 2)


@pytest.mark.parametrize("metadata", [KERNEL, DATASET, *own_model(SOURCE)], ids=lambda each: each.FILE_NAME)
def test_every_field_is_written(metadata: Metadata, tmp_path: Path) -> None:
    """Under the client's name for it, so that no default of the client's is taken."""
    content = read_json(metadata.write(tmp_path))
    assert list(content) == [field.name for field in fields(metadata)]  # type: ignore[arg-type] # all are dataclasses
    assert list(metadata.faults(content)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "my-kernel"}, "isn't OWNER/SLUG"),
        ({"id": "me/abcd", "title": "abcde"}, "fewer than 5 characters"),
        ({"id": "me/my-kernel/3"}, "a kernel's id has no version"),
        ({"title": "mine"}, "five characters or more"),
        ({"title": "Another name"}, "becomes the slug 'another-name', and id has 'my-kernel'"),
        ({"code_file": ""}, "code_file is missing"),
        ({"language": "julia"}, "language is 'julia'; it must be one of python, r, rmarkdown"),
        ({"kernel_type": "book"}, "kernel_type is 'book'"),
        ({"docker_image_pinning_type": "newest"}, "must be one of original, latest"),
        ({"enable_internet": "false"}, 'enable_internet is "false"; it must be true or false'),
        ({"dataset_sources": ("mine",)}, "the dataset 'mine' isn't"),
        ({"dataset_sources": ("me/mine/newest",)}, "is no number"),
        ({"kernel_sources": ("me/abc",)}, "the kernel 'me/abc' has fewer than 5"),
        ({"model_sources": ("me/m/transformers/v",)}, "isn't OWNER/MODEL/FRAMEWORK/VARIATION/VERSION"),
        ({"model_sources": ("me/m/transformers/v/one",)}, "its version|must be a number"),
    ],
)
def test_a_kernel_that_the_client_refuses_is_not_made(change: dict[str, Any], message: str) -> None:
    """With what is wrong in words."""
    with pytest.raises(ConfigError, match=message):
        replace(KERNEL, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "me/short"}, "must have 6 to 50 characters"),
        ({"id": f"me/{'a' * 51}"}, "must have 6 to 50 characters"),
        ({"id": "me/my-data/1"}, "a dataset's id has no version"),
        ({"title": "short"}, "title is 'short'; it must have 6 to 50"),
        ({"subtitle": "too short"}, "subtitle is 'too short'; it must have 20 to 80"),
        ({"licenses": ()}, "it must be exactly one"),
        ({"licenses": ({"name": "a"}, {"name": "b"})}, "it must be exactly one"),
    ],
)
def test_a_dataset_that_the_client_refuses_is_not_made(change: dict[str, Any], message: str) -> None:
    """With what is wrong in words."""
    with pytest.raises(ConfigError, match=message):
        replace(DATASET, **change)


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Not one fault after the other."""
    with pytest.raises(ConfigError, match=r"julia.*book"):
        replace(KERNEL, language="julia", kernel_type="book")


def test_a_model_slug_has_small_letters() -> None:
    """As the client has it."""
    with pytest.raises(ConfigError, match="slug is 'My_7b'"):
        own_model(replace(SOURCE, model="My_7b"))


slugs = st.from_regex(r"[a-z0-9]{5,12}(-[a-z0-9]{1,8}){0,2}", fullmatch=True)


@given(slugs, slugs, slugs, slugs, st.integers(1, 999))
def test_a_model_source_is_read_as_written(
    owner: str, model: str, framework: str, variation: str, number: int
) -> None:
    """All five parts."""
    source = ModelSource(owner, model, framework, variation, number)
    assert ModelSource.parse(str(source)) == source


@given(st.text(max_size=30))
def test_no_text_is_read_as_another_source(text: str) -> None:
    """What is taken for a source is written again as it stands, up to zeros before its number."""
    if not model_fault(text):
        assert [*str(ModelSource.parse(text)).split("/")][:4] == text.split("/")[:4]
    if not dataset_fault(text):
        assert all(is_slug(part) for part in text.split("/"))


@given(st.text())
def test_a_title_becomes_a_slug_or_nothing(title: str) -> None:
    """One that stays as it is when it is made again."""
    slug = slugify(title)
    assert slug == slugify(slug)
    assert not slug or is_slug(slug)


@pytest.mark.parametrize("name", list(COMPETITIONS))
def test_a_kernel_follows_its_competition(name: str) -> None:
    """Machine, sources and settings; the preset for two T4s only where there are some."""
    push = Push("me", COMPETITIONS[name], SOURCE)
    metadata = push.metadata()
    assert metadata.competition_sources == (COMPETITIONS[name].slug,)
    assert metadata.machine_shape == COMPETITIONS[name].machine_shape
    assert push.settings == {"COMPETITION": name, "MODEL": str(SOURCE), "PRESET": "t4x2" if name == "aimo-1" else ""}
    assert not kernel_fault(push.name)


def test_a_preset_for_a_machine_takes_it_along() -> None:
    """Unless another is named."""
    on_t4s = Push("me", COMPETITIONS["aimo-3"], SOURCE, preset="t4x2")
    assert on_t4s.shape == "NvidiaTeslaT4"
    assert replace(on_t4s, shape="NvidiaH100").metadata().machine_shape == "NvidiaH100"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"owner": "no such/name"}, "it must be your user name"),
        ({"shape": "NvidiaTeslaT4x2"}, "choose one of NvidiaH100"),
        ({"preset": "t4"}, "no preset is called 't4'"),
        ({"wheelhouse": "wheels"}, "the dataset 'wheels' isn't OWNER/SLUG"),
        ({"slug": "has space"}, "slug is 'has space'"),
    ],
)
def test_a_kernel_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    """With the value and what would do."""
    with pytest.raises(ConfigError, match=message):
        replace(Push("me", COMPETITIONS["aimo-1"], SOURCE), **change)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_file_that_holds_no_object_is_refused(text: str, tmp_path: Path) -> None:
    """By its name."""
    path = tmp_path / "kernel-metadata.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"kernel-metadata\.json holds no JSON"):
        read_json(path)


def test_the_file_in_the_checkout_is_what_is_built(tmp_path: Path) -> None:
    """But for the owner, the model and the notebook's place."""
    root = Path(__file__).parents[3]
    model = ModelSource.parse("OWNER/numina-7b-gptq/transformers/default/1")
    expected = Push("OWNER", COMPETITIONS["aimo-1"], model).metadata("notebooks/submission.ipynb")
    assert (root / "kernel-metadata.json").read_text(encoding="utf-8") == expected.write(tmp_path).read_text()
    assert (root / expected.code_file).is_file()
