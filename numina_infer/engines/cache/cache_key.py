"""The key of a cached completion: everything that decides which text comes, and nothing else.

A context's runs and the tokenizer's fingerprint give the prompt's token ids, and other ids need other runs or another
tokenizer: `context.render` is made of nothing else. So the key stands for the ids without asking the engine for them,
and works where the endpoint tokenises. Where an engine runs, and how much it takes at once, isn't part of a request.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from numina_infer.core.config import SamplingParams
from numina_infer.core.records import Part, SpecialToken
from numina_infer.engines.context import Run, runs

_VERSION = 1
"""Goes up when the same request gets another key, or an engine's meaning changes."""
_PLACE = frozenset({"endpoints", "num_endpoints", "servers", "gpus", "cache"})
_CAPACITY = frozenset({"max_num_seqs", "num_threads", "kv_tokens"})

Identity = Mapping[str, str | int | float]
"""Which engine, of which version, with which weights and tokenizer."""


def identity(described: Identity) -> Identity:
    """The part of an engine's description that its texts depend on.

    Unknown entries are kept: at worst a completion is generated again, never a wrong one used.
    Weights with a hash need no name, so that a model's folder may be moved.
    """
    left_out = _PLACE | _CAPACITY | ({"model", "root"} if described.get("weights") else frozenset())
    return {name: value for name, value in described.items() if name not in left_out}


def cache_key(engine: Identity, context: Sequence[Part], params: SamplingParams, seed: int) -> str:
    """The key of one turn, 64 hex digits: equal for requests that ask the same, different for all others."""
    asked = [_VERSION, dict(engine), list(map(_spelled, runs(context))), _plain(params), seed]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _spelled(run: Run) -> object:
    """`run` such that special tokens, text and ids stay different in JSON."""
    return {"special": run.text} if isinstance(run, SpecialToken) else run


def _plain(params: SamplingParams) -> Mapping[str, object]:
    """Numbers as they are meant: a temperature of 1 is one of 1.0."""
    numbers = {name: float(getattr(params, name)) for name in ("temperature", "top_p", "min_p")}
    return {**asdict(params), **numbers}
