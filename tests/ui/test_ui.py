"""The demo without a browser: answers, API, limits and stored files."""

from __future__ import annotations

import asyncio
import io
import os
import re
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from emotion_hub.checkpoints import checkpoint_summary, embedded_checkpoints
from emotion_hub.detectors import Detection, Framing, default_detector
from emotion_hub.examples import EXAMPLES
from emotion_hub.images import MAX_BYTES
from emotion_hub.prediction_sets import PredictionSets
from emotion_hub.predictor import EmotionPredictor, embedded_predictor
from emotion_hub.results import Prediction
from emotion_hub.serve import create_app
from emotion_hub.serve.demo import mount_demo
from emotion_hub.ui.about import NOTICE, checkpoint_cards, detector_line
from emotion_hub.ui.answers import compute_answer
from emotion_hub.ui.compare import _compare, compare_html, compare_json
from emotion_hub.ui.demo import AGE, AT_ONCE, QUEUE, SWEEP, build_demo, launch_options
from emotion_hub.ui.jobs import Jobs
from emotion_hub.ui.photo_field import PhotoInput
from emotion_hub.ui.picker import model_picker
from emotion_hub.ui.predict import _predict, predict_html, predict_json
from emotion_hub.ui.render import MAX_CARDS, message, prediction_cards
from emotion_hub.ui.uploads import upload_folder
from tests.fakes.api_server import predictor
from tests.fakes.api_server import running as running_app
from tests.tolerances import assert_same_probs


def save(folder: Path, image: Image.Image, name: str = "face.png") -> str:
    path = folder / name
    image.save(path)
    return str(path)


