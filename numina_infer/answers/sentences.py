r"""Reads what a text without a box announces as its answer.

The last announcement with a digit behind it counts: «the answer is 42», «Answer: 42», «an answer of 42»,
`<answer>42</answer>`, «答案是42» and the like in some other languages, a heading «Answer» with a number alone below
it, `#### 42` at the end. A text that is nothing but an integer states it, too; the last number of any other text
doesn't count. The number may stand in math, in quotes or backticks, in bold.

It ends with its clause: at the end of the sentence, at a reason (`since`), at a remark. The rest of the sentence, and
a line below it that is nothing but a second number, can leave it unreadable (`behind.py`).
A sentence that supposes an answer (`if the answer is 42`) or denies it (`it is false that the answer is 42`)
announces none. One that begins with a case or a base (`if n is odd, the answer is 7`) can't be read, and neither can
a list behind «Answer:»; `Answer: 1. ` with more on the line is taken for a list.

`str.rfind` finds the places, from the end, and a bounded number of them is looked at: the time is linear in the text.
The model doesn't say what stands in a ```python or ```output block.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from numina_infer.answers.behind import (
    clause_of,
    goes_on_below,
    is_changed,
    is_kept,
    number_is_below,
    sentence_at,
    without_emphasis,
    without_markup,
)
from numina_infer.answers.expression import read_integer
from numina_infer.answers.typography import command
from numina_infer.answers.units import names_other_base
from numina_infer.core.records import AnswerSource, NoAnswer

# --- places ---

MAX_PLACES = 64
"""How many boxes, and how many places where an answer may be announced, are looked at from the end."""
_PROGRAM = re.compile(r"```[ \t]{0,9}(?:python3?|py|sage|output)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One place of a text, where it says the answer."""

    raw: str
    source: AnswerSource
    start: int
    end: int
    is_prose: bool = False
    is_limited: bool = False
    """True where the words around the number make another one of it, or limit it to a case."""

    @property
    def integer(self) -> int | NoAnswer:
        """The stated integer, or why there is none."""
        return NoAnswer.UNREADABLE if self.is_limited else read_integer(self.raw, prose=self.is_prose)

    def in_text(self, text: str) -> str:
        """The place as it is in `text`: `raw` of a prose statement lacks bold and italics."""
        return text[self.start : self.end] if self.is_prose else self.raw


def places(text: str, marks: tuple[str, ...]) -> Iterator[int]:
    """The places of `marks` outside programs and their outputs, from the end, `MAX_PLACES` at most."""
    # Python finds a missing letter several times faster than a missing word.
    possible = [mark for mark in marks if all(letter in text for letter in mark)]
    found = {mark: text.rfind(mark) for mark in possible if mark in text}
    fence = len(text)
    for _ in range(MAX_PLACES):
        place = max(found.values(), default=-1)
        if place < 0:
            return
        if place < fence:
            fence = text.rfind("```", 0, place)
        is_program = fence >= 0 and _PROGRAM.match(text, fence)
        if not is_program:
            yield place
        end = fence if is_program else place
        # A mark that was found before `end` is still the last one before it: no character is searched twice.
        found = {mark: at if at < end else text.rfind(mark, 0, end) for mark, at in found.items()}


# --- announcements ---

