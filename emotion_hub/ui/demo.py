"""Page of the demo (`build_demo`) and its launch options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from emotion_hub.images import MAX_BYTES
from emotion_hub.ui.about import about_tab, detector_line, notice
from emotion_hub.ui.answers import LIVE
from emotion_hub.ui.compare import CompareTab
from emotion_hub.ui.explain_tab import ExplainTab
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.models_tab import models_tab
from emotion_hub.ui.photo import example_photos, photo_input
from emotion_hub.ui.predict import PredictTab
from emotion_hub.ui.studio import Studio, StudioTab
from emotion_hub.ui.theme import theme
from emotion_hub.ui.upload_limits import UploadLimits

__all__ = ["build_demo", "launch_options"]

#: The tabs that answer about the photo, in the order of the page.
STUDIO_TABS: tuple[Callable[[Studio], StudioTab], ...] = (
    CompareTab,
    PredictTab,
    ExplainTab,
)

#: Seconds between two clean-ups of the temporary files, and the age in seconds at which they are deleted.
SWEEP, AGE = 60, 240

#: Maximum number of queued requests, and of requests that run at once.
QUEUE, AT_ONCE = 32, 2

_STYLES = Path(__file__).parent / "styles"


def build_demo() -> gr.Blocks:
    """The page with its queue; launch it with `launch_options()`.

    The operator's models are loaded in the background.
    """
    shared_pool().start()
    with gr.Blocks(title="emotion_hub", analytics_enabled=False, delete_cache=(SWEEP, AGE)) as demo:
        gr.HTML(
            '<header class="eh-header"><h1>emotion_hub</h1><p>Which expression does this face show? One network reads'
            " 48×48 pixels, another the same face enlarged to 224×224. See whether that changes the answer.</p>"
            "</header>"
        )
        gr.HTML(notice((SWEEP + AGE) // 60), elem_id="notice")
        with gr.Row(elem_id="studio"):
            with gr.Column(scale=2, min_width=280, elem_id="panel"):
                studio = _panel()
            tabs = [build_tab(studio) for build_tab in STUDIO_TABS]
            found: dict[str, gr.Tab] = {}
            with gr.Column(scale=5, min_width=320, elem_id="answers"), gr.Tabs(elem_id="tabs"):
                for tab in tabs:
                    with gr.Tab(tab.title, id=tab.name, elem_id=f"tab-{tab.name}") as found[tab.name]:
                        tab.answers()
                with gr.Tab("Models", id="models", elem_id="tab-models") as found["models"]:
                    gr.HTML('<h2 class="eh-hidden">The networks and their measurements</h2>', elem_classes="eh-heading")
                    models_tab(found["models"])
                with gr.Tab("About", id="about", elem_id="tab-about") as found["about"]:
                    gr.HTML('<h2 class="eh-hidden">About this page</h2>', elem_classes="eh-heading")
                    about_tab(found["about"], minutes=(SWEEP + AGE) // 60)
        with gr.Accordion("Advanced", open=False, elem_id="advanced"):
            studio.whole.render()
            with gr.Row():
                for tab in tabs:
                    with gr.Column(min_width=260):
                        gr.HTML(f"<h2>{tab.title}</h2>")
                        tab.settings()
        studio.connect(found)
        for tab in tabs:
            tab.connect()
        gr.HTML(f'<footer class="eh-foot">{detector_line()}</footer>', elem_id="detector")
        gr.HTML(
            f'<div id="{LIVE}" class="eh-hidden" role="status" aria-live="polite"></div>', elem_classes="eh-heading"
        )
    demo.queue(max_size=QUEUE, default_concurrency_limit=AT_ONCE)
    return demo


def _panel() -> Studio:
    """Build the photo field with the examples and the main button below it."""
    photo = photo_input("photo")
    example_photos(photo)
    run = gr.Button("Analyse the photo", variant="primary", elem_id="run")
    face = gr.Radio(["1"], value="1", label="Face to explain", info="1 is the largest.", visible=False, elem_id="face")
    whole = gr.Checkbox(
        label="Take the whole picture as the face",
        info="For a picture that is cut closely around a face, or on which no face is found.",
        render=False,
        elem_id="whole",
    )
    latest = gr.Number(0, precision=0, visible="hidden")
    return Studio(photo, run, whole, face, first_tab="compare", latest=latest)


def launch_options() -> dict[str, Any]:
    """Keyword arguments of `Blocks.launch`: theme and limits. gradio's environment variables set address and port."""
    return {
        "theme": theme(),
        "css_paths": sorted(_STYLES.glob("*.css")),
        "max_file_size": MAX_BYTES,
        "footer_links": ["api"],
        "run_history": False,  # gradio would store photos and answers in the visitor's browser
        # compression makes the page's first response five times smaller
        "app_kwargs": {"middleware": [Middleware(GZipMiddleware, compresslevel=6), Middleware(UploadLimits)]},
        # messages of gr.Error are shown anyway; those of other exceptions, which a mounted demo would show, are not
        "show_error": False,
        "share": False,
        "ssr_mode": False,
    }
