"""Parquet results through pyarrow: schema, writing, merging and counts."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emotion_hub.batch.rows import PROB, Counts, ModelRows, ResultPart, label_columns
from emotion_hub.errors import missing_extra

__all__ = ["METADATA_KEY", "ParquetFormat", "arrow", "schema"]

#: The key of the schema's metadata whose value is, as JSON, the record of how the rows were made.
METADATA_KEY = b"emotion_hub"

#: Approximate rows per row group of the result: small groups are slow to read, large ones need memory.
_GROUP = 65_536


def arrow(what: str = "parquet output (.csv and .ndjson need no extra)") -> Any:
    """The module pyarrow. Raises MissingDependencyError where it is not installed; `what` names the use."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise missing_extra(what, "batch", error) from error
    return pyarrow


def schema(labels: Sequence[Sequence[str]], record: dict[str, Any]) -> Any:
    """The Arrow schema for models with these label sets; `record` goes into its metadata.

    `source` and `picture` (its position from 0) are never null. `faces` is the picture's number of faces. Where `error`
    says why the picture could not be read, `faces` and all that follows it are null. A picture without a face has one
    row per model with `faces` 0 and null from `face` on. `bbox` is xyxy in pixels. `score` and `detector` are null
    where the whole picture was taken as the face. `warnings` are the codes of `Prediction.warnings`, null for a
    ready-made crop unless the run checked those. `prediction_set` is `Prediction.prediction_set`, null for a model
    without prediction sets. A `prob_` column is null for a model that
    lacks the label.
    """
    pa = arrow()
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
        pa.field("warnings", pa.list_(pa.string())),
        pa.field("model", pa.string(), nullable=False),
        pa.field("checkpoint", pa.string()),
        pa.field("label", pa.string()),
        pa.field("label_id", pa.int32()),
        pa.field("prediction_set", pa.list_(pa.string())),
        *(pa.field(name, pa.float32()) for name in label_columns(labels)),
        pa.field("error", pa.string()),
    ]
    return pa.schema(fields, metadata={METADATA_KEY: json.dumps(record, sort_keys=True)})


class ParquetFormat:
    """Typed columns; the record of how the rows were made is in the schema's metadata."""

    def __init__(self, labels: Sequence[Sequence[str]], record: dict[str, Any]) -> None:
        self._arrow, self.schema = arrow(), schema(labels, record)

    def encode(self, part: ResultPart) -> bytes:
        sink = io.BytesIO()
        self._arrow.parquet.write_table(_table(part, self.schema), sink)
        return sink.getvalue()

    def damage(self, path: Path) -> str | None:
        try:
            self._arrow.parquet.read_metadata(path)
        except (self._arrow.ArrowException, OSError) as error:
            return str(error)
        return None

    def merge(self, parts: Iterable[Path], out: Path) -> None:
        pa = self._arrow
        with pa.parquet.ParquetWriter(out, self.schema) as writer:
            waiting: list[Any] = []
            for part in parts:
                waiting.append(pa.parquet.read_table(part, schema=self.schema))
                if sum(table.num_rows for table in waiting) >= _GROUP:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting.clear()
            if waiting:
                writer.write_table(pa.concat_tables(waiting))

    def record(self, out: Path) -> dict[str, Any] | None:
        try:
            return json.loads((self._arrow.parquet.read_schema(out).metadata or {})[METADATA_KEY])
        except (self._arrow.ArrowException, OSError, KeyError, ValueError):
            return None

    def counts(self, path: Path) -> Counts:
        """Counted from four columns, one batch of rows at a time."""
        import pyarrow.compute as pc

        total, first = Counts(), None
        with self._arrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["model", "faces", "face", "error"]):
                if first is None and len(batch):
                    first = batch.column("model")[0]
                rows = batch.filter(pc.equal(batch.column("model"), first))
                number = rows.column("face")
                faces, errors = len(rows) - number.null_count, len(rows) - rows.column("error").null_count
                faceless = pc.sum(pc.equal(rows.column("faces"), 0)).as_py() or 0
                with_face = pc.sum(pc.equal(number, 0)).as_py() or 0
                total += Counts(with_face + faceless + errors, faces, faceless, errors)
        return total


def _table(part: ResultPart, columns_schema: Any) -> Any:
    """The Arrow table of a part, rows ordered by picture, face and model."""
    pa = arrow()
    rows = part.faces()
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
        "warnings": [None if face is None else face.warnings for _, _, face in rows],
        "error": [picture.error for picture, _, _ in rows],
    }
    columns = {name: pa.array(values, columns_schema.field(name).type) for name, values in shared.items()}
    tables = []
    for model in part.models:
        filled = {**columns, **_of_model(pa, model, missing)}
        arrays = [filled[f.name] if f.name in filled else pa.nulls(len(rows), f.type) for f in columns_schema]
        tables.append(pa.Table.from_arrays(arrays, schema=columns_schema))
    if len(tables) == 1:
        return tables[0]
    order = np.arange(len(rows) * len(tables)).reshape(len(tables), len(rows)).T.ravel()
    return pa.concat_tables(tables).take(order).combine_chunks()


def _of_model(pa: Any, model: ModelRows, missing: np.ndarray) -> dict[str, Any]:
    """The columns that differ between models; null in the rows of pictures without a face."""
    rows, labels = len(missing), model.labels
    probs = np.zeros((rows, len(labels)), dtype=np.float32)
    probs[~missing] = model.probs
    ids = np.zeros(rows, dtype=np.int32)
    ids[~missing] = model.probs.argmax(axis=1) if len(model.probs) else 0
    columns = {
        PROB + label: pa.array(np.ascontiguousarray(probs[:, i]), mask=missing) for i, label in enumerate(labels)
    }
    sets = iter(model.prediction_sets())
    columns["prediction_set"] = pa.array([None if none else next(sets) for none in missing], pa.list_(pa.string()))
    columns["label_id"] = pa.array(ids, mask=missing)
    columns["label"] = pa.array(np.asarray(labels, dtype=object)[ids], pa.string(), mask=missing)
    return columns | {
        "model": pa.array([model.name] * rows, pa.string()),
        "checkpoint": pa.array([model.checkpoint] * rows, pa.string()),
    }
