"""Degraded faces: resolution ladder and stress test of both pipelines."""

from __future__ import annotations

from emotion_hub.perturb.ladder import SIDES, Ladder, LadderSide, reduced, resolution_ladder
from emotion_hub.perturb.registry import PERTURBATIONS, POSITIONS, Perturbation
from emotion_hub.perturb.stressed import StressSettings, perturbed, stress

__all__ = [
    "PERTURBATIONS",
    "POSITIONS",
    "SIDES",
    "Ladder",
    "LadderSide",
    "Perturbation",
    "StressSettings",
    "perturbed",
    "reduced",
    "resolution_ladder",
    "stress",
]
