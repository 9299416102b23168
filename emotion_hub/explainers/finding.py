"""Finding of a map in plain words: which part of the face stands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emotion_hub.explainers.base import Explanation
from emotion_hub.explainers.regions import areas, shares
from emotion_hub.explainers.registry import METHODS

__all__ = ["PARTS", "alternative_text", "finding", "part_shares"]

#: {part of the face, as a sentence names it: its regions of `emotion_hub.explainers.regions`}.
PARTS: dict[str, tuple[str, ...]] = {
    "eyes and brows": ("eyes", "brows"),
    "mouth": ("mouth",),
    "nose": ("nose",),
    "cheeks, chin and forehead": ("face",),
    "background": ("background",),
}

#: A part stands out when its share of the relevance is at least RATIO times its share of the area and at least EXCESS
#: above it. Of 2,000 random smooth maps (`metrics.random_map`), a part stands out in 0.3%.
RATIO, EXCESS = 1.5, 0.05

#: A part that stands out and has at least this share is what the network mainly looks at.
MAIN = 0.25


def part_shares(explanation: Explanation) -> dict[str, float]:
    """{part of PARTS: its share of the positive relevance}, with sum 1; all 0 for an empty map."""
    return _of_parts(shares(explanation.heatmap))


def finding(explanation: Explanation) -> str:
    """One sentence on what the map marks; percentages are shares of the positive relevance.

    - "Looks mainly at the mouth (31%)." for each part that stands out and has at least a quarter of the relevance;
    - "Spread out, strongest at the mouth (18%)." for the part that stands out most, where none has a quarter;
    - "Spread out: no part of the face stands out.";
    - "No part of this face supports this label." for an empty map.

    A part stands out when its share is well above its share of the area: the cheeks, chin and forehead are two fifths
    of the picture, the mouth less than a tenth.
    """
    if explanation.empty:
        versus = explanation.versus
        label = "this label" if versus is None else f"{explanation.target} rather than {versus}"
        return f"No part of this face supports {label}."
    share, area = part_shares(explanation), _of_parts(areas())
    standing_out = [p for p in PARTS if share[p] >= max(RATIO * area[p], area[p] + EXCESS)]
    if not standing_out:
        return "Spread out: no part of the face stands out."
    main = sorted((part for part in standing_out if share[part] >= MAIN), key=lambda part: -share[part])
    if main:
        return f"Looks mainly at {_listed([f'the {part} ({share[part]:.0%})' for part in main])}."
    part = max(standing_out, key=lambda part: share[part] / area[part])
    return f"Spread out, strongest at the {part} ({share[part]:.0%})."


def alternative_text(explanation: Explanation) -> str:
    """The map's text for people who do not see it: method, network, label and finding."""
    label = explanation.target + (f" rather than {explanation.versus}" if explanation.versus else "")
    sentence = finding(explanation)
    title = METHODS[explanation.method].title
    return f"{title} map of {explanation.model} for {label}: {sentence[0].lower()}{sentence[1:]}"


def _of_parts(of_regions: Mapping[str, float]) -> dict[str, float]:
    return {part: sum(of_regions[region] for region in regions) for part, regions in PARTS.items()}


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
