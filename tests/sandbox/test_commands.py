"""`numina-infer sandbox`, as scripts see it."""

import json
from pathlib import Path

import pytest

from numina_infer.cli import main
from numina_infer.core.config import LADDER
from numina_infer.sandbox.commands import EXIT_CODES, PROGRAM_FAILED


def test_check_tells_the_rung_by_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """And names every rung for people."""
    code = main(["sandbox", "check"])
    assert code in EXIT_CODES.values()
    shown = capsys.readouterr().out
    assert all(rung in shown for rung in LADDER)


def test_run_prints_what_a_model_would_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files are the programs of one trajectory, in order."""
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text("x = 6")
    second.write_text("7 * x")
    assert main(["sandbox", "run", str(first), str(second), "--mode", "replay", "--json", "--allow-limits-only"]) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(result["status"], result["output"]) for result in results] == [("ok", ""), ("ok", "42")]


def test_run_shows_how_each_program_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those behind it are run as well."""
    contents = ["1 / 0", "x = = 1", "\0", ""]
    files = [tmp_path / f"{number}.py" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_text(content)
    assert main(["sandbox", "run", *map(str, files), "--mode", "fresh", "--allow-limits-only"]) == PROGRAM_FAILED
    shown = capsys.readouterr().out
    assert "ZeroDivisionError" in shown
    assert "SyntaxError" in shown
    assert (shown.count("[error"), shown.count("[ok")) == (3, 1)


@pytest.mark.parametrize(
    ("content", "options", "code", "message"),
    [
        (b"'\xff'", [], 2, "no UTF-8 text: byte 1 is 0xff"),
        (b"1", ["--timeout", "0"], 2, "timeout_s is 0.0"),
        (None, [], 2, "can't be read"),
    ],
)
def test_run_is_clear_about_bad_files(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    options: list[str],
    code: int,
    message: str,
) -> None:
    """A file that is none, a limit that is none."""
    file = tmp_path / "program.py"
    if content is not None:
        file.write_bytes(content)
    assert main(["sandbox", "run", str(file), "--allow-limits-only", *options]) == code
    captured = capsys.readouterr()
    assert message in captured.out + captured.err
