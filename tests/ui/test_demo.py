"""The demo without a browser: page, API, limits, temporary files."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from emotion_hub.examples import EXAMPLES
from emotion_hub.images import MAX_BYTES
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.serve import create_app
from emotion_hub.serve.demo import mount_demo
from emotion_hub.ui.answers import LIVE
from emotion_hub.ui.demo import AGE, AT_ONCE, QUEUE, SWEEP, build_demo, launch_options
from emotion_hub.ui.photo import FIRST
from emotion_hub.ui.photo_field import PhotoInput
from tests.fakes.api_server import predictor
from tests.fakes.api_server import running as running_app
from tests.fakes.photos import save
from tests.tolerances import assert_same_probs


@pytest.fixture(scope="module")
def page() -> gr.Blocks:
    """The page, which is not running."""
    return build_demo()


def with_id(page: gr.Blocks, elem_id: str) -> Any:
    [found] = [block for block in page.blocks.values() if getattr(block, "elem_id", None) == elem_id]
    return found


# the page


def test_one_photo_and_one_main_button_serve_all_tabs(page: gr.Blocks) -> None:
    photos = [block.elem_id for block in page.blocks.values() if isinstance(block, PhotoInput)]
    assert photos == ["photo"]
    primary = [b.elem_id for b in page.blocks.values() if isinstance(b, gr.Button) and b.variant == "primary"]
    assert primary == ["run"]
    tabs = [block.label for block in page.blocks.values() if isinstance(block, gr.Tab)]
    assert tabs == ["Compare", "Predict", "Explain", "Models", "About"]
    assert Path(with_id(page, "photo").value["path"]).read_bytes() == FIRST.path.read_bytes()


def test_the_page_arrives_with_the_answers_for_its_first_photo(page: gr.Blocks) -> None:
    for elem_id, mark in (("compare-answer", "eh-verdict"), ("compare-ladder", "eh-strip-table")):
        value = with_id(page, elem_id).value
        assert (value["photo"], mark in value["html"]) == (0, True)
    assert with_id(page, "compare-json").value == with_id(page, "compare-answer").value["json"]
    assert with_id(page, "predict-answer").value is None, "it is computed when its tab is opened"
    assert with_id(page, "explain-answer").value is None


def test_headings_begin_at_1_and_skip_no_level(page: gr.Blocks) -> None:
    html = "".join(
        block.value["html"] if isinstance(block.value, dict) else block.value or ""
        for block in page.blocks.values()
        if isinstance(block, gr.HTML)
    )
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", html)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_screen_readers_hear_answers_in_one_place(page: gr.Blocks) -> None:
    live = [b.value for b in page.blocks.values() if isinstance(b, gr.HTML) and "aria-live" in str(b.value)]
    assert len(live) == 1
    assert f'id="{LIVE}"' in live[0]


def test_only_the_named_endpoints_are_public(page: gr.Blocks) -> None:
    public = {fn.api_name for fn in page.fns.values() if fn.api_visibility == "public"}
    assert public == {"predict", "compare", "explain"}


def test_no_two_components_have_the_same_id(page: gr.Blocks) -> None:
    ids = [block.elem_id for block in page.blocks.values() if getattr(block, "elem_id", None)]
    assert len(ids) == len(set(ids))


def test_only_the_browser_writes_to_the_json_fields(page: gr.Blocks) -> None:
    raw = {block._id for block in page.blocks.values() if isinstance(block, gr.JSON) and block.elem_id}
    assert len(raw) == 2
    assert [fn.name for fn in page.fns.values() if fn.fn and raw & {output._id for output in fn.outputs}] == []


def test_limits_and_queues_are_configured(page: gr.Blocks) -> None:
    options = launch_options()
    assert options["max_file_size"] == MAX_BYTES
    assert page.delete_cache == (SWEEP, AGE)
    assert page._queue.max_size == QUEUE
    assert page.analytics_enabled is False
    assert page._queue.default_concurrency_limit == AT_ONCE


def test_networks_share_a_queue_and_slow_explanations_have_their_own(page: gr.Blocks) -> None:
    queues: dict[str, list[str]] = {}
    for fn in page.fns.values():
        if fn.concurrency_id in ("networks", "explanations"):
            queues.setdefault(fn.concurrency_id, []).append(fn.name)
    assert sorted(queues["networks"]) == [
        "_compare",
        "_ladder",
        "_predict",
        "_stress",
        "_stress",
        "compare_json",
        "explain_photo",
        "predict_json",
    ]
    assert sorted(queues["explanations"]) == ["explain_json", "explain_photo", "explain_photo"]


# a mounted demo


def test_a_mounted_demo_stores_no_runs_in_the_browser() -> None:
    demo, options = build_demo(), launch_options()
    assert options["run_history"] is False
    with running_app(mount_demo(create_app({"tiny": predictor()}), demo, options)) as client:
        assert client.get("/demo/config").json()["run_history"] is False
        assert client.get("/demo/gradio_api/runs").status_code == 404


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


# a running demo


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
