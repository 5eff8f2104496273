"""A real browser, and pages for it to open."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.report.sight import Look, Sight

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
"""A headless browser that asks the network for nothing of its own."""


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Browser]":
    """Debian's Chromium, headless."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        pytest.fail("there is no chromium here; apt-get install chromium, or make test-browser as root")
    for_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=[*_QUIET, "--disable-component-update", *for_root]
        )
        yield browser
        browser.close()


@pytest.fixture
def look(chromium: "Browser") -> Iterator[Look]:
    """Open a page file; at the end of the test nothing must have gone wrong and nothing been asked for."""
    sights: list[Sight] = []

    def open_page(path: Path, width: int = 1280, **settings: Any) -> Sight:
        page = chromium.new_context(viewport={"width": width, "height": 900}, **settings).new_page()
        page.set_default_timeout(20_000)
        sight = Sight(page)
        sights.append(sight)
        _listen(sight)
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        return sight

    yield open_page
    for sight in sights:
        sight.page.context.close()
    assert [trouble for sight in sights for trouble in sight.troubles] == []


def _listen(sight: Sight) -> None:
    page, note = sight.page, sight.troubles.append
    page.on("console", lambda message: note(f"console: {message.text}"))
    page.on("pageerror", lambda error: note(f"error: {error}"))
    page.on("popup", lambda popup: note(f"popup: {popup.url}"))

    def dismiss(dialog: Any) -> None:
        note(f"dialog: {dialog.message}")
        dialog.dismiss()

    def pass_on(route: Any) -> None:
        if (
            route.request.is_navigation_request()
            and route.request.frame == page.main_frame
            and page.url == "about:blank"
        ):
            route.continue_()
        else:
            note(f"asked for {route.request.url}")
            route.abort()

    page.on("dialog", dismiss)
    page.route("**/*", pass_on)
