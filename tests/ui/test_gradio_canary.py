"""Canary for what the demo relies on in gradio beyond its documentation."""

from __future__ import annotations

import inspect

import gradio as gr
from fastapi import FastAPI
from gradio import processing_utils

CHANGED = "gradio changed it; adapt {module}, then the bound in pyproject.toml (gradio>=6.31,<7)"


def test_files_can_be_moved_to_the_cache_and_kept_there() -> None:
    parameters = inspect.signature(processing_utils.move_files_to_cache).parameters
    assert {"postprocess", "keep_in_cache"} <= set(parameters), CHANGED.format(module="emotion_hub/ui/photo.py")


def test_components_move_resources_through_the_methods_that_the_photo_field_overrides() -> None:
    for name in ("move_resource_to_block_cache", "async_move_resource_to_block_cache"):
        method = getattr(gr.Image, name, None)
        assert method is not None, CHANGED.format(module="emotion_hub/ui/photo_field.py")
        assert list(inspect.signature(method).parameters) == ["self", "url_or_file_path"]


def test_a_mounted_demo_has_the_event_that_ends_its_streams() -> None:
    with gr.Blocks() as demo:
        gr.Markdown("text")
    app = gr.mount_gradio_app(FastAPI(), demo, path="/demo")
    [mount] = [route for route in app.routes if getattr(route, "path", "") == "/demo"]
    assert hasattr(mount.app.stop_event, "set"), CHANGED.format(module="emotion_hub/serve/demo.py")


def test_launch_and_mounting_have_the_switch_of_the_run_history() -> None:
    for function in (gr.Blocks.launch, gr.mount_gradio_app):
        assert "run_history" in inspect.signature(function).parameters, CHANGED.format(module="emotion_hub/ui/demo.py")
