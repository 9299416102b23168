"""Elements of an HTML fragment, for tests of the demo's answers."""

from __future__ import annotations

import base64
import io
import re
from html import unescape
from html.parser import HTMLParser

from PIL import Image

__all__ = ["Page", "picture", "text_of"]

_EMPTY = {"br", "img"}


class Page(HTMLParser):
    """The elements of a fragment in `tags`; an AssertionError for a tag that is not closed or closed twice."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        assert not self.open, f"{self.open} are not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def all(self, tag: str, css: str = "") -> list[dict[str, str | None]]:
        """The attributes of each element of this tag, and of this class where one is given."""
        return [
            attributes
            for name, attributes in self.tags
            if name == tag and (not css or css in (attributes.get("class") or "").split())
        ]


def text_of(html: str) -> str:
    """The text of a fragment, with single spaces."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def picture(url: str | None) -> Image.Image:
    """The picture of a data URL."""
    assert url is not None
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
