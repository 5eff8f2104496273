"""`numina-infer doctor`: the preflight as a command."""

import json

import pytest

from numina_infer.cli import main


@pytest.fixture(autouse=True)
def on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine's environment says."""
    for name in ("KAGGLE_IS_COMPETITION_RERUN", "KAGGLE_KERNEL_RUN_TYPE", "NUMINA_VLLM_PYTHON"):
        monkeypatch.delenv(name, raising=False)


def test_a_laptop_may_rehearse(capsys: pytest.CaptureFixture[str]) -> None:
    """With the scripted engine, which needs nothing."""
    assert main(["doctor", "--engine", "scripted", "--allow-limits-only"]) == 0
    printed = capsys.readouterr().out
    assert "gateway package" in printed
    assert printed.splitlines()[-1].startswith(("green: ", "amber: "))


def test_a_commit_run_without_anything_attached_is_red(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1; as JSON there is nothing else on stdout."""
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    assert main(["doctor", "--competition", "aimo-3", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["worst"] == "red"
    reds = {check["name"] for check in said["checks"] if check["light"] == "red"}
    assert {"GPUs", "model", "gateway package"} <= reds


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--competition", "aimo-9"], "aimo-1, aimo-2, aimo-3"),
        (["--engine", "magic"], "transformers, vllm"),
        (["--preset", "t5"], "t4x2"),
    ],
)
def test_values_that_cannot_be_used_are_refused(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, naming those that can."""
    assert main(["doctor", *arguments]) == 2
    assert named in capsys.readouterr().err


def test_the_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """And has examples."""
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "exit codes: 0 nothing is red, 1 something is" in printed
    assert "--engine vllm --model ./my-7b --preset t4x2" in printed
