"""Reports in a real browser: they open, fold, filter and sort, ask for nothing, and run nothing that a log holds."""

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from numina_infer.app.choices import Choices, EngineName
from numina_infer.app.collection import collect
from numina_infer.app.tasks import Collection
from numina_infer.lab.report.report_page import write_report
from tests.lab.report.hostile_events import hostile_events
from tests.lab.report.pages import HOSTILE
from tests.lab.report.sight import Look, Sight
from tests.run_folders import write_run

pytestmark = pytest.mark.browser

PROGRAM = "We add $\\frac{1}{2}$ twice.\n```python\nfor n in range(2):\n    print(n + 1)\n```\n```output\n"
CONCLUSION = "So\n\\[ \\sum_{k=1}^{2} k = 3 \\]\nand the answer is $\\boxed{2}$."
MAX_ELEMENTS = 6000
"""A page of any run has no more before something is opened."""


def collected(folder: Path, num_problems: int, completions: list[list[str]], num_samples: int) -> Path:
    """The report of a scripted collection, whose problems all have the reference 2."""
    folder.mkdir()
    rows = [
        {"id": f"p{n}", "problem": f"What is $1+1$, problem {n} of all?", "answer": "2"} for n in range(num_problems)
    ]
    problems, script = folder / "problems.jsonl", folder / "script.jsonl"
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    script.write_text(json.dumps({"problem": "of all?", "completions": completions}))
    choices = Choices(engine=EngineName.SCRIPTED, preset="collect", script=str(script), num_samples=num_samples)
    collect(Collection(str(problems), choices, 2), folder / "run", Console(quiet=True))
    return write_report(folder / "run")


@pytest.fixture(scope="module")
def small_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three problems with six trajectories each: right ones with a program, wrong ones, and votes lost."""
    texts = [
        [PROGRAM, CONCLUSION],
        [PROGRAM, CONCLUSION],
        ["\\boxed{2}"],
        ["\\boxed{7}"],
        ["no answer"],
        ["\\boxed{2.5}"],
    ]
    return collected(tmp_path_factory.mktemp("small") / "page", 3, texts, 6)


@pytest.fixture(scope="module")
def large_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand trajectories, some of which run programs."""
    talk = "We think about $x_{%d}^2$ and \\(\\sqrt{%d}\\). " * 6
    texts = [[f"{talk % ((n,) * 12)}\\boxed{{{n % 7}}}"] for n in range(49)]
    return collected(tmp_path_factory.mktemp("large") / "page", 20, [[PROGRAM, CONCLUSION], *texts], 50)


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which every text is hostile."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    write_run(folder, hostile_events())
    return write_report(folder, references={f"{number} {text}": text for number, text in enumerate(HOSTILE)})


def unfold(sight: Sight, number: int = 0) -> None:
    """Open the trajectory in row `number`."""
    sight.page.locator("#trajectory-rows .fold").nth(number).click()


def column(sight: Sight, name: str) -> list[str]:
    """What the table of trajectories shows in a column."""
    names = sight.texts("#trajectory-head th")
    return sight.texts(f"#trajectory-rows > tr[data-trajectory] > td:nth-child({names.index(name) + 1})")


def test_a_page_opens_without_a_word_and_asks_for_nothing(look: Look, small_page: Path) -> None:
    """`look` sees to the second half; what is shown is the run."""
    sight = look(small_page)
    assert sight.page.title() == sight.texts("#title")[0]
    assert re.fullmatch(r"script\.jsonl-[0-9a-f]{12} on problems\.jsonl", sight.page.title())
    assert sight.texts("#tiles dd")[:2] == ["3", "3 of 3"]
    assert sight.count("#verdict-rows tr") == 3
    assert sight.count("#trajectory-rows tr") == 18


def test_a_trajectory_unfolds_with_code_output_and_formulae_and_folds_again(look: Look, small_page: Path) -> None:
    """Nothing of it is in the page before."""
    sight = look(small_page)
    assert sight.count("td.body") == 0
    sight.page.click("#trajectory-head button:text-is('turns')")
    fold = sight.page.locator("#trajectory-rows .fold").first
    assert fold.get_attribute("aria-expanded") == "false"
    fold.click()
    assert fold.get_attribute("aria-expanded") == "true"
    assert sight.count("td.body details.turn") == 2
    assert sight.texts("td.body pre.program") == ["for n in range(2):\n    print(n + 1)"]
    assert sight.texts("td.body pre.program .k") == ["for", "in"]
    assert sight.texts("td.body pre.output") == ["1\n2"]
    assert sight.count("td.body math mfrac") == 1
    assert sight.count("td.body math[display=block] munderover") == 1
    bounds = sight.page.locator("td.body math mfrac").bounding_box()
    assert bounds is not None
    assert bounds["height"] > 15  # the browser set it as a fraction
    fold.click()
    assert sight.count("td.body") == 0


