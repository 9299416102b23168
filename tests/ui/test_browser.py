"""The demo as a visitor meets it: Chromium against the running app."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from emotion_hub.examples import EXAMPLES, example_path
from emotion_hub.images import load_image
from emotion_hub.predictor import EmotionPredictor, compare

CHROMIUM = "/usr/bin/chromium"
ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not os.access(CHROMIUM, os.X_OK), reason=f"{CHROMIUM} is not installed (Debian package chromium)"
    ),
]

playwright = pytest.importorskip("playwright.sync_api")


def astronaut() -> Image.Image:
    """Eileen Collins, NASA, public domain; one of the packaged example photos."""
    return load_image(example_path("astronaut"))


@pytest.fixture(scope="module")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py` in a process of its own, as a newcomer starts it."""
    yield from served(tmp_path_factory.mktemp("app"), os.environ | {"HF_HUB_OFFLINE": "1"})


def served(folder: Path, environment: dict[str, str], command: Sequence[str] = ("app.py",)) -> Iterator[str]:
    """The address of `python app.py`, or of another command, until the iteration goes on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = environment | {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder / "gradio")}
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            if process.poll() is not None:
                pytest.fail(f"app.py ended with {process.returncode}: {(folder / 'log').read_text()[-2000:]}")
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail(f"app.py did not answer within two minutes: {(folder / 'log').read_text()[-2000:]}")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


@pytest.fixture(scope="module")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-frame MJPEG file for Chromium's fake camera: the astronaut on a 640x480 picture."""
    path = tmp_path_factory.mktemp("camera") / "face.mjpeg"
    frame = ImageOps.pad(astronaut(), (640, 480), color="gray")
    frame.save(path, "JPEG", quality=95, subsampling=0)
    return path


