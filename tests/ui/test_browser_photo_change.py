"""A changed or removed photo takes its answer with it, and no answer ever stands beside another photo: Chromium against networks that wait."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from emotion_hub.ui.answers import answer_field, json_of, of_photo
from emotion_hub.ui.photo import PhotoInput
from tests.ui.test_browser import ROOT, astronaut, browser, camera_file, playwright, pytestmark, served

__all__ = ["browser", "camera_file", "pytestmark"]  # fixtures and marks of the neighbouring file

#: Keeps the source of every picture that `#TAB-answer` shows from now on, and the text of its JSON.
RECORD = """(tab) => {
    window.shown = new Set();
    const look = () => document.querySelectorAll(`#${tab}-answer img`).forEach((image) => window.shown.add(image.src));
    new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
    look();
}"""

DONE = {
    "predict": "() => document.querySelector('#predict-answer .eh-card')",
    "compare": "() => document.querySelector('#compare-answer .eh-compare')",
    "explain": "() => document.querySelectorAll('#explain-answer figure[data-method]').length === 4 && !document.querySelector('#explain-progress progress')",
}

each_tab = pytest.mark.parametrize("tab", list(DONE))


class SlowDemo:
    """The running demo; `close()` lets its networks wait, `open()` lets them answer, `wait_for_call()` waits until one of them waits."""

    def __init__(self, url: str, gate: Path) -> None:
        self.url, self.gate, self._waiting = url, gate, Path(f"{gate}.waiting")

    def open(self) -> None:
        self.gate.touch()

    def close(self) -> None:
        self.gate.unlink(missing_ok=True)
        self._waiting.write_bytes(b"")

    def wait_for_call(self, calls: int = 1) -> None:
        last = time.monotonic() + 180
        while self._waiting.stat().st_size < calls:
            assert time.monotonic() < last, "no network was called"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlowDemo]:
    folder = tmp_path_factory.mktemp("slow")
    gate = folder / "gate"
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }  # on a busy machine torch's threads wait for each other
    for url in served(folder, environment, [str(ROOT / "tests" / "fakes" / "slow_demo.py"), str(gate)]):
        yield SlowDemo(url, gate)


@pytest.fixture(autouse=True)
def gate_is_open(demo: SlowDemo) -> Iterator[None]:
    demo.open()
    yield
    demo.open()


@pytest.fixture
def faces(tmp_path: Path) -> list[Path]:
    """Three photos small enough to be taken whole, each different from the others."""
    face = astronaut().crop((160, 20, 290, 180)).resize((60, 60))
    found = []
    for name, turn in (
        ("first", None),
        ("second", Image.Transpose.FLIP_LEFT_RIGHT),
        ("third", Image.Transpose.FLIP_TOP_BOTTOM),
    ):
        found.append(tmp_path / f"{name}.png")
        (face if turn is None else face.transpose(turn)).save(found[-1])
    return found


class Visitor:
    """A page with one tab open."""

    def __init__(self, browser: playwright.Browser, demo: SlowDemo, tab: str) -> None:
        self.page, self.tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page(), tab
        self.page.set_default_timeout(180_000)
        self.page.goto(demo.url)
        self.page.wait_for_selector("#predict-photo input[type=file]", state="attached")
        self.page.get_by_role("tab", name=tab.title()).click()

    def give(self, photo: Path) -> None:
        self.page.set_input_files(f"#{self.tab}-photo input[type=file]", photo)
        self.page.locator(f"#{self.tab}-photo img").wait_for()

    def remove(self) -> None:
        self.page.locator(f"#{self.tab}-photo").get_by_label("Remove Image").click()

    def run(self) -> None:
        self.page.locator(f"#{self.tab}-run").click()

    def wait_for_answer(self) -> None:
        self.page.wait_for_function(DONE[self.tab])

    def wait_until_empty(self, seconds: float = 5.0) -> None:
        self.page.wait_for_function(
            f"() => document.querySelectorAll('#{self.tab}-answer img').length === 0", timeout=seconds * 1000
        )

    def pictures(self) -> set[str]:
        return set(
            self.page.locator(f"#{self.tab}-answer img").evaluate_all("images => images.map((image) => image.src)")
        )

    def text(self) -> str:
        return self.page.locator(f"#{self.tab}-answer").inner_text()

    def record(self) -> None:
        self.page.evaluate(RECORD, self.tab)

    def recorded(self) -> set[str]:
        return set(self.page.evaluate("() => [...window.shown]"))


@pytest.fixture
def visit(browser: playwright.Browser, demo: SlowDemo) -> Iterator[object]:
    contexts = []

    def visit(tab: str) -> Visitor:
        visitor = Visitor(browser, demo, tab)
        contexts.append(visitor.page.context)
        return visitor

    yield visit
    for context in contexts:
        context.close()


#: The pictures of undisturbed answers, by tab and photo: they are the same in every test.
_KNOWN: dict[tuple[str, str], set[str]] = {}


def answers_of(visitor: Visitor, photos: list[Path]) -> list[set[str]]:
    """The pictures in the undisturbed answer of each photo that are in no other's; no photo is left in the field."""
    for photo in photos:
        if (visitor.tab, photo.name) not in _KNOWN:
            visitor.give(photo)
            visitor.wait_for_answer()
            _KNOWN[visitor.tab, photo.name] = visitor.pictures()
            visitor.remove()
            visitor.wait_until_empty()
    found = [_KNOWN[visitor.tab, photo.name] for photo in photos]
    own = [pictures - set().union(*(other for other in found if other is not pictures)) for pictures in found]
    assert all(own), "each photo has pictures of its own"
    return own


