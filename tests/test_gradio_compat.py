"""Canary for what gradio_compat relies on, and its functions."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import gradio as gr
import pytest
from fastapi import FastAPI
from gradio import processing_utils
from PIL import Image

from emotion_hub.gradio_compat import cached_value, current_page, end_event_streams
from emotion_hub.ui.demo import launch_options
from emotion_hub.ui.photo_field import PhotoInput

NEXT_STEP = "gradio changed it; adapt emotion_hub/gradio_compat.py, then the bound in pyproject.toml (gradio>=6.31,<7)"
MOVES = ("move_resource_to_block_cache", "async_move_resource_to_block_cache")


def test_files_can_be_moved_to_the_cache_and_kept_there() -> None:
    parameters = inspect.signature(processing_utils.move_files_to_cache).parameters
    assert {"postprocess", "keep_in_cache"} <= set(parameters), NEXT_STEP


@pytest.mark.parametrize("name", MOVES)
def test_components_move_files_through_the_methods_that_are_replaced(name: str) -> None:
    method = getattr(gr.Image, name, None)
    assert method is not None, NEXT_STEP
    assert list(inspect.signature(method).parameters) == ["self", "url_or_file_path"], NEXT_STEP
    assert getattr(PhotoInput, name) is not method


def test_the_photo_field_has_the_frontend_of_gradios_image_field() -> None:
    field = PhotoInput()
    assert (field.get_block_name(), field.get_block_class()) == ("image", "image"), NEXT_STEP


def test_an_address_is_refused_and_a_file_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    source = tmp_path / "face.png"
    Image.new("L", (4, 4), 90).save(source)
    field = PhotoInput()
    for name in MOVES:
        move = getattr(field, name)

        def call(value: str, move=move) -> str:
            result = move(value)
            return asyncio.run(result) if inspect.isawaitable(result) else result

        with pytest.raises(gr.Error, match="downloads nothing"):
            call("https://example.org/face.png")
        assert Path(call(str(source))).read_bytes() == source.read_bytes()


def test_a_cached_value_is_a_copy_that_the_clean_up_does_not_delete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    source = tmp_path / "face.png"
    Image.new("L", (4, 4), 90).save(source)
    with gr.Blocks():
        field = gr.Image()
    value = cached_value(field, source)
    copy = Path(value["path"])
    assert copy.is_relative_to(tmp_path / "cache")
    assert copy.is_file()
    assert str(copy) in field.keep_in_cache, NEXT_STEP


def test_the_current_page_is_the_one_being_built() -> None:
    with gr.Blocks() as page:
        gr.Markdown("text")
        assert current_page() is page, NEXT_STEP
    with pytest.raises(RuntimeError, match=r"inside `with gr\.Blocks"):
        current_page()


def test_the_streams_of_a_mounted_demo_end_with_an_event() -> None:
    with gr.Blocks() as demo:
        gr.Markdown("text")
    app = gr.mount_gradio_app(FastAPI(), demo, path="/demo")
    [mount] = [route for route in app.routes if getattr(route, "path", "") == "/demo"]
    assert not mount.app.stop_event.is_set(), NEXT_STEP
    end_event_streams(mount.app)
    assert mount.app.stop_event.is_set(), NEXT_STEP


def test_launch_and_mounting_have_the_switch_of_the_run_history() -> None:
    for function in (gr.Blocks.launch, gr.mount_gradio_app):
        assert "run_history" in inspect.signature(function).parameters, NEXT_STEP


def test_launch_takes_every_option_of_the_demo() -> None:
    assert set(launch_options()) <= set(inspect.signature(gr.Blocks.launch).parameters), NEXT_STEP


def test_the_template_of_a_field_gets_value_and_properties() -> None:
    field = gr.HTML({"photo": 0}, html_template="${photo}", js_on_load=None, photo=3, empty="none")
    config = field.get_config()
    assert config["html_template"] == "${photo}", NEXT_STEP
    assert config["props"] == {"photo": 3, "empty": "none"}, NEXT_STEP
    assert field.postprocess({"photo": 1}) == {"photo": 1}, NEXT_STEP


def test_a_field_can_be_in_the_page_without_being_seen() -> None:
    assert gr.Number(0, visible="hidden").get_config()["visible"] == "hidden", NEXT_STEP
