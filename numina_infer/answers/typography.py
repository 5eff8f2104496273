r"""How an expression is written, taken away from what it says, for `arithmetic.Reader`.

Fonts, colours, sizes and spaces, delimiters, quotes, backticks, HTML and markdown around a number go, and so do
invisible characters, currency signs, end marks (`\blacksquare`, `\checkmark`, `∎`), what concludes (`\therefore`) and
the subscript of base ten; `\num{1234}` is its number; decimal digits of every script are digits.
Text stays, in double quotes.
"""

import re
import unicodedata

_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("\u2212\ufe63\uff0d", "-"),
        "×": r"\times ",
        **dict.fromkeys("·⋅∙", r"\cdot "),
        **dict.fromkeys("÷∕⁄／", "/"),
        "°": r"^\circ ",
        "≡": r"\equiv ",
        **dict.fromkeys("≈≃", r"\approx "),
        **dict.fromkeys("∼～", r"\sim "),
        "≅": r"\cong ",
        "√": r"\sqrt ",
        "⌊": r"\lfloor ",
        "⌋": r"\rfloor ",
        "⌈": r"\lceil ",
        "⌉": r"\rceil ",
        "％": "%",
        "＝": "=",
        "＋": "+",
        "（": "(",
        "）": ")",
        "，": ",",
        "．": ".",
        "٫": ".",
        "٬": ",",
        "：": ":",
        "、": ",",
        "；": ";",
        "。": ".",
        **dict.fromkeys("\u00a0\u2009\u202f", r"\,"),
        **dict.fromkeys("“”„«»‹›「」『』", " "),
        **dict.fromkeys("∎▪▫◼◻", r"\checkmark "),
        **dict.fromkeys("∴⇒⟹➡👉", r"\therefore "),
    }
)
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202c\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
    "|[\U000e0020-\U000e007f]"
)
"""What has no width. A character that turns the order around (U+202E) is none of it: it would show another number."""
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_SUBSCRIPT = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_UNICODE_ROOT = re.compile(r"√\s?([0-9]+)")

