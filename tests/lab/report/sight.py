"""A page in a browser, and all that it did."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


@dataclass
class Sight:
    """A page in a browser, and all that it did besides showing itself."""

    page: "Page"
    troubles: list[str] = field(default_factory=list)
    """Errors, console messages, dialogs, and whatever it asked for."""

    def texts(self, selector: str) -> list[str]:
        """What the elements show."""
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]

    def count(self, selector: str) -> int:
        """How many there are."""
        return self.page.locator(selector).count()


Look = Callable[..., Sight]
