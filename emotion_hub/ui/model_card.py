"""What the page says of a loaded model: facts we know, and the card its author wrote, which is nobody's code and stays text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from emotion_hub.ui.loading import LoadedModel
from emotion_hub.ui.models import Status
from emotion_hub.ui.render import message

__all__ = ["card_html", "facts", "safe_markdown"]

#: Characters of a card that are shown.
LONGEST = 20_000

#: A card's metadata, between two lines of dashes.
_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def card_html(status: Status, note: str = "") -> str:
    """The block below a picker: the note, the facts of the model that is ready, and its card, closed."""
    if status.model is None:
        return message(note or status.problem or status.doing, kind="error" if status.problem else "info")
    model = status.model
    rows = "".join(f"<dt>{escape(key)}</dt><dd>{value}</dd>" for key, value in facts(model).items())
    card = (
        f'<details class="eh-cardtext"><summary>Its card</summary>{safe_markdown(model.card)}</details>'
        if model.card.strip()
        else ""
    )
    head = message(note, kind="error") if note else ""
    return f'{head}<section class="eh-model" data-model="{escape(model.name)}" data-revision="{escape(model.revision or "")}"><dl>{rows}</dl>{card}</section>'


def facts(model: LoadedModel) -> dict[str, str]:
    """{name: HTML}: network, parameters, input, measured accuracy where its report or card has one, revision."""
    config = model.preprocess
    said = f"{config.size}×{config.size}×{config.channels}"
    if config.face_size and config.size > config.face_size:
        said += f", {escape(config.upsample)} from {config.face_size}"
    found = {
        "network": escape(model.network),
        "parameters": f"{model.predictor.backend.num_parameters:,}",
        "input": said,
        "accuracy": escape(_accuracy(model) or "not measured yet"),
    }
    if model.revision:
        found["revision"] = f'<code title="{escape(model.revision)}">{escape(model.revision[:12])}</code>'
    return found


def _accuracy(model: LoadedModel) -> str:
    """As the report of these very weights says, else as the author's card says, marked so."""
    measured = model.figures.get("accuracy")
    if isinstance(measured, float) and 0 <= measured <= 1:
        count = model.figures.get("n")
        return f"{measured:.2%} ({model.figures.get('split', 'its report')}{f', n = {count:,}' if isinstance(count, int) else ''})"
    claimed = _claimed(model.card)
    return f"{claimed:.2%} (says its card)" if claimed is not None else ""


def _claimed(card: str) -> float | None:
    """The first accuracy of the card's model-index, None where there is none that is a number from 0 to 1."""
    import yaml  # huggingface_hub needs it too

    head = _FRONT_MATTER.match(card)
    try:
        data = yaml.safe_load(head[1]) if head else None
        results = [result for entry in data["model-index"] for result in entry["results"]]
        metrics = [metric for result in results for metric in result["metrics"]]
        values = [m["value"] for m in metrics if isinstance(m, Mapping) and m.get("type") == "accuracy"]
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
        return None
    good = [float(v) for v in values if isinstance(v, int | float) and 0 <= v <= 1]
    return good[0] if good else None


def safe_markdown(text: str) -> str:
    """A stranger's Markdown as HTML: its HTML is shown as text, pictures become links, and links go to web pages alone.

    gradio's own Markdown keeps harmless HTML and loads pictures, so that a card could track who looks at it or draw over the page.
    """
    body = _FRONT_MATTER.sub("", text, count=1)
    cut = body[:LONGEST]
    more = '<p class="eh-soft">The rest is left out here.</p>' if len(body) > LONGEST else ""
    try:
        from markdown_it import MarkdownIt
    except ImportError:  # it comes with gradio
        return f'<div class="eh-markdown"><pre>{escape(cut)}</pre>{more}</div>'
    renderer = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable("table").disable("image")
    renderer.validateLink = lambda url: url.startswith(("https://", "http://"))
    renderer.add_render_rule("link_open", _link)
    return f'<div class="eh-markdown">{renderer.render(cut)}{more}</div>'


def _link(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    tokens[index].attrSet("target", "_blank")
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    return renderer.renderToken(tokens, index, options, env)
