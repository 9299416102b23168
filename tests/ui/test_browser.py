"""The demo in Chromium: answers, camera, examples, layout, Hub models."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emotion_hub.comparison import compare
from emotion_hub.examples import EXAMPLES, example_path
from emotion_hub.models import create_model
from emotion_hub.predictor import EmotionPredictor
from tests.fakes.demo_browser import astronaut, chromium_marks, demo_server

pytestmark = chromium_marks
playwright = pytest.importorskip("playwright.sync_api")


def choose(page: playwright.Page, picker: str, name: str) -> None:
    """Type a model's name into a picker and press Enter."""
    field = page.locator(f"{picker} input")
    field.fill(name)
    field.press("Enter")


def shown_probs(page: playwright.Page, answer: str, model: str, face: int = 0) -> dict[str, float]:
    """The probabilities on the page, from the attributes of their elements."""
    values = page.locator(f'{answer} .eh-value[data-face="{face}"][data-model="{model}"]')
    return {v.get_attribute("data-label"): float(v.get_attribute("data-prob")) for v in values.all()}


def assert_equal_probs(shown: dict[str, float], expected: dict[str, float]) -> None:
    assert list(shown) == list(expected)
    np.testing.assert_allclose(list(shown.values()), list(expected.values()), atol=2e-4)


def test_an_uploaded_photo_shows_the_probabilities_of_predict(page: playwright.Page, tmp_path: Path) -> None:
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


def test_another_model_predicts_after_it_is_chosen(page: playwright.Page, tmp_path: Path) -> None:
    photo = tmp_path / "astronaut.png"
    astronaut().save(photo)
    page.set_input_files("#predict-photo input[type=file]", photo)
    page.wait_for_selector('#predict-answer .eh-value[data-model="native48"]')
    choose(page, "#predict-model", "upscale224")
    page.wait_for_selector('#predict-answer .eh-value[data-model="upscale224"]')
    expected = EmotionPredictor.from_pretrained("upscale224").predict(photo)[0]
    assert_equal_probs(shown_probs(page, "#predict-answer", "upscale224"), expected.probs)


def test_a_webcam_snapshot_shows_the_probabilities_of_predict_on_the_same_frame(page: playwright.Page) -> None:
    with page.expect_response(lambda r: "/upload?" in r.url and r.request.method == "POST") as upload:
        page.locator("#predict-photo").get_by_label("Capture from camera").click()
        page.locator("#predict-photo").get_by_text("Click to Access Webcam").click()
        page.locator("#predict-photo button[title='grant webcam access'], #predict-photo video").first.wait_for()
        page.wait_for_function(
            "() => { const v = document.querySelector('#predict-photo video');"
            " return v && v.videoWidth > 0 && v.readyState >= 2 }"
        )
        page.locator("#predict-photo").get_by_label("capture photo").click()
    frame = Path(upload.value.json()[0])  # the server's file of the snapshot
    page.wait_for_selector("#predict-answer .eh-card, #predict-answer .eh-error")
    expected = EmotionPredictor.from_pretrained("native48").predict(frame)
    assert expected, "the face must be found in the camera's frame"
    assert_equal_probs(shown_probs(page, "#predict-answer", "native48"), expected[0].probs)


