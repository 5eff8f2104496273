"""Writes JSON that is safe inside an HTML page.

Inside `<script type="application/json">` a browser looks for `</script` and `<!--` only, so `<` is escaped, and with
it `>` and `&`. All that isn't ASCII is escaped too: lone surrogates survive, and U+2028 ends no line.
"""

import json
import math

from numina_infer.core.errors import RunLogError

_MAX_S = 1e12
"""Longer than any run."""
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
    """`number` as a time in seconds, 0 where a damaged log has none that is usable; sums of many stay finite."""
    return float(number) if math.isfinite(number) and abs(number) <= _MAX_S else 0.0