def test_turns_fold(look: Look, small_page: Path) -> None:
    """Each by itself."""
    sight = look(small_page)
    sight.page.click("#trajectory-head button:text-is('turns')")
    unfold(sight)
    turn = sight.page.locator("td.body details.turn").first
    turn.locator("summary").click()
    assert not turn.locator("pre.program").is_visible()
    turn.locator("summary").click()
    assert turn.locator("pre.program").is_visible()


def test_trajectories_are_filtered_by_problem_outcome_and_what_they_gave(look: Look, small_page: Path) -> None:
    """Alone and together, and all come back."""
    sight = look(small_page)
    sight.page.select_option("#by-problem", "1")
    assert set(column(sight, "problem")) == {"p1"}
    sight.page.select_option("#by-gift", "reason:not_stated")
    assert column(sight, "gave") == ["not stated"]
    sight.page.click("#by-nothing")
    assert sight.count("#trajectory-rows tr") == 18
    sight.page.select_option("#by-gift", "wrong")
    assert [text.split()[0] for text in column(sight, "gave")] == ["7"] * 3
    sight.page.select_option("#by-outcome", "finished")
    assert sight.texts("#trajectory-count") == ["3 of 3 shown"]
    sight.page.select_option("#by-gift", "")
    sight.page.fill("#by-answer", "2")
    assert len(column(sight, "gave")) == 9


def test_votes_lost_are_counted_by_reason_and_lead_to_their_trajectories(look: Look, small_page: Path) -> None:
    """A number in the table is a filter."""
    sight = look(small_page)
    assert sorted(sight.texts("#lost tbody td:first-child")) == ["all", "not an integer", "not stated"]
    sight.page.click("[data-lost='not_an_integer/finished']")
    assert [text.split("\n")[0] for text in column(sight, "gave")] == ["not an integer"] * 3


def test_tables_sort_both_ways_by_number_and_not_by_text(look: Look, small_page: Path) -> None:
    """The heading says which way."""
    sight = look(small_page)
    heading = sight.page.locator("#trajectory-head th", has_text="tokens")
    ways = []
    for expected in ("descending", "ascending"):
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == expected
        ways.append([int(text.replace(",", "")) for text in column(sight, "tokens")])
    assert ways[0] == sorted(ways[0], reverse=True)
    assert ways[1] == sorted(ways[1])
    assert ways[0] != ways[1]
    sight.page.click("#verdict-head button:text-is('problem')")
    assert [text.split("\n")[0] for text in sight.texts("#verdict-rows td.id")] == ["p0", "p1", "p2"]


def test_verdicts_are_filtered_by_text(look: Look, small_page: Path) -> None:
    """Of the id or the statement, formulae by their source."""
    sight = look(small_page)
    for text, found in (("problem 1", 1), ("1+1$", 3), ("P2", 1), ("nothing", 0)):
        sight.page.fill("#verdict-text", text)
        assert sight.count("#verdict-rows tr") == found


def test_a_chosen_problem_shows_its_ballot_and_its_trajectories(look: Look, small_page: Path) -> None:
    """By the table, by the list, and step by step."""
    sight = look(small_page)
    sight.page.click("#verdict-rows tr[data-problem='2'] button")
    assert sight.page.input_value("#problem-choice") == "2"
    assert set(column(sight, "problem")) == {"p2"}
    assert "problem 2 of all" in sight.texts("#problem .card")[0]
    assert sight.count("#problem .card math") == 1
    [ballot] = sight.texts("#problem figure:has(text:text-is('exhausted'))")
    assert all(label in ballot for label in ("2 ✓ × 3", "7 × 1", "no vote × 2"))
    assert "Exhausted at ending 6 of 6: 3 votes against 1, with 0 of 6 still out." in sight.texts("#problem .hint")
    sight.page.click("#problem-before")
    assert set(column(sight, "problem")) == {"p1"}
    sight.page.select_option("#ballot-axis", "time")
    assert sight.count("#problem svg path.step") >= 3