_ELSEWHERE_NAMES = ("答案", "答え", "éponse", "espuesta", "esposta", "isposta", "ntwort", "твет")
"""«Answer» in other languages, without first letters that may be capitals."""
_MARKS = ("answer", "Answer", "ANSWER", "####", *_ELSEWHERE_NAMES)
_DIGIT = re.compile(r"\d")
_SKIPPED = (
    r"(?:[\s*_}\"“”„«»'‘’「『\u200b-\u200f\u2060\ufeff]|`(?!``(?:python|py|sage|output))|(?<=\n)>\s"
    r"|<(?:b|strong|u|i|em|code)>){0,20}"
)
"""Markup in front of the number."""
_HOW = (
    r"(?:then|thus|therefore|hence|so|simply|exactly|just|indeed|also|now|clearly|obviously|precisely|given by"
    r"|equal to|found to be|actually|always|of course|in fact|finally|again|still|really|surely|certainly|definitely"
    r"|only|merely)"
)
_BE = r"(?:will|would|should|must|has to|turns out to|comes out to|works out to)\s{1,9}be"
_IS = (
    rf"(?:(?:is|are|was|equals|becomes|{_BE}|(?:comes|works)\s(?:out\s)?to)\b(?:[\s,]{{1,9}}{_HOW}\b){{0,2}}"
    rf"\s{{0,9}}[,:：]?|[:=：＝]|\.(?=\*{{1,2}}\s)|→|⇒|->|{command('to|rightarrow')})"
)
_WHICH = (
    r"(?:\s{1,9}(?:to|for|of|in|(?:we|you)\s(?:want|need|seek|are)|here)\b[^.:\n]{0,80}?"
    r"|\s\([^()\n]{1,60}\)|,\s[^.:,\n]{1,40},\s)"
)
"""`answer to the first problem is`, `answer (in cm) is`."""
_KIND = (
    r"(?:the\s{1,3}(?:(?:positive|non-?negative|natural|whole|prime|even|odd|single|unique|exact|required|desired"
    r"|one|two|three|four)[\s-](?:digit\s)?){0,2}(?:integer|number|value|prime)\s{1,3}(?:of\s)?"
    r"(?=[\s$*_`\"\\(]{0,9}\d))?"
)
_ANNOUNCED = re.compile(rf"answer{_WHICH}?{_SKIPPED}{_IS}{_SKIPPED}{_KIND}{_SKIPPED}", re.IGNORECASE)
_ANSWER_OF = re.compile(r"answer\s{1,9}(?:of|as)\s(?=[\s$*_`\"'\\(\[]{0,9}\d)", re.IGNORECASE)
_ELSEWHERE = re.compile(
    rf"(?:{'|'.join(_ELSEWHERE_NAMES)})(?:\s(?:finale?|correcta?|final))?{_SKIPPED}"
    rf"(?:就是|应该是|應該是|应为|應為|等于|等於|是|为|為|は|est\b|es\b|é\b|è\b|ist\b|lautet\b|[—–])?\s?[:=：＝]?{_SKIPPED}"
)
_TAG = re.compile(r"answer>([^<]{0,1001})", re.IGNORECASE)
_TAG_BEFORE = re.compile(r"<[A-Za-z_ -]{0,9}\Z")
_DELIMITED = re.compile(
    r"\$\$([^$]{1,1001})\$\$(?![0-9])|\$([^$\n]{1,1001})\$(?![0-9])|\\\((.{1,1001}?)\\\)|\\\[(.{1,1001}?)\\\]"
    r"|\\begin\{(?:equation|align|gather|displaymath|math|center)\*?\}(.{1,1001}?)\\end\{[a-z*]{1,20}\}",
    re.DOTALL,
)


def final_sentence(text: str) -> Statement | None:
    """The announcement that counts in a whole text."""
    return next(_statements(text), None) or _bare_number(text)


def _statements(text: str) -> Iterator[Statement]:
    """The announced answers with a digit in them, from the last to the first."""
    for start in places(text, _MARKS):
        statement = _statement(text, start)
        if statement is not None and _DIGIT.search(statement.raw):
            yield statement


def _statement(text: str, start: int) -> Statement | None:
    if text[start] == "#":
        return _hashed(text, start)
    if _TAG_BEFORE.search(text[max(0, start - 10) : start]):
        return _tagged(text, start)
    headed = _headed(text, start)
    if headed is not None:
        return headed
    announced = _ANNOUNCED.match(text, start) or _ANSWER_OF.match(text, start) or _ELSEWHERE.match(text, start)
    if (
        announced is None
        or _PROGRAM.match(text, announced.end())
        or _SUPPOSED.search(text[max(0, start - 60) : start])
    ):
        return None
    if _begins_list(text, announced.end(), announced[0]):
        return None
    statement = _stated(text, announced.end())
    return replace(statement, is_limited=statement.is_limited or _begins_with_case(text, start, announced[0]))


def _begins_list(text: str, at: int, announced: str) -> bool:
    """True where a list begins at `at`: numbered, or with stars or names and more than one item."""
    if "\n" not in announced:
        return announced.rstrip("* \t").endswith((":", "：")) and _FIRST_ITEM.match(text, at) is not None
    is_starred = _STARRED.search(announced) is not None and _NEXT_STARRED.match(text, at) is not None
    is_numbered = _LIST_ITEM.match(text, at) or _NAMED_IN_TURN.match(text, at)
    return is_starred or is_numbered is not None


def _tagged(text: str, start: int) -> Statement | None:
    tag = _TAG.match(text, start)
    return Statement(tag[1], AnswerSource.SENTENCE, tag.start(1), tag.end(1)) if tag else None


