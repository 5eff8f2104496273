"""A program's output as the model may see it: clean text, with a sentence where the program was stopped.

How much of it a model is shown, and what of it could end a fenced block, are questions of the text format (tir.py).
"""

import re

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)")
"""Terminal sequences of ECMA-48: CSI, OSC, and the short ones."""
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # Unicode's bidirectional controls (UAX 9)
)


def clean(data: bytes | str) -> str:
    """`data` as text without control characters; bytes that are no UTF-8 become U+FFFD."""
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def compose(stdout: str, note: str) -> str:
    """What was printed, stripped as the Numina kernel does, and below it the note on how the program ended."""
    return "\n".join(part for part in (stdout.strip(), note.strip("\n")) if part)
