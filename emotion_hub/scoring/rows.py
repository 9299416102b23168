"""The rows of a result: one a face and model, in a fixed schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotion_hub.errors import MissingDependencyError
from emotion_hub.predictor import EmotionPredictor

__all__ = ["METADATA_KEY", "PROB", "FoundFace", "Seen", "arrow", "record_of", "schema", "table_of"]

#: The entry of the schema's metadata that says, as JSON, how the rows were made.
METADATA_KEY = b"emotion_hub"

#: What the name of a probability's column begins with.
PROB = "prob_"


@dataclass(frozen=True, slots=True)
class FoundFace:
    """Where a face is, xyxy in pixels of the upright picture, and how it was found."""

    bbox: tuple[int, int, int, int]
    score: float | None
    detector: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What reading a picture gave: its size, its faces, and of each preprocessing the faces' gray planes uint8 (F, S, S); or an error."""

    source: str
    position: int
    time: float | None
    width: int | None = None
    height: int | None = None
    faces: tuple[FoundFace, ...] = ()
    planes: tuple[np.ndarray, ...] = ()
    error: str | None = None


def arrow() -> Any:
    """pyarrow. Raises MissingDependencyError where it is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError("parquet files need pyarrow: pip install 'emotion-hub[score]'") from error
    return pyarrow


def schema(labels: Iterable[Sequence[str]], record: dict[str, Any]) -> Any:
    """The Arrow schema for models with these label sets; `record` goes into its metadata.

    `source` and `picture` (its position from 0) are never null. `faces` counts the picture's faces and is null, like all that follows, where `error`
    says why it could not be read. A picture without a face has one row a model with `faces` 0 and null from `face` on. `bbox` is xyxy in pixels;
    `score` and `detector` are null where the whole picture was taken; a `prob_` column is null for a model that lacks the label.
    """
    pa = arrow()
    names = dict.fromkeys(name for one in labels for name in one)
    fields = [
        pa.field("source", pa.string(), nullable=False),
        pa.field("picture", pa.int64(), nullable=False),
        pa.field("time", pa.float64()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("faces", pa.int32()),
        pa.field("face", pa.int32()),
        pa.field("bbox", pa.list_(pa.int32(), 4)),
        pa.field("score", pa.float64()),
        pa.field("detector", pa.string()),
        pa.field("model", pa.string(), nullable=False),
        pa.field("checkpoint", pa.string()),
        pa.field("label", pa.string()),
        pa.field("label_id", pa.int32()),
        *(pa.field(PROB + name, pa.float32()) for name in names),
        pa.field("error", pa.string()),
    ]
    return pa.schema(fields, metadata={METADATA_KEY: json.dumps(record, sort_keys=True)})


def record_of(metadata: dict[bytes, bytes] | None) -> dict[str, Any] | None:
    """How the rows of a schema with this metadata were made; None for a file that `score` did not write."""
    try:
        return json.loads((metadata or {})[METADATA_KEY])
    except (KeyError, ValueError):
        return None


def table_of(seen: Sequence[Seen], answers: Sequence[np.ndarray], models: Sequence[EmotionPredictor], hashes: Sequence[str | None], wanted: Any) -> Any:
    """The Arrow table of some pictures: `answers` holds each model's probabilities (faces, classes), faces in the pictures' order.

    Rows are ordered by picture, face and model.
    """
    pa = arrow()
    rows = [(picture, number, face) for picture in seen for number, face in enumerate(picture.faces or (None,))]
    missing = np.array([face is None for _, _, face in rows], dtype=bool)
    shared = {
        "source": [picture.source for picture, _, _ in rows],
        "picture": [picture.position for picture, _, _ in rows],
        "time": [picture.time for picture, _, _ in rows],
        "width": [picture.width for picture, _, _ in rows],
        "height": [picture.height for picture, _, _ in rows],
        "faces": [None if picture.error is not None else len(picture.faces) for picture, _, _ in rows],
        "face": [None if face is None else number for _, number, face in rows],
        "bbox": [None if face is None else face.bbox for _, _, face in rows],
        "score": [None if face is None else face.score for _, _, face in rows],
        "detector": [None if face is None else face.detector for _, _, face in rows],
        "error": [picture.error for picture, _, _ in rows],
    }
    columns = {name: pa.array(values, wanted.field(name).type) for name, values in shared.items()}
    tables = []
    for model, probs, checkpoint in zip(models, answers, hashes, strict=True):
        own = _of_model(pa, model, probs, missing)
        own["model"] = pa.array([model.name] * len(rows), pa.string())
        own["checkpoint"] = pa.array([checkpoint] * len(rows), pa.string())
        both = {**columns, **own}
        arrays = [both[f.name] if f.name in both else pa.nulls(len(rows), f.type) for f in wanted]
        tables.append(pa.Table.from_arrays(arrays, schema=wanted))
    if len(tables) == 1:
        return tables[0]
    order = np.arange(len(rows) * len(tables)).reshape(len(tables), len(rows)).T.ravel()
    return pa.concat_tables(tables).take(order).combine_chunks()


def _of_model(pa: Any, model: EmotionPredictor, probs: np.ndarray, missing: np.ndarray) -> dict[str, Any]:
    """The columns that differ between models; rows of pictures without a face are null."""
    labels = model.labels.labels
    spread = np.zeros((len(missing), len(labels)), dtype=np.float32)
    spread[~missing] = probs
    ids = np.zeros(len(missing), dtype=np.int32)
    ids[~missing] = probs.argmax(axis=1) if len(probs) else 0
    columns = {PROB + label: pa.array(np.ascontiguousarray(spread[:, i]), mask=missing) for i, label in enumerate(labels)}
    columns["label_id"] = pa.array(ids, mask=missing)
    columns["label"] = pa.array(np.asarray(labels, dtype=object)[ids], pa.string(), mask=missing)
    return columns