# --- headings ---

_LINE_BEFORE = re.compile(
    r"(?:[\s#*_>-]|<[a-z0-9]{1,9}>)*(?:\\(?:textbf|sub|section|paragraph|large|Large|bf|s)[a-z*]{0,12}\s?\{?)?\s?"
    r"(?:(?:the|final|my|our|correct)\s{1,3}){0,3}",
    re.IGNORECASE,
)
_HEADING_END = re.compile(
    r"answer[ \t*_#:：=}]{0,20}(?:</?[a-z0-9]{1,9}>)?\r?\n[\s#*_]{0,20}(?:[-=]{3,}\s{1,5})?[\s*_`\"“'>]{0,9}",
    re.IGNORECASE,
)
_NAMED_IN_TURN = re.compile(r"[A-Za-z]\s?[:=][^\n:=]{1,40}\n[\s$*]{0,9}[A-Za-z]\s?[:=]\s?-?\d")
"""`a = 3` and `b = 4` on two lines."""
_ALONE = re.compile(
    r"[-−]?\s?(?:\\?\$|[£€¥₹])?\s?\d(?:[\d,]|[. ](?=\d)){0,30}(?:\\?%|°"
    r"|[ \t]{1,3}[A-Za-z]{2,20}(?:[ \t][A-Za-z]{2,20})?)?[.\s*_`\"”'✓✔✅]{0,9}"
)
"""A number that is all of a line: `$1,234`, `42 square feet`, `50% ✓`."""
_REST_OF_LINE = re.compile(r"[ \t.*_`\"”'✓✔✅]{0,9}(?:\n|$)")
_LIST_ITEM = re.compile(r"\(?\d{1,2}[.)]\s{1,3}\S|([+–·-])\s{1,3}\d[^\n]{0,200}\n\s{0,9}\1\s")
"""`1. 17`, or `- 17` with another `-` on the next line."""
_FIRST_ITEM = re.compile(r"\(?1[.)][ \t]{1,3}\S")
_STARRED = re.compile(r"\n\s{0,9}[*•‣>][ \t]{1,3}[*_$]{0,3}\Z")
_NEXT_STARRED = re.compile(r"[^\n]{0,200}\n\s{0,9}[*•‣>][ \t]{1,3}\S")
_HASHED = re.compile(r"####[ \t]{0,3}([^\n#]{1,60})")
_END_OF_TEXT = re.compile(r"(?:[\s#*]|<\|?[^<>\n]{1,40}\|?>|\D){0,200}")


def _headed(text: str, start: int) -> Statement | None:
    """A number alone below a heading «Answer»."""
    line_start = max(text.rfind("\n", 0, start) + 1, start - 60)
    heading = _HEADING_END.match(text, start)
    if heading is None or not _LINE_BEFORE.fullmatch(text, line_start, start):
        return None
    at = heading.end()
    if _begins_list(text, at, heading[0]):
        return None
    delimited = _DELIMITED.match(text, at)
    if delimited and _REST_OF_LINE.match(text, delimited.end()):
        return _alone(text, delimited[delimited.lastindex or 0], at, delimited.end())
    line = without_markup(without_emphasis(text[at : at + 80].partition("\n")[0]))
    return _alone(text, line, at, at + len(line), is_prose=True) if _ALONE.fullmatch(line) else None


def _alone(text: str, raw: str, start: int, end: int, *, is_prose: bool = False) -> Statement:
    """The number of a line of its own, unless another one stands below it."""
    is_limited = goes_on_below(text, end) or number_is_below(text, end)
    return Statement(raw, AnswerSource.SENTENCE, start, end, is_prose=is_prose, is_limited=is_limited)


def _hashed(text: str, start: int) -> Statement | None:
    """`#### 42` as GSM8K's solutions end."""
    hashed = _HASHED.match(text, start)
    if hashed is None or text[start - 1 : start] == "#" or len(text) - hashed.end() > 200:
        return None
    raw = hashed[1].strip(" \t*_`")
    is_number = _ALONE.fullmatch(raw) or _DELIMITED.fullmatch(raw)
    if not is_number or not _END_OF_TEXT.fullmatch(text, hashed.end()):
        return None
    return Statement(raw, AnswerSource.SENTENCE, hashed.start(1), hashed.end(1), is_prose=not raw.startswith("\\"))


