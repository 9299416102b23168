"""A visitor with one tab open, for tests of photo changes and visitors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fakes.demo_page import Visitor

__all__ = ["UNITS", "TabVisitor", "answers_of"]

#: Units of the tabs that answer, and pictures of their answers.
UNITS = {"compare": ("compare", "ladder"), "predict": ("predict",), "explain": ("explain",)}
PICTURES = {
    "compare": "#compare-answer img, #compare-ladder img, #compare-stress img",
    "predict": "#predict-answer img",
    "explain": '#explain-answer img:not([alt=""])',
}


class TabVisitor(Visitor):
    """A visitor with one tab open."""

    def __init__(self, browser: Any, url: str, tab: str) -> None:
        super().__init__(browser, url)
        self.name = tab
        self.tab(tab)
        self.wait()

    def enter(self, photo: Path) -> None:
        """Upload a photo and wait until its field shows it."""
        before = self.page.locator("#photo img").count() and self.page.locator("#photo img").get_attribute("src")
        self.upload(photo)
        self.page.wait_for_function(
            "(before) => { const image = document.querySelector('#photo img'); return image && image.src !== before; }",
            arg=before,
        )

    def clear(self) -> None:
        self.remove()
        self.empty()

    def empty(self) -> None:
        """Wait until no answer is shown."""
        for unit in UNITS[self.name]:
            self.wait_until_empty(unit)

    def wait(self) -> None:
        """Wait for the answers to the newest request."""
        for unit in UNITS[self.name]:
            self.wait_for_answer(unit)

    def shown(self) -> set[str]:
        return self.pictures(PICTURES[self.name])

    def watch(self) -> None:
        self.record(PICTURES[self.name])


#: The pictures of complete answers, by tab and photo: they are the same in every test.
_KNOWN: dict[tuple[str, str], set[str]] = {}


def answers_of(visitor: TabVisitor, photos: list[Path]) -> list[set[str]]:
    """For each photo, the pictures that only its answer has. Afterwards the photo field is empty."""
    for photo in photos:
        if (visitor.name, photo.name) not in _KNOWN:
            visitor.enter(photo)
            visitor.wait()
            _KNOWN[visitor.name, photo.name] = visitor.shown()
            visitor.clear()
    found = [_KNOWN[visitor.name, photo.name] for photo in photos]
    own = [pictures - set().union(*(other for other in found if other is not pictures)) for pictures in found]
    assert all(own), "each photo has pictures of its own"
    return own
