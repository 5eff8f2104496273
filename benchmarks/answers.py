r"""How many recorded texts each reader turns into votes, right ones, made-up ones, and how fast.

    python benchmarks/answers.py [--short] [--json FILE] [--disagreements]

Readers: ours; the rules of NuminaMath's 2024 notebook (`numina_infer.paper`); the last balanced box
through `int()`; math-verify where it is installed, in a process of its own that is killed when it hangs.
Texts: tails of generations and whole transcripts that other projects published, with an integer reference, in the
folder `shared` beside the repository or in `NUMINA_SHARED`; the tricky cases are tests/tricky_answers.toml.
Votes and references are taken modulo 1000, as that notebook does.

made up: the vote is no number that the text states. Stated is every integer literal in any written form (thousands
separators, `52.0`, `1e3`; a sign counts where nothing stands before it to be subtracted from), and the value of the
expression in the last box by sympy, before or after the modulus.
lost: no vote, though the recording's own grader found the (non-negative) reference in the text.
Floors for ours: none made up, no tricky case wrong, no more lost than by the reader that loses least.
"""

import argparse
import logging
import multiprocessing
import re
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.frame import Target, finish, name_machine, pass_over, read_options, show
from benchmarks.recorded import NOT_HERE, RecordedText, data_folder, recorded_texts
from numina_infer.answer import AnswerRange, extract_answer
from numina_infer.paper import Sample, states_answer
from numina_infer.usage import HelpFormatter

REPOSITORY = Path(__file__).resolve().parents[1]
MATH_VERIFY_TIMEOUT_S = 5.0


@dataclass(slots=True)
class Score:
    """What one reader made of all texts."""

    reader: str
    votes: int = 0
    correct: int = 0
    made_up: int = 0
    lost: int = 0
    errors: int = 0
    tricky_right: int = 0
    total_ms: float = 0.0
    largest_ms: float = 0.0
    examples_made_up: list[str] = field(default_factory=list)
    examples_lost: list[str] = field(default_factory=list)


Vote = Callable[[str], int | None]


# --- texts ---


def tricky_cases() -> list[dict[str, Any]]:
    """The table that the tests read, too."""
    cases: list[dict[str, Any]] = tomllib.loads((REPOSITORY / "tests/tricky_answers.toml").read_text("utf-8"))["cases"]
    return cases


