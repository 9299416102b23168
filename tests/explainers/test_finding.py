"""Finding of a map: which part is named, and when none is."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from emotion_hub.explainers.base import GRID, Explanation
from emotion_hub.explainers.finding import EXCESS, MAIN, PARTS, RATIO, alternative_text, finding, part_shares
from emotion_hub.explainers.metrics import random_map
from emotion_hub.explainers.regions import REGIONS, areas, region_masks

AREAS = areas()


def explanation_of(heatmap: np.ndarray, **more: object) -> Explanation:
    values = {"method": "gradcam", "model": "native48", "target": "happy", "versus": None} | more
    face = Image.new("L", heatmap.shape)
    return Explanation(
        heatmap, None, **values, confidence=0.5, parameters={}, scores={}, milliseconds=1.0, prepared=face
    )


def map_with(given: dict[str, float], size: int = GRID) -> Explanation:
    """A map, constant within each region, whose shares are `given`; the rest is as even as the areas allow."""
    rest = 1 - sum(given.values())
    free = sum(AREAS[region] for region in REGIONS if region not in given)
    values = np.zeros((GRID, GRID), np.float32)
    for region, mask in region_masks().items():
        share = given.get(region, rest * AREAS[region] / free)
        values[mask] = share / mask.sum()
    index = np.arange(size) * GRID // size
    return explanation_of((values / values.max())[index[:, None], index])


def test_parts_are_a_partition_of_the_regions():
    assert sorted(region for regions in PARTS.values() for region in regions) == sorted(REGIONS)
    even = part_shares(explanation_of(np.ones((GRID, GRID), np.float32)))
    assert list(even) == list(PARTS)
    assert sum(even.values()) == pytest.approx(1)
    assert even["eyes and brows"] == pytest.approx(AREAS["eyes"] + AREAS["brows"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"mouth": 0.31}, "Looks mainly at the mouth (31%)."),
        ({"mouth": 0.9}, "Looks mainly at the mouth (90%)."),
        ({"eyes": 0.15, "brows": 0.2}, "Looks mainly at the eyes and brows (35%)."),
        ({"mouth": 0.26, "nose": 0.3}, "Looks mainly at the nose (30%) and the mouth (26%)."),
        (
            {"eyes": 0.27, "brows": 0.0, "mouth": 0.26, "nose": 0.28},
            "Looks mainly at the nose (28%), the eyes and brows (27%) and the mouth (26%).",
        ),
        ({"background": 0.55}, "Looks mainly at the background (55%)."),
        ({"face": 0.7}, "Looks mainly at the cheeks, chin and forehead (70%)."),
        ({"mouth": 0.18}, "Spread out, strongest at the mouth (18%)."),
        ({"mouth": 0.24, "eyes": 0.12, "brows": 0.12}, "Spread out, strongest at the mouth (24%)."),
        ({}, "Spread out: no part of the face stands out."),
        ({"face": 0.5}, "Spread out: no part of the face stands out."),
        ({"background": 0.45}, "Spread out: no part of the face stands out."),
        ({"nose": 0.09}, "Spread out: no part of the face stands out."),
    ],
)
def test_the_sentence_names_the_parts_that_stand_out(given, expected):
    assert finding(map_with(given)) == expected


@pytest.mark.parametrize("size", [48, 224])
def test_maps_of_both_networks_have_the_same_finding(size):
    assert finding(map_with({"mouth": 0.35}, size)).startswith("Looks mainly at the mouth (3")


def test_the_limits_are_those_of_the_share_and_of_the_area():
    area = AREAS["mouth"]
    assert max(RATIO * area, area + EXCESS) == area + EXCESS, "the mouth is small, so that the excess decides"
    assert "stands out" in finding(map_with({"mouth": area + EXCESS - 0.005}))
    assert "strongest at the mouth" in finding(map_with({"mouth": area + EXCESS + 0.005}))
    assert "strongest at the mouth" in finding(map_with({"mouth": MAIN - 0.005}))
    assert "mainly at the mouth" in finding(map_with({"mouth": MAIN + 0.005}))
    background = AREAS["background"]
    assert "stands out" in finding(map_with({"background": RATIO * background - 0.005}))
    assert "mainly at the background" in finding(map_with({"background": RATIO * background + 0.005}))


def test_an_empty_map_supports_nothing():
    nothing = np.zeros((GRID, GRID), np.float32)
    assert finding(explanation_of(nothing)) == "No part of this face supports this label."
    versus = explanation_of(nothing, versus="sad")
    assert finding(versus) == "No part of this face supports happy rather than sad."
    assert set(part_shares(versus).values()) == {0.0}


def test_no_part_stands_out_in_random_maps():
    subject = SimpleNamespace(size=GRID)
    found = [finding(explanation_of(random_map(subject, seed))) for seed in range(200)]
    assert sum("no part of the face stands out" not in sentence for sentence in found) <= 2


def test_the_alternative_text_names_method_network_label_and_finding():
    text = alternative_text(map_with({"mouth": 0.31}))
    assert text == "Grad-CAM map of native48 for happy: looks mainly at the mouth (31%)."
    lime = explanation_of(np.zeros((GRID, GRID), np.float32), method="lime", versus="sad", model="upscale224")
    assert alternative_text(lime) == (
        "LIME map of upscale224 for happy rather than sad: no part of this face supports happy rather than sad."
    )
