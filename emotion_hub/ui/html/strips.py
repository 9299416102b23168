"""Resolution ladder as a strip of faces; stress test before and after."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from PIL import Image

from emotion_hub.perturb import PERTURBATIONS, Ladder, LadderSide, StressSettings
from emotion_hub.results import Comparison, Prediction
from emotion_hub.ui.html.bars import SIDE_NAMES
from emotion_hub.ui.html.basics import data_url, face_url

__all__ = ["ladder_strip", "stress_answer"]

#: Faces up to this side are embedded without loss, because single pixels can be seen; larger ones in half the bytes.
LOSSLESS = 24


def ladder_strip(ladder: Ladder) -> str:
    """A sentence, and a table with a column per size: the reduced face and the answers of both networks.

    The largest size comes first. Sizes above that of the face in the photo are one column. Where a network changes its
    answer, the cell says so and a rule stands before it.
    """
    shown = _columns(ladder)
    heads = "".join(f'<th scope="col">{side} px</th>' for side in shown.values())
    faces = "".join(f"<td>{_face(ladder.images[i], side)}</td>" for i, side in shown.items())
    rows = "".join(_row(name, getattr(ladder, name), shown) for name in SIDE_NAMES)
    table = (
        '<table class="eh-strip-table"><caption>From left to right, the face has fewer and fewer pixels</caption>'
        f'<thead><tr><th scope="col">Size</th>{heads}</tr></thead>'
        f'<tbody><tr><th scope="row">Face</th>{faces}</tr>{rows}</tbody></table>'
    )
    note = (
        "Each size is the number of pixels per side. The face is reduced to it, and each network enlarges it again to"
        " its own input. A thick line marks a new answer."
    )
    if ladder.face_side < max(ladder.sides):
        note = f"In this photo the face has only {ladder.face_side} pixels per side. {note}"
    return (
        f'<div class="eh-strip"><p class="eh-strip-finding">{escape(_ladder_sentence(ladder))}</p>'
        '<div class="eh-strip-scroll" role="region" aria-label="Answers at each size" tabindex="0">'
        f'{table}</div><p class="eh-strip-note">{escape(note)}</p></div>'
    )


def _columns(ladder: Ladder) -> dict[int, int]:
    """{position in the ladder: the side that the face has there}, the largest side first."""
    smaller = [i for i, side in enumerate(ladder.sides) if side < ladder.face_side]
    whole = [i for i, side in enumerate(ladder.sides) if side >= ladder.face_side][:1]
    return {i: min(ladder.sides[i], ladder.face_side) for i in [*whole, *reversed(smaller)]}


def _face(image: Image.Image, side: int) -> str:
    url = data_url(image, "WEBP", quality=85, lossless=image.width <= LOSSLESS)
    return f'<img width="56" height="56" src="{url}" alt="The face with {side} × {side} pixels">'


def _row(name: str, part: LadderSide, shown: Mapping[int, int]) -> str:
    """The answers of one network; the first is compared with that for the whole face."""
    cells = []
    before = part.full.label
    for i in shown:
        answer = part.predictions[i]
        word = ""
        if answer.label != before:
            word = "again" if answer.label == part.full.label else "now"
        changed = ' class="eh-strip-changed"' if word else ""
        marked = f'<span class="eh-strip-word">{word}</span> ' if word else ""
        cells.append(
            f'<td{changed}>{marked}<span class="eh-strip-label">{escape(answer.label)}</span>'
            f' <span class="eh-strip-value">{answer.confidence:.0%}</span></td>'
        )
        before = answer.label
    return f'<tr data-model="{name}"><th scope="row">{_mark(name)}</th>{"".join(cells)}</tr>'


def _mark(name: str) -> str:
    """The side's name beside its colour, and for screen readers what it is."""
    return f'<span class="eh-strip-mark eh-strip-{name}">{SIDE_NAMES[name]}<span>-pixel network</span></span>'


def _ladder_sentence(ladder: Ladder) -> str:
    """Down to which size each network keeps its answer."""
    small, large = ladder.native48, ladder.upscale224
    if len(_columns(ladder)) == 1:
        return f"This face has only {ladder.face_side} pixels per side: there is nothing to take away."
    stable = [_kept_down_to(ladder, part) for part in (small, large)]
    if small.full.label == large.full.label and None not in stable:
        if stable[0] == stable[1]:
            return f"Both networks keep their answer, {small.full.label}, {_down_to(ladder, stable[0])}."
        return (
            f"The 48-pixel network keeps its answer, {small.full.label}, {_down_to(ladder, stable[0])}, the 224-pixel"
            f" network {_down_to(ladder, stable[1])}."
        )
    return f"The 48-pixel network {_kept(ladder, small)}. The 224-pixel network {_kept(ladder, large)}."


def _kept_down_to(ladder: Ladder, part: LadderSide) -> int | None:
    """The size down to which the answer stays; None where it changes at the first or the second size shown."""
    if part.stable_from is None or part.stable_from == ladder.sides[next(iter(_columns(ladder)))]:
        return None
    return part.stable_from


