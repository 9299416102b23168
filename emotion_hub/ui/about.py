"""About tab: purpose, method, limits, privacy, duties, glossary, links."""

from __future__ import annotations

from html import escape

import gradio as gr

from emotion_hub.detectors import default_detector
from emotion_hub.ui.charts import network_records
from emotion_hub.ui.guide import (
    duties_section,
    glossary_section,
    limits_section,
    links_section,
    method_section,
    notice,
    privacy_section,
    purpose_section,
    template_notice,
    training_section,
)
from emotion_hub.version import __version__

__all__ = ["about_tab", "detector_line", "notice"]

_WAITING = '<p class="eh-soft">The text is shown as soon as it has arrived.</p>'


def detector_line() -> str:
    """The name of the face detector, as HTML for the page's footer."""
    name = default_detector().name
    return f"Face detector: <strong>{escape(name)}</strong>."


def about_tab(tab: gr.Tab | None = None, *, minutes: int | None = None) -> None:
    """Build the tab inside the current Blocks. Temporary copies of photos are deleted within `minutes`.

    With `tab`, the tab that it is in, its text is sent when the tab is opened, and not with the page.
    """
    first, template, last = _texts(minutes) if tab is None else (_WAITING, "", "")
    head = gr.HTML(first, elem_id="about-text")
    with gr.Accordion("A notice to copy for the people whose faces are shown", open=False, elem_id="about-template"):
        copied = gr.Textbox(
            template,
            label="Template of a notice: fill in what stands in brackets",
            lines=12,
            max_lines=60,
            interactive=False,
            buttons=["copy"],
            elem_id="about-notice",
        )
    foot = gr.HTML(last, elem_id="about-glossary")
    if tab is not None:
        tab.select(
            lambda: _texts(minutes),
            None,
            [head, copied, foot],
            api_visibility="private",
            queue=False,
            show_progress="hidden",
        )


def _texts(minutes: int | None) -> tuple[str, str, str]:
    """(the text above the template as HTML, the template, the text below it as HTML)."""
    records = network_records()
    first = (
        purpose_section(),
        method_section(default_detector().name),
        training_section(records),
        limits_section(records),
        privacy_section(minutes),
        duties_section(),
    )
    last = glossary_section() + links_section(__version__)
    return (
        f'<div class="eh-about">{"".join(first)}</div>',
        template_notice(records, minutes),
        f'<div class="eh-about">{last}</div>',
    )
