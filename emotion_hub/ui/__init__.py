"""The demo. `build_demo()` makes the page, `launch_options()` says how to serve it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from emotion_hub.detectors import detector_at_work
from emotion_hub.images import MAX_BYTES
from emotion_hub.ui.about import NOTICE, about_tab, detector_line
from emotion_hub.ui.compare import compare_tab
from emotion_hub.ui.explain import explain_tab
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.predict import predict_tab

__all__ = ["build_demo", "launch_options"]

#: Seconds between two sweeps of the temporary files, and the age at which they go.
SWEEP, AGE = 60, 240

#: Seconds between two looks at whether YuNet has come.
LOOK = 2.0

#: Requests that may wait, and that run at once.
QUEUE, AT_ONCE = 32, 2

_HERE = Path(__file__).parent


def build_demo() -> gr.Blocks:
    """The page with its queue set; launch it with `launch_options()`. The operator's models begin to load, and nothing waits for them."""
    shared_pool().start()
    with gr.Blocks(title="emotion_hub", analytics_enabled=False, delete_cache=(SWEEP, AGE)) as demo:
        gr.HTML(
            '<header class="eh-header"><h1>emotion_hub</h1><p>Which expression does this face show? One network reads the native '
            "48-pixel face, another the same face upscaled to 224 pixels.</p></header>"
        )
        gr.HTML(f'<div class="eh-note eh-notice">{NOTICE.format(minutes=(SWEEP + AGE) // 60)}</div>', elem_id="notice")
        with gr.Tab("Predict", id="predict"):
            predict_tab()
        with gr.Tab("Compare", id="compare"):
            compare_tab()
        with gr.Tab("Explain", id="explain"):
            explain_tab()
        with gr.Tab("About", id="about"):
            about_tab()
        foot, timer = gr.HTML(_foot(), elem_id="detector"), gr.Timer(LOOK, active=False)
        for event in (demo.load, timer.tick):
            event(_detector, None, [foot, timer], api_visibility="private", queue=False, show_progress="hidden")
    demo.queue(max_size=QUEUE, default_concurrency_limit=AT_ONCE)
    return demo


def _foot() -> str:
    return f'<p class="eh-foot">{detector_line()}</p>'


def _detector() -> tuple[str, gr.Timer]:
    """The foot line as it is now, and whether to look again: until YuNet has come or failed."""
    return _foot(), gr.Timer(active=detector_at_work().pending)


def launch_options() -> dict[str, Any]:
    """Keyword arguments for `Blocks.launch`: look and limits. Address and port stay with gradio's environment variables."""
    fonts = ["ui-sans-serif", "system-ui", "sans-serif"]
    return {
        "theme": gr.themes.Soft(primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "monospace"]),
        "css_paths": _HERE / "style.css",
        "max_file_size": MAX_BYTES,
        "footer_links": ["api"],
        "share": False,
        "ssr_mode": False,
    }
