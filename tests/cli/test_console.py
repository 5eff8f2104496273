"""What commands print: whole lines in a file or a pipe, broken ones on a terminal alone."""

import argparse
import io
from collections.abc import Iterator

import pytest
from rich.table import Table

from numina_infer.cli import _parser, main
from numina_infer.cli import parser as parsing
from numina_infer.runs.progress import RunConsole

LONG = "/data/with a blank/and-hyphens-/" + "/".join(["folder"] * 40) + "/:x:/[bold]/run"
WIDTHS = ["20", "60", "200"]


class Terminal(io.StringIO):
    """A stream that a terminal is behind."""

    def isatty(self) -> bool:
        """As asked."""
        return True


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """`parser`, and those of all commands below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


ALL_PARSERS = list(parsers(_parser()))


@pytest.fixture(params=WIDTHS)
def _width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that has an opinion about terminals."""
    monkeypatch.setenv("COLUMNS", request.param)
    monkeypatch.setenv("FORCE_COLOR", "1")


def printed(*things: object) -> list[str]:
    """What a file gets of them, by lines."""
    file = io.StringIO()
    console = RunConsole(file)
    for thing in things:
        console.print(thing)
    return file.getvalue().splitlines()


@pytest.mark.usefixtures("_width")
def test_a_line_in_a_file_is_whole() -> None:
    """Nothing in it is taken for markup, for an emoji, or for something to colour."""
    assert printed(f"written to {LONG}", LONG) == [f"written to {LONG}", LONG]


@pytest.mark.usefixtures("_width")
def test_a_table_in_a_file_has_whole_cells_and_a_whole_title() -> None:
    """Though the table is narrower than its title."""
    table = Table("narrow", title=f"a title about {LONG}", caption=f"more of {LONG}", title_justify="left")
    table.add_row("x")
    wide = Table("folder", "what")
    wide.add_column("to do", overflow="fold")
    wide.add_row(LONG, "a sentence of several words " * 20 + "with an end", LONG)
    lines = printed(table, wide)
    assert lines[0].rstrip() == f"a title about {LONG}"
    assert any(f"more of {LONG}" in line for line in lines)
    (row,) = [line for line in lines if "with an end" in line]
    assert row.count(LONG) == 2


def test_a_terminal_gets_lines_of_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words that are too many go to the next line."""
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    file = Terminal()
    RunConsole(file).print("a sentence of several words " * 4)
    assert max(map(len, file.getvalue().splitlines())) <= 30


@pytest.mark.usefixtures("_width")
@pytest.mark.parametrize("parser", ALL_PARSERS, ids=lambda parser: parser.prog)
def test_help_in_a_pipe_has_every_explanation_whole(parser: argparse.ArgumentParser) -> None:
    """So that it can be searched for."""
    text = parser.format_help()
    explained = [action for action in parser._actions if action.help and action.help != argparse.SUPPRESS]
    formatter = parser._get_formatter()
    for action in explained:
        assert " ".join(formatter._expand_help(action).split()) in text


@pytest.mark.parametrize("parser", ALL_PARSERS, ids=lambda parser: parser.prog)
def test_help_on_a_terminal_fits_it(parser: argparse.ArgumentParser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is wide enough for the longest choices that an option names, and for the examples."""
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setattr("sys.stderr", Terminal())
    written = {line for text in (parser.description, parser.epilog) for line in (text or "").splitlines()}
    for columns in (100, 300):
        monkeypatch.setenv("COLUMNS", str(columns))
        for line in parser.format_help().splitlines():
            assert len(line) <= min(columns, 112) or line in written or " " not in line.strip()


def test_commands_run_where_standard_output_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has None in its place."""
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(SystemExit):
        main(["no-such-command"])


@pytest.mark.usefixtures("_width")
def test_a_refusal_in_a_table_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """As a user finds it in a log."""
    assert main(["fit", "numina-7b", "--gpus", "T4", "--num-gpus", "2"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "2 replicas" in line]
    assert "the weights don't fit: 14.74 GiB × 0.92 − 0.90 GiB = 12.66 GiB a T4" in row
    assert row.rstrip(" │").endswith("remain")


@pytest.mark.parametrize(("every_s", "lines"), [(0.0, ["[1/2] problems marked", "[2/2] problems marked"]), (60.0, [])])
def test_a_log_file_gets_a_line_of_progress_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], every_s: float, lines: list[str]
) -> None:
    """So that somebody who reads it knows that work goes on, and no more than that."""
    monkeypatch.setattr(parsing, "_SAY_EVERY_S", every_s)
    with parsing.showing_progress("problems marked") as tell:
        tell(1, 2)
        tell(2, 2)
    assert capsys.readouterr().err.splitlines() == lines
