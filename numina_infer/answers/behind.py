r"""Judges the words behind a number: they may leave it as it is, make another number of it, or leave none.

The same rules hold for a number in math, in bold, in quotes, in backticks and bare. Nothing, a unit, a reason
(`because`, `so`) or a remark (`, as shown in step 3`) may follow it.
It isn't read where the words limit it to a case (`7 if n is odd`) or to another base (`101 (binary)`), scale it
(`3 thousands`), name a second number (`7 (or 8)`, `7 to 8`, `or 8` in a paragraph of its own), bound it (`7 or more`),
deny it, or ask (`42?`).
A box says which number is the answer, so behind it an assignment (`\boxed{42} at x = 3`) and a second number are
allowed.
"""

import re

from numina_infer.answers.expression import MAX_LENGTH, read_integer
from numina_infer.answers.typography import command
from numina_infer.answers.units import NUMBER_WORD, limits, names_other_base

# --- behind a number that a sentence announces ---

_SENTENCE_END = re.compile(
    r"(?<!\bRs)[.!?](?=[\"'”’»)*_`\]]{0,3}(?:\s|$))|[。！？\n]|；(?!\s?\d)|;(?![\s$\\(]{0,4}-?\d)"
    r"|[.!?]?\*\*(?=[\s_]{1,3}[A-Z][a-z]|\s{0,3}$)|[.!?]?<(?=\||/(?!(?:b|strong|u|i|em|code)>))|[.!?]?(?=<br)"
)
"""A full stop but not that of `Rs.`, a line's end, closing bold before a new sentence, the end of an HTML tag."""
_EMPHASIS = re.compile(
    r"</?(?:b|strong|u|i|em|code)>|(?<![0-9])\*\*|\*\*(?![0-9])|(?<![0-9A-Za-z\\])[*_](?=[A-Za-z])"
    r"|(?<=[A-Za-z])\*(?![0-9A-Za-z])|(?<=[0-9])\*(?=\s[A-Za-z])|(?<=[0-9A-Za-z])_{1,2}(?![0-9A-Za-z{\\_])"
)
_MARKUP = " \t\r*_`\"”'’»」』"
_REMARK = re.compile(
    r"\s?,\s{1,9}(?!and\b|or\b)(?=[A-Za-z])|，(?!\d{3})|\s(?:--+|[—–-])\s{1,3}(?=[^\W\d])"
    r"|\s\((?!\s?(?:mod|\\b?mod|[A-F]\s?\)))(?=[A-Za-z])"
    r"|\s(?:because|since|as|which|where|so|when|if|for|provided|assuming|using|by|obtained|from|regardless"
    r"|irrespective|independent|including|counting)\s"
)
"""`, as shown`, ` - which is even`, ` (see above)`, ` because n = 6`."""
_REASON = re.compile(r"\b(?:because|since|so|which|hence|thus|therefore|using|obtained|from)\b|因为|因為|所以")
_OPENING = r"[\s,;:$*_>`\"'“‘(\[{\\]{0,12}"
_JOINING = (
    r"(?:and/or|or|and|&|as\swell\sas|to|through|thru|versus|vs\.?|plus|minus|times|alternatively|respectively|then|but"
    r"|(?:together|along)\s{1,3}with|besides|followed\sby|maybe|possibly|perhaps|rather|或者?|和|与|以及"
    r"|(?:or|and|but)\s(?:also|else|maybe|possibly|perhaps|even|rather|sometimes|then|equally))"
)
_WRONG = "wrong|incorrect|false|impossible|mistaken|invalid"
_OTHER_VALUE = re.compile(
    rf"[，；、]\s?\d|[\s,;]{{0,9}}(?:and\s)?[$]?[A-Za-z]\s{{0,5}}="  # `7、8`, `7, y = 8`
    rf"|[\s,(\[—–-]{{0,9}}{_JOINING}(?:,?\s|(?<=[^A-Za-z])){_OPENING}-?\d"  # `7 (or 8)`
    r"|[\s,(\[—–-]{0,9}(?:or|and)\s{1,9}(?:[$-]|\\[(\[])"  # `7 or $8$`
    r"|[\s,(-]{0,9}(?:\\(?:text|mathrm|mbox)\s?\{\s?)?(?:in\s|all\s|then\s)?"
    rf"(?:{NUMBER_WORD.pattern})"  # `7 thousand`
    r"|[\s,(]{0,9}to\sthe\s(?:power|second|third|\w{4,9}th)\b|[\s,(]{0,9}in\s(?:binary|octal|hex)"
    rf"|[\s,(—–-]{{0,9}}(?:which|but\s(?:it|this|that))\s(?:is|was|seems|looks)\s"
    rf"(?:{_WRONG}|not\s(?:correct|right|valid|possible|true|the\sanswer))\b"
    rf"|[\s,(]{{0,9}}(?:is|was|seems|looks|are|being)\s(?:{_WRONG}|not)\b"  # `7 is wrong`
    r"|[\s,(]{0,9}(?:and|or)\s(?:up|more|less|fewer|above|below|over|under|so|higher|lower|greater|beyond)\b"
    r"|[\s,.;(—–-]{1,9}(?:no|wait|sorry|oops|whoops|hmm)\b"
    r"|[\s,(—–-]{0,9}(?:wrong|incorrect|false|at\s(?:least|most)|give\sor\stake|plus\sor\sminus)\b",
    re.IGNORECASE,
)
"""A second number behind the first, or words that scale, bound or deny it."""
_SECOND_VALUE = re.compile(
    r"\b(?:and|or|but)\s{1,3}(?:(?:it\s)?is\s|(?:it's|that of)\s)?(?:\\?\$|\\[(\[])?\s?-?[0-9][0-9,.]{0,20}\b"
    r"[^.;!?\n]{0,40}\b(?:for|if|when|in|otherwise|elsewhere)\b"
)
"""`and 8 for even n`, `but it is 8 otherwise`."""
_IN_OTHER_WORDS = re.compile(
    r"\s?\([^()]{0,60}\bin\s(?:binary|octal|hexadecimal|hex|base)\b[^()]{0,20}\)", re.IGNORECASE
)
"""`(101010 in binary)` says the same number again."""
_ON_A_LINE = rf"{_OPENING}-?\d[\d,.]{{0,20}}[ \t.,$*_`\"'”’)\]}}\\]{{0,12}}(?:\n|$)"
_BELOW = re.compile(rf"[\s.,;:$*_`\"'”’)\]}}\\]{{0,20}}(?:(?i:{_JOINING}){_OPENING}\n?|(?<=,)\s*\n){_ON_A_LINE}")
"""`or 8` on lines of its own, or a comma and the second number on the next line."""
_NEXT_LINE = re.compile(rf"[ \t.,;$*_`\"'”’)\]}}\\]{{0,20}}\n{_OPENING}(?:[A-Za-z]\s{{0,3}}[:=])?{_ON_A_LINE}")


