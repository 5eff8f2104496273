"""Rendering, stop strings, and the splice."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from numina_infer.core.config import SamplingParams
from numina_infer.core.records import Completion, FinishReason, Part, SpecialToken, plain_text
from numina_infer.engines.context import Transcript, find_stop, render
from numina_infer.engines.scripted_engine import VOCABULARY, ByteVocabulary

texts = st.text(st.sampled_from("ab`\n é€𝔽"), max_size=20)
WITH_BOS = ByteVocabulary(bos=(1 << 40,))
encode, decode = WITH_BOS.encode, WITH_BOS.decode
stops = st.lists(st.text(st.sampled_from("ab`\n é€𝔽"), min_size=1, max_size=4), max_size=3)


def bytewise(data: bytes) -> list[int]:
    """Tokens of one byte each, so that every character may be cut."""
    return [256 + byte for byte in data]


def write(tokens: list[int], stop: list[str] | None = None, max_tokens: int = 1000, room: int = 1000) -> Completion:
    """What becomes of `tokens` when nothing else ends them."""
    transcript = Transcript(decode, SamplingParams(stop=tuple(stop or ()), max_tokens=max_tokens), room=room)
    for token in tokens:
        if transcript.push(token) is not None:
            break
    return transcript.completion(seed=0, num_prompt_tokens=0)


@given(texts, stops, st.booleans())
def test_tokens_within_the_text_and_the_tail_are_the_text(text: str, stop: list[str], in_bytes: bool) -> None:
    """The splice rule, for tokens of one byte and of four."""
    tokens = bytewise(text.encode()) if in_bytes else encode(text)
    completion = write(tokens, stop)
    assert decode(completion.token_ids) + completion.tail == completion.text
    assert list(completion.token_ids) == tokens[: len(completion.token_ids)]


@given(texts, stops, st.booleans())
def test_the_text_ends_behind_the_first_stop_string_or_is_all_of_it(
    text: str, stop: list[str], in_bytes: bool
) -> None:
    """However the tokens lie, the cut is where the text alone says."""
    completion = write(bytewise(text.encode()) if in_bytes else encode(text), stop)
    found = find_stop(text, stop)
    assert completion.text == (text if found is None else text[: found[1]])
    assert (completion.finish_reason is FinishReason.STOP) == (found is not None)
    assert completion.stop_reason == (None if found is None else found[0])


@given(texts, st.integers(1, 60))
def test_half_a_character_is_left_out_with_its_tokens(text: str, num_tokens: int) -> None:
    """Text and tokens both end at the last whole character; no U+FFFD appears."""
    data = text.encode()
    completion = write(bytewise(data), max_tokens=num_tokens)
    assert completion.text == data[:num_tokens].decode(errors="ignore")
    assert decode(completion.token_ids) == completion.text
    assert completion.num_tokens == min(num_tokens, len(data))


def test_a_token_that_holds_a_whole_and_a_half_character_leaves_the_whole_one_as_tail() -> None:
    """The text shows it, the ids can't."""
    whole_and_half = int.from_bytes(b"\1" + "x€".encode()[:2])
    completion = write([*encode("ab"), whole_and_half])
    assert (completion.text, completion.token_ids, completion.tail) == ("abx", tuple(encode("ab")), "x")


def test_bytes_that_never_become_a_character_are_shown_as_u_fffd() -> None:
    """As tokenizers do; the ids are kept."""
    completion = write([*bytewise(b"a\xe2b")])
    assert (completion.text, len(completion.token_ids)) == ("a\ufffdb", 3)


@given(texts, texts, st.lists(texts.filter(bool), min_size=1, max_size=3), stops)
def test_a_longer_history_begins_with_the_tokens_of_the_shorter(
    prompt: str, said: str, appended: list[str], stop: list[str]
) -> None:
    """Ids are kept, never made again, and the text stays exact."""
    context: list[Part] = [prompt + "#"]
    for text in appended:
        before = render(context, WITH_BOS)
        completion = write(encode(said), stop)
        context += [completion, text]
        after = render(context, WITH_BOS)
        assert after[: len(before) + len(completion.token_ids)] == before + list(completion.token_ids)
    assert decode(render(context, VOCABULARY)) == plain_text(context)


def test_the_tail_is_tokenised_together_with_what_follows() -> None:
    """So that the model reads the tokens it would have met in its training."""
    completion = replace(write(encode("abcdef"), ["abcde"]), num_prompt_tokens=1)
    assert (completion.tail, decode(completion.token_ids)) == ("e", "abcd")
    assert render(["p", completion, "fgh"], VOCABULARY) == encode("p") + encode("abcd") + encode("efgh")


def test_a_special_token_is_one_id_and_its_spelling_in_plain_text_is_not() -> None:
    """Nothing that a problem or a program says becomes a special token."""
    (special,) = render([SpecialToken("<|im_end|>")], VOCABULARY)
    context: list[Part] = ["a", SpecialToken("<|im_end|>"), "<|im_end|>"]
    assert render(context, VOCABULARY) == [*encode("a"), special, *encode("<|im_end|>")]
    assert special not in encode("<|im_end|>")
    assert plain_text(context) == "a<|im_end|><|im_end|>"


def test_a_context_that_begins_with_a_special_token_has_nothing_in_front() -> None:
    """A chat template says itself whether it begins with BOS; a second one is no model's training."""
    assert render(["a"], WITH_BOS) == [*WITH_BOS.bos, *encode("a")]
    assert render([SpecialToken("<s>"), "a"], WITH_BOS) == [WITH_BOS.special("<s>"), *encode("a")]


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    """A program's output may hold one; UTF-8 can't."""
    assert render(["a\ud800b"], VOCABULARY) == encode("a?b")


def test_of_stop_strings_that_end_together_the_longer_is_named() -> None:
    """It says more."""
    assert find_stop("say ```output\n", ["\n", "```output\n"]) == ("```output\n", 14)


def test_limits_are_named_for_what_they_are() -> None:
    """The turn's own limit goes first when both are reached."""
    assert write(encode("abcdefgh"), max_tokens=2, room=2).finish_reason is FinishReason.LENGTH
    assert write(encode("abcdefgh"), max_tokens=2, room=1).finish_reason is FinishReason.CONTEXT
    assert write([], room=0).finish_reason is FinishReason.CONTEXT
    assert write(encode("ab")).finish_reason is FinishReason.ABORT


def test_the_end_token_is_counted_and_not_shown() -> None:
    """Neither text nor history has it."""
    transcript = Transcript(decode, SamplingParams(), room=10)
    transcript.push(encode("ab")[0])
    transcript.push_eos()
    completion = transcript.completion(seed=0, num_prompt_tokens=0)
    assert (completion.text, completion.num_tokens, completion.finish_reason) == ("ab", 2, FinishReason.EOS)
    assert completion.token_ids == tuple(encode("ab"))


def test_the_first_token_keeps_the_space_that_a_decoder_takes_from_a_texts_start() -> None:
    """SentencePiece writes spaces before words and drops the first of a text; a completion isn't the text's start."""
    vocabulary = ("▁The", "▁sum", "▁is", "5")

    def decode_pieces(ids: Sequence[int]) -> str:
        return "".join(vocabulary[token_id] for token_id in ids).replace("▁", " ").removeprefix(" ")

    transcript = Transcript(decode_pieces, SamplingParams(), room=10, prompt_ids=[0])
    for token_id in (1, 2, 3):
        transcript.push(token_id)
    assert transcript.text == " sum is5"