_COMMENT = re.compile(r"(?<!\\)%[^\n]*\n")
_WRAPPED = re.compile(
    r"\s*(?:(?P<mark>\*{1,3}|__)(?=\S)(?P<marked>[^*]+?)(?P=mark)|['‘’]{1,2}(?P<quoted>[^'‘’]+)['’]{1,2})[\s.,;:]*",
    re.DOTALL,
)
_TAG = re.compile(
    r"</?(?:b|strong|i|em|u|span|code|p|mark|center|font)\b[^<>]{0,60}>|<br\s?/?>|&(?:nbsp|thinsp|#160);"
)
_DOUBLED_BACKSLASH = re.compile(r"\\\\(?=[A-Za-z$%,!;:{}()\[\]])")
_DELIMITER = re.compile(r"\\?\$|\\[()\[\]]")
_NUM = re.compile(r"\\(?:num|numprint|ang)\s?(?:\[[^\[\]]*\])?\s?\{([^{}]*)\}")
_QUANTITY = re.compile(r"\\(?:SI|qty)\s?(?:\[[^\[\]]*\])?\s?\{([^{}]*)\}\s?\{([^{}]*)\}")
_DECORATION = re.compile(
    r"\\(?:left|right|middle|[bB]igg?[lrm]?|(?:display|text|script)style|tiny|scriptsize|footnotesize|small|normalsize"
    r"|large|Large|LARGE|huge|Huge|boxed|fbox|framebox|Aboxed|math(?:bf|it|sf|tt|bb|cal|scr|frak|normal|op|ord|inner|rel|bin)"
    r"|boldsymbol|boldmath|symbf|bm|pmb|bf|rm|it|sf|tt|sl|sc|em|bfseries|uline|underline|smash|ensuremath"
    r"|limits|strut|mathstrut|relax|null|noindent|centering|nonumber|notag|hfill|hfil|protect"
    r"|(?:text)?color(?:\s?\[[^\[\]]*\])?\s*\{[^{}]*\}|colorbox\s*\{[^{}]*\}|bbox\s?\[[^\[\]]*\]"
    r"|vspace\*?\s?\{[^{}]*\}|[hv]?phantom\s?\{[^{}]*\}|(?:tag\*?|label)\s?\{[^{}]*\}"
    r"|(?:m?kern|[hm]skip)\s?-?[0-9.]{1,9}\s?(?:em|ex|pt|mu|cm|mm|in))(?![A-Za-z])"
)
_END_MARK = re.compile(
    r"\\(?:blacksquare|square|Box|Diamond|qed|qedhere|qedsymbol|checkmark|bigstar|blacklozenge)(?![A-Za-z])"
    r"|\(?\bQ\.?\s?E\.?\s?D\b\.?\)?"
)
_EMPTY = re.compile(r"(?:^|(?<=[0-9\s]))\{\s?\}")
_ENVIRONMENT = re.compile(
    r"\\(?:begin|end)\s?\{(?:aligned|gathered|split|array|center|equation|align)\*?\}(?:\{[clr|]{1,9}\})?|&"
)
_CURRENCY = re.compile(
    r"\\(?:pounds|euro|EUR|yen|texteuro|textyen|textsterling|textdollar|textrupee|rupee)(?![A-Za-z])"
)
_CONCLUDING = re.compile(
    r'(?:[\s~]|""|\\[,;:! ]|\\(?:therefore|implies|Rightarrow|Longrightarrow|rightarrow|longrightarrow)(?![A-Za-z]))*'
)
_BASE_TEN = re.compile(
    r'(?<=[0-9)}])\s?_\s?(?:10(?![0-9])|\{\s?\(?\s?"?(?:(?:base"?\s*)?(?:10|ten)|dec|decimal|d)"?\s?\)?\s?\})'
    r'|"?\(?\s?(?:"?in"?\s)?"?base"?[\s~"-]{1,4}(?:10(?![0-9])|ten\b)"?\s?\)?"?',
    re.IGNORECASE,
)
_SEPARATOR = r"(?:\{,\}(?:\\!)?|,(?:\\!)?|\\[,;: ]|~)"
_GROUPED = re.compile(rf"(?<![0-9.,])[1-9][0-9]{{0,2}}(?:{_SEPARATOR}[0-9]{{3}})+(?![0-9])")
_SPACED = re.compile(r"(?<![0-9.,] )(?<![0-9.,])[1-9][0-9]{0,2}(?: [0-9]{3})+(?![0-9]| [0-9])")
_OVER = re.compile(r"\{?\s*(?<![0-9])([0-9]+)\s*\\over(?![A-Za-z])\s*([0-9]+)\s*\}?")
_BRACED_EQUALS = re.compile(r"\{\s?=\s?\}")
_HSPACE = re.compile(r"\\hspace\*?\s?\{[^{}]*\}")
_ASIDE = re.compile(
    r"(?:\\q?quad(?![A-Za-z])|\\\\(?![A-Za-z])|(?:\\ \s?){2})\s*"
    r"(?=\s*\(?\s*\\?[A-Za-z][A-Za-z_{}0-9]{0,20}\s*[=<>])"
)
_LABELS = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|up|sl|sc|md|normal)?|mathrm|mbox|hbox|emph|operatorname)\s*\{[^{}]*\}"
    r"|\\(?:q?quad|therefore|implies|Rightarrow|Longrightarrow|rightarrow|longrightarrow)(?![A-Za-z])"
)
_SPACE = re.compile(r"\\(?:[,;:! ]|q?quad(?![A-Za-z]))|~|\s+")
_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|up|sl|sc|md|normal)?|mathrm|mbox|hbox|emph|operatorname)\s*\{([^{}]*)\}"
)
_LETTER = "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0400-\u065f\u066e-\u06ef\u0900-\u0965\u0970-\u0e4f"
_IDEOGRAPH = "\u3005-\u3007\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(
    rf'"[^"]*"|(?<=[\s/(])[A-Za-z{_LETTER}]{{2,}}(?:-[A-Za-z{_LETTER}]+)*|(?<=/)[A-Za-z]\b|[{_IDEOGRAPH}]+'
)
_IDEOGRAPHS = re.compile(rf'"[^"]*"|[{_IDEOGRAPH}]+')


