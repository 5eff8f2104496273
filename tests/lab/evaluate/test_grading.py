"""math-verify in processes of its own: what it says, and what becomes of answers that nobody can compute."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from numina_infer.core.errors import ConfigError, GradingError
from numina_infer.lab.evaluate import grading
from numina_infer.lab.evaluate.grading import Grade, Grader, GradeVerdict

RIGHT, WRONG, UNDECIDED = GradeVerdict


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    """One process, started once for all tests that it survives."""
    with Grader(1) as one:
        yield one


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        (r"\frac{1}{9}", "1/9", RIGHT),
        ("0.5", r"\frac12", RIGHT),
        ("p - q", "-q + p", RIGHT),
        (r"8 \pi", r"8\pi", RIGHT),
        (r"$100,\frac{1}{100}$", r"\frac{1}{100}, 100", RIGHT),
        ("$f(x)=-1$,$f(x)=x+1$", "f(x)=x+1, f(x)=-1", RIGHT),
        (r"\text{red}", r"\text{red}", RIGHT),
        (r"90^\circ", "90", RIGHT),
        ("52", "52.0", RIGHT),
        (r"\sqrt{3}-3", r"3-\sqrt{3}", WRONG),
        (r"(-2,1)", "(1,-2)", WRONG),
        ("5", "6", WRONG),
        ("5", "", UNDECIDED),
        ("5", "1" * 3000, UNDECIDED),
    ],
)
def test_answers_are_compared_as_mathematics(
    grader: Grader, reference: str, answer: str, verdict: GradeVerdict
) -> None:
    """Not as text; and what can't be read isn't called wrong without a reason."""
    grade = grader.grade(reference, answer)
    assert grade.verdict is verdict
    assert bool(grade.reason) == (verdict is UNDECIDED)


@pytest.mark.parametrize("tower", ["10^{10^{10}}", "2^{2^{40}}", "1000000!", r"\binom{10^9}{10^8}"])
def test_a_tower_ends_by_the_clock(tower: str) -> None:
    """With a second for each comparison; whoever computes it is killed."""
    with Grader(1, timeout_s=1) as grader:
        assert grader.grade("5", tower).verdict is UNDECIDED


def test_equal_texts_need_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces, dollars and a full stop make no difference."""
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with Grader() as grader:
        assert grader.grade(r"$25 \sqrt{6}$.", r"25\sqrt{6}") == Grade(RIGHT)


def test_a_process_that_takes_too_much_memory_costs_one_verdict() -> None:
    """It says so itself, or dies of it."""
    with Grader(1, memory_bytes=700 * 1024**2) as grader:
        assert grader.grade("5", r"10^{3 \cdot 10^9}").verdict is UNDECIDED
        assert grader.grade("1/2", "0.5").verdict is RIGHT


def _stand_in(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Processes that do something else."""
    popen = subprocess.Popen

    def start(command: list[str], **settings: object) -> "subprocess.Popen[bytes]":
        return popen([sys.executable, "-c", program], **settings)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(subprocess, "Popen", start)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("Right\n", "Right"),
        ("right wrong\n", "right wrong"),
        ("\n", "no reply"),
        ("x" * 5000, "xxx"),
        ("right" * 1000 + "\n", "right"),
        ("wrong\nright\n", "wrong"),
    ],
)
def test_only_the_two_words_are_a_verdict(monkeypatch: pytest.MonkeyPatch, reply: str, reason: str) -> None:
    """Whatever else a process sends decides nothing."""
    parts = [
        "import sys",
        "print('ready', flush=True)",
        "input()",
        f"sys.stdout.write({reply!r})",
        "sys.stdout.flush()",
        "input()",
    ]
    _stand_in(monkeypatch, "; ".join(parts))
    with Grader(1) as grader:
        grade = grader.grade("1", "2")
    assert grade.verdict is UNDECIDED
    assert reason in grade.reason


def test_a_second_line_is_no_reply_to_the_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that sent it is replaced."""
    _stand_in(monkeypatch, "print('ready', flush=True); input(); print('wrong\\nright', flush=True); input(); input()")
    with Grader(1, timeout_s=1) as grader:
        assert [grader.grade("1", answer).verdict for answer in ("2", "3")] == [UNDECIDED] * 2


def test_a_killed_process_is_replaced(grader: Grader) -> None:
    """The verdict that it owed is lost, the next one isn't."""
    grader.grade("1", "2")
    process = grader._workers.queue[0]._process
    assert process is not None
    process.kill()
    assert "its process died" in grader.grade("1/2", "0.6").reason
    assert grader.grade("1/2", "0.5").verdict is RIGHT


def test_a_process_that_dies_costs_one_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice, if two die."""
    _stand_in(monkeypatch, "print('ready', flush=True); input()")
    with Grader(1) as grader:
        assert all("its process died" in grader.grade("1", "2").reason for _ in range(2))


def test_a_process_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a thousand undecided answers."""
    _stand_in(monkeypatch, "raise SystemExit(1)")
    with Grader(1) as grader, pytest.raises(GradingError, match="doesn't start"):
        grader.grade("1", "2")


def test_no_process_is_left(grader: Grader) -> None:
    """Closing ends it, whatever it does."""
    with Grader(1) as other:
        other.grade("1", "2")
        process = other._workers.queue[0]._process
        assert process is not None
        os.kill(process.pid, 0)
    assert process.returncode is not None


def test_tasks_come_back_in_order(grader: Grader) -> None:
    """All of them, in their order."""
    verdicts = grader.each(lambda n: grader.grade("7", str(n)).verdict, range(5, 9))
    assert list(verdicts) == [WRONG, WRONG, RIGHT, WRONG]


def test_whoever_stops_waiting_ends_the_tasks() -> None:
    """Ctrl-C isn't kept by a problem with a thousand answers: from then on nothing is compared."""
    with Grader(1) as grader:
        grades: list[Grade] = []

        def compare() -> None:
            grades.extend(grader.grade("1/2", f"{number}/3") for number in range(10))

        def interrupt() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(grader.each(lambda task: task(), [interrupt, compare, compare]))
        assert grader.grade("1/2", "0.5") == Grade(UNDECIDED, "stopped")
        assert len(grades) <= 10


def test_without_math_verify_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only when it is needed."""
    monkeypatch.setattr(grading, "find_spec", lambda name: None)
    with Grader() as grader:
        assert grader.grade("x", "x").verdict is RIGHT
        with pytest.raises(ConfigError, match=r"numina-infer\[eval\]"):
            grader.grade("x", "y")
