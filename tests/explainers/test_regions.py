"""Regions of a face: partition, shares of maps, position, symmetry."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emotion_hub.explainers.base import GRID
from emotion_hub.explainers.regions import LANDMARKS_FILE, REGIONS, areas, region_masks, shares


def test_every_cell_is_in_exactly_one_region():
    masks = region_masks()
    assert tuple(masks) == REGIONS
    assert all(mask.shape == (GRID, GRID) and mask.dtype == bool and mask.any() for mask in masks.values())
    assert np.array_equal(sum(mask.astype(int) for mask in masks.values()), np.ones((GRID, GRID), int))


def test_areas_and_shares_sum_to_one():
    assert tuple(areas()) == REGIONS
    assert sum(areas().values()) == pytest.approx(1)
    even = shares(np.ones((GRID, GRID), np.float32))
    assert even == pytest.approx(areas())
    for size in (48, 224):
        assert sum(shares(np.random.default_rng(0).random((size, size), dtype=np.float32)).values()) == pytest.approx(1)
    assert set(shares(np.zeros((GRID, GRID), np.float32)).values()) == {0.0}


@pytest.mark.parametrize("region", REGIONS)
def test_a_map_of_one_region_gives_it_the_whole_share(region):
    own = region_masks()[region]
    region_shares = shares(own.astype(np.float32))
    assert region_shares[region] == pytest.approx(1)
    assert sum(region_shares.values()) == pytest.approx(1)
    signed = np.where(own, np.float32(1), np.float32(-5))
    assert shares(signed)[region] == pytest.approx(1), "only positive relevance counts"
    large = own[np.arange(224) * GRID // 224][:, np.arange(224) * GRID // 224].astype(np.float32)
    assert shares(large)[region] > 0.85


def test_regions_lie_where_a_face_has_them():
    known = json.loads(LANDMARKS_FILE.read_text())
    left_eye, right_eye, nose, left_mouth, right_mouth = points = np.array(known["mean"])
    assert points.shape == np.array(known["sd"]).shape == (5, 2)
    assert ((points > 0) & (points < GRID)).all()
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    middles = [(left_eye + right_eye)[0] / 2, nose[0], (left_mouth + right_mouth)[0] / 2]
    assert all(abs(middle - GRID / 2) < 1.5 for middle in middles)
    assert abs(left_eye[1] - right_eye[1]) < 1
    assert abs(left_mouth[1] - right_mouth[1]) < 1
    masks = region_masks()
    for name, (x, y) in zip(("eyes", "eyes", "nose", "mouth", "mouth"), points, strict=True):
        assert masks[name][int(y), int(x)], name
    assert masks["brows"][int(left_eye[1]) - 5, int(left_eye[0])]
    assert masks["face"][40:, 20:28].any()
    assert masks["background"][:2, :2].all()
    assert masks["background"][-2:, -2:].all()
    for name, mask in masks.items():
        overlap = (mask & mask[:, ::-1]).sum() / mask.sum()
        assert overlap > 0.75, f"{name} is not symmetric"