@each_tab
def test_a_removed_photo_takes_its_answer_with_it_without_the_server(
    visit: object, faces: list[Path], tab: str
) -> None:
    visitor = visit(tab)
    visitor.give(faces[0])
    visitor.wait_for_answer()
    # the server's answers alone: the page may still load parts of itself, and gradio handles no event after an open stream broke
    visitor.page.route(re.compile(r"/gradio_api/(run|queue|cancel|call)"), lambda route: route.abort())
    visitor.remove()
    visitor.wait_until_empty()
    assert "Give it a photo" in visitor.text()


@each_tab
def test_a_changed_photo_empties_the_answer_at_once_and_only_its_own_comes(
    visit: object, demo: SlowDemo, faces: list[Path], tab: str
) -> None:
    visitor = visit(tab)
    first, second = answers_of(visitor, faces[:2])
    visitor.give(faces[0])
    visitor.wait_for_answer()
    demo.close()
    visitor.run()  # of the first photo, and on its way when the photo changes
    demo.wait_for_call()
    visitor.remove()
    visitor.wait_until_empty()
    visitor.record()
    visitor.give(faces[1])
    visitor.page.wait_for_timeout(1_500)
    assert not visitor.pictures()
    assert "Looking at the new photo" in visitor.text()
    demo.open()
    visitor.wait_for_answer()
    visitor.page.wait_for_timeout(1_500)
    assert second <= visitor.pictures()
    assert not first & visitor.recorded(), "the answer of the first photo was shown beside the second"


@each_tab
def test_the_last_words_of_a_cancelled_job_do_not_come_back(
    visit: object, demo: SlowDemo, faces: list[Path], tab: str
) -> None:
    """The photo's own job, not a clicked one: it ends after the change and sends what it has."""
    visitor = visit(tab)
    [first, _] = answers_of(visitor, faces[:2])
    demo.close()
    visitor.record()
    visitor.give(faces[0])
    demo.wait_for_call()
    visitor.remove()
    visitor.page.wait_for_timeout(300)
    demo.open()
    visitor.page.wait_for_timeout(4_000)
    assert not first & visitor.recorded()
    assert "Give it a photo" in visitor.text()


@each_tab
def test_two_changes_in_a_row_end_with_the_last_photo(
    visit: object, demo: SlowDemo, faces: list[Path], tab: str
) -> None:
    visitor = visit(tab)
    first, second, third = answers_of(visitor, faces)
    demo.close()
    visitor.record()
    visitor.give(faces[0])
    demo.wait_for_call()
    for photo in faces[1:]:
        visitor.remove()
        visitor.give(photo)
    visitor.page.wait_for_timeout(500)
    demo.open()
    visitor.page.wait_for_function(
        "(sources) => sources.every((source) => window.shown.has(source))", arg=sorted(third)
    )
    visitor.wait_for_answer()
    visitor.page.wait_for_timeout(1_500)
    assert third <= visitor.pictures()
    assert not (first | second) & visitor.recorded()


