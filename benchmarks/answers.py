r"""How many recorded texts each reader turns into votes, right ones, made-up ones, and how fast.

    python benchmarks/answers.py [--short] [--json FILE] [--disagreements]

Readers: ours; the rules of NuminaMath's 2024 notebook (`numina_infer.solving.paper.rules`); the last balanced box
through `int()`; math-verify where it is installed, in a process of its own that is killed when it hangs.
Texts: tails of generations and whole transcripts that other projects published, with an integer reference, in the
folder `shared` beside the repository or in `NUMINA_SHARED`; the tricky cases are tests/answers/tricky_answers.toml,
the cases by kind tests/answers/answer_kinds.toml, and those decided by hand answer_cases.jsonl of that folder, which
its authors wrote before any reader was run. Some of these texts are ones that a limit cut short, which only
our reader is told.
Votes and references are taken modulo 1000, as that notebook does.

made up: the vote is no number that the text states. Stated is every integer literal in any written form (thousands
separators, `52.0`, `1e3`; a sign counts where nothing stands before it to be subtracted from), and the value of the
expression in the last box by sympy, before or after the modulus.
lost: no vote, though the recording's own grader found the (non-negative) reference in the text.
Of a case it is made up where the vote isn't accepted, and lost where there must be one and is none.
Floors for ours: none made up, no case wrong, no more lost than by the reader that loses least.
"""

import argparse
import json
import logging
import multiprocessing
import re
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.frame import Target, finish, name_machine, pass_over, read_options, show
from benchmarks.recorded import NOT_HERE, RecordedText, data_folder, recorded_texts
from numina_infer.answers.extract import extract_answer
from numina_infer.core.records import AnswerRange
from numina_infer.core.terminal import HelpFormatter
from numina_infer.solving.paper.rules import Sample, states_answer

REPOSITORY = Path(__file__).resolve().parents[1]
MATH_VERIFY_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Case:
    """A text, and the votes that are right, modulo 1000."""

    text: str
    accepted: frozenset[int | None]
    is_complete: bool = True

    @classmethod
    def of(cls, text: str, *votes: int | None, is_complete: bool = True) -> "Case":
        """With `votes` as they are written."""
        return cls(text, frozenset(None if vote is None else vote % 1000 for vote in votes), is_complete)


@dataclass(slots=True)
class Tally:
    """How one reader read cases."""

    right: int = 0
    made_up: int = 0
    lost: int = 0

    def __str__(self) -> str:
        return f"{self.right} ({self.made_up}, {self.lost})"


@dataclass(slots=True)
class Score:
    """What one reader made of all texts."""

    reader: str
    votes: int = 0
    correct: int = 0
    made_up: int = 0
    lost: int = 0
    errors: int = 0
    tricky: Tally = field(default_factory=Tally)
    by_kind: Tally = field(default_factory=Tally)
    by_hand: Tally = field(default_factory=Tally)
    total_ms: float = 0.0
    largest_ms: float = 0.0
    examples_made_up: list[str] = field(default_factory=list)
    examples_lost: list[str] = field(default_factory=list)


Vote = Callable[[str], int | None]


# --- texts ---


def tricky_cases() -> list[Case]:
    """A table that the tests read, too."""
    table = tomllib.loads((REPOSITORY / "tests/answers/tricky_answers.toml").read_text("utf-8"))["cases"]
    # One number is out of that table's range, and every reader here takes the modulus.
    return [Case.of(row["text"], 0 if row.get("reason") == "out_of_range" else row.get("value")) for row in table]


def cases_by_kind() -> list[Case]:
    """The other table of the tests."""
    kinds = tomllib.loads((REPOSITORY / "tests/answers/answer_kinds.toml").read_text("utf-8"))["kinds"]
    votes = [(*row, not key) for kind in kinds for key in ("", "cut_") for row in kind.get(f"{key}vote", [])]
    none = [(text, None, not key) for kind in kinds for key in ("", "cut_") for text in kind.get(f"{key}none", [])]
    return [Case.of(text, vote, is_complete=is_complete) for text, vote, is_complete in votes + none]


def cases_by_hand() -> list[Case]:
    """Those of the recorded data's folder; none where it has none."""
    path = (data_folder() or REPOSITORY) / "answer_cases.jsonl"
    table = map(json.loads, path.read_text("utf-8").splitlines()) if path.exists() else ()
    return [Case.of(row["text"], *row["accept"], is_complete=row["complete"]) for row in table]


def large_texts() -> Iterator[str]:
    """Ten megabytes each, of what is hardest to search or to match."""
    for part in ("{", r"\boxed", r"\boxed{", r"\boxed{}", "1", r"\boxed{\frac{1}{", "answer is ", "```python ", "中"):
        yield part * (10_000_000 // len(part.encode()))
    yield r"\boxed{52}" + "The answer, " * 833_000


# --- readers ---


def ours(text: str) -> int | None:
    """`numina_infer.answers.extract`."""
    return extract_answer(text, AnswerRange.MOD_1000).value


def ours_cut_short(text: str) -> int | None:
    """The same, told that a limit cut the text short."""
    return extract_answer(text, AnswerRange.MOD_1000, complete=False).value


def notebook(text: str) -> int | None:
    """NuminaMath's rules (`solving/paper/rules.py`), without those on blocks, which most of these texts don't have."""
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
    result.tricky, result.by_kind, result.by_hand = (
        tally(vote, cases) for cases in (tricky_cases(), cases_by_kind(), cases_by_hand())
    )
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


def tally(vote: Vote, cases: list[Case]) -> Tally:
    """How a reader reads `cases`."""
    result = Tally()
    for case in cases:
        number = vote(case.text) if case.is_complete or vote is not ours else ours_cut_short(case.text)
        result.right += number in case.accepted
        result.made_up += number is not None and number not in case.accepted
        result.lost += number is None and None not in case.accepted
    return result


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
    print(f"{num_texts} texts; cases right (made up, lost):")
    print(f"{len(tricky_cases())} tricky, {len(cases_by_kind())} by kind, {len(cases_by_hand())} decided by hand\n")
    head = ["reader", "votes", "correct", "made up", "lost", "ms a text", "died or over 5 s"]
    head += ["tricky", "by kind", "by hand"]
    rows = [
        (
            row.reader,
            row.votes,
            row.correct,
            row.made_up,
            row.lost,
            row.total_ms / num_texts,
            row.errors,
            str(row.tricky),
            str(row.by_kind),
            str(row.by_hand),
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
        Target("tricky cases right", ours_row.tricky.right, len(tricky_cases())),
        Target("cases by kind right", ours_row.by_kind.right, len(cases_by_kind())),
        Target("cases decided by hand right", ours_row.by_hand.right, len(cases_by_hand())),
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