def test_the_timeline_shows_problems_and_what_ran(look: Look, small_page: Path) -> None:
    """And what a log without a bank can't show is said."""
    sight = look(small_page)
    assert sight.texts("#timeline h3") == ["Problems", "Trajectories at work", "Slices"]
    assert sight.count("#timeline svg") == 3
    assert "This contest had no time bank: no limit for the whole." in sight.texts("#timeline .hint")
    sight.page.locator("#timeline svg").nth(1).hover()
    assert "in a slot" in sight.texts("#tip")[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_takes_the_system_s_theme_and_the_reader_s(look: Look, small_page: Path, scheme: str) -> None:
    """System, light, dark, and round again."""
    sight = look(small_page, color_scheme=scheme)

    def background() -> str:
        return str(sight.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    of_system = background()
    seen = {}
    for theme in ("light", "dark", "system"):
        sight.page.click("#theme")
        assert sight.texts("#theme") == [f"Theme: {theme}"]
        seen[theme] = background()
    assert seen["light"] != seen["dark"]
    assert seen["system"] == of_system == seen[scheme]


@pytest.mark.parametrize("width", [400, 1280])
def test_a_page_is_no_wider_than_the_screen(look: Look, small_page: Path, width: int) -> None:
    """With a trajectory open too."""
    sight = look(small_page, width)
    unfold(sight)
    assert sight.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_page_is_used_with_keys_alone(look: Look, small_page: Path) -> None:
    """Folds and headings are buttons, and tables that scroll can be focused."""
    sight = look(small_page)
    sight.page.locator("#trajectory-rows .fold").first.focus()
    sight.page.keyboard.press("Enter")
    assert sight.count("td.body") == 1
    sight.page.keyboard.press("Space")
    assert sight.count("td.body") == 0
    assert sight.count("section .wide:not([tabindex='0'])") == 0


def test_a_printed_page_has_no_controls(look: Look, small_page: Path) -> None:
    """They would be dead."""
    sight = look(small_page)
    sight.page.emulate_media(media="print")
    for selector in ("nav", "#theme", ".filters >> nth=0"):
        assert not sight.page.locator(selector).is_visible()


def test_hostile_texts_are_shown_and_never_run(look: Look, hostile_page: Path) -> None:
    """No dialog, no element of theirs, no word on the console, nothing asked for: `look` sees to most of it."""
    sight = look(hostile_page)
    page = sight.page
    kinds = "[...new Set([...document.querySelectorAll('*')].map(element => element.localName))].sort()"
    before = page.evaluate(kinds)
    for number in range(len(HOSTILE)):
        page.select_option("#problem-choice", str(number))
        page.select_option("#by-problem", str(number))
        unfold(sight)
        assert "window.hit" not in HOSTILE[number] or "window.hit" in page.locator("td.body").inner_text()
    assert page.evaluate("window.hit") is None
    assert page.evaluate("[...document.scripts].filter(each => each.type !== 'application/json').length") == 1
    made = set(page.evaluate(kinds)) - set(before)
    assert made <= {"details", "summary", "math", "mrow", "mi", "mn", "mo", "mtext", "pre", "span", "i"}
    handlers = (
        "[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => a.name.startsWith('on'))).length"
    )
    assert page.evaluate(handlers) == 0
    assert page.evaluate("document.querySelectorAll('[href]:not(nav a), [src]').length") == 0


def test_the_page_s_policy_lets_no_markup_be_made_and_nothing_be_loaded(look: Look, small_page: Path) -> None:
    """Should a text ever get where it doesn't belong."""
    sight = look(small_page)
    refused = """() => { try { document.body.innerHTML = "<p>"; return "" } catch (error) { return error.name } }"""
    assert sight.page.evaluate(refused) == "TypeError"
    loaded = """() => new Promise(done => {
        const image = new Image(); image.onerror = () => done("refused"); image.onload = () => done("loaded");
        image.src = "data:image/gif;base64,R0lGODlhAQABAAAAACw=" })"""
    assert sight.page.evaluate(loaded) == "refused"
    assert sight.troubles
    assert all("Content Security Policy" in trouble or "TrustedHTML" in trouble for trouble in sight.troubles)
    sight.troubles.clear()


def test_a_thousand_trajectories_open_as_a_bounded_page(look: Look, large_page: Path) -> None:
    """Rows are paged, and texts stay data until a trajectory is opened."""
    sight = look(large_page)
    elements = "document.querySelectorAll('*').length"
    assert sight.texts("#trajectory-count") == ["50 of 1,000 shown"]
    assert sight.page.evaluate(elements) < MAX_ELEMENTS
    sight.page.click("#trajectory-more")
    assert sight.count("#trajectory-rows tr") == 100
    unfold(sight, 99)
    assert sight.count("td.body") == 1
    sight.page.click("#trajectory-head button:text-is('turns')")
    unfold(sight)
    assert sight.count("td.body pre.program") == 1
    sight.page.select_option("#by-problem", "19")
    assert sight.texts("#trajectory-count") == ["50 of 50 shown"]
    assert sight.page.evaluate(elements) < MAX_ELEMENTS
