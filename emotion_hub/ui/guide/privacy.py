"""Privacy: what happens to a photo, on which server, and the page's notice."""

from __future__ import annotations

import os
import re
from html import escape

from emotion_hub.checkpoints.hub import HUB_ID
from emotion_hub.ui.models import shared_pool

__all__ = ["SPACE_VARIABLE", "links_section", "notice", "privacy_section", "server_name"]

#: The environment variable in which Hugging Face names a Space, as owner/name.
SPACE_VARIABLE = "SPACE_ID"


def _space() -> str:
    """The Space's id, owner/name; empty on any other computer."""
    space = os.environ.get(SPACE_VARIABLE, "").strip()
    return space if re.fullmatch(HUB_ID, space, re.ASCII) else ""


def server_name() -> str:
    """Who "this server" is, as text."""
    if space := _space():
        return f"a Space of {space.split('/')[0]} on Hugging Face's servers"
    return "the computer that runs this demo"


def notice(minutes: int) -> str:
    """The notice above the page: one sentence for uploads and camera alike, the rest folded.

    Temporary copies of photos are deleted within `minutes`.
    """
    server = escape(server_name())
    return (
        '<div class="eh-note eh-notice"><p><strong>Photos and camera pictures go to this server'
        f" ({server}) and are deleted within {minutes} minutes. Show only people who agree.</strong></p>"
        "<details><summary>What else you should know</summary><p>The photo is processed to find faces and to predict"
        " which of seven <em>expressions</em> each one shows. That is not what a person feels, and it is often wrong."
        " Photos and answers are neither logged nor kept, and nothing of them is stored in your browser. Using such"
        " predictions on people at work or in education is prohibited in the EU, apart from medical and safety reasons."
        " The About tab has the details.</p></details></div>"
    )


def privacy_section(minutes: int | None = None) -> str:
    """What happens to a photo, step by step; without `minutes` the text says "within minutes"."""
    time = f"within {minutes} minutes" if minutes else "within minutes"
    steps = [
        f"Your browser sends the photo to this server: {escape(server_name())}. It is sent nowhere else.",
        f"The server keeps a temporary copy while it computes. The copy is deleted {time}.",
        "The answer is sent back to your browser only. Other visitors cannot see it.",
        "Neither photos nor answers are written to a log or used for training, and nothing of them is stored in your"
        " browser.",
        "If you choose a model of the Hub, the server downloads that model. The Hub does not get your photo.",
    ]
    if _space():
        steps.append(
            "Hugging Face runs the server and has a"
            ' <a href="https://huggingface.co/privacy" target="_blank" rel="noopener">privacy policy of its own</a>.'
        )
    items = "".join(f"<li>{step}</li>" for step in steps)
    return f"<section><h3>What happens to a photo</h3><ul>{items}</ul></section>"


def links_section(version: str) -> str:
    """Source, model cards and licence, as links that are followed only on a click; `version` is the package's."""
    items = []
    if space := _space():
        address = f"https://huggingface.co/spaces/{escape(space)}/tree/main"
        items.append(f"Source: {_link(address, f'the files of {escape(space)}')}.")
    else:
        items.append(
            "Source: the folder or package that this demo was started from; its README.md explains how to use it."
        )
    published = [choice.repo_id for choice in shared_pool().operators.values() if choice.repo_id]
    cards = ", ".join(_link(f"https://huggingface.co/{escape(repo)}", escape(repo)) for repo in published)
    items.append(
        "Model cards: in the Models tab, inside each network's block" + (f"; on the Hub: {cards}." if cards else ".")
    )
    mit = _link("https://opensource.org/license/mit", "MIT")
    apache = _link("https://www.apache.org/licenses/LICENSE-2.0", "Apache-2.0")
    items.append(
        f"Licence: {mit} for the code and the weights; {apache} for the weights of upscale224, which started from"
        " weights under that licence. The files LICENSE and NOTICE have the details."
    )
    papers = (
        ("1307.0414", "FER2013"),
        ("1608.01041", "FER+"),
        ("1610.02391", "Grad-CAM"),
        ("1602.04938", "LIME"),
        ("1705.07874", "SHAP"),
    )
    links = ", ".join(_link(f"https://arxiv.org/abs/{number}", name) for number, name in papers)
    items.append(f"Papers: {links}.")
    return (
        f"<section><h3>Source, model cards, licence</h3><ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"
        f'<p class="eh-soft">emotion_hub {escape(version)}</p></section>'
    )


def _link(address: str, text: str) -> str:
    return f'<a href="{address}" target="_blank" rel="noopener">{text}</a>'
