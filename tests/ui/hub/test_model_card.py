"""Model cards as safe HTML, and the figures beside them."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from typing import Any

import pytest

from emotion_hub.checkpoints import CONFIG_FILE, WEIGHTS_FILE, checkpoint_summary, embedded_checkpoints
from emotion_hub.errors import CheckpointError
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.ui.model_card import card_html, model_facts, safe_markdown
from emotion_hub.ui.models import ModelPool
from emotion_hub.ui.picker import _status
from tests.fakes.hub_cards import CARD, ID
from tests.fakes.hub_models import checkpoint_files, put

HOSTILE = """# Card
<script>alert(1)</script>
<img src=x onerror=alert(1)>
<div style="position:fixed;top:0">over the page</div>

![tracks you](https://evil.example/pixel.png)
![ref][r]

[js](javascript:alert(1)) [data](data:text/html;base64,PHNjcmlwdD4=) [vb](vbscript:x)
[file](file:///etc/passwd) <javascript:alert(1)>
[web](https://example.org/"onmouseover="alert(1))
${alert(1)} {{constructor}}

`<b>code</b>`

[r]: https://evil.example/pixel.png
"""


def test_an_untrusted_card_becomes_text_and_links_to_web_pages() -> None:
    from html.parser import HTMLParser

    tags: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append((tag, dict(attrs)))

    Reader().feed(safe_markdown(HOSTILE))
    assert {tag for tag, _ in tags} <= {"div", "h3", "p", "a", "code"}
    assert [attrs for tag, attrs in tags if tag == "div"] == [{"class": "eh-markdown", "tabindex": "0"}]
    links = [attrs for tag, attrs in tags if tag == "a"]
    assert links
    for attrs in links:
        assert set(attrs) == {"href", "target", "rel"}
        assert attrs["href"].startswith("https://")
        assert attrs["rel"] == "noopener noreferrer nofollow"
    assert "&lt;script&gt;" in safe_markdown(HOSTILE)


def test_a_card_without_markdown_it_is_shown_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    assert "<pre># Card\n&lt;script&gt;" in safe_markdown(HOSTILE)


def test_long_and_deeply_nested_cards_are_truncated_and_rendered_within_seconds() -> None:
    started = time.thread_time()
    assert "The rest is not shown here." in safe_markdown("> " * 100_000)
    safe_markdown("[" * 100_000)
    safe_markdown("*a " * 60_000)
    assert time.thread_time() - started < 5


@pytest.mark.parametrize(
    "head",
    [
        "model-index: 3",
        "model-index: [{results: [{metrics: [{type: accuracy, value: nan}]}]}]",
        "a: [",
        "model-index: []",
        "- x",
        "!!python/object:os.system x",
    ],
)
def test_invalid_metadata_of_a_card_give_no_accuracy(head: str, hub: Any) -> None:
    put(hub, ID, checkpoint_files(README_md=f"---\n{head}\n---\n# Hi\n"))
    assert model_facts(ModelPool().get(ID, 30))["accuracy"] == "not measured yet"


def test_measured_figures_come_from_the_report_of_the_same_weights(hub: Any) -> None:
    files = checkpoint_files(README_md=CARD)
    report = {
        "accuracy": 0.7001,
        "n": 3589,
        "split": "test",
        "labels": list(EmotionPredictor.from_pretrained("native48").labels.labels),
    }
    for name, sha in (("a/right", hashlib.sha256(files[WEIGHTS_FILE]).hexdigest()), ("a/other", "0" * 64)):
        put(hub, name, {**files, "report.json": json.dumps({**report, "sha256": sha}).encode()})
    pool = ModelPool()
    assert model_facts(pool.get("a/right", 30))["accuracy"] == "70.01% (test, n = 3,589)"
    assert model_facts(pool.get("a/other", 30))["accuracy"] == "61.23% (according to its card)"
    for name in embedded_checkpoints():
        measured = checkpoint_summary(name)["accuracy"]
        expected = "not measured" if measured is None else f"{measured:.2%} (test"
        assert model_facts(pool.get(name))["accuracy"].startswith(expected)


def test_a_report_of_the_same_weights_in_another_label_order_is_refused(hub: Any) -> None:
    files = checkpoint_files()
    report = {
        "sha256": hashlib.sha256(files[WEIGHTS_FILE]).hexdigest(),
        "labels": sorted(json.loads(files[CONFIG_FILE])["labels"]),
    }
    put(hub, ID, {**files, "report.json": json.dumps(report).encode()})
    with pytest.raises(
        CheckpointError,
        match=r"report\.json measured these weights with labels \['angry', 'disgust', 'fear', 'happy', 'neutral'",
    ):
        ModelPool().get(ID, 30)


def test_names_on_the_page_are_escaped() -> None:
    status = ModelPool().request('<img src=x>"')
    assert "<img" not in card_html(status)
    html, _ = _status('<img src=x>"', None)
    assert "<img" not in html
