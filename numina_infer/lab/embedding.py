"""JSON that may stand in a page: no text of it can end its element, open another, or be read as anything but JSON.

Inside `<script type="application/json">` a browser looks for `</script` and `<!--` and for nothing else, so without
`<` nothing can happen; `>` and `&` go the same way, and all that isn't ASCII is escaped besides: half surrogate pairs
survive, and U+2028 is no line's end.
"""

import json

_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&"})


def embed(value: object) -> str:
    """`value` as JSON in plain ASCII.

    Raises:
        ValueError: it holds a number that JSON hasn't, such as NaN.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)