def huge_png(path: Path) -> str:
    """A PNG file of 140 kB with 12,000x12,000 gray pixels, which decode to 144 MB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(12_001) * 12_000, 1)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return str(path)


def test_page_json_and_api_give_the_probabilities_of_predict(face_image: Image.Image, tmp_path: Path) -> None:
    path = save(tmp_path, face_image)
    expected = EmotionPredictor.from_pretrained("native48").predict(path, whole=True)[0]
    html, faces = predict_html(path, "native48", True)
    assert_same_probs(faces[0]["probs"], expected.probs)
    shown = {label: float(p) for label, p in re.findall(r'data-label="(\w+)" data-prob="([\d.]+)"', html)}
    assert_same_probs(shown, expected.probs)
    assert_same_probs(predict_json(path, "native48", True)[0]["probs"], expected.probs)


def test_the_compare_page_shows_inputs_and_costs_of_both_networks(face_image: Image.Image, tmp_path: Path) -> None:
    html, faces = compare_html(save(tmp_path, face_image), "bicubic", True)
    assert set(faces[0]) >= {"native48", "upscale224", "agree", "distance", "ratios"}
    for side in ("native48", "upscale224"):
        assert faces[0][side]["parameters"] == checkpoint_summary(side)["parameters"]
    assert "224×224 pixels, three equal channels, bicubic" in html
    assert "48×48 pixels, one gray channel" in html
    assert 'data-ratio="preprocessing"' in html


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello", "text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "header cannot be read"),
    ],
)
def test_an_unreadable_picture_gets_an_error_in_place_of_the_answer(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    for html, faces in (predict_html(str(path), "native48", False), compare_html(str(path), "lanczos", False)):
        assert words in html
        assert 'role="alert"' in html
        assert faces == []
    with pytest.raises(gr.Error, match=words):
        predict_json(str(path), "native48", False)


def test_a_picture_of_12000_pixels_per_side_is_refused_before_decoding(tmp_path: Path) -> None:
    path = huge_png(tmp_path / "huge.png")
    started = time.perf_counter()
    html, _ = predict_html(path, "native48", False)
    assert "144 megapixels; the limit is 40" in html
    assert time.perf_counter() - started < 1, "the pixels were decoded"


def unusual_pictures() -> dict[str, bytes]:
    """Pictures with unusual modes, orientation, frames or size."""
    gray = Image.linear_gradient("L").resize((96, 96))
    rgb = Image.merge("RGB", [gray, gray.rotate(90), gray.rotate(180)])
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = {
        "16-bit": (Image.fromarray(np.asarray(gray).astype(np.uint16) * 257), "PNG", {}),
        "CMYK": (rgb.convert("CMYK"), "JPEG", {}),
        "RGBA": (rgb.convert("RGBA"), "PNG", {}),
        "EXIF-rotated": (rgb.resize((96, 64)), "JPEG", {"exif": exif}),
        "animated": (gray, "GIF", {"save_all": True, "append_images": [gray.rotate(90)]}),
        "one-pixel": (Image.new("RGB", (1, 1), "red"), "PNG", {}),
    }
    files = {}
    for name, (image, kind, options) in pictures.items():
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        files[name] = buffer.getvalue()
    return files


@pytest.mark.parametrize("kind", unusual_pictures())
def test_unusual_pictures_are_predicted(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(unusual_pictures()[kind])
    html, faces = predict_html(str(path), "native48", True)
    assert len(faces) == 1
    assert "eh-card" in html
    assert "eh-note" in predict_html(str(path), "native48", False)[0]  # none of them shows a face


def test_without_a_photo_the_page_asks_for_one_and_the_api_refuses() -> None:
    assert "Add a photo" in predict_html(None, "native48", False)[0]
    with pytest.raises(gr.Error, match="the photo is missing"):
        predict_json(None, "native48", False)


def test_texts_on_the_page_are_escaped() -> None:
    html = message("<script>alert(1)</script>", kind="error", title="<b>")
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "<b>" not in html


def test_all_faces_are_boxed_and_only_the_largest_get_cards() -> None:
    timings = {"decode": 1.0, "detect": 1.0, "preprocess": 1.0, "inference": 1.0, "total": 4.0}
    faces = [
        Prediction("happy", 0, {"happy": 0.7, "sad": 0.3}, (4 * i, 4, 4 * i + 3, 8), "native48", timings)
        for i in range(MAX_CARDS + 3)
    ]
    html = prediction_cards(Image.new("RGB", (120, 30)), faces)
    assert html.count("eh-card") - html.count("eh-cards") == MAX_CARDS
    assert "3 smaller faces" in html
    assert f"face {MAX_CARDS + 3}: happy" in html


def test_a_card_names_the_prediction_set_and_one_line_says_what_it_means() -> None:
    timings = {"decode": 1.0, "detect": 1.0, "preprocess": 1.0, "inference": 1.0, "total": 4.0}
    probs = {"sad": 0.5, "neutral": 0.3, "<b>": 0.2}
    sets = PredictionSets(0.9, dict.fromkeys(probs, 0.7))
    faces = [
        Prediction("sad", 0, probs, (0, 0, 9, 9), "native48", timings, prediction_set=labels)
        for labels in (("sad",), ("sad", "neutral"), ("sad", "neutral", "<b>"), None)
    ]
    html = prediction_cards(Image.new("RGB", (120, 30)), faces, sets=sets)
    for words in ("sad", "sad or neutral", "sad, neutral or &lt;b&gt;"):
        assert f"Likely: <strong>{words}</strong>" in html
    assert html.count("Likely: <strong>") == 3
    assert html.count("in 9 of 10 faces of the test set, the true label is among these") == 1
    without = prediction_cards(Image.new("RGB", (120, 30)), faces[-1:])
    assert "Likely" not in without


def test_the_page_and_its_api_have_the_prediction_set_of_the_library(face_image: Image.Image, tmp_path: Path) -> None:
    face_image.save(tmp_path / "face.png")
    expected = embedded_predictor("native48").predict(face_image, whole=True)[0].prediction_set
    html, [face] = predict_html(str(tmp_path / "face.png"), "native48", True)
    [same] = predict_json(str(tmp_path / "face.png"), "native48", True)
    assert face["prediction_set"] == same["prediction_set"] == list(expected)
    assert "Likely: <strong>" in html
    assert "in 9 of 10 faces" in html


def test_the_photo_field_returns_the_file_undecoded() -> None:
    field = PhotoInput()
    assert field.get_block_name() == "image"
    assert field.preprocess(None) is None
    assert field.preprocess(SimpleNamespace(url=None, path="/tmp/never/opened")) == "/tmp/never/opened"
    assert field.preprocess(SimpleNamespace(url="data:image/png;base64,aGVsbG8=", path=None)) == b"hello"


def test_a_deleted_photo_gets_a_message_without_its_path(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.png")
    for html in (predict_html(gone, "native48", False)[0], compare_html(gone, "lanczos", False)[0]):
        assert "deleted from the server, as announced" in html
        assert str(tmp_path) not in html


def test_too_long_data_urls_are_refused_before_decoding() -> None:
    with pytest.raises(gr.Error, match="larger than 10 MB"):
        PhotoInput().preprocess(SimpleNamespace(url="data:image/png;base64," + "A" * (15 * 2**20), path=None))


def test_the_server_downloads_nothing_for_a_request() -> None:
    with pytest.raises(gr.Error, match="downloads nothing"):
        PhotoInput().move_resource_to_block_cache("https://example.com/large.png")
    with pytest.raises(gr.Error, match="downloads nothing"):
        asyncio.run(PhotoInput().async_move_resource_to_block_cache("https://example.com/large.png"))


def test_faces_left_out_of_a_comparison_are_counted(
    face_image: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Many:
        name, framing = "many", Framing(1.0, 0.0)

        def detect(self, image: Image.Image) -> list[Detection]:
            return [Detection((4.0 * i, 4.0, 4.0 * i + 20, 24.0), 1.0) for i in range(MAX_CARDS + 2)]

    monkeypatch.setattr("emotion_hub.faces.default_detector", Many)
    monkeypatch.setattr("emotion_hub.ui.compare.REPEATS", 1)
    html, faces = compare_html(save(tmp_path, face_image), "lanczos", False)
    assert len(faces) == MAX_CARDS
    assert "2 smaller faces are left out" in html
    assert len(compare_json(save(tmp_path, face_image), "lanczos", False)) == MAX_CARDS + 2


def test_upload_folders_are_deleted_with_their_process_and_those_of_dead_processes_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, alive = tmp_path / f"emotion_hub_uploads_{ended.pid}_x", tmp_path / f"emotion_hub_uploads_{os.getppid()}_x"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "face.png").touch()
    with upload_folder() as mine:
        assert os.environ["GRADIO_TEMP_DIR"] == str(mine)
        assert not dead.exists()
        assert alive.exists()
        (mine / "face.png").touch()
    assert not mine.exists()
    assert "GRADIO_TEMP_DIR" not in os.environ


def test_the_page_names_checkpoints_detector_and_deletion_time() -> None:
    for name in embedded_checkpoints():
        assert f"</span>{name}</span></h3>" in checkpoint_cards()
    assert detector_line() == f"Face detector: <strong>{default_detector().name}</strong>."
    assert "YuNet" in default_detector().name
    assert NOTICE.format(minutes=5) != NOTICE, "the notice states the minutes"


def test_a_mounted_demo_stores_no_runs_in_the_browser() -> None:
    demo, options = build_demo(), launch_options()
    assert options["run_history"] is False
    with running_app(mount_demo(create_app({"tiny": predictor()}), demo, options)) as client:
        assert client.get("/demo/config").json()["run_history"] is False
        assert client.get("/demo/gradio_api/runs").status_code == 404


def test_an_answer_carries_the_number_of_its_photo(face_image: Image.Image, tmp_path: Path) -> None:
    path = save(tmp_path, face_image)
    for value, (html, faces) in (
        (_predict(path, "native48", True, 7), predict_html(path, "native48", True)),
        (_compare(path, "lanczos", True, None, None, 7), compare_html(path, "lanczos", True)),
    ):
        assert value["photo"] == 7
        assert re.findall(r'data-label="\w+"', value["html"]) == re.findall(r'data-label="\w+"', html)
        assert [set(face) for face in value["json"]] == [set(face) for face in faces]


def test_only_the_browser_writes_to_the_json_fields() -> None:
    demo = build_demo()
    raw = {block._id for block in demo.blocks.values() if isinstance(block, gr.JSON) and block.elem_id}
    assert len(raw) == 2
    assert [fn.name for fn in demo.fns.values() if fn.fn and raw & {output._id for output in fn.outputs}] == []


def test_a_photo_that_cannot_be_opened_is_refused_without_the_systems_message(tmp_path: Path) -> None:
    """A folder in place of a file: no error number, type or path reaches the page or the API."""
    for html in (predict_html(str(tmp_path), "native48", False)[0], compare_html(str(tmp_path), "lanczos", False)[0]):
        assert "Upload it again" in html
        assert str(tmp_path) not in html
    with pytest.raises(
        gr.Error, match=r"^'The photo has been deleted from the server, as announced. Upload it again.'$"
    ):
        predict_json(str(tmp_path), "native48", False)


def test_a_damaged_data_url_is_refused() -> None:
    with pytest.raises(
        gr.Error, match=r"^\"the data URL's base64 cannot be read; send the whole file, encoded once\"$"
    ):
        PhotoInput().preprocess(SimpleNamespace(url="data:image/png;base64,aGVsbG8", path=None))


def test_an_exception_in_a_mounted_demo_is_logged_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device", "/srv/secret")

    monkeypatch.setattr("emotion_hub.ui.predict.predict_json", broken)
    with running_app(mount_demo(create_app({"tiny": predictor()}), build_demo(), launch_options())) as client:
        event = client.post("/demo/gradio_api/call/predict", json={"data": [None, "native48", True]}).json()["event_id"]
        answer = client.get(f"/demo/gradio_api/call/predict/{event}").text
    assert answer.startswith("event: error")
    assert not re.search("space|secret|OSError|Errno", answer)
    assert "No space left" in capsys.readouterr().err


def test_limits_and_queues_are_configured() -> None:
    demo, options = build_demo(), launch_options()
    assert options["max_file_size"] == MAX_BYTES
    assert demo.delete_cache == (SWEEP, AGE)
    assert demo._queue.max_size == QUEUE
    assert demo.analytics_enabled is False
    networks = [fn for fn in demo.fns.values() if fn.name in ("_predict", "predict_json", "_compare", "compare_json")]
    assert len(networks) == 4
    assert {fn.concurrency_id for fn in networks} == {"networks"}
    assert demo._queue.default_concurrency_limit == AT_ONCE


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo in this process, with its temporary files in a separate folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        patch.setattr("emotion_hub.ui.demo.SWEEP", 1)
        patch.setattr("emotion_hub.ui.demo.AGE", 6)
        demo = build_demo()
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
        yield url
        demo.close()


def test_the_demo_stores_no_runs_in_the_browser(running: str) -> None:
    assert httpx.get(f"{running}config").json()["run_history"] is False
    assert httpx.get(f"{running}gradio_api/runs").status_code == 404


def test_named_endpoints_answer_with_a_list(running: str, face_image: Image.Image, tmp_path: Path) -> None:
    path = save(tmp_path, face_image)
    client = Client(running, verbose=False)
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/predict", "/compare", "/explain"}
    faces = client.predict(handle_file(path), "native48", True, api_name="/predict")
    assert_same_probs(
        faces[0]["probs"], EmotionPredictor.from_pretrained("native48").predict(path, whole=True)[0].probs
    )
    pairs = client.predict(handle_file(path), "lanczos", True, api_name="/compare")
    assert pairs[0]["upscale224"]["model"] == "upscale224"


def test_an_endpoint_returns_the_reason_of_a_refusal(running: str, tmp_path: Path) -> None:
    path = tmp_path / "note.png"
    path.write_text("this is no picture")
    client = Client(running, verbose=False)
    endpoint = client.view_api(return_format="dict")["named_endpoints"]["/predict"]
    assert endpoint["parameters"][0]["parameter_name"] == "photo"
    with pytest.raises(Exception, match="is a text file"):
        client.predict(handle_file(path), "native48", True, api_name="/predict")


def test_an_endpoint_does_not_read_the_servers_own_files(running: str, tmp_path: Path) -> None:
    secret = save(tmp_path, Image.new("L", (48, 48)))
    data = [{"path": secret, "meta": {"_type": "gradio.FileData"}, "orig_name": "x.png"}, "native48", True]
    event = httpx.post(f"{running}gradio_api/call/predict", json={"data": data}).json()["event_id"]
    answer = httpx.get(f"{running}gradio_api/call/predict/{event}", timeout=30).text
    assert "event: error" in answer
    assert "probs" not in answer


@pytest.mark.slow
def test_uploads_are_deleted_after_their_time(running: str, face_image: Image.Image, tmp_path: Path) -> None:
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    path = save(tmp_path, face_image, "to_be_deleted.png")
    Client(running, verbose=False).predict(handle_file(path), "native48", True, api_name="/predict")
    assert list(folder.rglob("to_be_deleted.png")), "the upload is stored first"
    for _ in range(40):
        if not list(folder.rglob("to_be_deleted.png")):
            examples = {path.stem for path in folder.rglob("*.jpg")}
            assert examples >= set(EXAMPLES), "the examples are not uploads and are not deleted"
            return
        time.sleep(0.5)
    pytest.fail("the upload still exists after 20 seconds")


def test_an_answer_for_an_older_photo_does_not_replace_that_of_a_newer_one() -> None:
    jobs, request = Jobs(), gr.Request(session_hash="visitor")
    assert compute_answer(jobs, 1, request, lambda: ("old", []))["html"] == "old", "it is the newest so far"

    def newer_meanwhile() -> tuple[str, list]:
        assert compute_answer(jobs, 2, request, lambda: ("new", []))["html"] == "new"
        return "late", []

    assert compute_answer(jobs, 1, request, newer_meanwhile) == gr.skip()
    assert compute_answer(jobs, 1, request, lambda: ("later", [])) == gr.skip()
    assert compute_answer(jobs, 1, gr.Request(session_hash="another"), lambda: ("theirs", []))["html"] == "theirs"


def test_on_ready_passes_the_request_to_functions_that_take_it() -> None:
    received = []
    with gr.Blocks():
        picker = model_picker("Network", "picker")
        output = gr.HTML()

        def with_request(name: str, request: gr.Request) -> str:
            received.append((name, request))
            return name

        picker.on_ready(with_request, [picker.model], [output])
        picker.on_ready(lambda name: name, [picker.model], [output])
        functions = [fn.fn for fn in gr.context.Context.root_block.fns.values() if fn.name == "unless_waiting"]
    assert len(functions) == 2 * len(picker.status_events)
    first, second = functions[:: len(picker.status_events)]
    request = gr.Request(session_hash="visitor")
    assert (first(False, request, "native48"), second(False, request, "native48")) == ("native48", "native48")
    assert received == [("native48", request)]
    assert first(True, request, "native48") == gr.skip()
