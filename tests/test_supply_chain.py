"""What is installed is pinned, and every exception from a rule of security or of types says why."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PINS = [ROOT / "constraints.txt", *sorted((ROOT / "requirements").glob("*.txt"))]
PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==[0-9][A-Za-z0-9.+!]*")
EXCEPTION = re.compile(r"# (?:noqa: (?:S[0-9]|BLE)|type: ignore)[^\s]*(?P<reason>.*)")


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(path: Path) -> list[str]:
    """The names in a file of pins."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    matches = [PIN.fullmatch(line) for line in lines]
    assert None not in matches, f"{path.name} has a line that is no pin"
    return [normal(match["name"]) for match in matches if match]


@pytest.mark.parametrize("path", PINS, ids=lambda path: path.name)
def test_every_line_of_a_pinned_set_is_one_exact_version(path: Path) -> None:
    """No range, no address, no other file, and no package twice."""
    names = pinned(path)
    assert names
    assert len({*names}) == len(names)


def test_whatever_the_project_asks_for_is_pinned() -> None:
    """In every extra, since make installs nothing that wasn't tested."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {normal(re.split(r"[\[<>=!~; ]", one)[0]) for one in asked}
    assert names - {*pinned(ROOT / "constraints.txt")} == set()


def test_every_exception_from_a_rule_of_security_or_types_says_why() -> None:
    """Behind it, on its line."""
    files = sorted((ROOT / "numina_infer").rglob("*.py"))
    found = [
        (f"{file.name}:{number}", match["reason"])
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if (match := EXCEPTION.search(line))
    ]
    assert len(found) > 30
    assert [place for place, reason in found if not re.search("[a-z]{2}", reason)] == []


def test_security_rules_are_on() -> None:
    """And no file of the package is let off."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert {"S", "BLE"} <= {*lint["select"]}
    assert not any(rule.startswith("S") for rule in lint["ignore"])
    assert not any(
        rule.startswith("S")
        for files, rules in lint["per-file-ignores"].items()
        if files.startswith("numina_infer")
        for rule in rules
    )
