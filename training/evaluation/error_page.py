"""Private page of errors: the wrongly predicted faces, surest errors first."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from emotion_hub.errors import InputError
from training.data.html_page import image_uri, render_html
from training.evaluation.own_data import OwnEvaluation, image_of

__all__ = ["MOST", "check_page_name", "error_rows", "write_error_page"]

#: Most errors on a page, whose file has about 20 kB per face.
MOST = 200

#: Longer side of a face on the page, in pixels.
_SIDE = 128

_STYLE = """
.faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 1rem; margin: 1rem 0; }
.faces img { width: 8rem; height: 8rem; object-fit: contain; image-rendering: auto; }
.faces figcaption { overflow-wrap: anywhere; line-height: 1.35; }
.warning { border: 2px solid currentColor; padding: .6rem .8rem; font-weight: 600; }
"""


def error_rows(evaluation: OwnEvaluation) -> np.ndarray:
    """int64: positions among the measured images of those predicted wrongly, the most probable wrong label first."""
    predicted = evaluation.probs.argmax(1)
    wrong = np.flatnonzero(predicted != evaluation.labels)
    return wrong[np.argsort(-evaluation.probs[wrong, predicted[wrong]], kind="stable")]


def check_page_name(path: Path) -> None:
    """Raises InputError for a name that does not end in .html."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--errors {path}: the page of errors is HTML; give a name that ends in .html")


def write_error_page(evaluation: OwnEvaluation, path: Path, most: int = MOST) -> int:
    """Write the page, with the faces inside the file, and return the number of errors on it.

    The file is readable by its owner alone. Raises InputError for a name that does not end in .html.
    """
    check_page_name(path)
    wrong = error_rows(evaluation)
    shown = wrong[:most]
    report, total = evaluation.report, len(evaluation.labels)
    introduction = (
        f"{escape(report['checkpoint'])} on {escape(report['data']['name'])}: {len(wrong):,} of {total:,} faces are "
        f"predicted wrongly; {len(shown)} are shown, the most probable wrong predictions first."
    )
    warning = (
        '<p class="warning">This page contains faces from your data. Keep it private: do not publish it, commit it or '
        "send it to others unless every person shown agreed. It was written on this machine and loads nothing.</p>"
    )
    figures = "\n".join(_figure(evaluation, i) for i in shown.tolist())
    page = render_html("Errors", introduction, [warning, f'<div class="faces">{figures}</div>'], _STYLE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)  # also for a file that was there
    path.write_text(page, encoding="utf-8")
    return len(shown)


def _figure(evaluation: OwnEvaluation, i: int) -> str:
    row, probs = int(evaluation.rows[i]), evaluation.probs[i]
    image = image_of(evaluation.source, row)
    face = image if evaluation.crop is None else evaluation.crop(image)
    names = evaluation.label_set.labels
    label, predicted = int(evaluation.labels[i]), int(probs.argmax())
    where = escape(evaluation.source.where(row))
    return (
        f'<figure><img src="{image_uri(_small(face))}" alt="face, labelled {escape(names[label])}">'
        f"<figcaption><b>{escape(names[predicted])}</b> {probs[predicted]:.0%}<br>"
        f"labelled {escape(names[label])}, {probs[label]:.0%}<br>{where}</figcaption></figure>"
    )


def _small(face: Image.Image) -> Image.Image:
    """The face with a longer side of at most `_SIDE`, in gray or RGB."""
    small = face if face.mode in ("L", "RGB") else face.convert("RGB")
    if max(small.size) > _SIDE:
        small = small.copy()
        small.thumbnail((_SIDE, _SIDE))
    return small
