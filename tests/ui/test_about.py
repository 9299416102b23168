"""The About tab: its texts, the notice of the page, and who "this server" is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import gradio as gr
import pytest

from emotion_hub.checkpoints import REPORT_FILE, TRAINING_FILE, embedded_checkpoints
from emotion_hub.detectors import default_detector
from emotion_hub.labels import FER2013
from emotion_hub.ui.about import about_tab, detector_line, notice
from emotion_hub.ui.charts import network_records
from emotion_hub.ui.choices import MORE_VARIABLE, ROLE_VARIABLES
from emotion_hub.ui.guide import (
    duties_section,
    glossary_section,
    limits_section,
    links_section,
    method_section,
    privacy_section,
    purpose_section,
    template_notice,
    training_section,
)
from emotion_hub.ui.guide.glossary import TERMS
from emotion_hub.ui.guide.privacy import SPACE_VARIABLE, server_name
from emotion_hub.ui.models import shared_pool
from tests.fakes.html_page import Page, text_of


@pytest.fixture(autouse=True)
def plain_computer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No Space, no operator's models."""
    for variable in (SPACE_VARIABLE, MORE_VARIABLE, *ROLE_VARIABLES.values()):
        monkeypatch.delenv(variable, raising=False)
    shared_pool.cache_clear()
    yield
    shared_pool.cache_clear()


def whole_page() -> str:
    records = network_records()
    return "".join(
        (
            purpose_section(),
            method_section("YuNet"),
            training_section(records),
            limits_section(records),
            privacy_section(5),
            duties_section(),
            glossary_section(),
            links_section("1.2.3"),
        )
    )


# --- the server and the notice


def test_this_server_is_the_computer_that_runs_the_demo_or_a_space_of_its_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert server_name() == "the computer that runs this demo"
    monkeypatch.setenv(SPACE_VARIABLE, "someone/faces")
    assert server_name() == "a Space of someone on Hugging Face's servers"
    for odd in ("", "someone", "a/b/c", "<b>/x", "-a/b"):
        monkeypatch.setenv(SPACE_VARIABLE, odd)
        assert server_name() == "the computer that runs this demo"


def test_the_notice_covers_uploads_and_camera_and_says_where_photos_go_and_for_how_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SPACE_VARIABLE, "someone/faces")
    html = notice(7)
    [bold] = re.findall(r"<strong>(.*?)</strong>", html)
    assert "Photos and camera pictures" in bold
    assert "a Space of someone on Hugging Face&#x27;s servers" in bold
    assert "within 7 minutes" in bold
    assert "agree" in bold
    assert bold.count(".") == 2, "two short sentences"
    folded = html[html.index("<details>") :]
    assert "not what a person feels" in folded
    assert "prohibited in the EU" in folded
    Page(html)


def test_the_privacy_text_names_the_privacy_policy_of_the_host_on_a_space_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "https://huggingface.co/privacy" not in privacy_section(5)
    assert "within 5 minutes" in privacy_section(5)
    assert "deleted within minutes" in privacy_section()
    monkeypatch.setenv(SPACE_VARIABLE, "someone/faces")
    assert "https://huggingface.co/privacy" in privacy_section(5)


# --- texts


def test_the_purpose_has_three_sentences() -> None:
    body = re.findall(r"<p>(.*?)</p>", purpose_section())[0]
    assert len(re.findall(r"\.(?: |$)", body)) == 3


def test_every_section_has_a_heading_of_level_3_and_the_page_is_well_formed() -> None:
    html = whole_page()
    page = Page(html)
    tags = [tag for tag, _ in page.tags]
    assert [tag for tag in tags if re.fullmatch("h[1-6]", tag)] == ["h3"] * html.count("<section>")
    assert not {"script", "img", "iframe", "link", "style"} & set(tags), "nothing is loaded from elsewhere"


def test_links_open_apart_and_tell_nothing_about_the_page() -> None:
    links = Page(whole_page()).all("a")
    assert links
    for link in links:
        assert str(link["href"]).startswith("https://")
        assert (link["target"], link["rel"]) == ("_blank", "noopener")


