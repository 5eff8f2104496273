"""What comes of what a user chooses."""

import json
import shutil
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from numina_infer.app.choices import Choices, DecidingChoices, EngineName, ModelChoices, SamplingChoices, own_options
from numina_infer.core.config import SamplingParams, VoteWeights
from numina_infer.core.errors import ConfigError
from numina_infer.core.presets import get_preset


@pytest.mark.parametrize(
    ("model", "fmt", "window"),
    [
        ("AI-MO/NuminaMath-7B-TIR-GPTQ", "numina", 4096),
        ("deepseek-ai/deepseek-math-7b-rl", "deepseek-math", 4096),
        ("Qwen/Qwen2.5-Math-7B-Instruct", "qwen2.5-math", 4096),
        ("nvidia/OpenMath-Nemotron-7B", "openmath", 16384),
    ],
)
def test_a_known_model_brings_its_format_and_window_to_the_winners_presets(model: str, fmt: str, window: int) -> None:
    """So that `--model` alone is right."""
    preset = Choices(engine=EngineName.VLLM, model=model, preset="t4x2").resolve()
    assert (preset.format, preset.server.max_model_len) == (fmt, window)


def test_what_is_chosen_wins_over_the_models_own() -> None:
    """Format and sampling."""
    chosen = Choices(
        engine=EngineName.VLLM, model="qwen2.5-math-7b", preset="t4x2", format="chat", temperature=0.1, max_tokens=99
    ).resolve()
    assert chosen.format == "chat"
    assert (chosen.rollout.sampling.temperature, chosen.rollout.sampling.max_tokens) == (0.1, 99)


def test_the_winners_own_model_keeps_the_winners_sampling() -> None:
    """0.8 and 2048."""
    preset = Choices(engine=EngineName.VLLM, model="numina-7b-gptq", preset="t4x2").resolve()
    assert preset.rollout.sampling == SamplingParams(temperature=0.8, max_tokens=2048)
    assert preset.server == get_preset("t4x2").server


@pytest.mark.parametrize("model", ["nobody/unknown", None, "numina-7b"])
def test_an_unknown_model_leaves_a_preset_as_it_is(model: str | None) -> None:
    """Nothing is guessed."""
    assert Choices(engine=EngineName.VLLM, model=model, preset="t4x2").resolve().format == "numina"


def test_a_preset_for_untrained_models_stays_as_it_is(tiny_model: Path, tmp_path: Path) -> None:
    """Worked examples are what an untrained model needs."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    assert json.loads((folder / "config.json").read_text())
    assert Choices(model=str(folder), preset="cpu").resolve().format == "numina-few-shot"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"endpoint": ("http://h",)}, "endpoint"),
        ({"vllm_python": "python"}, "vllm_python"),
        ({"layout": "replicas"}, "layout"),
        ({"keep_server": True}, "keep_server"),
    ],
)
def test_what_only_vllm_has_is_refused_elsewhere(given: dict[str, object], named: str) -> None:
    """Rather than left unused without a word."""
    with pytest.raises(ConfigError, match=f"{named} means engine vllm"):
        Choices(**given)  # type: ignore[arg-type]
    Choices(engine=EngineName.VLLM, **given)  # type: ignore[arg-type]


def test_an_endpoint_that_is_refused_is_not_shown() -> None:
    """It may hold a password."""
    with pytest.raises(ConfigError) as refused:
        Choices(endpoint=("https://me:secret@h/v1",))
    assert "secret" not in str(refused.value)


def test_servers_of_ours_and_endpoints_of_others_exclude_each_other() -> None:
    """It is one or the other."""
    with pytest.raises(ConfigError, match="leave one out"):
        Choices(engine=EngineName.VLLM, endpoint=("http://h",), keep_server=True)


def test_slots_follow_the_servers_places() -> None:
    """The client sends no more than a server decodes at once."""
    assert Choices(engine=EngineName.VLLM, preset="cpu").resolve().client.max_num_seqs == 16


def test_places_are_named_from_the_root_and_one_endpoint_needs_no_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is resumed from wherever."""
    monkeypatch.chdir(tmp_path)
    one = Choices(engine=EngineName.VLLM, endpoint="https://host")  # type: ignore[arg-type] # what users write
    assert one.endpoint == ("https://host",)
    here = Choices(engine=EngineName.VLLM, endpoint=("./s", "unix:t"))
    assert here.endpoint == (str(tmp_path / "s"), str(tmp_path / "t"))
    assert Choices(engine=EngineName.VLLM, vllm_python="v/python").vllm_python == str(tmp_path / "v" / "python")


def test_a_time_limit_gives_any_preset_a_bank_and_keeps_the_rest_of_one() -> None:
    """The reserve is a twentieth of a short limit; how many problems come is told later."""
    given = Choices(time_limit_s=600.0).resolve().contest.bank
    assert given is not None
    assert (given.time_limit_s, given.reserve_s, given.num_problems) == (600.0, 30.0, None)
    kept = Choices(engine=EngineName.VLLM, preset="t4x2", time_limit_s=18_000.0).resolve().contest.bank
    assert kept is not None
    assert (kept.time_limit_s, kept.reserve_s, kept.num_problems) == (18_000.0, 300.0, 50)


def test_the_winners_machine_refills_and_stops_when_a_problem_is_likely_decided() -> None:
    """Places of 48, a horizon beyond them, one chance in a hundred; the paper's way has as many samples as places."""
    policy = Choices(engine=EngineName.VLLM, preset="t4x2").resolve().policy
    assert (policy.at_once, policy.epsilon) == (48, 0.01)
    assert policy.num_samples > 48
    assert Choices(engine=EngineName.VLLM, preset="t4x2", paper=True).resolve().policy.num_samples == 48


def test_vote_weights_are_chosen_by_name() -> None:
    """The others stay off."""
    weights = Choices(vote_weights={"suspicious": 0.6, "length_tokens": 300}).resolve().policy.weights
    assert weights == VoteWeights(suspicious=0.6, length_tokens=300)
    with pytest.raises(ConfigError, match="no vote weight is called 'luck'"):
        Choices(vote_weights={"luck": 0.5}).resolve()
    with pytest.raises(ConfigError, match=r"suspicious is 2\.0"):
        Choices(vote_weights={"suspicious": 2.0}).resolve()
    with pytest.raises(ConfigError, match="vote_weights with paper"):
        Choices(preset="numina", paper=True, vote_weights={"suspicious": 0.6}).resolve()


def test_samples_and_a_probe_are_for_the_simulated_engine() -> None:
    """Named for another, they would be left unused without a word."""
    with pytest.raises(ConfigError, match="only the simulated engine takes one"):
        Choices(samples="here.jsonl")
    with pytest.raises(ConfigError, match="only the simulated engine takes one"):
        Choices(engine=EngineName.SCRIPTED, probe="probe.json")


def test_every_choice_is_an_option_of_one_record() -> None:
    """Nothing that can be chosen in Python is missing on the command line; a competition is the rehearsal's."""
    records = (Choices, ModelChoices, SamplingChoices, DecidingChoices)
    names = [name for record in records for name in own_options(record)]
    assert sorted([*names, "competition"]) == sorted(field.name for field in fields(Choices))


def test_choices_are_written_flat_and_read_back() -> None:
    """As in the `run.json` of runs of before there were three records."""
    chosen = Choices(EngineName.VLLM, "numina-7b", num_samples=8, temperature=0.6, vote_weights={"no_code": 0.5})
    written = json.loads(json.dumps(asdict(chosen)))
    assert written["num_samples"] == 8
    assert Choices(**written) == chosen