# --- sentences ---

_SUPPOSED = re.compile(
    r"(?:\b(?:if|whether|suppose|supposing|assume|assuming|unless|until)"
    r"|(?:\bnot|n['’]t)\s(?:be\s)?(?:true|the\scase|correct|right|clear|possible|think|believe|mean|say)"
    r"|\b(?:false|untrue|incorrect|wrong|doubt|doubtful|unlikely|impossible|unclear|denies|deny|no\sway"
    r"|(?:nobody|no\sone)\s\w{1,12}"
    r"|(?:might|may|could|would)\s(?:\w{1,9}\s)?(?:think|guess|say|believe|expect|suspect|assume|conclude)))"
    r"(?:\sto\s(?:say|claim|think))?\s(?:that\s)?(?:(?:the|your|my|our|final|correct)\s){0,3}\Z"
    r"|\b(?:wrong|incorrect|false|untrue|naive|bogus|tempting|mistaken|erroneous|invalid|bad|rejected|previous|earlier"
    r"|initial|old|approximate|rough|estimated|possible|plausible|candidate|partial|intermediate|wrong\sfinal)\s\Z"
    r"|(?:错误|錯誤|错|不正确)的?\Z",
    re.IGNORECASE,
)
"""In front of «answer»: `if the`, `it is false that the`, `the wrong`."""
_CASE = re.compile(
    r"\b(?:if|unless|whenever|in case)\b[^.!?\n]{0,60}?"
    rf"(?:[=<>≤≥≠∈]|{command('[lg]eq?|neq?|in|equiv')}|\b(?:odd|even|prime|positive|negative)\b)"
    r"|(?:如果|假如|假[设設]|若|当|當)[^。！？；\n]{0,40}?(?:[=＝<>≤≥≠]|[奇偶]数)|(?:否则|否則)"
    r"|\b(?:for|when)\b[^.!?\n]{0,40}?\b(?:odd|even)\b|\botherwise\b,?\s"
    r"|\bin\s(?:binary|octal|hex)|\b(?:binary|octal|hex(?:adecimal)?)\s\Z",
    re.IGNORECASE,
)
"""`if n is odd`, `for even n`, `in binary`."""
_EQUALS = re.compile(r"\s?[=＝]")
_CONCLUDED = re.compile(r"\b(?:so|hence|thus|therefore)\b", re.IGNORECASE)


def _begins_with_case(text: str, start: int, announced: str) -> bool:
    """True where the sentence begins with a condition, or with another base."""
    sentence = re.split(r"[.;!?](?=\s)|[。！？；\n]", text[max(0, start - 150) : start])[-1]
    before = _CONCLUDED.split(sentence)[-1]
    in_base = names_other_base(re.split(r"\d{2,}", before)[0]) or names_other_base(announced)
    return in_base or _CASE.search(before) is not None


def _stated(text: str, at: int) -> Statement:
    """The number at `at`, between math delimiters or not, judged by the rest of its sentence."""
    delimited = _DELIMITED.match(text, at)
    if delimited is None or not _DIGIT.search(delimited[0]) or _EQUALS.match(text, delimited.end()):
        return _clause(text, at)
    raw, end = delimited[delimited.lastindex or 0], delimited.end()
    is_limited = not is_kept(sentence_at(text, end)) or goes_on_below(text, end)
    return Statement(raw, AnswerSource.SENTENCE, at, end, is_limited=is_limited)


def _clause(text: str, at: int) -> Statement:
    """The text from `at` to the end of its clause, or of its sentence where the rest changes the number."""
    sentence = sentence_at(text, at)
    clause = clause_of(sentence)
    is_more = _DIGIT.search(clause) is not None and is_changed(sentence[len(clause) :])
    raw = without_markup(sentence if is_more else clause)
    is_limited = is_more or goes_on_below(text, at + len(raw))
    return Statement(raw, AnswerSource.SENTENCE, at, at + len(raw), is_prose=True, is_limited=is_limited)


_BARE = re.compile(r"[\s*_`$]*+(?:\\[(\[]\s*+)?[-$]?\d[\d,]*+(?:\.\d++)?+(?:\.?\s*+\\[)\]])?[\s*_`$.]*+")


def _bare_number(text: str) -> Statement | None:
    if len(text) > 99 or not _BARE.fullmatch(text):
        return None
    return Statement(text.strip(" \n\t*_`."), AnswerSource.SENTENCE, 0, len(text))
