"""Whether a child got as far as its program: noted in a memory page that no program ever sees.

The child shares the page with the zygote and unmaps it before its first program begins. What the page says was written
by our own code alone, and whatever fails later is the program's failure.
"""

import mmap

_BEGUN, _FAILED = 1, 2
_SILENT = "it ended before its program began"


class StartupStatus:
    """One child's page: the child calls `fail` and `begin`, the zygote the rest."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    def fail(self, why: str) -> None:
        """Note why the child can't be made ready."""
        text = why.encode("utf-8", "replace")[: mmap.PAGESIZE - 1]
        self._page[: 1 + len(text)] = bytes([_FAILED]) + text

    def begin(self) -> None:
        """Note that the program begins, and unmap the page from this process for good."""
        if not self._page.closed:
            self._page[0] = _BEGUN
            self._page.close()

    def hide(self) -> None:
        """Keep the page out of children that are forked later."""
        self._page.madvise(mmap.MADV_DONTFORK)

    def close(self) -> str:
        """Unmap the page; returns why the program never began, or an empty text if it did."""
        state, text = self._page[0], self._page[1:].rstrip(b"\0").decode("utf-8", "replace")
        self._page.close()
        return "" if state == _BEGUN else text or _SILENT