def _down_to(ladder: Ladder, side: int | None) -> str:
    return f"at every size down to {side} pixels" if side == ladder.sides[0] else f"down to {side} pixels"


def _kept(ladder: Ladder, part: LadderSide) -> str:
    side = _kept_down_to(ladder, part)
    if side is not None:
        return f"keeps its answer, {part.full.label}, {_down_to(ladder, side)}"
    first = part.changes[0]
    new = part.predictions[part.sides.index(first)].label
    return f"changes from {part.full.label} to {new} already at {min(first, ladder.face_side)} pixels"


def stress_answer(comparison: Comparison, original: Comparison, settings: StressSettings) -> str:
    """What changed: a sentence, the perturbed face as both networks get it, and both confidences before and after.

    `comparison` is for the perturbed face, `original` for the face of the photo.
    """
    views = "".join(_view(name, comparison) for name in SIDE_NAMES)
    rows = "".join(
        f'<tr data-model="{name}"><th scope="row">{_mark(name)}</th>'
        f"{_answer(name, getattr(original, name).prediction)}"
        f"{_answer(name, getattr(comparison, name).prediction, getattr(original, name).prediction)}</tr>"
        for name in SIDE_NAMES
    )
    table = (
        '<table class="eh-stress-table"><caption>Answers before and after the change</caption><thead><tr>'
        '<th scope="col">Network</th><th scope="col">Before</th><th scope="col">After</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
    return (
        f'<div class="eh-stress"><p class="eh-strip-finding">{escape(_stress_sentence(comparison, original, settings))}'
        f'</p><p class="eh-strip-note">{escape(_applied(settings))}</p>'
        f'<div class="eh-stress-body"><div class="eh-stress-views">{views}</div>{table}</div></div>'
    )


def _applied(settings: StressSettings) -> str:
    """The active perturbations in words, such as "Applied: rotation 10°, blur 1.5 pixels."."""
    parts = []
    for name, strength in settings.active.items():
        kind = PERTURBATIONS[name]
        place = f" at the {settings.position}" if name == "occlusion" else ""
        parts.append(f"{kind.title.lower()}{place} {kind.shown.format(strength).replace('-', '−')}")
    if not parts:
        return "Move a slider to blur, darken, turn or cover the face."
    return f"Applied: {', '.join(parts)}."


def _stress_sentence(comparison: Comparison, original: Comparison, settings: StressSettings) -> str:
    before = {name: getattr(original, name).prediction for name in SIDE_NAMES}
    after = {name: getattr(comparison, name).prediction for name in SIDE_NAMES}
    changed = [name for name in SIDE_NAMES if before[name].label != after[name].label]
    if not changed:
        start = "Unchanged" if settings.active else "Nothing is changed yet"
        still = "still say" if settings.active else "say"
        if len({face.label for face in before.values()}) == 1:
            return f"{start}: both {still} {before['native48'].label}."
        still = "still says" if settings.active else "says"
        return f"{start}: {' and '.join(f'{_network(name)} {still} {after[name].label}' for name in SIDE_NAMES)}."
    parts = [
        f"{_network(name)} now says {after[name].label} ({after[name].confidence:.0%}) instead of"
        f" {before[name].label} ({before[name].confidence:.0%})"
        if name in changed
        else f"{_network(name)} still says {after[name].label}"
        for name in (*changed, *(name for name in SIDE_NAMES if name not in changed))
    ]
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts)


def _network(name: str) -> str:
    return f"the {SIDE_NAMES[name]}-pixel network"


def _view(name: str, comparison: Comparison) -> str:
    prepared: Image.Image = getattr(comparison, name).prepared
    pixelated = ' class="eh-stress-pixels"' if prepared.width <= 64 else ""
    return (
        f'<figure><img{pixelated} width="224" height="224" src="{face_url(prepared)}" alt="The changed face as'
        f' {_network(name)} gets it"><figcaption>{_mark(name)} gets {prepared.width} × {prepared.height} px'
        "</figcaption></figure>"
    )


def _answer(name: str, face: Prediction, before: Prediction | None = None) -> str:
    """A cell with the answer, its confidence as text and bar, and where it is new what is left of the old one."""
    is_new = before is not None and before.label != face.label
    word = '<span class="eh-strip-word">now</span> ' if is_new else ""
    left = ""
    if before is not None and is_new:
        rest = f"{before.label} has {face.probs.get(before.label, 0.0):.0%} left"
        left = f'<span class="eh-stress-left">{escape(rest)}</span>'
    return (
        f'<td><span class="eh-stress-said">{word}<strong>{escape(face.label)}</strong>'
        f' <span class="eh-strip-value">{face.confidence:.0%}</span></span><span class="eh-stress-track">'
        f'<span class="eh-stress-fill eh-strip-{name}" style="width:{100 * face.confidence:.1f}%"></span></span>'
        f"{left}</td>"
    )
