"""Reads rows of JSON back as the frozen records that they were written from; the fields' type hints say how.

A log may have been cut, edited, or written by another program, so every field is checked: one that is missing,
unknown, or of another type raises an error that names it, and so does an integer beyond `LARGEST_WHOLE`, which
other programs can't hold. Only the token ids of an engine may be of any size.
"""

import json
import types
import typing
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from numina_infer.core.errors import RunLogError
from numina_infer.core.records import LARGEST_WHOLE

Record = TypeVar("Record")
Read = Callable[[Any], Any]


class RowError(ValueError):
    """A row isn't a record of the expected type; the text names the field."""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one JSONL file of a run, without a torn last line; a missing file has none.

    Only one row at a time is in memory, since the log of a collection may be larger.

    Raises:
        RunLogError: a line in the middle isn't a row.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                yield _read_row(line, path, number)


def _read_row(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        text = f"line {number} of {path} isn't JSON ({error}); the file was changed after the run"
        raise RunLogError(text, line=number) from error
    if not isinstance(row, dict) or not isinstance(row.get("seq"), int) or "event" not in row:
        raise RunLogError(f"line {number} of {path} has no seq and event; this isn't a run log", line=number)
    return row


def read_record(kind: type[Record], row: object, *, is_strict: bool = True) -> Record:
    """The record of type `kind` in `row`, an object of JSON; a field with a default may be missing.

    Unless `is_strict`, fields that `kind` doesn't have are left out: a newer version may have written them.

    Raises:
        RowError: `row` isn't such a record.
    """
    hint: Any = kind
    record: Record = _reader(hint, is_strict)(row)
    return record


@cache
def _reader(kind: Any, is_strict: bool) -> Read:
    """The function that reads a value of type `kind`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        (known,) = (one for one in arguments if one is not types.NoneType)
        return partial(_optional, _reader(known, is_strict))
    if origin is tuple:
        return _integers if arguments[0] is int else partial(_tuple, _reader(arguments[0], is_strict))
    if origin is Mapping:
        return partial(_mapping, _KEYS.get(arguments[0], arguments[0]), _reader(arguments[1], is_strict))
    if is_dataclass(kind):
        readers = {name: _reader(hint, is_strict) for name, hint in typing.get_type_hints(kind).items()}
        return partial(_record, kind, readers, is_strict)
    return (lambda value: kind(_text(value))) if issubclass(kind, StrEnum) else _PLAIN[kind]


def _record(kind: Any, readers: Mapping[str, Read], is_strict: bool, row: object) -> object:
    values, name = {}, ""
    try:
        for name, value in _object(row).items():
            if is_strict or name in readers:
                values[name] = readers[name](value)
    except KeyError as error:
        raise RowError(f"a {kind.__name__} has no field {name!r:.60}") from error
    except ValueError as error:
        raise RowError(f"{name}: {error}" if name else str(error)) from error
    missing = _required(kind) - values.keys()
    if missing:
        raise RowError(f"a {kind.__name__} lacks {', '.join(sorted(missing))}")
    try:
        return kind(**values)
    except ValueError as error:  # the record's own rules
        raise RowError(str(error)) from error


@cache
def _required(kind: Any) -> frozenset[str]:
    return frozenset(
        field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING
    )


def _optional(read: Read, value: object) -> object:
    return None if value is None else read(value)


def _tuple(read: Read, value: object) -> tuple[object, ...]:
    return tuple(map(read, _list(value)))


def _integers(value: object) -> tuple[int, ...]:
    """Token ids: a log holds millions of them, so there is no call for each.

    A broken engine may return ids of any size, and its log must be readable like any other.
    """
    ids = _list(value)
    try:
        return tuple(array("q", ids))
    except OverflowError:
        return tuple(map(_any_integer, ids))
    except TypeError as error:
        raise RowError(f"a list holds what is no integer ({error})") from error


def _any_integer(value: object) -> int:
    if not isinstance(value, int):
        raise RowError(f"{_shown(value)} is no integer")
    return value


def _checked(kind: type, text: str) -> Read:
    """A reader of values of one type, with the text of its error."""

    def read(value: object) -> object:
        if not isinstance(value, kind):
            raise RowError(f"{_shown(value)} is {text}")
        return value

    return read


_list, _object = _checked(list, "no list"), _checked(dict, "no object")
_text, _truth = _checked(str, "no text"), _checked(bool, "neither true nor false")


def _mapping(key: Read, read: Read, value: object) -> dict[object, object]:
    return {key(name): read(inner) for name, inner in _object(value).items()}


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise RowError(f"{_shown(value)} is no integer")
    if not -LARGEST_WHOLE <= value <= LARGEST_WHOLE:
        raise RowError("an integer is beyond 64 bits")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RowError(f"{_shown(value)} is no number")
    try:
        return float(value)
    except OverflowError as error:
        raise RowError("a number is beyond what a float holds") from error


_PLAIN: Mapping[Any, Read] = {str: _text, int: _integer, float: _number, bool: _truth}
_KEYS: Mapping[Any, Read] = {int: lambda name: _integer(int(name))}
"""JSON's keys are texts, so a record's integer keys are read from them."""


def _shown(value: object) -> str:
    """`value` as an error shows it; a list or an object may be too deep to print, so only its kind is named."""
    return f"a {type(value).__name__}" if isinstance(value, list | dict) else f"{value!r:.60}"
