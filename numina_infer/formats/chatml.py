"""ChatML, the turns of Qwen's models and of many others: `<|im_start|>role`, content, `<|im_end|>`.

Its tokens are special, so neither a statement nor an output can hold one. Qwen2.5's tool-call tags are added tokens
that aren't special: plain text that spells one becomes one, so they are markers.
"""

import re

from numina_infer.core.records import SpecialToken
from numina_infer.formats.fenced import Parts

START = SpecialToken("<|im_start|>")
END = SpecialToken("<|im_end|>")
MARKERS = re.compile(r"</?tool_call>|<\|\w+\|>", re.IGNORECASE)


def before_statement(system: str, lead: str = "") -> Parts:
    """A system turn, and the user's turn up to the statement, which stands behind `lead`."""
    return (START, f"system\n{system}", END, "\n", START, f"user\n{lead}")


AFTER_STATEMENT: Parts = (END, "\n", START, "assistant\n")
"""The end of the user's turn, and the beginning of the model's."""
