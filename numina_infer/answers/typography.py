r"""Takes the typography away from an expression, so that `arithmetic.py` finds bare numbers, signs and LaTeX commands.

Fonts, colours, sizes and spaces, delimiters, quotes, backticks, HTML and markdown around a number go, and so do
invisible characters, currency signs, end marks (`\blacksquare`, `∎`), what concludes (`\therefore`) and the subscript
of base ten. `\num{1234}` is its number, `1,234` is 1234, and decimal digits of every script are digits.
Text stays, in double quotes: `42 \text{ cm}` is `42 "cm"`.

`1,234`, `1{,}234`, `1\,234` and `1~234` are joined before anything else reads the number. A comma that is left then
separates the parts of a list (`1, 2`, `(1,234)`), and a part of a list is never taken for all of it (`is_list`).
"""

import re
import unicodedata

# --- pieces of patterns ---


def command(names: str) -> str:
    r"""A pattern for the LaTeX commands `names`: `\pi` with `pi`, but not `\pitchfork`."""
    return rf"\\(?:{names})(?![A-Za-z])"


TEXT = r"\\(?:text(?:bf|it|rm|sf|tt|up|sl|sc|md|normal)?|mathrm|mbox|hbox|emph|operatorname)\s*"
r"""What sets words within mathematics: `\text` in `\text{ cm}`."""
CONCLUDES = command("therefore|implies|Rightarrow|Longrightarrow|rightarrow|longrightarrow")
MATH_OPENS = r"(?:\\[(\[]\s?)?"
r"""`\(` or `\[`, where there is one."""

# --- commas ---

_SEPARATOR = r"(?:\{,\}(?:\\!)?|,(?:\\!)?|\\[,;: ]|~)"
_THOUSANDS = re.compile(rf"(?<![0-9.,])[1-9][0-9]{{0,2}}(?:{_SEPARATOR}[0-9]{{3}})+(?![0-9])")
_SPACED_THOUSANDS = re.compile(r"(?<![0-9.,] )(?<![0-9.,])[1-9][0-9]{0,2}(?: [0-9]{3})+(?![0-9]| [0-9])")
_LIST = re.compile(r'[,;<>]|\\[lg]eq?\b|\\neq?\b|"[^"]*(?:\b(?:and|or)\b|[或和与])[^"]*"')


def _joined(number: re.Match[str]) -> str:
    """The digits of `number`; a plain comma within brackets separates coordinates, not thousands."""
    before = number.string[: number.start()]
    num_open = sum(map(before.count, ("(", "[", r"\{"))) - sum(map(before.count, (")", "]", r"\}")))
    if num_open > 0 and re.search(r"[0-9],", number[0]):
        return number[0]
    return re.sub(r"[^0-9]", "", number[0])


def is_list(side: str) -> bool:
    """True where `side`, without the arguments of its functions, lists or compares values."""
    return _LIST.search(side) is not None


# --- characters ---

