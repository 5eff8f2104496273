"""What a field of a metadata file may hold: the type that its record declares, told in the words of JSON.

Kaggle's client checks hardly any type. It takes what is false for a default, such as a machine without a GPU for
`"machine_shape": null`, and falls over the rest in the middle of an upload.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class _Kind(NamedTuple):
    """A type as JSON has it."""

    name: str
    holds: Callable[[object], bool]


def _is_text(value: object) -> bool:
    """Whether `value` is a text that a file in UTF-8 can hold: half a surrogate pair is none."""
    return isinstance(value, str) and value == value.encode("utf-8", "replace").decode("utf-8")


def _is_list(value: object, holds: Callable[[object], bool]) -> bool:
    return isinstance(value, list | tuple) and all(map(holds, value))


def _is_object(value: object, holds: Callable[[object], bool]) -> bool:
    return isinstance(value, Mapping) and all(map(holds, value.values()))


_KINDS: Mapping[Any, _Kind] = {
    str: _Kind("a text", _is_text),
    str | None: _Kind("a text or null", lambda value: value is None or _is_text(value)),
    bool: _Kind("true or false", lambda value: isinstance(value, bool)),
    tuple[str, ...]: _Kind("a list of texts", lambda value: _is_list(value, _is_text)),
    tuple[Mapping[str, str], ...]: _Kind(
        "a list of objects whose values are texts",
        lambda value: _is_list(value, lambda entry: _is_object(entry, _is_text)),
    ),
    tuple[Mapping[str, Any], ...]: _Kind(
        "a list of objects", lambda value: _is_list(value, lambda entry: isinstance(entry, Mapping))
    ),
}


def wanted_type(value: object, hint: Any) -> str:
    """What a field declared as `hint` must be, where `value` isn't that; empty where it is."""
    kind = _KINDS[hint]
    return "" if kind.holds(value) else kind.name


def as_json(value: object) -> str:
    """The beginning of `value` as the file spells it."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