def test_a_job_in_the_queue_behind_another_visitor_goes_with_its_photo(
    visit: object, demo: SlowDemo, faces: list[Path]
) -> None:
    mine, other = visit("explain"), visit("explain")
    first, second = answers_of(mine, faces[:2])
    other.give(faces[0])
    other.wait_for_answer()
    mine.give(faces[0])
    mine.wait_for_answer()
    demo.close()
    other.run()
    demo.wait_for_call()
    mine.run()  # waits: one clicked explanation at a time
    mine.page.wait_for_timeout(700)
    mine.remove()
    mine.wait_until_empty()
    mine.record()
    mine.give(faces[1])
    mine.page.wait_for_timeout(700)
    assert other.page.locator("#explain-progress progress").count() == 1, "the other visitor's job goes on"
    demo.open()
    for visitor, expected in ((mine, second), (other, first)):
        visitor.wait_for_answer()
        assert expected <= visitor.pictures()
    mine.run()  # a click is not lost to the job that was cancelled
    mine.page.locator("#explain-progress progress").wait_for()
    mine.wait_for_answer()
    assert second <= mine.pictures()
    assert not first & mine.recorded()


def test_a_change_of_photo_leaves_another_visitors_job_alone(visit: object, demo: SlowDemo, faces: list[Path]) -> None:
    mine, other = visit("explain"), visit("explain")
    [expected, _] = answers_of(mine, faces[:2])
    demo.close()
    mine.give(faces[0])
    demo.wait_for_call()
    other.give(faces[1])
    demo.wait_for_call(2)
    other.remove()
    other.page.wait_for_timeout(1_000)
    demo.open()
    mine.wait_for_answer()
    assert expected <= mine.pictures()
    assert not other.pictures()


def test_the_json_goes_with_its_photo_too(visit: object, demo: SlowDemo, faces: list[Path]) -> None:
    visitor = visit("predict")
    visitor.page.get_by_text("The answer as JSON").first.click()
    box = visitor.page.locator("#predict-json")
    visitor.give(faces[0])
    visitor.wait_for_answer()
    box.get_by_text("native48").first.wait_for()
    demo.close()
    visitor.run()
    demo.wait_for_call()
    visitor.remove()
    visitor.wait_until_empty()
    assert not re.search("native48", box.inner_text())
    demo.open()
    visitor.page.wait_for_timeout(3_000)
    assert not re.search("native48", box.inner_text())


def test_an_older_answer_that_comes_last_does_not_hide_the_newest(browser: playwright.Browser) -> None:
    with gr.Blocks() as page_of_one_field:
        photo, raw = PhotoInput(elem_id="p"), gr.JSON(elem_id="raw")
        field = answer_field("field", "empty", photo=1)
        for number, name in ((1, "newest"), (0, "older"), (2, "of a photo to come")):
            gr.Button(name).click(
                lambda number=number, name=name: of_photo(number, name, [{"name": name}]), None, field
            )
        json_of(field, photo, raw)
    _, url, _ = page_of_one_field.launch(prevent_thread_lock=True, quiet=True, run_history=False)
    try:
        page = browser.new_page()
        page.goto(url)
        page.get_by_text("empty").wait_for()
        page.evaluate("window.emotion_hub_p = {number: 1, file: 'x'}")
        for name, shown in (
            ("older", "empty"),
            ("newest", "newest"),
            ("older", "newest"),
            ("of a photo to come", "newest"),
        ):
            with page.expect_response(lambda response: "queue/join" in response.url):
                page.get_by_role("button", name=name).click()
            page.wait_for_timeout(1_000)
            assert page.locator("#field").inner_text().strip() == shown, name
        assert "newest" in page.locator("#raw").inner_text()
        assert "older" not in page.locator("#raw").inner_text()
        page.close()
    finally:
        page_of_one_field.close()