_CHARACTERS = str.maketrans(
    {
        **dict(zip("％＝＋（），．٫٬：、；。", "%=+(),..,:,;.", strict=True)),
        **dict.fromkeys("\u2212\ufe63\uff0d", "-"),
        **dict.fromkeys("÷∕⁄／", "/"),
        **dict.fromkeys("·⋅∙", r"\cdot "),
        **dict.fromkeys("≈≃", r"\approx "),
        **dict.fromkeys("∼～", r"\sim "),
        **dict(zip("×°≡≅√", (r"\times ", r"^\circ ", r"\equiv ", r"\cong ", r"\sqrt "), strict=True)),
        **dict(zip("⌊⌋⌈⌉", (r"\lfloor ", r"\rfloor ", r"\lceil ", r"\rceil "), strict=True)),
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
"""Characters without width, but for U+202E, which turns the order around: without it another number would show."""
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_SUBSCRIPT = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_SMALL_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻₀₁₂₃₄₅₆₇₈₉", "0123456789-0123456789")
_UNICODE_ROOT = re.compile(r"√\s?([0-9]+)")

# --- what stands around all of it ---

_COMMENT = re.compile(r"(?<!\\)%[^\n]*\n")
_WRAPPED = re.compile(
    r"\s*(?:(?P<mark>\*{1,3}|__)(?=\S)(?P<marked>[^*]+?)(?P=mark)|['‘’]{1,2}(?P<quoted>[^'‘’]+)['’]{1,2})[\s.,;:]*",
    re.DOTALL,
)
_CONCLUDING = re.compile(rf'(?:[\s~]|""|\\[,;:! ]|{CONCLUDES})*')

# --- decoration ---

_TAG = re.compile(
    r"</?(?:b|strong|i|em|u|span|code|p|mark|center|font)\b[^<>]{0,60}>|<br\s?/?>|&(?:nbsp|thinsp|#160);"
)
_DOUBLED_BACKSLASH = re.compile(r"\\\\(?=[A-Za-z$%,!;:{}()\[\]])")
_DELIMITER = re.compile(r"\\?\$|\\[()\[\]]")
_NUM = re.compile(r"\\(?:num|numprint|ang)\s?(?:\[[^\[\]]*\])?\s?\{([^{}]*)\}")
_QUANTITY = re.compile(r"\\(?:SI|qty)\s?(?:\[[^\[\]]*\])?\s?\{([^{}]*)\}\s?\{([^{}]*)\}")
_FONTS = (
    r"math(?:bf|it|sf|tt|bb|cal|scr|frak|normal|op|ord|inner|rel|bin)|boldsymbol|boldmath|symbf|bm|pmb|bf|rm|it|sf|tt"
    r"|sl|sc|em|bfseries|uline|underline|smash|ensuremath"
)
_SIZES = (
    r"left|right|middle|[bB]igg?[lrm]?|(?:display|text|script)style|tiny|scriptsize|footnotesize|small|normalsize"
    r"|large|Large|LARGE|huge|Huge"
)
_SPACING = (
    r"limits|strut|mathstrut|relax|null|noindent|centering|nonumber|notag|hfill|hfil|protect|vspace\*?\s?\{[^{}]*\}"
    r"|[hv]?phantom\s?\{[^{}]*\}|(?:m?kern|[hm]skip)\s?-?[0-9.]{1,9}\s?(?:em|ex|pt|mu|cm|mm|in)"
)
_COLOURS = r"(?:text)?color(?:\s?\[[^\[\]]*\])?\s*\{[^{}]*\}|colorbox\s*\{[^{}]*\}|bbox\s?\[[^\[\]]*\]"
_DECORATION = re.compile(
    command(rf"{_SIZES}|boxed|fbox|framebox|Aboxed|{_FONTS}|{_SPACING}|{_COLOURS}|(?:tag\*?|label)\s?\{{[^{{}}]*\}}")
)
_END_MARK = re.compile(
    command("blacksquare|square|Box|Diamond|qed|qedhere|qedsymbol|checkmark|bigstar|blacklozenge")
    + r"|\(?\bQ\.?\s?E\.?\s?D\b\.?\)?"
)
_EMPTY = re.compile(r"(?:^|(?<=[0-9\s]))\{\s?\}")
_ENVIRONMENT = re.compile(
    r"\\(?:begin|end)\s?\{(?:aligned|gathered|split|array|center|equation|align)\*?\}(?:\{[clr|]{1,9}\})?|&"
)
_CURRENCY = re.compile(command("pounds|euro|EUR|yen|texteuro|textyen|textsterling|textdollar|textrupee|rupee"))
_BRACED_EQUALS = re.compile(r"\{\s?=\s?\}")

# --- numbers and words ---

_BASE_TEN = re.compile(
    r'(?<=[0-9)}])\s?_\s?(?:10(?![0-9])|\{\s?\(?\s?"?(?:(?:base"?\s*)?(?:10|ten)|dec|decimal|d)"?\s?\)?\s?\})'
    r'|"?\(?\s?(?:"?in"?\s)?"?base"?[\s~"-]{1,4}(?:10(?![0-9])|ten\b)"?\s?\)?"?',
    re.IGNORECASE,
)
"""`_{10}`, `_{\\text{ten}}`, `(base 10)`."""
_OVER = re.compile(r"\{?\s*(?<![0-9])([0-9]+)\s*\\over(?![A-Za-z])\s*([0-9]+)\s*\}?")
r"""TeX's own fraction: `{104 \over 2}`."""
_HSPACE = re.compile(r"\\hspace\*?\s?\{[^{}]*\}")
_SPACE = re.compile(r"\\(?:[,;:! ]|q?quad(?![A-Za-z]))|~|\s+")
_ASIDE = re.compile(
    rf"(?:{command('q?quad')}|\\\\(?![A-Za-z])|(?:\\ \s?){{2}})\s*"
    r"(?=\s*\(?\s*\\?[A-Za-z][A-Za-z_{}0-9]{0,20}\s*[=<>])"
)
r"""A wide space in front of an equation: `42 \quad n = 5`."""
_LABELS = re.compile(rf"{TEXT}\{{[^{{}}]*\}}|{command('q?quad')}|{CONCLUDES}")
_TEXT = re.compile(rf"{TEXT}\{{([^{{}}]*)\}}")
_LETTER = "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0400-\u065f\u066e-\u06ef\u0900-\u0965\u0970-\u0e4f"
_IDEOGRAPH = "\u3005-\u3007\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(
    rf'"[^"]*"|(?<=[\s/(])[A-Za-z{_LETTER}]{{2,}}(?:-[A-Za-z{_LETTER}]+)*|(?<=/)[A-Za-z]\b|[{_IDEOGRAPH}]+'
)
_IDEOGRAPHS = re.compile(rf'"[^"]*"|[{_IDEOGRAPH}]+')


def plain(expression: str, *, prose: bool = False) -> str:
    """`expression` without typography; text stands in double quotes, and with `prose` every word does."""
    text = _undecorated(in_ascii(_unwrapped(expression if prose else _COMMENT.sub("", expression))))
    text = _ASIDE.sub(_aside, _THOUSANDS.sub(_joined, text))
    text = _OVER.sub(r"\\frac{\1}{\2}", _SPACE.sub(" ", text))
    text = _TEXT.sub(_quote, _TEXT.sub(_quote, text))  # text stands in text at most once
    if prose:
        text = _SPACED_THOUSANDS.sub(_joined, text)
    text = _BASE_TEN.sub(" ", (_WORD if prose else _IDEOGRAPHS).sub(_quoted_once, text))
    concluding = _CONCLUDING.match(text)
    return text[concluding.end() if concluding else 0 :].strip().rstrip(".,;: \\")


def in_ascii(text: str) -> str:
    """`text` without invisible characters, and with the ASCII or LaTeX spelling of digits, signs and operators."""
    if text.isascii():
        return text
    text = _UNICODE_ROOT.sub(r"\\sqrt{\1}", _NOT_ASCII.sub(_plain_character, _INVISIBLE.sub("", text)))
    text = _SUPERSCRIPT.sub(lambda run: f"^{{{run[0].translate(_SMALL_DIGITS)}}}", text)
    text = _SUBSCRIPT.sub(lambda run: f"_{{{run[0].translate(_SMALL_DIGITS)}}}", text)
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
