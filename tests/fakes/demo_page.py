"""A visitor's page of the demo in Chromium: actions and conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.demo_browser import open_page
from emotion_hub.examples import EXAMPLES

__all__ = ["GOOD_SHIFT", "MAPS", "TABS", "Visitor", "assert_equal_probs"]

#: Milliseconds to wait for a condition; a busy machine needs many times the usual time.
TIMEOUT = 120_000

#: Layout shifts below this sum are good, from web.dev/articles/cls.
GOOD_SHIFT = 0.1

TABS = ("compare", "predict", "explain", "models", "about")

#: {unit of the studio: the id of the field that shows its answer}.
FIELDS = {
    "compare": "compare-answer",
    "ladder": "compare-ladder",
    "stress": "compare-stress",
    "predict": "predict-answer",
    "explain": "explain-answer",
}

#: The explanation maps on the page.
MAPS = "#explain-answer figure[data-method]"

#: Stores every layout shift that does not follow an input, as Chromium defines them.
_SHIFTS = """window.shifts = [];
new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
}).observe({type: "layout-shift", buffered: true});"""

#: The number of the newest request of a unit.
_DUE = "(unit) => (window.emotion_hub ? window.emotion_hub.due[unit] : undefined) ?? 0"

#: Whether the unit's newest request is newer than `before` and its field has the answer to it.
_ANSWERED = """([unit, field, before]) => {
    const due = (window.emotion_hub ? window.emotion_hub.due[unit] : undefined) ?? 0;
    const kept = (window.emotion_hub_answers || {})[field];
    return due > before && Boolean(kept) && kept.photo === due && Boolean(document.getElementById(field));
}"""

#: Whether the explanations have ended: the maps that are computed at once are shown.
_EXPLAINED = f"""() => document.querySelectorAll("{MAPS}").length === 4
    && !document.querySelector("#explain-progress progress")"""

#: Records the source of every picture that matches `selector` from now on.
_RECORD = """(selector) => {
    window.shown = new Set();
    const look = () => document.querySelectorAll(selector).forEach((image) => window.shown.add(image.src));
    new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
    look();
}"""


class Visitor:
    """A page of its own browser context, which shows the comparison of the first example.

    `errors` are the messages of the console and the uncaught exceptions, `requested` the addresses of all requests.
    """

    def __init__(
        self, browser: Any, url: str, *, width: int = 1280, theme: str = "light", permissions: Sequence[str] = ()
    ) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900 if width >= 500 else 760},
            is_mobile=width < 500,
            permissions=list(permissions),
        )
        self.url, self.width = url, width
        self.page = self.context.new_page()
        self.page.set_default_timeout(TIMEOUT)
        self.errors: list[str] = []
        self.requested: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.add_init_script(_SHIFTS)
        open_page(self.page, url, theme)

    def close(self) -> None:
        self.context.close()

    def tab(self, name: str) -> None:
        self.page.locator(f"#tab-{name}-button").click()

    def example(self, name: str) -> None:
        self.page.locator("#photo-examples .gallery-item").nth(list(EXAMPLES).index(name)).click()

    def upload(self, path: Path) -> None:
        """Choose a file. After a picture was pasted, the field takes files again once "Upload file" was clicked."""
        if not self.page.locator("#photo input[type=file]").count():
            self.page.locator("#photo").get_by_label("Upload file").click()
        self.page.set_input_files("#photo input[type=file]", path)

    def remove(self) -> None:
        self.page.locator("#photo").get_by_label("Remove Image").click()

    def run(self) -> None:
        self.page.locator("#run").click()

    def open_fold(self, elem_id: str) -> None:
        """Open a folded section of gradio's, such as Advanced."""
        fold = self.page.locator(f"#{elem_id}")
        if not fold.locator("[data-testid=accordion-content]").first.is_visible():
            fold.locator("button.label-wrap").first.click()

    def choose(self, picker: str, name: str) -> None:
        """Type a model's name into a picker and press Enter."""
        self.open_fold("advanced")
        field = self.page.locator(f"#{picker} input")
        field.fill(name)
        field.press("Enter")

    def set_number(self, elem_id: str, value: float) -> None:
        """Type the value of a slider."""
        field = self.page.locator(f"#{elem_id} input[type=number]")
        field.fill(str(value))
        field.press("Enter")

    @contextmanager
    def new_answer(self, unit: str = "compare") -> Iterator[None]:
        """Wait for the answer to a request of this unit that is made inside the context."""
        before = self.page.evaluate(_DUE, unit)
        yield
        self.wait_for_answer(unit, before)

    def wait_for_answer(self, unit: str = "compare", before: int = -1) -> None:
        """Wait for the answer to the newest request of this unit, which is newer than the one of number `before`."""
        self.page.wait_for_function(_ANSWERED, arg=[unit, FIELDS[unit], before])
        if unit == "explain":
            self.page.wait_for_function(_EXPLAINED)

    def wait_until_empty(self, unit: str, milliseconds: float = 30_000) -> None:
        self.page.wait_for_function(
            "(field) => document.querySelectorAll(`#${field} img`).length === 0",
            arg=FIELDS[unit],
            timeout=milliseconds,
        )

    def text(self, unit: str = "compare") -> str:
        return self.page.locator(f"#{FIELDS[unit]}").inner_text()

    def pictures(self, selector: str) -> set[str]:
        """The sources of the pictures that match the selector."""
        return set(self.page.locator(selector).evaluate_all("images => images.map((image) => image.src)"))

    def record(self, selector: str) -> None:
        self.page.evaluate(_RECORD, selector)

    def recorded(self) -> set[str]:
        return set(self.page.evaluate("() => [...window.shown]"))

    def probs(self, unit: str, model: str, face: int = 0) -> dict[str, float]:
        """The probabilities on the page, from the attributes of their elements."""
        values = self.page.locator(f'#{FIELDS[unit]} .eh-value[data-face="{face}"][data-model="{model}"]')
        found = values.evaluate_all("values => values.map((value) => [value.dataset.label, value.dataset.prob])")
        return {label: float(p) for label, p in found}

    def shift(self) -> float:
        """The sum of the layout shifts so far."""
        return float(self.page.evaluate("() => window.shifts.reduce((sum, value) => sum + value, 0)"))

    def overflow(self) -> int:
        """Pixels by which the page is wider than the screen."""
        return int(self.page.evaluate("document.documentElement.scrollWidth")) - self.width


def assert_equal_probs(shown: dict[str, float], expected: dict[str, float]) -> None:
    """The page's probabilities are those of Python, the order aside."""
    assert sorted(shown) == sorted(expected)
    np.testing.assert_allclose([shown[label] for label in expected], list(expected.values()), atol=2e-4)
