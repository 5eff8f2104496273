"""Numbers that an endpoint or a user brings: each is refused where it comes in, or can be read in the run log."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numina_infer.core.config import BankConfig, SamplingParams
from numina_infer.core.errors import ConfigError, EngineError
from numina_infer.core.events import Ended
from numina_infer.core.presets import Preset, get_preset
from numina_infer.core.records import LARGEST_WHOLE, Completion, ExtractedAnswer, Outcome, Trajectory, Turn
from numina_infer.engines.http.endpoint import kv_tokens
from numina_infer.engines.http.wire import Reply, TextReply, TokenReply, read_chunks
from numina_infer.engines.scripted_engine import VOCABULARY
from numina_infer.lab.replay.recording import read_preset
from numina_infer.runs.history import read_events
from numina_infer.runs.log import TRAJECTORIES_FILE, RunLog
from numina_infer.runs.rows import RowError, read_record
from tests.fuzz.endpoints import greet, told

pytestmark = pytest.mark.anyio
absurd_numbers = st.one_of(
    st.integers(),
    st.sampled_from([2**63 - 1, 2**63, 2**64, 10**400, -1, True, 0]),
    st.floats(),
    st.sampled_from([1e308, -1e308, float("-inf"), float("nan")]),
    st.none(),
)


def replies() -> Iterator[Reply]:
    """An empty one of either dialect."""
    yield TextReply(SamplingParams())
    yield TokenReply(VOCABULARY, SamplingParams(), [1, 2], room=100)


async def filled(reply: Reply, event: Mapping[str, Any]) -> Completion | None:
    """What comes of a reply that is streamed in one event; None where that is refused."""

    async def received() -> Any:
        yield b"data: " + json.dumps(event).encode() + b"\n"

    try:
        async for chunk in read_chunks(received()):
            reply.take(chunk)
    except EngineError:
        return None
    return reply.completion(7)


def refuse(name: str) -> None:
    """For what Python's reader takes and JSON doesn't have."""
    raise AssertionError(f"{name} is no JSON")


def assert_readable(completion: Completion) -> None:
    """As an event of a run log that other programs can read too."""
    turns = (Turn(completion),)
    event = Ended(Trajectory("a", 0, turns, Outcome.FINISHED, ExtractedAnswer(5)), 1.0)
    with tempfile.TemporaryDirectory() as name:
        with RunLog(Path(name)) as log:
            log.write(event)
        assert list(read_events(Path(name))) == [event]
        json.loads((Path(name) / TRAJECTORIES_FILE).read_text(), parse_constant=refuse)


@given(
    st.fixed_dictionaries({"completion_tokens": absurd_numbers, "prompt_tokens": absurd_numbers}),
    absurd_numbers,
    st.lists(absurd_numbers, max_size=3),
    st.lists(absurd_numbers, min_size=2, max_size=2),
)
@example({"completion_tokens": 2**64}, 0, [65], [-1.0])
@example({"completion_tokens": 3}, 10**20, [65], [-1.0])
@example({"completion_tokens": 2}, 0, [65, 66], [-1e308, -1e308])
def test_what_an_endpoint_counts_is_refused_or_read_in_the_log(
    usage: dict[str, Any], cached: object, ids: list[object], logprobs: list[object]
) -> None:
    """In both dialects: usage, token ids, logarithms of probabilities and their sum."""
    import anyio

    choice = {"text": "5", "token_ids": ids, "logprobs": {"token_logprobs": logprobs}, "finish_reason": "stop"}
    event = {"choices": [choice], "usage": {**usage, "prompt_tokens_details": {"cached_tokens": cached}}}
    for reply in replies():
        completion = anyio.run(filled, reply, event)
        if completion is not None:
            assert_readable(completion)


@given(absurd_numbers)
def test_a_context_length_that_no_record_holds_is_not_believed(length: object) -> None:
    """The endpoint is used as one that doesn't tell."""
    import anyio

    abilities = anyio.run(greet, told(models={"data": [{"id": "m", "max_model_len": length}]}))
    assert abilities is not None
    assert abilities.max_model_len is None or 0 < abilities.max_model_len <= LARGEST_WHOLE


def test_a_cache_that_no_record_holds_is_not_believed() -> None:
    """Its size is a product of two numbers that a server says."""
    many = "9" * 12
    assert kv_tokens(f'vllm:cache_config_info{{block_size="{many}",num_gpu_blocks="{many}"}} 1.0\n') is None


PRESET = replace(get_preset("t4x2"), contest=replace(get_preset("t4x2").contest, bank=BankConfig(num_problems=50)))


def numbers(record: Any, kind: type) -> Iterator[tuple[str, ...]]:
    """The paths of all fields of type `kind` in `record` and the records in it."""
    hints = get_type_hints(type(record))
    for field in fields(record):
        value = getattr(record, field.name)
        if is_dataclass(value):
            yield from ((field.name, *rest) for rest in numbers(value, kind))
        elif hints[field.name] in {kind, kind | None}:
            yield (field.name,)


def changed(record: Any, path: tuple[str, ...], value: object) -> Any:
    """`record` with another value at `path`."""
    first, *rest = path
    return replace(record, **{first: changed(getattr(record, first), tuple(rest), value) if rest else value})


@pytest.mark.parametrize("path", list(numbers(PRESET, int)), ids=".".join)
@pytest.mark.parametrize("value", [LARGEST_WHOLE, LARGEST_WHOLE + 1, 10**5000], ids=["largest", "next", "endless"])
def test_a_whole_number_of_a_preset_is_refused_or_read_in_the_log(path: tuple[str, ...], value: int) -> None:
    """By one bound, which writer and reader share."""
    assert_refused_or_read(path, value)
    if value > LARGEST_WHOLE:
        with pytest.raises(ConfigError):
            changed(PRESET, path, value)


@pytest.mark.parametrize("path", list(numbers(PRESET, float)), ids=".".join)
@pytest.mark.parametrize("value", [10**20, 10**400, float("inf"), float("nan"), -1])
def test_a_number_of_a_preset_is_refused_or_read_in_the_log(path: tuple[str, ...], value: float) -> None:
    """An integer may stand for it, however large, as long as a float holds it."""
    assert_refused_or_read(path, value)


def assert_refused_or_read(path: tuple[str, ...], value: float) -> None:
    """The preset with `value` at `path`, where there can be such a preset."""
    try:
        preset: Preset = changed(PRESET, path, value)
    except ConfigError:
        return
    assert read_preset(json.loads(json.dumps({"preset": asdict(preset)}))) == preset


def test_a_number_that_no_float_holds_is_no_time() -> None:
    """As of a log that somebody edited."""
    row = {"text": "", "token_ids": [], "finish_reason": "stop", "cumulative_logprob": 10**400}
    with pytest.raises(RowError, match="cumulative_logprob: a number is beyond what a float holds"):
        read_record(Completion, row)