def sentence_at(text: str, at: int) -> str:
    """The text from `at` to the end of the sentence, its question mark included, without bold and italics."""
    rest = text[at : at + MAX_LENGTH + 1]
    end = _SENTENCE_END.search(rest)
    return without_emphasis(rest)[: end.start() + (end[0] in "?？") if end else None]


def without_emphasis(text: str) -> str:
    """`text` with spaces in place of the marks of bold and italics."""
    return _EMPHASIS.sub(lambda marks: " " * len(marks[0]), text)


def clause_of(sentence: str) -> str:
    """`sentence` up to its first reason or remark."""
    remark = _REMARK.search(sentence)
    return sentence[: remark.start()] if remark else sentence


def is_changed(rest: str) -> bool:
    """True where `rest`, behind a number, makes another number of it, or none."""
    reason = _REASON.search(rest)
    close = rest[: reason.start()] if reason else rest
    return (
        _OTHER_VALUE.match(rest) is not None
        or limits(close)
        or names_other_base(rest)
        or _SECOND_VALUE.search(close) is not None
        or rest.rstrip().endswith(("?", "？"))
    )


def is_kept(rest: str) -> bool:
    """True where `rest`, the sentence behind a number between math delimiters, leaves the number as it is.

    It is judged as if the number stood there without its delimiters.
    """
    rest = _IN_OTHER_WORDS.sub("", before_unopened(rest))
    clause = clause_of(rest).rstrip(_MARKUP)
    return not is_changed(rest) and read_integer("42" + clause.lstrip("*_`\"'”’»}"), prose=True) == 42


