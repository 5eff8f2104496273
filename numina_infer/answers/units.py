r"""Words around a number: those that leave it as it is, that make another number of it, or that limit it.

A label stands in front (`\text{(A) }`, `Answer:`, `Rs.`, `option (C)`; `x =` is an equation), a unit stands behind
(`\text{ cm}^2`, `\%`, `个`), and so do the ending of an ordinal (`11^{\mathrm{th}}`) and the number's name
(`7 (seven)`).
Scales (`3 thousands`, `5万`), parts (`1 third`), bases (`11 hex`), changes (`5 doubled`, `1 followed by six zeros`,
`4 or more`) and number words (`1 hour and ten minutes`) are no units.

`5 for n = 2`, `7 if n is odd and 8 otherwise` and `42 for even n` hold in a case, and the reader doesn't know which
case was asked for. `101 (in base 2)` and `101 (binary)` are written in another base than ten. Neither is read.
Words that hold always (`42 for all n`), for a person or a thing (`52 for both`), or that give a reason
(`42, since n = 6`) limit nothing.
"""

import re

from numina_infer.answers.typography import command

LABEL = re.compile(
    r'"(?:[^"]*(?:[:=：]|\bis)|\(?[A-Fa-f][).:]{1,2}|exactly|(?:Therefore|Thus|Hence|So),?)"'  # "Answer:", "(A)"
    r'|"?(?:Rs|INR|USD|EUR|GBP|JPY|CNY|RMB|US|CA|AU|NT|HK)\b\.?"?(?=\s*[0-9])'
    r'|"?(?:[Oo]ption|[Cc]hoice|[Aa]lternative)"?\s*"?(?:\(\s?[A-F]\s?\)|[A-F]\b)"?\s?[:.,)=-]?'
    r'|\(\s?[A-F]\s?\)[:.]?|\{\s*\([A-F]\)\s*\}|"?\b[A-F][.):](?=\s)|[A-Za-z" ]{1,80}(?::|"is")'
)
ORDINAL = re.compile(r'\^?\s*\{?\s*(?:"(?:th|st|[nr]d)"|(?:th|st|[nr]d)\b)\s*\}?')
_SHORT_UNIT = (
    r"(?:m(?=/)|cm|mm|km|kg|mg|ml|mL|ft|in|mi|lbs?|oz|min|sec|hrs?|mph|deg|sq|gal|men|USD|EUR|GBP|INR|JPY|CNY|RMB|CAD"
    r"|AUD|CHF)\b"
)
UNIT = re.compile(
    rf'(?:[\s./,;:()-]*+(?:"[^"]*+"|\\?%|(?<=\s)[A-Za-z]{{4,}}+|{_SHORT_UNIT})(?:\s?\^(?:\{{-?[0-9]\}}|-?[0-9]))?+)*+'
    r"[\s.,;:)]*+"
)

