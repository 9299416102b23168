"""Evaluate a checkpoint on labelled images of one's own."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from emotion_hub.checkpoints import WEIGHTS_FILE, file_hash, resolve_file
from emotion_hub.errors import ImageError, InputError, ManifestError
from emotion_hub.labels import LabelSet
from emotion_hub.predictor import EmotionPredictor, softmax
from training.data.crops import LargestFace
from training.data.decode import decode_face
from training.data.labelled_folder import open_labelled
from training.data.splits import Source
from training.evaluation.group_tests import PERMUTATIONS
from training.evaluation.groups import MINIMUM, group_columns, group_values
from training.evaluation.label_map import map_labels
from training.evaluation.metrics import scores
from training.evaluation.own_types import OwnReport

__all__ = ["OwnEvaluation", "evaluate_own", "image_of"]

#: Faces that the network gets at once.
_BATCH = 64


@dataclass(frozen=True)
class OwnEvaluation:
    """The report, and what the page of errors shows.

    `rows` are the positions of the measured images in `source`, int64 (N,), with their `labels`, int64 (N,), and
    `probs`, float64 (N, C). `crop` cuts the face out of a photo; None for images that are faces.
    """

    report: OwnReport
    source: Source
    rows: np.ndarray
    labels: np.ndarray
    probs: np.ndarray
    label_set: LabelSet
    crop: LargestFace | None


def evaluate_own(
    checkpoint: str,
    data: str | Path,
    *,
    split: str | None = None,
    groups: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    detect: bool = True,
    minimum: int = MINIMUM,
    permutations: int = PERMUTATIONS,
) -> OwnEvaluation:
    """Measure a checkpoint on all images of `data`, or on one split of it.

    With `detect`, the largest face of each photo is measured, as `emotion_hub predict` finds it. `groups` are columns
    of the data, `mapping` is that of `label_map.parse_map`. Images are read one after the other. Raises InputError for
    data without an image of the checkpoint's labels and for a column that holds no groups, LabelError for a label that
    is neither known nor mapped, and ManifestError, naming the row, for an image that cannot be read.
    """
    predictor = EmotionPredictor.from_pretrained(checkpoint)
    source = open_labelled(data, split)
    named = map_labels(source.labels, predictor.labels, mapping)
    columns = {column: group_values(source.columns, column) for column in groups}
    crop = LargestFace() if detect else None
    rows, no_face, probs = _predict(predictor, source, np.flatnonzero(named.ids >= 0), crop)
    if not len(rows):
        raise InputError(
            f"{data} has no image to measure: {len(no_face)} photos without a face, {sum(named.left_out.values())} "
            "images with left-out labels; give other images, or --no-detect for cropped faces"
        )
    labels = named.ids[rows]
    report: OwnReport = {
        "checkpoint": predictor.name,
        "sha256": file_hash(resolve_file(checkpoint, WEIGHTS_FILE)),
        "labels": list(predictor.labels.labels),
        **scores(labels, probs, predictor.labels.labels),
        "data": {
            "name": Path(data).name,
            "images": len(source),
            "mapped": named.mapped,
            "left_out": named.left_out,
        },
        "environment": {"python": platform.python_version(), "machine": platform.machine()},
    }
    if crop:
        report["detection"] = {
            "detector": crop.detector.name,
            "photos": crop.photos,
            "no_face": crop.no_face,
            "several_faces": crop.several_faces,
            "accuracy_of_all": report["accuracy"] * len(rows) / (len(rows) + len(no_face)),
        }
    if columns:
        measured = {column: values[rows] for column, values in columns.items()}
        missed = {column: values[no_face].tolist() for column, values in columns.items()}
        report["groups"], report["tests"] = group_columns(
            labels, probs, measured, missed, minimum=minimum, permutations=permutations
        )
    return OwnEvaluation(report, source, rows, labels, probs, predictor.labels, crop)


def image_of(source: Source, row: int) -> Image.Image:
    """The upright image of a row; raises ManifestError that names it for one that cannot be read."""
    try:
        return decode_face(source.read(row))[0]
    except (ImageError, OSError) as error:
        raise ManifestError(
            f"{source.where(row)} cannot be read: {error}. Replace the image or leave its row out"
        ) from error


def _predict(
    predictor: EmotionPredictor, source: Source, candidates: np.ndarray, crop: LargestFace | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measured rows, rows of photos without a face, int64 each, and float64 (N, C) probabilities of the measured."""
    rows: list[int] = []
    no_face: list[int] = []
    waiting: list[Image.Image] = []
    logits: list[np.ndarray] = []

    def run() -> None:
        if waiting:
            logits.append(predictor.backend.logits(predictor.preprocessor.batch(waiting)))
            waiting.clear()

    for row in tqdm(candidates.tolist(), desc=f"{predictor.name}: {source.name}", disable=None):
        image = image_of(source, row)
        try:
            face = image if crop is None else crop(image)
        except ImageError:
            no_face.append(row)
            continue
        rows.append(row)
        waiting.append(face)
        if len(waiting) == _BATCH:
            run()
    run()
    probs = softmax(np.concatenate(logits)) if logits else np.empty((0, len(predictor.labels)))
    return np.asarray(rows, dtype=np.int64), np.asarray(no_face, dtype=np.int64), probs
