"""The base of Kaggle's metadata files: each is a record, whose fields are the file's keys, with types and rules.

Kaggle's client takes a default for a field that is missing or false, such as internet on or a machine without a GPU,
ignores a key that it doesn't know, and fails over most wrong types in the middle of an upload. So every field is
written, and a file that is read is checked field by field. All faults are reported at once.
"""

import json
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

from numina_infer.core.config import require
from numina_infer.kaggle.build.findings import BadField

Rule = Callable[[str, Any], Iterable[str]]
"""Gets a field's key and its value, of the right type; returns what is wrong with it, or empty texts."""


class Metadata(ABC):
    """One file. A subclass is a frozen record.

    Raises:
        ConfigError: the client or Kaggle would refuse the file, with all that is wrong.
    """

    __slots__ = ()
    FILE_NAME: ClassVar[str]
    RULES: ClassVar[Mapping[str, Rule]]

    def __post_init__(self) -> None:
        faults = list(self.faults(self.content))
        require(not faults, f"{self.FILE_NAME}: {'; '.join(fault.what for fault in faults)}")

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """Every key of the file, in order."""
        return tuple(field.name for field in fields(cls))  # type: ignore[arg-type] # subclasses are dataclasses

    @classmethod
    def faults(cls, content: Mapping[str, Any]) -> Iterator[BadField]:
        """Find what the client or Kaggle would refuse, or misread, in the fields of `content`."""
        yield from cls._type_faults(content)
        sound = cls.sound(content)
        for key, rule in cls.RULES.items():
            found = rule(key, sound[key]) if key in sound else ()
            yield from (BadField(key, fault) for fault in found if fault)
        yield from cls._joint_faults(sound)

    @classmethod
    def sound(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """`content` without the fields that hold a wrong type."""
        wrong = {fault.key for fault in cls._type_faults(content)}
        return {key: value for key, value in content.items() if key not in wrong}

    @classmethod
    def _type_faults(cls, content: Mapping[str, Any]) -> Iterator[BadField]:
        hints = get_type_hints(cls)
        for field in fields(cls):  # type: ignore[arg-type] # subclasses are dataclasses
            value = content.get(field.name)
            wanted, holds = _TYPES[hints[field.name]]
            if field.name in content and not holds(value):
                has_default = field.default is not MISSING
                fix = f"write for example {_as_json(_plain(field.default))}" if has_default else "correct it"
                yield BadField(field.name, f"{field.name} is {_as_json(value)}; it must be {wanted}", fix)

    @classmethod
    def _joint_faults(cls, sound: Mapping[str, Any]) -> Iterable[BadField]:  # noqa: ARG003 (for subclasses)
        """Find fields that don't agree; a subclass with such fields overrides this."""
        return ()

    @property
    def content(self) -> dict[str, Any]:
        """The JSON object of the file."""
        return {key: _plain(getattr(self, key)) for key in self.field_names()}

    def write(self, folder: Path) -> Path:
        """Put the file into `folder`; returns its path."""
        path = folder / self.FILE_NAME
        path.write_text(json.dumps(self.content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def satisfies(holds: Callable[[Any], bool], wanted: str) -> Rule:
    """`holds` is true of the field; `wanted` ends the message."""
    return lambda key, value: () if holds(value) else (f"{key} is {value!r}; {wanted}",)


def one_of(*choices: str) -> Rule:
    """The field holds one of `choices`."""
    return satisfies(lambda value: value in choices, f"it must be one of {', '.join(choices)}")


def length(least: int, most: int) -> Rule:
    """A text of so many characters."""
    return satisfies(lambda text: least <= len(text) <= most, f"it must have {least} to {most} characters")


def given(purpose: str = "") -> Rule:
    """The field isn't empty; `purpose` ends the message."""
    return lambda key, value: () if value else (f"{key} is missing{purpose}",)


def each(fault_of: Callable[[object], str]) -> Rule:
    """`fault_of` finds nothing in any entry of a list."""
    return lambda _, value: map(fault_of, value)


_Holds = Callable[[object], bool]


def _is_text(value: object) -> bool:
    """Whether `value` is a text that a file in UTF-8 can hold: half a surrogate pair isn't."""
    return isinstance(value, str) and value == value.encode("utf-8", "replace").decode("utf-8")


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def _list_of(holds: _Holds) -> _Holds:
    return lambda value: isinstance(value, list | tuple) and all(map(holds, value))


_TYPES: Mapping[Any, tuple[str, _Holds]] = {
    str: ("a text", _is_text),
    str | None: ("a text or null", lambda value: value is None or _is_text(value)),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    tuple[str, ...]: ("a list of texts", _list_of(_is_text)),
    tuple[Mapping[str, str], ...]: (
        "a list of objects whose values are texts",
        _list_of(lambda entry: isinstance(entry, Mapping) and all(map(_is_text, entry.values()))),
    ),
    tuple[Mapping[str, Any], ...]: ("a list of objects", _list_of(_is_object)),
}
"""By a field's declared type: the words for it, and whether a value is of it."""


def _as_json(value: object) -> str:
    """The beginning of `value` as the file spells it."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _plain(value: Any) -> Any:
    """`value` in the types that JSON has."""
    return [dict(entry) if isinstance(entry, Mapping) else entry for entry in value] if type(value) is tuple else value