_SCALES = (
    r"hundreds?|thousands?|\w{0,9}illi(?:on|ard)\w{0,6}|lakhs?|crores?|dozens?|scores?|gross|grand|myriads?|googols?"
    r"|tens|mill?e|mila|mil|mio|mrd|mln|bn|mn|hunderte?|tausende?|dutzende?|milliers?|milhar(?:es)?|milione?s?"
    r"|milhões|millones|cien(?:tos?)?|cents?\ mille|docenas?|douzaines?|d[uú]zias?|decine|dizaines?|centaines?"
    r"|тысяч\w{0,4}|миллион\w{0,4}|миллиард\w{0,4}|дюжин\w{0,4}|сот(?:ен|ни|ня)|लाख|करोड़|हज़ार|ألف|مليون"
)
_PARTS = (
    r"hal(?:f|ves)|percentile|fold|ish"
    r"|(?:third|quarter|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twel[fv]th|\w{3,6}teenth|\w{3,6}ieth"
    r"|hundredth|thousandth)(?:s\b|\b(?![\s-]{1,3}(?!of\b|and\b|plus\b|in\b)[a-z]))"  # 49 fourth grade boys
)
_NUMBERS = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?!\s?-)"
)
_CHANGES = (
    r"or|(?<!ways )(?<!ways\x22 \x22)to|than|more|less|fewer|over|out[\s\x22]+of|times|plus|minus|by|mod|modulo|choose"
    r"|factorial|squared|cubed|doubled?|trebled?|tripled?|quadrupled?|quintupled?|halved|twice|thrice|multiplied|divided"
    r"|increased|decreased|reduced|raised|added|subtracted|incremented|decremented|negated|inverted|reversed|repeated"
    r"|followed|preceded|appended|prefixed|concatenated|itself|themselves|through|thru|until|versus|vs|point"
    r"|at[\s\x22]+(?:the[\s\x22]+)?(?:very[\s\x22]+)?(?:least|most|minimum|maximum)|above|below|beneath|beyond|under"
    r"|short|shy|negative|power|not|if|otherwise|up|upwards?|onwards?|downwards?|away|wrong|incorrect"
)
OTHER_BASE = (
    r"(?:binary|ternary|quaternary|quinary|senary|octal|duodecimal|hexadecimal|hex|bin|oct|vigesimal|roman)\b"
    r"(?![\s\x22]{1,4}(?:strings?|sequences?|words?|trees?|digits?|numbers|relations?|operations?|matri\w{1,4}"
    r"|vectors?|codes?|search|necklaces?)\b)"
)
"""Names of bases, unless they say what is counted (`42 binary strings`)."""
NO_UNIT = re.compile(
    rf"\b(?:{_SCALES}|{_PARTS}|{_NUMBERS}|{_CHANGES}|{OTHER_BASE}|pi|sqrt|sin|cos|tan|log|e|i|k|b|(?-i:M))\b"
    r"|[十百万萬亿億兆仟佰半倍余餘约約]|千(?![克米瓦])|进制|進制|进位|進位|或|和|与|與|及|到|至|多|左右|上下|以[上下内內外]|分之"
    r"|不|的|之|打|[阶階][乘乗]|[平立]方(?![厘分千英公毫米尺寸])|次方|の|의",
    re.IGNORECASE,
)
r"""Words that make another number of the one before them, or no number: `52 \text{ million}`, `3\text{i}`."""
NUMBER_WORD = re.compile(
    rf"(?:{_SCALES}|{_PARTS}|{OTHER_BASE}|doubled|tripled|trebled|quadrupled|halved|squared|cubed|followed\ by"
    r"|(?:multiplied|divided|increased|decreased|reduced)\ by|factorial|point|(?:times|plus)\ itself)\b"
    r"|[十百万萬亿億兆]|千(?![克米瓦])",
    re.IGNORECASE,
)
"""Those of `NO_UNIT` that change a number even behind its box or its dollar sign: `\\boxed{3} thousand`."""

_MEASURE = re.compile(
    r"(?:[cmkd]?m|mi|in|ft|yd|[kmc]?g|lbs?|oz|[mcd]?[lL]|s|sec|min|hrs?|h|deg|mph|rad|sq|cu"
    r"|(?:square|cubic|centi|milli|kilo|deci)?(?:inch|foot|feet|yard|mile|met(?:er|re)|gram|lit(?:er|re)|gallon|pound"
    r"|ounce|hour|minute|second|day|week|month|year|degree|radian|dollar|cent|euro|rupee|percent|point|unit)s?"
    r"|square|cubic|people|persons?|men|women|children|mice|geese|teeth|sheep|fish|deer|dice|vertices|indices|matrices"
    r"|radii|USD|EUR|GBP|INR)",
)
_NO_NOUN = re.compile(
    r"(?:\w*(?:ous|ss|us|is|ly)|\w{3,}ed|yes|oops|whoops|no|not|wrong|false|bad|too|invalid|incorrect|mistaken|rather|hmm"
    r"|sorry|fails?|gives|needs|looks|seems|appears|exceeds|violates|lies|works|checks|breaks|holds|\w{1,6}counts"
    r"|contradicts|misses|leads|means|has|does|was|perhaps|sometimes|besides|afterwards|overshoots|minus|plus|times|versus"
    r"|unless|thus|equals|becomes|makes|remains|goes|comes|gets|results|turns|stays|satisfies|doubles|triples|halves"
    r"|squares|cubes|sums|yields|proves|shows|suffices|applies|follows|always|hers|ours|its|solves|matches|guess(?:es)?)",
    re.IGNORECASE,
)
"""Words that look like a plural, or stand in front of one, and name nothing that is counted."""


def names_unit(words: str) -> bool:
    """True where `words`, behind a number, begin with a measure, a plural or an owner.

    These are `inches of wood`, `red balls` and `for the smaller one`; `wrong`, `too small` and `fails` are about the
    number itself.
    """
    first_words = words.replace(",", " ").split()[:4]
    if first_words[:2] == ["for", "the"]:
        return True
    if first_words[0] == "in" and first_words[1:] and first_words[1] != "of":
        return False
    for word in first_words:
        if _MEASURE.fullmatch(word):
            return True
        if _NO_NOUN.fullmatch(word):
            return False
        if word.endswith("s") and len(word) > 3:
            return True
    return False


# --- a number's own name behind it ---