def large_texts() -> Iterator[str]:
    """Ten megabytes each, of what is hardest to search or to match."""
    for part in ("{", r"\boxed", r"\boxed{", r"\boxed{}", "1", r"\boxed{\frac{1}{", "answer is ", "```python ", "中"):
        yield part * (10_000_000 // len(part.encode()))
    yield r"\boxed{52}" + "The answer, " * 833_000


# --- readers ---


def ours(text: str) -> int | None:
    """`numina_infer.answer`."""
    return extract_answer(text, AnswerRange.MOD_1000).value


def notebook(text: str) -> int | None:
    """NuminaMath's rules (`numina_infer.paper`), without those on blocks, which most of these texts don't have."""
    return Sample.of(text).answered().extracted.value if states_answer(text) else None


def plain_box(text: str) -> int | None:
    """The last balanced box, if `int()` takes it."""
    boxed = _last_balanced_box(text)
    try:
        number = int(boxed or "")
    except ValueError:
        return None
    return number % 1000 if number >= 0 else None


def _last_balanced_box(text: str) -> str | None:
    start = max(text.rfind(r"\boxed{"), text.rfind(r"\fbox{"))
    if start < 0:
        return None
    opened, depth = text.find("{", start), 0
    for at in range(opened, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[opened + 1 : at]
    return None


class MathVerify:
    """math-verify in a process of its own: a parse that hangs is killed, and counts as an error."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self.num_errors = 0
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_serve_math_verify, args=(theirs,), daemon=True)
        self._process.start()
        self._pipe.recv()  # warm

    def vote(self, text: str) -> int | None:
        """What it takes for the answer, modulo 1000."""
        number = self.number(text)
        return number % 1000 if number is not None and number >= 0 else None

    def number(self, text: str) -> int | None:
        """What it takes for the answer, if that is an integer."""
        self._pipe.send(text)
        try:
            if self._pipe.poll(MATH_VERIFY_TIMEOUT_S):
                answer: int | None = self._pipe.recv()
                return answer
        except EOFError:
            pass
        self.num_errors += 1
        self._process.kill()
        self._process.join()
        self._start()
        return None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


def _serve_math_verify(pipe: Connection) -> None:
    from math_verify import parse

    logging.disable()  # it warns that its own time-out is off: here the process is killed

    def integer(text: str) -> int | None:
        for value in parse(text, parsing_timeout=None):
            exact = _exact(value)
            if exact is not None:
                return exact
        return None

    integer(r"\boxed{1}")
    pipe.send(None)
    while True:
        pipe.send(integer(pipe.recv()))


def _exact(value: Any) -> int | None:
    """The integer that a sympy object is once it is worked out; an equation counts as its right side."""
    value = getattr(value, "rhs", value)
    try:
        exact = Fraction(str(value.doit() if hasattr(value, "doit") else value))
    except (AttributeError, TypeError, ValueError, ZeroDivisionError):  # sympy's objects of two libraries
        return None
    return exact.numerator if exact.denominator == 1 else None


# --- what a text states ---

_LITERAL = re.compile(
    r"([^\s$]?)\s?(-?)\s?(?:\\?\$)?"
    r"([0-9]{1,3}(?:(?:\{,\}|,\\!|,|\\,|\\ |~| )[0-9]{3})+(?![0-9])|[0-9]+)(\.[0-9]+)?(?:[eE]([0-9]{1,3}))?"
)


def stated_integers(text: str) -> set[int]:
    """Every integer that stands in `text` as a literal, and the parts of literals that may also be lists."""
    stated: set[int] = set()
    for match in _LITERAL.finditer(text.replace("−", "-")):
        before, minus, whole, decimals, exponent = match.groups()
        if before == "." or len(whole) > 4_000:
            continue
        is_negative = bool(minus) and not re.match(r"[0-9A-Za-z)}\]]", before)
        exact = Fraction(re.sub(r"[^0-9]", "", whole) + (decimals or "")) * 10 ** int(exponent or 0)
        parts = [] if decimals else re.findall(r"[0-9]+", whole)
        exacts = [exact, *map(Fraction, parts)]
        stated |= {-int(n) if is_negative else int(n) for n in exacts if n.denominator == 1}
    return stated


def is_made_up(vote: int, text: str, verify: MathVerify | None) -> bool:
    """True where `vote` is neither a literal of `text` nor the value of its last box."""
    if any(number >= 0 and number % 1000 == vote for number in stated_integers(text)):
        return False
    box = _last_balanced_box(text)
    value = verify.number(rf"\boxed{{{box}}}") if verify and box else None
    return value is None or value < 0 or value % 1000 != vote


# --- scores ---


def score(name: str, vote: Vote, texts: list[RecordedText], verify: MathVerify | None) -> Score:
    """Run one reader over all texts and all tricky cases."""
    result = Score(name)
    errors_before = verify.num_errors if verify else 0
    for recorded in texts:
        started = time.perf_counter()
        number = vote(recorded.text)
        result.total_ms += (time.perf_counter() - started) * 1e3
        _count(result, recorded, number, verify)
    result.tricky_right = sum(_is_right(vote, case) for case in tricky_cases())
    result.errors = verify.num_errors - errors_before if verify else 0
    return result


def _count(result: Score, recorded: RecordedText, number: int | None, verify: MathVerify | None) -> None:
    if number is None:
        if recorded.is_correct and recorded.reference >= 0:
            result.lost += 1
            result.examples_lost.append(recorded.text[-120:])
        return
    result.votes += 1
    result.correct += recorded.reference >= 0 and number == recorded.reference % 1000
    if is_made_up(number, recorded.text, verify):
        result.made_up += 1
        result.examples_made_up.append(f"{number}: {recorded.text[-120:]}")


def _is_right(vote: Vote, case: Mapping[str, Any]) -> bool:
    if case.get("reason") == "out_of_range":
        return vote(case["text"]) == 0  # 100000, and every reader here takes the modulus
    expected = case.get("value")
    return vote(case["text"]) == (None if expected is None else expected % 1000)


def disagreements(texts: list[RecordedText]) -> dict[str, list[str]]:
    """Where our vote isn't the integer that the recording's own project read, by class."""
    classes: dict[str, list[str]] = {}
    for recorded in texts:
        prediction = recorded.prediction
        if prediction is None:
            continue
        answer = extract_answer(recorded.text, AnswerRange.MOD_1000)
        expected = AnswerRange.MOD_1000.place(prediction)
        got = answer.reason if answer.value is None else answer.value
        if got != expected:
            name = f"{answer.source.value}, {'no vote: ' + answer.reason.value if answer.reason else 'another vote'}"
            note = f"recorded {prediction}, reference {recorded.reference}, ours {got}, raw {answer.raw[:60]!r}"
            classes.setdefault(name, []).append(f"{note}: {recorded.text[-200:]!r}")
    return classes


def measure(texts: list[RecordedText], *, short: bool) -> list[Score]:
    """One row a reader; ours also on ten megabytes."""
    try:
        verify: MathVerify | None = MathVerify()
    except EOFError:
        print("math-verify isn't installed (pip install 'numina-infer[eval]'): its row is left out")
        verify = None
    readers: dict[str, Vote] = {"numina_infer": ours, "NuminaMath's notebook": notebook, "last box, int()": plain_box}
    if verify:
        readers["math-verify"] = verify.vote
    scores = [score(name, vote, texts, verify) for name, vote in readers.items()]
    for text in large_texts() if not short else ():
        started = time.perf_counter()
        ours(text)
        scores[0].largest_ms = max(scores[0].largest_ms, (time.perf_counter() - started) * 1e3)
    if verify:
        verify.close()
    return scores


def report(scores: list[Score], num_texts: int) -> None:
    """Print the table."""
    print(f"{num_texts} texts, {len(tricky_cases())} tricky cases\n")
    head = ["reader", "votes", "correct", "made up", "lost", "ms a text", "died or over 5 s", "tricky cases right"]
    rows = [
        (
            row.reader,
            row.votes,
            row.correct,
            row.made_up,
            row.lost,
            row.total_ms / num_texts,
            row.errors,
            row.tricky_right,
        )
        for row in scores
    ]
    show(head, rows)
    if scores[0].largest_ms:
        print(f"\nten megabytes: {scores[0].largest_ms:.1f} ms at most")


def targets(ours_row: Score, others: list[Score]) -> list[Target]:
    """What ours must keep to; losing less than the others is compared in the same run."""
    return [
        Target("votes made up", ours_row.made_up, 0, at_most=True),
        Target("tricky cases right", ours_row.tricky_right, len(tricky_cases())),
        Target(
            "votes lost beyond the best other reader", ours_row.lost - min(o.lost for o in others), 0, at_most=True
        ),
    ]


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = argparse.ArgumentParser(formatter_class=HelpFormatter)
    parser.add_argument("--disagreements", action="store_true", help="list where ours and the recorded reading differ")
    options = read_options(__doc__, "every tenth text, no ten megabytes", parser=parser)
    if data_folder() is None:
        pass_over(options, NOT_HERE)
    print(name_machine())
    texts = list(recorded_texts())[:: 10 if options.short else 1]
    scores = measure(texts, short=options.short)
    report(scores, len(texts))
    classes = disagreements(texts)
    if options.disagreements:
        for name, notes in classes.items():
            print(f"\n{name}: {len(notes)}", *notes, sep="\n  ")
    figures = {"num_texts": len(texts), "scores": [asdict(row) for row in scores], "disagreements": classes}
    finish(options, figures, targets(scores[0], scores[1:]))


if __name__ == "__main__":
    main()
