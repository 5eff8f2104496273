"""JSON that may stand in a page: no text of it can end its element, open another, or be read as anything but JSON.

Inside `<script type="application/json">` a browser looks for `</script` and `<!--` and for nothing else, so without
`<` nothing can happen; `>` and `&` go the same way, and all that isn't ASCII is escaped besides: half surrogate pairs
survive, and U+2028 is no line's end.
"""

import json
import math

from numina_infer.core.errors import RunLogError

_MAX_S = 1e12
"""Longer than anything lasts that is run."""
_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&"})


def embed(value: object) -> str:
    """`value` as JSON in plain ASCII.

    Raises:
        RunLogError: it holds a number that JSON hasn't, such as NaN, which no run writes.
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)
    except ValueError as error:
        raise RunLogError(f"the run log holds a number that no page can show: {error}") from error


def finite(number: float) -> float:
    """A moment or a duration that a damaged log can't make a page unreadable with; sums of many are finite too."""
    return float(number) if math.isfinite(number) and abs(number) <= _MAX_S else 0.0