_TO_NINETEEN = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NAMES = [*_TO_NINETEEN, *(ten + one for ten in _TENS for one in ("", *(f"-{word}" for word in _TO_NINETEEN[1:10])))]
_NAMED = re.compile(
    r'(?<![0-9.,^_/])([0-9]{1,2})(?![0-9])[\s"]{0,5}\(\s?"?([A-Za-z]{3,9}(?:[- ][a-z]{3,5})?)"?\s?\)"?'
)
"""A number below 100, and a word or two in brackets behind it: `42 (forty-two)`."""


def without_names(text: str) -> str:
    """`text` with each number once, where it is said a second time in words."""
    return _NAMED.sub(_number_once, text)


def _number_once(match: re.Match[str]) -> str:
    is_name = _NAMES[int(match[1])] == match[2].lower().replace(" ", "-")
    return match[1] if is_name else match[0]


# --- a case, or another base ---

_RELATION = rf"(?:[=＝<>≤≥≠∈≡]|{command('leq?|geq?|neq?|in|equiv|to|rightarrow|l?t|gt')}|->|→)"
_NEAR = r"(?:[^.;!?\n]|\.(?=[0-9])){0,80}?"
"""What may stand in between within the same sentence."""
_KIND = r"(?:odd|even|prime|composite|positive|negative|large|small|sufficiently|non-?zero|real|integral|integer)"
_VARIABLE = r"[\s$\\(,{\"]{1,9}(?!(?:a|I)\b)[A-Za-z](?![A-Za-z'’])"
"""`for n`, `(where $k$)`; «a» and «I» are words."""

_IF = (
    r"\b(?:iff?|unless|otherwise|whenever|provided|providing|assuming|depend(?:ing|s)|supposing|subject to|such that"
    r"|in (?:the |that )?case|as long as|only when|given that|conditional(?:ly)?|(?-i:si|sofern|falls|wenn))\b"
    r"|\bs\.\s?t\.|если|如果|假如|倘若|若|否则|否則|当|當"
)
_FOR = r"\b(?:for|where|with|when|while|at|as|under|given|taking|setting|letting|pour|para|für|при|для)\b|其中"
_FEW_WORDS = r"(?:\s(?!all\b|every\b|each\b|any\b)[a-z-]{1,20}){0,2}"
_NAME = r"(?<![A-Za-z\\])[A-Za-z](?:[_'(][^\s=<>]{0,12})?[\s$)}]{0,3}"
_ASSIGNMENT = re.compile(rf"(?:{_FOR}){_NEAR}{_RELATION}", re.IGNORECASE)
"""`with n = 5`, `at $x = 3$`."""
_CONDITION = re.compile(
    rf"{_IF}"
    rf"|(?:{_FOR}){_NEAR}{_NAME}{_RELATION}"
    rf"|\b(?:for|where|when|while)\b{_FEW_WORDS}[\s$]{{1,3}}{_KIND}\b"
    r"|\b(?:for|when)\s(?:all|every|each|any)\s(?:odd|even|prime|composite)\b"
    r"|(?<![A-Za-z\\])[b-z][\s$)}]{1,3}(?:is\s|are\s)?(?:odd|even|prime|composite|positive|negative)\b"
    rf"|\b(?:for|where|when|while|with|at|given)\b{_FEW_WORDS}{_VARIABLE}",
    re.IGNORECASE,
)
_DIGIT_NAMES = (
    r"two|three|four|five|six|seven|eight|nine|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|twenty|thirty"
    r"|sixty"
)
_OTHER_BASE = re.compile(
    rf"\b(?:base|radix)[\s~$\\({{\"-]{{0,9}}(?!10(?![0-9]))(?:[0-9]|(?:{_DIGIT_NAMES})\b|[a-z](?![a-z]))"
    rf"|\b{OTHER_BASE}|[二三四五六七八九]进制|(?<![0-9])(?!10进)[0-9]{{1,2}}\s?进制",
    re.IGNORECASE,
)


def is_limited(expression: str) -> bool:
    """True where `expression` limits a number that stands in it to a case or to another base."""
    number = re.search(r"\d[\d,.]*", expression)
    return _CONDITION.search(expression) is not None or (number is not None and limits(expression[number.end() :]))


def limits(rest: str) -> bool:
    """True where `rest` limits the number that stands in front of it."""
    return bool(_CONDITION.search(rest) or _ASSIGNMENT.search(rest)) or names_other_base(rest)


def names_other_base(text: str) -> bool:
    """True where `text` says that the number in front of it, or one behind, isn't written in base ten."""
    base = _OTHER_BASE.search(text)
    return base is not None and re.search(r"\d", text[: base.start()]) is None
