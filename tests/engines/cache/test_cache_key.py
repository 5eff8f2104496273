"""Which requests are the same."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.config import SamplingParams
from numina_infer.core.records import Completion, FinishReason, Part, SpecialToken
from numina_infer.engines.cached_engine import cache_key, identity
from numina_infer.engines.context import render, runs
from numina_infer.engines.scripted_engine import VOCABULARY, ByteVocabulary

# Few letters, so that contexts which differ only in where they are cut do come up.
texts = st.text(st.sampled_from('ab"\\\n{[,\ud800é'), max_size=4)
completions = st.builds(
    lambda said, tail, reason: Completion(said + tail, tuple(VOCABULARY.encode(said)), reason, tail=tail),
    st.text(st.sampled_from("ab"), max_size=6),
    texts,
    st.sampled_from(FinishReason),
)
contexts = st.lists(texts | st.builds(SpecialToken, st.sampled_from(["a", "<s>"])) | completions, max_size=4)
sampling = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0, 0.5, 1, 1.0]),
    top_p=st.sampled_from([0.5, 1, 1.0]),
    top_k=st.sampled_from([0, 1]),
    min_p=st.sampled_from([0, 0.5]),
    max_tokens=st.sampled_from([1, 2]),
    stop=st.lists(st.text(st.sampled_from("ab"), min_size=1, max_size=2), max_size=2).map(tuple),
)
engines = st.dictionaries(st.sampled_from(["engine", "weights", "model"]), st.sampled_from(["a", "b", 1, 1.5]))
Request = tuple[Mapping[str, str | int | float], list[Part], SamplingParams, int]
requests: st.SearchStrategy[Request] = st.tuples(engines, contexts, sampling, st.sampled_from([0, 1, 2**31 - 1]))
ENGINE = {"engine": "scripted", "model": "chatter", "tokenizer": "bytes"}


def asked(request: Request) -> object:
    """What a request asks, without a hash."""
    engine, context, params, seed = request
    return dict(engine), list(runs(context)), params, seed


@given(requests, requests)
def test_requests_share_a_key_only_where_they_ask_the_same(one: Request, other: Request) -> None:
    """And then they do."""
    assert (cache_key(*one) == cache_key(*other)) == (asked(one) == asked(other))


@given(contexts, contexts)
def test_contexts_of_one_key_have_the_same_token_ids(one: list[Part], other: list[Part]) -> None:
    """With something in front of a text and without."""
    if cache_key(ENGINE, one, SamplingParams(), 0) != cache_key(ENGINE, other, SamplingParams(), 0):
        return
    for vocabulary in (ByteVocabulary(), ByteVocabulary(bos=(1 << 40,))):
        assert render(one, vocabulary) == render(other, vocabulary)


def test_a_text_may_come_in_pieces() -> None:
    """Neighbouring texts are one text, and a tail goes with what follows."""
    said = Completion("xy", tuple(VOCABULARY.encode("x")), FinishReason.STOP, tail="y")
    pieces: list[list[Part]] = [
        ["ab", "c", said, "z"],
        ["a", "bc", "", said, "z", ""],
        ["abc", replace(said, tail="yz")],
    ]
    assert len({cache_key(ENGINE, context, SamplingParams(), 0) for context in pieces}) == 1


def test_a_special_token_is_not_its_spelling() -> None:
    """Plain text never becomes one."""
    assert cache_key(ENGINE, ["<s>"], SamplingParams(), 0) != cache_key(
        ENGINE, [SpecialToken("<s>")], SamplingParams(), 0
    )


def test_where_an_engine_runs_and_how_much_it_takes_is_no_part_of_it() -> None:
    """What decides the text is: weights, tokenizer, version, type, precision, window."""
    decides: dict[str, str | int | float] = {
        "engine": "vllm",
        "weights": "abc",
        "tokenizer": "def",
        "dtype": "half",
        "max_model_len": 4096,
    }
    named = {"model": "/models/here", "root": "/models/here"}
    placed: dict[str, str | int | float] = {
        "endpoints": "a socket",
        "num_endpoints": 1,
        "servers": 1,
        "gpus": "0",
        "cache": "a folder",
    }
    sized: dict[str, str | int | float] = {"kv_tokens": 9, "max_num_seqs": 48, "num_threads": 1}
    assert identity({**decides, **named, **placed, **sized, "something": "new"}) == {**decides, "something": "new"}


def test_without_a_hash_of_the_weights_their_name_stands_for_them() -> None:
    """An endpoint of others tells no more."""
    named = identity({"engine": "openai_api", "model": "my-7b", "root": "/srv/my-7b"})
    assert named == {"engine": "openai_api", "model": "my-7b", "root": "/srv/my-7b"}
