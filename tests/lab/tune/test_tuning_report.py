"""What is said of a search."""

import io
import json
from pathlib import Path

from numina_infer.core.ports import CacheStats
from numina_infer.lab.evaluate.metrics import Tally
from numina_infer.lab.tune.search_space import Setting
from numina_infer.lab.tune.tuning_folder import write_json
from numina_infer.lab.tune.tuning_report import Trial, TrialStanding, TuningReport
from numina_infer.runs.progress import RunConsole


def tried(
    temperature: float, rights: list[int], *, tokens: int = 4000, standing: TrialStanding = TrialStanding.WHOLE
) -> Trial:
    """A setting with four samples a problem, so many of them right and the rest wrong alike."""
    tallies = [Tally((right,) if right else (), (4 - right,) if right < 4 else ()) for right in rights]
    return Trial(
        Setting((("temperature", temperature),)), tallies, tokens * len(rights), 2.0 * len(rights), standing=standing
    )


def report(*trials: Trial) -> TuningReport:
    """At 1 and 4 samples."""
    return TuningReport(trials, (1, 4), max(trial.num_problems for trial in trials), CacheStats(3, 4, 50))


def test_equals_cant_be_told_apart_and_the_cheaper_one_is_named() -> None:
    """One problem in ten either way is noise."""
    one, other = tried(0.2, [4] * 8 + [0, 4], tokens=5000), tried(0.8, [4] * 8 + [4, 0], tokens=3000)
    assert report(one, other).verdict == (
        "temperature 0.8 and temperature 0.2 can't be told apart: maj@4 90.0% and 90.0% on 10 problems, a difference "
        "of 0.0 points (-30.0 to 30.0), and the first is better with a chance of 0.50. The cheaper one is "
        "temperature 0.8, with 3000 tokens a problem instead of 5000."
    )


def test_a_lead_on_few_problems_is_no_proof() -> None:
    """Three of ten is what luck does; the sentence says so although the leader leads."""
    said = report(tried(0.2, [4] * 10), tried(0.8, [4] * 7 + [0] * 3)).verdict
    assert said.startswith("temperature 0.2 and temperature 0.8 can't be told apart: maj@4 100.0% and 70.0%")
    assert said.endswith("Both take 4000 tokens a problem.")


def test_a_clear_lead_is_called_one() -> None:
    """Twenty of forty problems, all one way."""
    said = report(tried(0.2, [4] * 40), tried(0.8, [4] * 20 + [0] * 20)).verdict
    assert said.startswith("temperature 0.2 is better than temperature 0.8, the next best: maj@4 100.0% and 50.0%")


def test_where_all_others_were_dropped_the_last_one_is_the_best() -> None:
    """There is nothing to compare it with on all problems."""
    said = report(tried(0.2, [4] * 9), tried(0.8, [0] * 4, standing=TrialStanding.DROPPED)).verdict
    assert said == (
        "temperature 0.2 is the best of 2 settings; the others were dropped before they had all 9 problems."
    )
    assert report(tried(0.2, [4])).verdict == "temperature 0.2 is the only setting that was tried."


def test_the_best_come_first_then_the_cheaper_and_the_dropped_last() -> None:
    """A setting that was dropped on a few easy problems isn't the best."""
    dear, cheap = tried(0.4, [4, 4, 0], tokens=900), tried(0.6, [0, 4, 4], tokens=800)
    dropped, worse = tried(0.2, [4, 4], standing=TrialStanding.DROPPED), tried(0.8, [4, 0, 0])
    assert report(dropped, worse, dear, cheap).ranked == (cheap, dear, worse, dropped)


def test_votes_of_fewer_samples_are_worked_out_from_the_same() -> None:
    """Three of four right: one sample is right three times in four, a vote of four always."""
    trial = tried(0.2, [3] * 10)
    assert (trial.score(1), trial.score(4)) == (0.75, 1.0)
    assert trial.tokens_per_problem(1) == trial.tokens_per_problem(4) / 4 == 1000
    assert trial.estimate(1).low < 0.75 < trial.estimate(1).high


def test_the_table_and_the_file_have_every_setting(tmp_path: Path) -> None:
    """With intervals, tokens and seconds; seconds that the cache saved are marked."""
    one, other = tried(0.2, [4] * 10), tried(0.8, [0] * 4, standing=TrialStanding.DROPPED)
    other.num_hits = 5
    told, log = report(one, other), io.StringIO()
    RunConsole(log).print(told.table())
    rows = [line for line in log.getvalue().splitlines() if "temperature" in line]
    assert "10" in rows[0]
    assert "100.0% (" in rows[0]
    assert "4 (dropped)" in rows[1]
    assert "2.0*" in rows[1]
    assert told.note
    write_json(tmp_path / "result.json", told.record)
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["verdict"] == told.verdict
    assert [row["standing"] for row in content["settings"]] == ["whole", "dropped"]
    assert content["settings"][0]["majority"]["4"]["value"] == 1.0
    assert content["settings"][1]["against_best"]["chance_first_better"] == 0.0
    assert content["cache"] == {"num_hits": 3, "num_misses": 4, "num_saved_tokens": 50}
