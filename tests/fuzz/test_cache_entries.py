"""A cache whose entries were damaged or altered: a completion as it was kept, or none."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given

from numina_infer.core.records import Completion, FinishReason
from numina_infer.engines.cached_engine import CacheFolder, _digest, _written
from tests.fuzz.damage import DEEP, altered, damaged, json_values

KEY = "0" * 64
KEPT = Completion("so \\boxed{2}", (5, 6), FinishReason.EOS, num_tokens=3, cumulative_logprob=-0.5, seed=7)
FIELDS = json.loads(json.dumps(asdict(KEPT)))


def got(content: bytes) -> Completion | None:
    """What a folder gives that has this for an entry."""
    with tempfile.TemporaryDirectory() as name:
        folder = CacheFolder(Path(name), lambda _what: None)
        folder.put(KEY, KEPT)
        folder._file(KEY).write_bytes(content)
        return folder.get(KEY)


def entry(fields: Any) -> bytes:
    """An entry of any fields, whose hash is right."""
    return json.dumps({"format_version": 1, "key": KEY, "sha256": _digest(fields), "completion": fields}).encode()


def test_the_entry_that_is_damaged_here_is_good() -> None:
    """Or else nothing would be shown by it."""
    assert got(_written(KEY, KEPT)) == got(entry(FIELDS)) == KEPT


@given(damaged(_written(KEY, KEPT)))
def test_a_damaged_entry_is_the_completion_or_none(content: bytes) -> None:
    """Its hash tells."""
    assert got(content) in {None, KEPT}


@given(altered(FIELDS) | json_values)
@example({**FIELDS, "token_ids": [float("inf")]})
def test_an_altered_entry_with_the_right_hash_is_a_completion_or_none(fields: Any) -> None:
    """Somebody made it: its fields have their types all the same."""
    found = got(entry(fields))
    if found is not None:
        assert all(type(token) is int for token in found.token_ids)
        assert (type(found.text), type(found.num_tokens)) == (str, int)


@pytest.mark.parametrize("content", [b"[" * DEEP, b"[]", b"1", b"", b"{}"])
def test_what_is_no_entry_is_as_good_as_missing(content: bytes) -> None:
    """And is generated again."""
    assert got(content) is None
