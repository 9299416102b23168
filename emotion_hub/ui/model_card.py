"""Facts and model card of a loaded model, as safe HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from emotion_hub.ui.html.basics import message
from emotion_hub.ui.loading import LoadedModel
from emotion_hub.ui.models import Status

__all__ = ["card_html", "model_facts", "safe_markdown"]

#: Maximum number of characters of a card that are shown.
MAX_CHARACTERS = 20_000

#: A card's metadata, between two lines of dashes.
_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def card_html(status: Status, note: str = "", *, heading: int = 3, with_card: bool = True) -> str:
    """The block below a picker: a note, the facts of the model that is ready, and its card, collapsed.

    The card's headings begin at the level `heading`. Without `with_card`, a line says where the card is.
    """
    if status.model is None:
        return message(note or status.problem or status.doing, kind="error" if status.problem else "info")
    model = status.model
    rows = "".join(f"<dt>{escape(key)}</dt><dd>{value}</dd>" for key, value in model_facts(model).items())
    card = ""
    if not with_card:
        card = '<p class="eh-soft">Its measurements and its card are in the Models tab.</p>'
    elif model.card.strip():
        text = safe_markdown(model.card, heading)
        card = f'<details class="eh-cardtext"><summary>Model card</summary>{text}</details>'
    head = message(note, kind="error") if note else ""
    return (
        f'{head}<section class="eh-model" data-model="{escape(model.name)}"'
        f' data-revision="{escape(model.revision or "")}"><dl>{rows}</dl>{card}</section>'
    )


def model_facts(model: LoadedModel) -> dict[str, str]:
    """{name: HTML}: network, parameters, input, accuracy where its report or card has one, and revision."""
    config = model.preprocess
    network_input = f"{config.size}×{config.size}×{config.channels}"
    if config.face_size and config.size > config.face_size:
        network_input += f", {escape(config.upsample)} from {config.face_size}"
    facts = {
        "network": escape(model.network),
        "parameters": f"{model.predictor.backend.num_parameters:,}",
        "input": network_input,
        "accuracy": escape(_accuracy(model) or "not measured yet"),
    }
    if model.revision:
        facts["revision"] = f'<code title="{escape(model.revision)}">{escape(model.revision[:12])}</code>'
    return facts


def _accuracy(model: LoadedModel) -> str:
    """The accuracy in the report of these weights, else the one that the author's card claims, marked as such."""
    measured = model.figures.get("accuracy")
    if isinstance(measured, float) and 0 <= measured <= 1:
        count = model.figures.get("n")
        faces = f", n = {count:,}" if isinstance(count, int) else ""
        return f"{measured:.2%} ({model.figures.get('split', 'its report')}{faces})"
    claimed = _claimed_accuracy(model.card)
    return f"{claimed:.2%} (according to its card)" if claimed is not None else ""


def _claimed_accuracy(card: str) -> float | None:
    """The first accuracy in the card's model-index; None where there is none that is a number from 0 to 1."""
    import yaml  # a dependency of huggingface_hub

    head = _FRONT_MATTER.match(card)
    if head is None:
        return None
    try:
        results = [result for entry in yaml.safe_load(head[1])["model-index"] for result in entry["results"]]
        metrics = [metric for result in results for metric in result["metrics"]]
        values = [m["value"] for m in metrics if isinstance(m, Mapping) and m.get("type") == "accuracy"]
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
        return None
    valid = [float(value) for value in values if isinstance(value, int | float) and 0 <= value <= 1]
    return valid[0] if valid else None


def safe_markdown(text: str, heading: int = 3) -> str:
    """Untrusted Markdown as HTML: HTML in it is shown as text, pictures are not loaded, links go to web pages only.

    Its headings begin at the level `heading` and skip none, so that they fit into the page's.
    gradio's own Markdown keeps harmless HTML and loads pictures, so a card could track visitors or cover the page.
    """
    body = _FRONT_MATTER.sub("", text, count=1)
    shown = body[:MAX_CHARACTERS]
    more = '<p class="eh-soft">The rest is not shown here.</p>' if len(body) > MAX_CHARACTERS else ""
    try:
        from markdown_it import MarkdownIt
    except ImportError:  # it is installed with gradio
        return f'<div class="eh-markdown"><pre>{escape(shown)}</pre>{more}</div>'
    renderer = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable("table").disable("image")
    # markdown-it's documented way to restrict links
    renderer.validateLink = lambda url: url.startswith(("https://", "http://"))  # type: ignore[method-assign]
    renderer.add_render_rule("link_open", _link)
    tokens = renderer.parse(shown)
    _order_headings(tokens, heading)
    for token in tokens:
        if token.type == "table_open":  # a wide table scrolls inside its own box, with the keyboard, too
            token.attrSet("tabindex", "0")
    return f'<div class="eh-markdown" tabindex="0">{renderer.renderer.render(tokens, renderer.options, {})}{more}</div>'


def _order_headings(tokens: Sequence[Any], first: int) -> None:
    """Change the headings' levels in place: the highest becomes `first`, and none is more than one below the last."""
    headings = [token for token in tokens if token.type in ("heading_open", "heading_close")]
    highest = min((int(token.tag[1]) for token in headings), default=1)
    level = first - 1
    for token in headings:
        if token.type == "heading_open":
            level = min(int(token.tag[1]) - highest + first, level + 1, 6)
        token.tag = f"h{level}"


def _link(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    tokens[index].attrSet("target", "_blank")
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    return renderer.renderToken(tokens, index, options, env)