def plain(expression: str, *, prose: bool = False) -> str:
    """`expression` without typography; text stands in double quotes, and with `prose` every word does."""
    text = _undecorated(in_ascii(_unwrapped(expression if prose else _COMMENT.sub("", expression))))
    text = _ASIDE.sub(_aside, _GROUPED.sub(_join_groups, text))
    text = _OVER.sub(r"\\frac{\1}{\2}", _SPACE.sub(" ", text))
    text = _TEXT.sub(_quote, _TEXT.sub(_quote, text))  # text stands in text at most once
    if prose:
        text = _SPACED.sub(_join_groups, text)
    text = _BASE_TEN.sub(" ", (_WORD if prose else _IDEOGRAPHS).sub(_quoted_once, text))
    concluding = _CONCLUDING.match(text)
    return text[concluding.end() if concluding else 0 :].strip().rstrip(".,;: \\")


def in_ascii(text: str) -> str:
    """`text` without what is invisible, and with the ASCII or LaTeX spelling of digits, signs and operators."""
    if text.isascii():
        return text
    text = _UNICODE_ROOT.sub(r"\\sqrt{\1}", _NOT_ASCII.sub(_plain_character, _INVISIBLE.sub("", text)))
    text = _SUPERSCRIPT.sub(lambda run: f"^{{{run[0].translate(_SUPERSCRIPTS)}}}", text)
    text = _SUBSCRIPT.sub(lambda run: f"_{{{run[0].translate(_SUBSCRIPTS)}}}", text)
    return text.translate(_CHARACTERS)


def _plain_character(match: re.Match[str]) -> str:
    digit = unicodedata.decimal(match[0], None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(match[0])
    return " " if category == "Sc" else r"\checkmark " if category == "So" and match[0] != "°" else match[0]


def _unwrapped(text: str) -> str:
    """`text` without the quotes or the markdown that stand around all of it."""
    wrapped = _WRAPPED.fullmatch(text)
    return (wrapped["marked"] or wrapped["quoted"]) if wrapped else text


def _undecorated(text: str) -> str:
    text = _TAG.sub(" ", text).replace('"', " ").replace("`", " ")
    text = _EMPTY.sub(" ", _DOUBLED_BACKSLASH.sub(r"\\", text))
    text = text if r"\\" in text else _ENVIRONMENT.sub(" ", text)
    text = _QUANTITY.sub(r" \1 \\text{\2} ", _NUM.sub(_number, text))
    text = _CURRENCY.sub(" ", _DELIMITER.sub(" ", _HSPACE.sub(r"\\quad ", text)))
    return _END_MARK.sub('""', _BRACED_EQUALS.sub("=", _DECORATION.sub(" ", text)))


def _number(match: re.Match[str]) -> str:
    return " " + re.sub(r"\s|~|\\,", "", match[1]) + " "


def _join_groups(match: re.Match[str]) -> str:
    """`1{,}234` as `1234`; a plain comma within brackets separates coordinates, not thousands."""
    before = match.string[: match.start()]
    num_open = sum(map(before.count, ("(", "[", r"\{"))) - sum(map(before.count, (")", "]", r"\}")))
    if num_open > 0 and re.search(r"[0-9],", match[0]):
        return match[0]
    return re.sub(r"[^0-9]", "", match[0])


def _aside(match: re.Match[str]) -> str:
    r"""`42 \quad n = 5` and `a_n \quad n = 5` are lists of two; a label in front is none of their parts."""
    return "," if re.search(r"[0-9A-Za-z]", _LABELS.sub("", match.string[: match.start()])) else " "


def _quote(match: re.Match[str]) -> str:
    r"""`\text{ cm}` as `"cm"`; text that holds digits is read like a sentence."""
    content = match[1].replace('"', "").strip()
    if re.search(r"[0-9]", content):
        return f" {_WORD.sub(_quoted_once, ' ' + content)} "
    return f' "{content}" '


def _quoted_once(match: re.Match[str]) -> str:
    return match[0] if match[0][0] == '"' else f'"{match[0]}"'
