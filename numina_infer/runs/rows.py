"""Rows of JSON read back as the frozen records that they were written from, each field as its type says.

A log may have been cut, edited, or made by something else, so nothing of it is taken on trust: a field that is
missing, unknown, or of another type is an error that names it, and so is an integer beyond `LARGEST_WHOLE`, which
other programs can't hold; only an engine's token ids are read whatever their size.
"""

import types
import typing
from array import array
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache, partial
from typing import Any, TypeVar

from numina_infer.core.records import LARGEST_WHOLE

Record = TypeVar("Record")
Read = Callable[[Any], Any]


class RowError(ValueError):
    """What a row tells is no record of the type that is due."""


def read_record(kind: type[Record], row: object, *, is_strict: bool = True) -> Record:
    """The record of type `kind` that `row`, an object of JSON, tells; a field with a default may be missing.

    Unless `is_strict`, fields that `kind` doesn't have are left out: what newer versions may tell.

    Raises:
        RowError: it tells none; the text names the field.
    """
    wanted: Any = kind
    record: Record = _reader(wanted, is_strict)(row)
    return record


@cache
def _reader(kind: Any, is_strict: bool) -> Read:
    """What reads a value of the type `kind`."""
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
    return partial(_enum, kind) if issubclass(kind, StrEnum) else _PLAIN[kind]


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
    except ValueError as error:  # its own rules
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
    """Token ids, of which a log holds millions: no call for each.

    An engine that is out of its mind gives ids of any size, and the log of that is to be read like any other.
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


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise RowError(f"{_shown(value)} is no list")
    return value


def _mapping(key: Read, read: Read, value: object) -> dict[object, object]:
    return {key(name): read(inner) for name, inner in _object(value).items()}


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RowError(f"{_shown(value)} is no object")
    return value


def _enum(kind: type[StrEnum], value: object) -> StrEnum:
    return kind(_text(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise RowError(f"{_shown(value)} is no text")
    return value


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


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise RowError(f"{_shown(value)} is neither true nor false")
    return value


_PLAIN: Mapping[Any, Read] = {str: _text, int: _integer, float: _number, bool: _truth}
_KEYS: Mapping[Any, Read] = {int: lambda name: _integer(int(name))}
"""JSON has keys of text alone."""


def _shown(value: object) -> str:
    """`value` in an error; of a list or an object, which may be deeper than can be printed, its kind alone."""
    return f"a {type(value).__name__}" if isinstance(value, list | dict) else f"{value!r:.60}"