def test_the_compare_tab_shows_both_predictions_and_inputs(page: playwright.Page, tmp_path: Path) -> None:
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
def test_an_unreadable_file_gets_a_readable_message(
    page: playwright.Page, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    page.set_input_files("#predict-photo input[type=file]", path)
    page.wait_for_selector("#predict-answer .eh-error")
    text = page.locator("#predict-answer .eh-error").inner_text()
    assert words in text
    assert "Traceback" not in text


def test_a_photo_without_a_face_gets_a_message_and_can_be_taken_whole(page: playwright.Page, tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    Image.new("RGB", (200, 160), "teal").save(path)
    page.set_input_files("#predict-photo input[type=file]", path)
    page.get_by_text("No face was found").wait_for()
    page.get_by_label("Take the whole picture as the face").first.check()
    page.wait_for_selector("#predict-answer .eh-card")


@pytest.mark.parametrize("tab", ["predict", "compare", "explain"])
def test_an_example_photo_is_predicted_after_one_click(page: playwright.Page, tab: str) -> None:
    page.get_by_role("tab", name=tab.title()).click()
    gallery = page.locator(f"#{tab}-photo-examples .gallery-item")
    assert gallery.all_inner_texts() == [photo.title for photo in EXAMPLES.values()]
    gallery.nth(list(EXAMPLES).index("disputed")).click()
    results = {"predict": ".eh-card", "compare": ".eh-compare", "explain": "figure[data-method]:nth-child(2)"}
    page.wait_for_selector(f"#{tab}-answer {results[tab]}")
    if tab == "predict":
        expected = EmotionPredictor.from_pretrained("native48").predict(example_path("disputed"))
        assert page.locator("#predict-answer .eh-card").count() == len(expected) == 1
        assert_equal_probs(shown_probs(page, "#predict-answer", "native48"), expected[0].probs)
        gallery.nth(list(EXAMPLES).index("cat")).click()
        page.locator("#predict-answer").get_by_text("451×300 pixels, no face.").wait_for()
    if tab == "compare":
        [pair] = compare(example_path("disputed"))
        labels = (pair.native48.prediction.label, pair.upscale224.prediction.label)
        assert labels[0] != labels[1], "the example is named for it"
        verdict = page.locator("#compare-answer .eh-verdict").inner_text()
        assert f"native48 predicts {labels[0]}, upscale224 predicts {labels[1]}" in verdict


def test_the_gallery_of_examples_adds_less_than_100_kb_to_the_page(browser: playwright.Browser, app_url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    html = page.goto(app_url).text()
    page.wait_for_selector("#predict-photo-examples .gallery-item img")
    photos = [url for url in requested if any(f"{name}.jpg" in url for name in EXAMPLES)]
    assert photos == [], "whole photos are loaded only when they are chosen"
    pictures = re.findall(r"data:image/webp;base64,[A-Za-z0-9+/=]+", html)
    assert len(pictures) == 3 * len(EXAMPLES)
    assert sum(map(len, pictures)) < 100_000
    context.close()


@pytest.mark.slow
def test_the_explain_tab_shows_cams_at_once_and_every_method_with_progress_cancel_and_a_sheet(
    page: playwright.Page, tmp_path: Path
) -> None:
    photo = tmp_path / "face.png"
    astronaut().crop((160, 20, 290, 180)).resize((60, 60)).save(photo)  # small enough to be taken as a face crop
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
        "() => { const p = document.querySelector('#explain-progress progress');"
        " return p && p.dataset.share > 0 && p.dataset.share < 1 }"
    )
    page.locator("#explain-cancel").click()
    page.get_by_text("Cancelled.").wait_for()
    assert page.locator(maps).count() < 8
    assert page.locator("a.eh-download").count() == 0

    page.locator("#explain-samples input[type=number]").fill("100")
    for _ in range(5):  # gradio ignores a click until it has closed the cancelled run
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


def test_the_notice_is_above_the_camera(page: playwright.Page) -> None:
    notice, photo = page.locator("#notice").bounding_box(), page.locator("#predict-photo").bounding_box()
    assert notice["y"] + notice["height"] <= photo["y"]
    assert "Before you use a camera" in page.locator("#notice").inner_text()
    assert "Face detector: " in page.locator("#detector").inner_text()


def test_a_phone_screen_has_no_horizontal_scrolling(browser: playwright.Browser, app_url: str, tmp_path: Path) -> None:
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


def test_the_page_sends_requests_to_its_own_server_only(browser: playwright.Browser, app_url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(app_url)
    page.wait_for_selector("#predict-photo input[type=file]", state="attached")
    context.close()
    assert requested
    assert [url for url in requested if not url.startswith((app_url, "data:", "blob:"))] == []


# --- models from the Hub

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
    """`python app.py` with a local Hub that has one model, and not the one that the operator named."""
    from tests.fakes import hub_server
    from tests.fakes.hub_models import checkpoint_files, put

    folder = tmp_path_factory.mktemp("hub_app")
    with hub_server.serve() as hub:
        put(hub, "someone/faces", checkpoint_files("emotion_cnn", README_md=HOSTILE))
        environment = hub.environment(folder / "home") | {"EMOTION_HUB_NATIVE48": "someone/absent"}
        with demo_server(folder, environment) as url:
            yield url


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 360])
def test_a_typed_hub_id_predicts_and_its_card_is_shown_as_safe_text(
    browser: playwright.Browser, hub_app: str, tmp_path: Path, width: int
) -> None:
    photo = tmp_path / "face.png"
    astronaut().crop((160, 20, 290, 180)).resize((60, 60)).save(photo)
    context = browser.new_context(viewport={"width": width, "height": 800}, is_mobile=width < 500)
    page = context.new_page()
    page.set_default_timeout(60_000)
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(hub_app)
    page.locator("#predict-model-card .eh-error").wait_for()
    note = page.locator("#predict-model-card").inner_text()
    assert "someone/absent (named by EMOTION_HUB_NATIVE48)" in note
    assert "native48 is used instead" in note
    page.set_input_files("#predict-photo input[type=file]", photo)
    page.wait_for_selector('#predict-answer .eh-value[data-model="native48"]')
    assert "native48 is used instead" in page.locator("#predict-answer .eh-error").inner_text()

    choose(page, "#predict-model", "someone/faces")
    page.wait_for_selector('#predict-answer .eh-value[data-model="someone/faces"]')
    card = page.locator("#predict-model-card")
    parameters = sum(tensor.numel() for tensor in create_model("emotion_cnn", 7).parameters())
    assert f"{parameters:,}" in card.inner_text()
    assert len(page.locator("#predict-model-card .eh-model").get_attribute("data-revision")) == 40
    page.locator("#predict-model-card summary").click()
    page.locator("#predict-model-card .eh-markdown h1").wait_for()
    assert "document.title" in card.inner_text(), "the script is shown as text"
    assert page.locator("#predict-model-card").locator("img, script, iframe, form, style").count() == 0
    assert page.title() == "emotion_hub"
    assert [url for url in requested if not url.startswith((hub_app, "data:", "blob:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    choose(page, "#predict-model", "someone/absent")
    page.wait_for_selector('#predict-answer .eh-value[data-model="native48"]')
    page.get_by_role("tab", name="Compare").click()
    choose(page, "#compare-native48", "someone/faces")
    page.set_input_files("#compare-photo input[type=file]", photo)
    page.wait_for_selector("#compare-answer .eh-which")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
