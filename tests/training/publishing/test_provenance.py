"""The provenance page: data, weights, teachers, terms."""

from __future__ import annotations

from pathlib import Path

from emotion_hub.checkpoints import embedded_checkpoints
from training.publishing.licences import KNOWN_FILES
from training.publishing.provenance import SOURCES, base_models, provenance_page, sources_of

PAGE = Path(__file__).parents[3] / "docs" / "provenance.md"


def test_the_page_in_the_repository_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == provenance_page(embedded_checkpoints())


def test_every_known_start_has_its_terms() -> None:
    assert {str(weights) for weights in KNOWN_FILES.values()} <= set(SOURCES)
    assert all(source.terms and source.reference.startswith("https://") for source in SOURCES.values())


def test_each_checkpoint_is_traced_to_its_data_and_starting_weights() -> None:
    folders = embedded_checkpoints()
    assert sources_of(folders["native48"]) == ["FER2013"]
    assert sources_of(folders["upscale224"]) == ["FER2013", "the ImageNet weights of google-coral's MobileNetV2"]
    assert base_models(folders["upscale224"]) == [], "these weights are not on the Hub"
    page = provenance_page({"upscale224": folders["upscale224"]})
    row = next(line for line in page.splitlines() if line.startswith("| `upscale224`"))
    assert "apache-2.0" in row
    assert "`native48` (46e46478…)" in row
    assert "| the ImageNet weights of google-coral's MobileNetV2 | MobileNetV2 1.0" in page
    assert "VGGFace2" not in page, "no checkpoint here derives from it"