def test_the_method_names_detector_and_all_labels() -> None:
    text = text_of(method_section("<YuNet>"))
    assert "(<YuNet>)" in text
    for label in FER2013.labels:
        assert label in text


def test_accuracies_and_training_images_are_those_of_the_files() -> None:
    text = text_of(training_section(network_records()))
    for name, folder in embedded_checkpoints().items():
        report = json.loads((folder / REPORT_FILE).read_text())
        assert f"{name} {report['accuracy']:.1%}" in text
    data = json.loads((folder / TRAINING_FILE).read_text())["stages"][-1]["data"]
    assert f"Of its {data['total']:,} training images {data['kept']:,} were used" in text


def test_the_limits_say_how_many_predictions_are_wrong() -> None:
    wrong = [1 - record.report["accuracy"] for record in network_records()]
    assert f"{min(wrong):.0%} to {max(wrong):.0%} of the predictions are wrong" in limits_section(network_records())
    assert "of the predictions are wrong" not in limits_section([])


def test_the_duties_name_the_articles_and_are_no_legal_advice() -> None:
    text = text_of(duties_section())
    assert "no legal advice" in text
    for article in (
        "Article 5(1)(f)",
        "Article 50(3)",
        "Article 50(5)",
        "Annex III, point 1(c)",
        "Article 3(39)",
        "Regulation (EU) 2024/1689",
        "Regulation (EU) 2016/679",
    ):
        assert article in text
    assert "except" in text, "medical and safety reasons are excepted from the prohibition"


def test_the_template_is_plain_text_with_brackets_to_fill_in() -> None:
    text = template_notice(network_records(), 5)
    assert "<" not in text
    assert text.count("[") == text.count("]") >= 8
    assert "deleted within 5 minutes" in text
    assert "[within how many minutes]" in template_notice(network_records())
    for label in FER2013.labels:
        assert label in text
    assert "Article 50(3)" in text


def test_the_glossary_explains_the_words_of_the_page_in_alphabetical_order() -> None:
    html = glossary_section()
    terms = re.findall(r"<dt>(.*?)</dt>", html)
    assert terms == sorted(terms, key=str.lower)
    assert len(terms) == len(TERMS)
    joined = " ".join(terms)
    for word in (
        "expression",
        "confidence",
        "calibration",
        "prediction set",
        "accuracy",
        "interval",
        "Grad-CAM",
        "LIME",
        "SHAP",
        "upscaling",
        "FER2013",
        "macro F1",
        *embedded_checkpoints(),
    ):
        assert word in joined


def test_source_and_cards_are_linked_where_they_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "huggingface.co" not in links_section("1.2.3")
    assert "1.2.3" in links_section("1.2.3")
    monkeypatch.setenv(SPACE_VARIABLE, "someone/faces")
    monkeypatch.setenv(ROLE_VARIABLES["native48"], "someone/model@v1")
    shared_pool.cache_clear()
    html = links_section("1.2.3")
    assert 'href="https://huggingface.co/spaces/someone/faces/tree/main"' in html
    assert 'href="https://huggingface.co/someone/model"' in html


# --- the tab


def test_the_footer_names_the_detector() -> None:
    assert detector_line() == f"Face detector: <strong>{default_detector().name}</strong>."
    assert "YuNet" in default_detector().name


def test_the_text_is_in_the_page_or_sent_when_the_tab_is_opened() -> None:
    with gr.Blocks() as whole:
        about_tab(minutes=5)
    with gr.Blocks() as later, gr.Tab("About") as tab:
        about_tab(tab, minutes=5)
    assert "Annex III" in str(whole.get_config_file()["components"])
    assert not whole.fns
    assert "Annex III" not in str(later.get_config_file()["components"])
    [select] = later.fns.values()
    assert select.api_visibility == "private"
    assert select.fn is not None
    first, template, last = select.fn()
    assert "Annex III" in first
    assert "within 5 minutes" in first
    assert "Glossary" in last
    assert template == template_notice(network_records(), 5)
