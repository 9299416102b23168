"""Page of the demo (`build_demo`) and its launch options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from emotion_hub.images import MAX_BYTES
from emotion_hub.ui.about import NOTICE, about_tab, detector_line
from emotion_hub.ui.compare import compare_tab
from emotion_hub.ui.explain_tab import explain_tab
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.predict import predict_tab
from emotion_hub.ui.upload_limits import UploadLimits

__all__ = ["build_demo", "launch_options"]

#: The tabs in the order of the page: {id, which is also the title in lower case: function that builds the tab}.
TABS = {
    "predict": predict_tab,
    "compare": compare_tab,
    "explain": explain_tab,
    "about": about_tab,
}

#: Seconds between two clean-ups of the temporary files, and the age in seconds at which they are deleted.
SWEEP, AGE = 60, 240

#: Maximum number of queued requests, and of requests that run at once.
QUEUE, AT_ONCE = 32, 2

_HERE = Path(__file__).parent


def build_demo() -> gr.Blocks:
    """The page with its queue; launch it with `launch_options()`.

    The operator's models are loaded in the background.
    """
    shared_pool().start()
    with gr.Blocks(title="emotion_hub", analytics_enabled=False, delete_cache=(SWEEP, AGE)) as demo:
        gr.HTML(
            '<header class="eh-header"><h1>emotion_hub</h1><p>Which expression does this face show? One network takes'
            " the native 48-pixel face, another the same face upscaled to 224 pixels.</p></header>"
        )
        gr.HTML(f'<div class="eh-note eh-notice">{NOTICE.format(minutes=(SWEEP + AGE) // 60)}</div>', elem_id="notice")
        for name, build_tab in TABS.items():
            with gr.Tab(name.capitalize(), id=name):
                build_tab()
        gr.HTML(f'<p class="eh-foot">{detector_line()}</p>', elem_id="detector")
    demo.queue(max_size=QUEUE, default_concurrency_limit=AT_ONCE)
    return demo


def launch_options() -> dict[str, Any]:
    """Keyword arguments of `Blocks.launch`: theme and limits. gradio's environment variables set address and port."""
    fonts = ["ui-sans-serif", "system-ui", "sans-serif"]
    return {
        "theme": gr.themes.Soft(
            primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "monospace"]
        ),
        "css_paths": _HERE / "style.css",
        "max_file_size": MAX_BYTES,
        "footer_links": ["api"],
        "run_history": False,  # gradio would store photos and answers in the visitor's browser
        "app_kwargs": {"middleware": [Middleware(UploadLimits)]},
        # messages of gr.Error are shown anyway; those of other exceptions, which a mounted demo would show, are not
        "show_error": False,
        "share": False,
        "ssr_mode": False,
    }
