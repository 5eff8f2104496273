"""Requests, and what comes back as server-sent events."""

import json
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.config import SamplingParams
from numina_infer.core.errors import EngineError
from numina_infer.engines.http.wire import (
    Abilities,
    Chunk,
    Dialect,
    EndpointLostError,
    TurnRequest,
    error_message,
    read_chunks,
    request,
)

TURN = TurnRequest(
    [5, 6], SamplingParams(temperature=0.5, top_p=0.9, stop=("```\n",)), 70, seed=3, priority=4, end_ids=(2,)
)


def read(*received: bytes) -> list[Chunk]:
    """The chunks of a stream that comes in these pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        for data in received:
            yield data

    async def gather() -> list[Chunk]:
        return [chunk async for chunk in read_chunks(pieces())]

    return anyio.run(gather)


def event(content: object) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(content, ensure_ascii=False).encode() + b"\n\n"


def test_a_request_has_everything_that_a_turn_depends_on() -> None:
    """Nothing is left to the server's defaults."""
    body = request(TURN, Abilities("m", Dialect.TOKENS, takes_priority=True))
    assert (body["prompt"], body["seed"], body["max_tokens"], body["priority"]) == ([5, 6], 3, 70, 4)
    assert (body["stop"], body["include_stop_str_in_output"], body["stop_token_ids"]) == (["```\n"], True, [2])
    assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (0.5, 0.9, 0, 0.0)
    assert body["repetition_penalty"] == 1.0
    assert "priority" not in request(TURN, Abilities("m", Dialect.TOKENS))


def test_the_dialect_text_is_what_every_server_takes() -> None:
    """Stop strings are found here, where they stay in the text."""
    body = request(TURN, Abilities("m", Dialect.TEXT))
    assert set(body) == {"model", "prompt", "max_tokens", "temperature", "top_p", "seed", "stream", "stream_options"}


def test_a_stream_is_read_whole() -> None:
    """Tokens, log-probabilities, the end and its reason, and what the server counted."""
    choice = {"text": "a", "token_ids": [7, 8], "logprobs": {"token_logprobs": [-0.5, -1]}}
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    end = {"text": "", "finish_reason": "stop", "stop_reason": "```\n"}
    chunks = read(
        b": a comment\n\nevent: message\n",
        event({"choices": [choice]}),
        event({"choices": [end], "error": None}),
        event({"choices": [], "usage": usage}),
        b"data: [DONE]\n\ndata: no more\n\n",
    )
    assert chunks == [
        Chunk((7, 8), "a", (-0.5, -1.0)),
        Chunk(finish_reason="stop", stop_reason="```\n"),
        Chunk(num_tokens=2, num_prompt_tokens=9, num_cached_tokens=4),
    ]


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=4), st.randoms(use_true_random=False))
def test_no_text_and_no_cut_between_bytes_changes_what_is_read(texts: list[str], random: Any) -> None:
    """A line ends at a newline alone; JSON leaves Unicode's other line ends in a text as they are."""
    stream = b"".join(event({"choices": [{"text": text}]}) for text in texts)
    cuts = [0, *sorted(random.randrange(len(stream) + 1) for _ in range(6)), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(cuts)]
    assert [chunk.text for chunk in read(*pieces)] == texts


def test_half_a_character_is_a_question_mark() -> None:
    """The text goes out again with the next turn, in UTF-8."""
    assert read(b'data: {"choices": [{"text": "a\\ud835b"}]}\n') == [Chunk(text="a?b")]


def test_carriage_returns_end_lines_too() -> None:
    """Some servers send them."""
    assert read(b'data: {"choices": [{"text": "a"}]}\r\n\r\ndata: [DONE]\r\n\r\n') == [Chunk(text="a")]


def test_half_a_line_at_the_end_is_no_event() -> None:
    """The connection broke off in it, which is told by the reason that is missing."""
    assert read(event({"choices": [{"text": "a"}]}), b'data: {"choices": [{"te') == [Chunk(text="a")]


def test_an_error_in_the_stream_breaks_the_reply_off() -> None:
    """The server's own words, out of either shape."""
    with pytest.raises(EndpointLostError, match=r"^the endpoint broke off: the engine died$"):
        read(event({"error": {"message": "the engine died", "code": 500}}))
    with pytest.raises(EndpointLostError, match=r"^the endpoint broke off: gone$"):
        read(event({"error": "gone"}))


@pytest.mark.parametrize(
    "content",
    [
        5,
        [],
        "error",
        {"choices": 5},
        {"choices": {"a": 1}},
        {"choices": [5]},
        {"choices": [{"token_ids": [-1]}]},
        {"choices": [{"token_ids": [True]}]},
        {"choices": [{"token_ids": ["7"]}]},
        {"choices": [{"logprobs": {"token_logprobs": [10**400]}}]},
    ],
)
def test_what_is_no_completion_is_named(content: object) -> None:
    """With its beginning."""
    with pytest.raises(EngineError, match=r"sent what is no completion: ['\x22]"):
        read(event(content))


@pytest.mark.parametrize("count", [2**64, -7, "7", True, 1.5])
def test_a_count_that_no_record_holds_costs_no_text(count: object) -> None:
    """The text is good, and tokens are counted here."""
    usage = {"completion_tokens": count, "prompt_tokens": count, "prompt_tokens_details": {"cached_tokens": count}}
    chunks = read(event({"choices": [{"text": "5", "finish_reason": "stop"}], "usage": usage}))
    assert chunks == [Chunk(text="5", finish_reason="stop")]


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[" * 100_000, b'{"choices": [{"token_ids": [1' + b"0" * 5000])
def test_what_is_no_json_is_named(data: bytes) -> None:
    """Whatever the parser trips over."""
    with pytest.raises(EngineError, match="sent what is no completion"):
        read(b"data: " + data + b"\n")


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ("choices", "usage", "token_ids", "logprobs", "token_logprobs", "text", "error", "detail")
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(
    st.lists(
        JSON.map(event) | st.binary(max_size=20).map(lambda data: b"data:" + data + b"\n") | st.binary(), max_size=4
    )
)
def test_hostile_streams_give_chunks_or_an_error_of_ours(received: Sequence[bytes]) -> None:
    """Nothing else gets out, and what gets through is made of the right types."""
    try:
        chunks = read(*received)
    except EngineError:
        return
    for chunk in chunks:
        assert all(type(token_id) is int and token_id >= 0 for token_id in chunk.token_ids)
        assert all(type(value) is float for value in chunk.logprobs)
        assert type(chunk.text) is str


def test_a_log_probability_that_is_no_number_is_left_out() -> None:
    """So that the completion has none, and the run log stays JSON."""
    (chunk,) = read(b'data: {"choices": [{"logprobs": {"token_logprobs": [NaN, -1.0, null, -Infinity]}}]}\n')
    assert chunk.logprobs == (-1.0,)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"error": {"message": "no"}}, "no"),
        ({"object": "error", "message": "no"}, "no"),
        ({"detail": "no"}, "no"),
        ("no", "no"),
    ],
)
def test_what_a_server_says_is_found_in_every_shape(reply: object, said: str) -> None:
    """vLLM's, OpenAI's, FastAPI's, and plain text; not without end."""
    assert error_message(reply) == said
    assert len(error_message("x" * 9999)) == 500


def test_what_a_server_says_may_be_nested_without_end() -> None:
    """Deeper than Python follows."""
    said: object = "no"
    nested: list[object] = []
    for _ in range(100_000):
        said, nested = {"error": said}, [nested]
    assert error_message(said).startswith("it said what is nested")
    assert error_message(nested).startswith("it said what is nested")
