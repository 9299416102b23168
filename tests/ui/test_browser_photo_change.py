"""Photo changes in Chromium: no answer is shown beside another photo.

The networks of the demo can be blocked.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from emotion_hub.ui.answers import answer_field, answer_value, copy_json
from emotion_hub.ui.photo_field import PhotoInput
from tests.fakes.demo_browser import ROOT, astronaut, chromium_marks, demo_server

pytestmark = [*chromium_marks, pytest.mark.slow]
playwright = pytest.importorskip("playwright.sync_api")

#: Records the source of every picture that `#TAB-answer` shows from now on.
RECORD = """(tab) => {
    window.shown = new Set();
    const look = () => document.querySelectorAll(`#${tab}-answer img`).forEach((image) => window.shown.add(image.src));
    new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
    look();
}"""

#: Conditions in the browser that hold when a tab shows a complete answer.
DONE = {
    "predict": "() => document.querySelector('#predict-answer .eh-card')",
    "compare": "() => document.querySelector('#compare-answer .eh-compare')",
    "explain": "() => document.querySelectorAll('#explain-answer figure[data-method]').length === 4"
    " && !document.querySelector('#explain-progress progress')",
}

each_tab = pytest.mark.parametrize("tab", list(DONE))


class BlockableDemo:
    """The running demo. `close()` blocks its networks, `open()` unblocks them, `wait_for_call()` waits for a call."""

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
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockableDemo]:
    folder = tmp_path_factory.mktemp("slow")
    gate = folder / "gate"
    # one thread: on a busy machine torch's threads wait for each other
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with demo_server(folder, environment, [str(ROOT / "tests" / "fakes" / "slow_demo.py"), str(gate)]) as url:
        yield BlockableDemo(url, gate)


@pytest.fixture(autouse=True)
def gate_is_open(demo: BlockableDemo) -> Iterator[None]:
    demo.open()
    yield
    demo.open()


@pytest.fixture
def faces(tmp_path: Path) -> list[Path]:
    """Three different photos, small enough to be taken as face crops."""
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

    def __init__(self, browser: playwright.Browser, demo: BlockableDemo, tab: str) -> None:
        self.page, self.tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page(), tab
        self.page.set_default_timeout(180_000)
        self.page.goto(demo.url)
        self.page.wait_for_selector("#predict-photo input[type=file]", state="attached")
        self.page.get_by_role("tab", name=tab.title()).click()

    def upload(self, photo: Path) -> None:
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
def visit(browser: playwright.Browser, demo: BlockableDemo) -> Iterator[Callable[[str], Visitor]]:
    contexts = []

    def visit(tab: str) -> Visitor:
        visitor = Visitor(browser, demo, tab)
        contexts.append(visitor.page.context)
        return visitor

    yield visit
    for context in contexts:
        context.close()


#: The pictures of complete answers, by tab and photo: they are the same in every test.
_KNOWN: dict[tuple[str, str], set[str]] = {}


def answers_of(visitor: Visitor, photos: list[Path]) -> list[set[str]]:
    """For each photo, the pictures that only its answer has. Afterwards the photo field is empty."""
    for photo in photos:
        if (visitor.tab, photo.name) not in _KNOWN:
            visitor.upload(photo)
            visitor.wait_for_answer()
            _KNOWN[visitor.tab, photo.name] = visitor.pictures()
            visitor.remove()
            visitor.wait_until_empty()
    found = [_KNOWN[visitor.tab, photo.name] for photo in photos]
    own = [pictures - set().union(*(other for other in found if other is not pictures)) for pictures in found]
    assert all(own), "each photo has pictures of its own"
    return own


@each_tab
def test_removing_a_photo_clears_its_answer_without_the_server(
    visit: Callable[[str], Visitor], faces: list[Path], tab: str
) -> None:
    visitor = visit(tab)
    visitor.upload(faces[0])
    visitor.wait_for_answer()
    # only the API: the page may still load parts of itself, and gradio handles no events after an open stream broke
    visitor.page.route(re.compile(r"/gradio_api/(run|queue|cancel|call)"), lambda route: route.abort())
    visitor.remove()
    visitor.wait_until_empty()
    assert "Add a photo" in visitor.text()


@each_tab
def test_changing_the_photo_clears_the_answer_at_once_and_shows_only_the_new_one(
    visit: Callable[[str], Visitor], demo: BlockableDemo, faces: list[Path], tab: str
) -> None:
    visitor = visit(tab)
    first, second = answers_of(visitor, faces[:2])
    visitor.upload(faces[0])
    visitor.wait_for_answer()
    demo.close()
    visitor.run()  # an answer for the first photo, which is still computed when the photo changes
    demo.wait_for_call()
    visitor.remove()
    visitor.wait_until_empty()
    visitor.record()
    visitor.upload(faces[1])
    visitor.page.wait_for_timeout(1_500)
    assert not visitor.pictures()
    assert "Analysing the new photo" in visitor.text()
    demo.open()
    visitor.wait_for_answer()
    visitor.page.wait_for_timeout(1_500)
    assert second <= visitor.pictures()
    assert not first & visitor.recorded(), "the answer of the first photo was shown beside the second"


@each_tab
def test_the_last_message_of_a_cancelled_job_is_not_shown(
    visit: Callable[[str], Visitor], demo: BlockableDemo, faces: list[Path], tab: str
) -> None:
    """The job starts with the photo, not with a click: it ends after the change and sends its last message."""
    visitor = visit(tab)
    [first, _] = answers_of(visitor, faces[:2])
    demo.close()
    visitor.record()
    visitor.upload(faces[0])
    demo.wait_for_call()
    visitor.remove()
    visitor.page.wait_for_timeout(300)
    demo.open()
    visitor.page.wait_for_timeout(4_000)
    assert not first & visitor.recorded()
    assert "Add a photo" in visitor.text()


@each_tab
def test_two_consecutive_changes_end_with_the_answer_of_the_last_photo(
    visit: Callable[[str], Visitor], demo: BlockableDemo, faces: list[Path], tab: str
) -> None:
    visitor = visit(tab)
    first, second, third = answers_of(visitor, faces)
    demo.close()
    visitor.record()
    visitor.upload(faces[0])
    demo.wait_for_call()
    for photo in faces[1:]:
        visitor.remove()
        visitor.upload(photo)
    visitor.page.wait_for_timeout(500)
    demo.open()
    visitor.page.wait_for_function(
        "(sources) => sources.every((source) => window.shown.has(source))", arg=sorted(third)
    )
    visitor.wait_for_answer()
    visitor.page.wait_for_timeout(1_500)
    assert third <= visitor.pictures()
    assert not (first | second) & visitor.recorded()


def test_a_job_queued_behind_another_visitor_is_cancelled_with_its_photo(
    visit: Callable[[str], Visitor], demo: BlockableDemo, faces: list[Path]
) -> None:
    mine, other = visit("explain"), visit("explain")
    first, second = answers_of(mine, faces[:2])
    other.upload(faces[0])
    other.wait_for_answer()
    mine.upload(faces[0])
    mine.wait_for_answer()
    demo.close()
    other.run()
    demo.wait_for_call()
    mine.run()  # it is queued: only one clicked explanation runs at a time
    mine.page.wait_for_timeout(700)
    mine.remove()
    mine.wait_until_empty()
    mine.record()
    mine.upload(faces[1])
    mine.page.wait_for_timeout(700)
    assert other.page.locator("#explain-progress progress").count() == 1, "the other visitor's job continues"
    demo.open()
    for visitor, expected in ((mine, second), (other, first)):
        visitor.wait_for_answer()
        assert expected <= visitor.pictures()
    mine.run()  # a new click works after the cancelled job
    mine.page.locator("#explain-progress progress").wait_for()
    mine.wait_for_answer()
    assert second <= mine.pictures()
    assert not first & mine.recorded()


def test_changing_a_photo_does_not_stop_another_visitors_job(
    visit: Callable[[str], Visitor], demo: BlockableDemo, faces: list[Path]
) -> None:
    mine, other = visit("explain"), visit("explain")
    [expected, _] = answers_of(mine, faces[:2])
    demo.close()
    mine.upload(faces[0])
    demo.wait_for_call()
    other.upload(faces[1])
    demo.wait_for_call(2)
    other.remove()
    other.page.wait_for_timeout(1_000)
    demo.open()
    mine.wait_for_answer()
    assert expected <= mine.pictures()
    assert not other.pictures()


def test_the_json_is_cleared_with_its_photo(
    visit: Callable[[str], Visitor], demo: BlockableDemo, faces: list[Path]
) -> None:
    visitor = visit("predict")
    visitor.page.get_by_text("The answer as JSON").first.click()
    box = visitor.page.locator("#predict-json")
    visitor.upload(faces[0])
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


# gradio's queue statistics use a keyword that pandas 3 deprecates, after each event of an app in this process
@pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")
def test_an_older_answer_that_arrives_last_does_not_replace_the_newest(browser: playwright.Browser) -> None:
    with gr.Blocks() as page_of_one_field:
        photo, raw = PhotoInput(elem_id="p"), gr.JSON(elem_id="raw")
        field = answer_field("field", "empty", photo=1)
        for number, name in ((1, "newest"), (0, "older"), (2, "of a later photo")):
            gr.Button(name).click(
                lambda number=number, name=name: answer_value(number, name, [{"name": name}]),
                None,
                field,
                show_progress="hidden",  # the field holds nothing but the answer
            )
        copy_json(field, photo, raw)
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
            ("of a later photo", "newest"),
        ):
            with page.expect_response(lambda response: "queue/join" in response.url):
                page.get_by_role("button", name=name).click()
            page.wait_for_timeout(2_000)
            assert page.locator("#field").inner_text().strip() == shown, name
        assert "newest" in page.locator("#raw").inner_text()
        assert "older" not in page.locator("#raw").inner_text()
        page.close()
    finally:
        page_of_one_field.close()