@pytest.fixture(scope="module")
def browser(camera_file: Path) -> Iterator[playwright.Browser]:
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera_file}",
    ]
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: playwright.Browser, app_url: str) -> Iterator[playwright.Page]:
    context = browser.new_context(permissions=["camera"], viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(app_url)
    page.wait_for_selector("#predict-photo input[type=file]", state="attached")
    yield page
    context.close()


def choose(page: playwright.Page, picker: str, name: str) -> None:
    """Type a model's name into a picker, and Enter."""
    field = page.locator(f"{picker} input")
    field.fill(name)
    field.press("Enter")


def shown_probs(page: playwright.Page, answer: str, model: str, face: int = 0) -> dict[str, float]:
    """The probabilities on the page, as their elements carry them."""
    values = page.locator(f'{answer} .eh-value[data-face="{face}"][data-model="{model}"]')
    return {v.get_attribute("data-label"): float(v.get_attribute("data-prob")) for v in values.all()}


def assert_equal_probs(shown: dict[str, float], expected: dict[str, float]) -> None:
    assert list(shown) == list(expected)
    np.testing.assert_allclose(list(shown.values()), list(expected.values()), atol=2e-4)


def test_uploaded_photo_shows_the_probabilities_of_predict(page: playwright.Page, tmp_path: Path) -> None:
    photo = tmp_path / "astronaut.png"
    astronaut().save(photo)
    page.set_input_files("#predict-photo input[type=file]", photo)
    page.wait_for_selector("#predict-answer .eh-card")
    expected = EmotionPredictor.from_pretrained("native48").predict(photo)
    assert expected, "the detector must find the astronaut"
    assert page.locator("#predict-answer .eh-card").count() == len(expected)
    assert_equal_probs(shown_probs(page, "#predict-answer", "native48"), expected[0].probs)
    assert page.locator("#predict-answer .eh-card").first.get_attribute("data-label") == expected[0].label
    assert re.search(r"find faces [\d.]+ ms", page.locator("#predict-answer .eh-times").inner_text())


def test_other_network_answers_when_chosen(page: playwright.Page, tmp_path: Path) -> None:
    photo = tmp_path / "astronaut.png"
    astronaut().save(photo)
    page.set_input_files("#predict-photo input[type=file]", photo)
    page.wait_for_selector('#predict-answer .eh-value[data-model="native48"]')
    choose(page, "#predict-model", "upscale224")
    page.wait_for_selector('#predict-answer .eh-value[data-model="upscale224"]')
    expected = EmotionPredictor.from_pretrained("upscale224").predict(photo)[0]
    assert_equal_probs(shown_probs(page, "#predict-answer", "upscale224"), expected.probs)


def test_webcam_snapshot_shows_the_probabilities_of_predict_on_the_same_frame(page: playwright.Page) -> None:
    with page.expect_response(lambda r: "/upload?" in r.url and r.request.method == "POST") as upload:
        page.locator("#predict-photo").get_by_label("Capture from camera").click()
        page.locator("#predict-photo").get_by_text("Click to Access Webcam").click()
        page.locator("#predict-photo button[title='grant webcam access'], #predict-photo video").first.wait_for()
        page.wait_for_function(
            "() => { const v = document.querySelector('#predict-photo video'); return v && v.videoWidth > 0 && v.readyState >= 2 }"
        )
        page.locator("#predict-photo").get_by_label("capture photo").click()
    frame = Path(upload.value.json()[0])  # where the server put the snapshot
    page.wait_for_selector("#predict-answer .eh-card, #predict-answer .eh-error")
    expected = EmotionPredictor.from_pretrained("native48").predict(frame)
    assert expected, "the face must be found in the camera's frame"
    assert_equal_probs(shown_probs(page, "#predict-answer", "native48"), expected[0].probs)


def test_compare_tab_shows_both_pipelines_and_what_they_saw(page: playwright.Page, tmp_path: Path) -> None:
    photo = tmp_path / "astronaut.png"
    astronaut().save(photo)
    page.get_by_role("tab", name="Compare").click()
    page.set_input_files("#compare-photo input[type=file]", photo)
    page.wait_for_selector("#compare-answer .eh-compare")
    expected = compare(photo)[0]
    for model, side in (("native48", expected.native48), ("upscale224", expected.upscale224)):
        assert_equal_probs(shown_probs(page, "#compare-answer", model), side.prediction.probs)
        seen = page.locator(f'#compare-answer .eh-compare[data-face="0"] img.eh-seen[data-model="{model}"]')
        assert seen.evaluate("image => [image.naturalWidth, image.naturalHeight]") == list(side.prepared.size)
    smoothing = page.locator('#compare-answer img.eh-seen[data-model="native48"]').first.evaluate(
        "image => getComputedStyle(image).imageRendering"
    )
    assert smoothing == "pixelated"
    assert page.locator('#compare-answer [data-ratio="inference"]').first.inner_text().endswith("×")
    page.get_by_label("bilinear").check()
    page.wait_for_function(
        "() => document.querySelector('#compare-answer .eh-view:last-child figcaption')?.innerText.includes('bilinear')"
    )
    other = compare(photo, upscale224=EmotionPredictor.from_pretrained("upscale224").with_upsample("bilinear"))[0]
    assert_equal_probs(shown_probs(page, "#compare-answer", "upscale224"), other.upscale224.prediction.probs)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("broken.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x40", "cannot be read"),
        ("empty.jpg", b"", "empty"),
        ("note.png", b"this is a text", "text"),
        ("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    ],
)
def test_what_is_no_picture_gets_a_readable_message(
    page: playwright.Page, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    page.set_input_files("#predict-photo input[type=file]", path)
    page.wait_for_selector("#predict-answer .eh-error")
    text = page.locator("#predict-answer .eh-error").inner_text()
    assert words in text
    assert "Traceback" not in text


def test_photo_without_a_face_says_so_and_offers_the_whole_picture(page: playwright.Page, tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    Image.new("RGB", (200, 160), "teal").save(path)
    page.set_input_files("#predict-photo input[type=file]", path)
    page.get_by_text("No face was found").wait_for()
    page.get_by_label("Take the whole picture as the face").first.check()
    page.wait_for_selector("#predict-answer .eh-card")


@pytest.mark.parametrize("tab", ["predict", "compare", "explain"])
def test_example_photo_is_answered_with_one_tap(page: playwright.Page, tab: str) -> None:
    page.get_by_role("tab", name=tab.title()).click()
    gallery = page.locator(f"#{tab}-photo-examples .gallery-item")
    assert gallery.all_inner_texts() == [photo.title for photo in EXAMPLES.values()]
    gallery.nth(list(EXAMPLES).index("disputed")).click()
    page.wait_for_selector(
        f"#{tab}-answer "
        + {"predict": ".eh-card", "compare": ".eh-compare", "explain": "figure[data-method]:nth-child(2)"}[tab]
    )
    if tab == "predict":
        expected = EmotionPredictor.from_pretrained("native48").predict(example_path("disputed"))
        assert page.locator("#predict-answer .eh-card").count() == len(expected) == 1
        assert_equal_probs(shown_probs(page, "#predict-answer", "native48"), expected[0].probs)
        gallery.nth(list(EXAMPLES).index("cat")).click()
        page.locator("#predict-answer").get_by_text("451×300 pixels, no face.").wait_for()
    if tab == "compare":
        assert (
            "native48 says happy, upscale224 says neutral" in page.locator("#compare-answer .eh-verdict").inner_text()
        )


def test_the_gallery_of_examples_adds_little_to_the_page(browser: playwright.Browser, app_url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    html = page.goto(app_url).text()
    page.wait_for_selector("#predict-photo-examples .gallery-item img")
    assert [url for url in asked if any(f"{name}.jpg" in url for name in EXAMPLES)] == [], (
        "whole photos are loaded when they are chosen"
    )
    pictures = re.findall(r"data:image/webp;base64,[A-Za-z0-9+/=]+", html)
    assert len(pictures) == 3 * len(EXAMPLES)
    assert sum(map(len, pictures)) < 100_000
    context.close()


def test_explain_tab_shows_cams_at_once_then_every_method_with_progress_cancel_and_a_sheet(
    page: playwright.Page, tmp_path: Path
) -> None:
    photo = tmp_path / "face.png"
    astronaut().crop((160, 20, 290, 180)).resize((60, 60)).save(photo)  # small enough to be taken whole
    page.get_by_role("tab", name="Explain").click()
    page.set_input_files("#explain-photo input[type=file]", photo)
    maps = "#explain-answer figure[data-method]"
    page.wait_for_function(f"() => document.querySelectorAll('{maps}').length === 4")
    shown = {(m.get_attribute("data-method"), m.get_attribute("data-model")) for m in page.locator(maps).all()}
    assert shown == {(method, model) for method in ("gradcam", "gradcam++") for model in ("native48", "upscale224")}
    expected = EmotionPredictor.from_pretrained("native48").predict(photo)[0]
    assert page.locator('#explain-answer .eh-why[data-model="native48"]').get_attribute("data-target") == expected.label
    assert re.search(r"deletion\s+0\.\d\d", page.locator(maps).first.inner_text())

    page.wait_for_function("() => !document.querySelector('#explain-progress progress')")
    page.locator("#explain-samples input[type=number]").fill("2000")
    page.locator("#explain-all").click()
    page.wait_for_function(
        "() => { const p = document.querySelector('#explain-progress progress'); return p && p.dataset.share > 0 && p.dataset.share < 1 }"
    )
    page.locator("#explain-cancel").click()
    page.get_by_text("Cancelled.").wait_for()
    assert page.locator(maps).count() < 8
    assert page.locator("a.eh-download").count() == 0

    page.locator("#explain-samples input[type=number]").fill("100")
    for _ in range(5):  # gradio drops a click while its own account of the cancelled run is open
        page.locator("#explain-all").click()
        with contextlib.suppress(playwright.TimeoutError):
            page.locator("#explain-progress progress").wait_for(timeout=5_000)
            break
    page.locator("a.eh-download").wait_for(timeout=120_000)
    assert page.locator(maps).count() == 8
    with page.expect_download() as download:
        page.locator("a.eh-download").click()
    sheet = Image.open(download.value.path())
    assert sheet.format == "PNG"
    assert sheet.width > 5 * 224
    assert sheet.height > 2 * 224


def test_notice_stands_above_the_camera(page: playwright.Page) -> None:
    notice, photo = page.locator("#notice").bounding_box(), page.locator("#predict-photo").bounding_box()
    assert notice["y"] + notice["height"] <= photo["y"]
    assert "Before you use a camera" in page.locator("#notice").inner_text()
    assert "Faces are found by" in page.locator("#detector").inner_text()


def test_phone_screen_has_no_sideways_scrolling(browser: playwright.Browser, app_url: str, tmp_path: Path) -> None:
    photo = tmp_path / "astronaut.png"
    astronaut().save(photo)
    context = browser.new_context(viewport={"width": 360, "height": 740}, device_scale_factor=2, is_mobile=True)
    page = context.new_page()
    page.goto(app_url)
    page.wait_for_selector("#predict-photo input[type=file]", state="attached")
    page.set_input_files("#predict-photo input[type=file]", photo)
    page.wait_for_selector("#predict-answer .eh-card", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()


def test_page_asks_for_nothing_outside_its_own_server(browser: playwright.Browser, app_url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(app_url)
    page.wait_for_selector("#predict-photo input[type=file]", state="attached")
    context.close()
    assert asked
    assert [url for url in asked if not url.startswith((app_url, "data:", "blob:"))] == []


# --- models from the Hub --------------------------------------------------------------------------------------------------

HOSTILE = """# Faces of someone
<script>document.title = "taken"</script>
<img src=x onerror="document.title = 'taken'">
![pixel](https://tracker.example/pixel.png)
${document.title = "taken"} {{constructor}} [run](javascript:alert(1))
| a | b |
|---|---|
| one_word_that_is_far_too_long_for_any_phone | another_word_that_is_far_too_long_for_any_phone |
"""


@pytest.fixture(scope="module")
def hub_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py` with a Hub on this machine that has one model, and not the one the operator named."""
    from tests.fakes import hub_server
    from tests.fakes.hub_models import checkpoint_files, put

    folder = tmp_path_factory.mktemp("hub_app")
    with hub_server.serve() as hub:
        put(hub, "someone/faces", checkpoint_files(README_md=HOSTILE))
        yield from served(folder, hub.environment(folder / "home") | {"EMOTION_HUB_NATIVE48": "someone/absent"})


@pytest.mark.parametrize("width", [1280, 360])
def test_a_typed_hub_id_answers_and_its_card_stays_text(
    browser: playwright.Browser, hub_app: str, tmp_path: Path, width: int
) -> None:
    photo = tmp_path / "face.png"
    astronaut().crop((160, 20, 290, 180)).resize((60, 60)).save(photo)
    context = browser.new_context(viewport={"width": width, "height": 800}, is_mobile=width < 500)
    page = context.new_page()
    page.set_default_timeout(60_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(hub_app)
    page.locator("#predict-model-card .eh-error").wait_for()
    note = page.locator("#predict-model-card").inner_text()
    assert "someone/absent (named by EMOTION_HUB_NATIVE48)" in note
    assert "native48 answers instead" in note
    page.set_input_files("#predict-photo input[type=file]", photo)
    page.wait_for_selector('#predict-answer .eh-value[data-model="native48"]')
    assert "native48 answers instead" in page.locator("#predict-answer .eh-error").inner_text()

    choose(page, "#predict-model", "someone/faces")
    page.wait_for_selector('#predict-answer .eh-value[data-model="someone/faces"]')
    card = page.locator("#predict-model-card")
    assert "1,572,551" in card.inner_text()
    assert len(page.locator("#predict-model-card .eh-model").get_attribute("data-revision")) == 40
    page.locator("#predict-model-card summary").click()
    page.locator("#predict-model-card .eh-markdown h1").wait_for()
    assert "document.title" in card.inner_text(), "the script is shown as text"
    assert page.locator("#predict-model-card").locator("img, script, iframe, form, style").count() == 0
    assert page.title() == "emotion_hub"
    assert [url for url in asked if not url.startswith((hub_app, "data:", "blob:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    choose(page, "#predict-model", "someone/absent")
    page.wait_for_selector('#predict-answer .eh-value[data-model="native48"]')
    page.get_by_role("tab", name="Compare").click()
    choose(page, "#compare-native48", "someone/faces")
    page.set_input_files("#compare-photo input[type=file]", photo)
    page.wait_for_selector("#compare-answer .eh-which")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