def goes_on_below(text: str, at: int) -> bool:
    """True where nothing but a joining word and a second number follow the number that ends at `at`."""
    return _BELOW.match(text, at) is not None


def number_is_below(text: str, at: int) -> bool:
    """True where the line below the number that ends at `at` is nothing but another number."""
    return _NEXT_LINE.match(text, at) is not None


def without_markup(raw: str) -> str:
    """`raw` without the closing marks of bold, quotes and code at its end."""
    return before_unopened(raw).rstrip(_MARKUP)


def before_unopened(raw: str) -> str:
    r"""`raw` up to a brace that closes what was opened before it: `\textbf{Answer: 42}`, `{"answer": 42}`."""
    depth = 0
    for match in re.finditer(r"(?<!\\)[{}]", raw):
        depth += 1 if match[0] == "{" else -1
        if depth < 0:
            return raw[: match.start()]
    return raw


# --- behind a box ---

_GOES_ON = re.compile(
    r"\s?(?:_(?!\{?\s?\(?\s?(?:10(?![0-9])|\\(?:text|mathrm)\{\s?(?:base )?(?:ten|10|dec)))[{0-9\\]"
    rf"|\^\s?\{{?\s?(?!th|st|[nr]d)-?[0-9a-z]|{command('times|cdot|div|pi|sqrt')}|[+/]\s?[0-9\\({{]|[-*]\s?[0-9]|!\s?\$)"
    r"|\{,\}[0-9]|[,.]?[0-9]"
)
"""Arithmetic, a base, or more digits behind the box: `\\boxed{6} \\times 7`, `\\boxed{101}_2`, `\\boxed{1},000`."""
_CLOSERS = r"(?:[\s$*~},(]|\\[)\],;:! ]|\\(?:text|mathrm|mbox)\s?\{){0,12}+"
_CASE = re.compile(
    rf"{_CLOSERS}(?:otherwise\b|(?:for|when|where|while)\b[^.;!?\n]{{0,30}}\b(?:odd|even)\b"
    r"|(?:if|iff|unless|whenever|depending)\b[^.;!?\n]{0,40}?"
    rf"(?:[=<>≤≥]|{command('[lgn]eq?')}|\b(?:odd|even|prime|positive|negative)\b))"
)
"""`if n > 3`, `when n is even`, `otherwise`."""
_SCALE = re.compile(
    rf"{_CLOSERS}(?:(?:in\s)?(?:{NUMBER_WORD.pattern})|and\s(?:an?|one|two|three)\s(?:half|thirds?|quarters?|fifths?)\b"
    r"|(?:or|and)\s(?:more|less|fewer|up|so)\b|at\s(?:least|most)\s?(?:[.,;$)]|$))",
    re.IGNORECASE,
)
"""`thousand`, `and a half`, `or more`."""


def makes_other_of_box(behind: str) -> bool:
    """True where `behind` makes another number of the box in front of it, or limits it to a case."""
    sentence = re.split(r"[.;!?](?=\s|$)|\n", behind, maxsplit=1)[0]
    found = _GOES_ON.match(behind) or _CASE.match(behind) or _SCALE.match(behind)
    return found is not None or names_other_base(sentence)
