"""Shorten a traceback for the model: the program's own frames and the error message, without paths of the host.

The Numina kernel feeds back the same: the heading, the lines that name the program's file, and the last line.
Frames of sympy and numpy are dropped.
"""

import sys
import traceback
from collections.abc import Container
from types import TracebackType

_HEADING = "Traceback (most recent call last):\n"
_MAX_LINE = 200
MAX_MESSAGE = 1000
_FRAMES_KEPT_FIRST = 3
_FRAMES_KEPT_LAST = 6


def render(error: BaseException, filenames: Container[str]) -> str:
    """The traceback of `error`, with the frames whose file is in `filenames`."""
    frames = _frames(error.__traceback__, filenames)
    heading = _HEADING + "".join(frames) if frames else ""
    return heading + _message(error)


def _frames(trace: TracebackType | None, filenames: Container[str]) -> list[str]:
    own = [
        traceback.FrameSummary(frame.f_code.co_filename, line, frame.f_code.co_name, lookup_line=False)
        for frame, line in traceback.walk_tb(trace)
        if frame.f_code.co_filename in filenames
    ]
    lines = [_shorten(entry) for entry in traceback.StackSummary.from_list(own).format()]
    if len(lines) <= _FRAMES_KEPT_FIRST + _FRAMES_KEPT_LAST:
        return lines
    return [*lines[:_FRAMES_KEPT_FIRST], "  ...\n", *lines[-_FRAMES_KEPT_LAST:]]


def _shorten(entry: str) -> str:
    lines = entry.splitlines()
    return "".join(line[:_MAX_LINE] + "\n" for line in lines)


def _message(error: BaseException) -> str:
    lines = [line[:MAX_MESSAGE] for line in traceback.format_exception_only(error)]
    return _without_paths("".join(lines).strip("\n"))[: 2 * MAX_MESSAGE]


def _without_paths(text: str) -> str:
    for folder in sorted({*sys.path, sys.prefix, sys.base_prefix}, key=len, reverse=True):
        if len(folder) > 1:
            text = text.replace(folder.rstrip("/") + "/", "")
    return text
