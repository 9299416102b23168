"""Batch run (`predict_many`): all pictures of a source into one file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from emotion_hub.backend_names import AUTO
from emotion_hub.batch.formats import Format, check_out, open_format
from emotion_hub.batch.parts import Parts
from emotion_hub.batch.pictures import Source, shown_name
from emotion_hub.batch.progress import bar
from emotion_hub.batch.sources import SourceArguments, open_source
from emotion_hub.batch.tables import ParquetSource
from emotion_hub.batch.worker import PartPredictor, load_models, model_hash
from emotion_hub.detectors import FaceDetector, default_detector, detector_or
from emotion_hub.errors import ConfigError, InputError
from emotion_hub.labels import LabelSet
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.version import __version__
from emotion_hub.video.frames import DEFAULT_RATE

__all__ = ["ENGINES", "BatchSummary", "predict_many"]

ENGINES = ("local", "ray")

#: Pictures per part: a kill loses at most the work on the parts in progress.
PART_SIZE = 512


@dataclass(frozen=True)
class BatchSummary:
    """The counts of a result: `faceless` pictures have no face, `errors` could not be read.

    `resumed` pictures were processed by an earlier run. `seconds` is the duration of this call.
    """

    out: str
    models: tuple[str, ...]
    pictures: int
    faces: int
    faceless: int
    errors: int
    resumed: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {**asdict(self), "models": list(self.models)}


def predict_many(
    source: str | Path,
    out: str | Path,
    *,
    models: Sequence[str | Path | EmotionPredictor] = ("native48",),
    backend: str = AUTO,
    labels: str | Sequence[str] | LabelSet | None = None,
    batch_size: int = 64,
    whole: bool = False,
    full_decode: bool = False,
    check_crops: bool = False,
    workers: int | None = None,
    engine: str = "local",
    split: str | None = None,
    column: str | None = None,
    rate: float | None = DEFAULT_RATE,
    detector: FaceDetector | str | None = None,
    part_size: int = PART_SIZE,
    restart: bool = False,
    progress: bool = False,
) -> BatchSummary:
    """Predict every picture of `source` into the file `out`, and return a summary of the result.

    `source` is any of those that `open_source` lists. `out` is a .parquet, .csv, .ndjson or .jsonl file; parquet needs
    the extra "batch". `formats` describes the rows. They are in the source's order: one per face and model, one per
    model for a picture without a face, and one per model with `error` for a picture that cannot be read. `models` are
    embedded names, folders, Hub ids or predictors; `backend` is as in `EmotionPredictor.from_pretrained` and applies to
    models given by name; `labels` is as in `EmotionPredictor.with_labels`.

    `workers` threads (by default one per core) decode pictures and detect faces ahead of the networks. With
    `engine="ray"` they are Ray's actors, on the cluster that RAY_ADDRESS names or on this machine. The rows are the
    same, except the last digit of torch's probabilities, which depends on its number of threads.

    A JPEG file with a long side of at least 3,200 pixels is decoded at 1/2 or less of its size where this keeps the
    detector's input size and, for every face, twice the pixels that the networks use; with `whole`, any JPEG file where
    this keeps twice the pixels that the networks use. Reduced decoding changes boxes and probabilities slightly (1 to
    2 % of the labels). With `full_decode` every picture is decoded at full size. Boxes are in pixels of the full size
    in both cases.

    The warnings of a ready-made crop cost about as much as a small network, so they are computed only with
    `check_crops`; those of detected faces always are.

    Parts of `part_size` pictures are kept beside `out` until it is complete, and the same call after a kill continues
    from them. A call with other settings, models or pictures than those of the existing parts or result is refused
    unless `restart` deletes them. A finished result is not changed. `progress` shows bars where standard error is a
    terminal.

    Raises InputError, CheckpointError and MissingDependencyError before the first picture, and DetectorError for a
    detector that cannot run; an unreadable picture raises nothing.
    """
    started = time.perf_counter()
    out = Path(out)
    check_out(out)
    _check(engine, models, batch_size, workers, part_size)
    arguments = SourceArguments(source=str(source), split=split, column=column, rate=rate)
    pictures = open_source(**arguments, progress=progress)
    workers = workers or os.cpu_count() or 1
    predictors, in_flight = load_models(models, [backend] * len(models), workers)
    predictors = predictors if labels is None else tuple(model.with_labels(labels) for model in predictors)
    names = tuple(model.name for model in predictors)
    if len(set(names)) < len(names):
        raise InputError(f"models={list(names)}: rows are told apart by the model's name; give each model once")
    chosen = detector_or(detector, predictors[0].detector)
    used_detector = None if whole else chosen or default_detector()
    record = _record(pictures, predictors, batch_size, used_detector, full_decode, check_crops, part_size)
    file_format = open_format(out.suffix, [model.classes.labels for model in predictors], record)
    result = Parts(out, record, file_format)
    _check_not_a_source(result, Path(source), pictures)
    with result.locked(restart) as parts:
        resumed = 0
        if not parts.finished:
            done, resumed = parts.numbers(), parts.counts().pictures
            if engine == "ray":
                from emotion_hub.batch.ray_engine import Plan, parts_on_ray

                backends = tuple(model.backend_name for model in predictors)
                plan = Plan(arguments, tuple(map(str, models)), backends, out.suffix, record)
                contents: Iterable[tuple[int, int, bytes]] = parts_on_ray(plan, pictures, done, workers, progress)
            else:
                hashes = tuple(model["weights"] for model in record["models"])
                predictor = PartPredictor(
                    predictors, hashes, batch_size, used_detector, workers, in_flight, full_decode, check_crops
                )
                contents = _local_parts(pictures, predictor, file_format, done, part_size)
            total = pictures.count()
            with bar(progress=progress, total=total, initial=resumed, unit=" pictures", smoothing=0.1) as shown:
                for number, count, content in contents:
                    parts.write(number, content)
                    shown.update(count)
            parts.merge(progress)
        counts = file_format.counts(parts.out)
    seconds = round(time.perf_counter() - started, 3)
    return BatchSummary(
        str(out), names, counts.pictures, counts.faces, counts.faceless, counts.errors, resumed, seconds
    )


def _check(engine: str, models: Sequence[Any], batch_size: int, workers: int | None, part_size: int) -> None:
    if engine not in ENGINES:
        raise ConfigError(f"engine={engine!r}; choose from {', '.join(ENGINES)}")
    if isinstance(models, str | Path) or not models:
        raise InputError(f"models={models!r}: give a list of at least one embedded name, folder, Hub id or predictor")
    if engine == "ray" and any(isinstance(model, EmotionPredictor) for model in models):
        raise InputError("engine='ray' loads models on other machines: give names, folders or Hub ids, not predictors")
    for name, value in (("batch_size", batch_size), ("workers", workers), ("part_size", part_size)):
        if value is not None and value < 1:
            raise InputError(f"{name}={value}: give a whole number from 1 up")


def _check_not_a_source(result: Parts, path: Path, source: Source) -> None:
    """Check that the result does not overwrite its source.

    Raises InputError for a result or a folder of parts that would replace the source, and for a result that would be
    one of the source's tables.
    """
    out, parts, path = result.out.resolve(), result.folder.resolve(), path.resolve()
    tables = [source.folder / name for name in source.names] if isinstance(source, ParquetSource) else []
    sources = [*tables, path] if path.is_file() else tables
    if parts in (path, *path.parents) or (out.exists() and any(out.samefile(file) for file in sources)):
        raise InputError(f"out={shown_name(result.out)!r} would replace the source itself; name another file")
    if tables and path in out.parents:
        raise InputError(
            f"out={shown_name(result.out)!r} lies in the folder whose tables are the source, and would become one of"
            " them; name a file outside of it"
        )


def _record(
    source: Source,
    models: Sequence[EmotionPredictor],
    batch_size: int,
    detector: FaceDetector | None,
    full_decode: bool,
    check_crops: bool,
    part_size: int,
) -> dict[str, Any]:
    """Everything that the rows depend on, in JSON types: runs with equal records give equal rows, on any engine."""
    return {
        "version": __version__,
        "source": source.identity,
        "models": [
            {
                "name": model.name,
                "weights": model_hash(model),
                "labels": list(model.classes.labels),
                "preprocess": model.preprocessor.config.to_dict(),
                "prediction_sets": sets.to_dict() if (sets := model.prediction_sets) else None,
                "backend": model.backend_name,
            }
            for model in models
        ],
        "batch_size": batch_size,
        "detector": detector.name if detector else None,
        "whole": detector is None,
        "full_decode": full_decode,
        "check_crops": check_crops,
        "part_size": part_size,
    }


def _local_parts(
    source: Source, predictor: PartPredictor, file_format: Format, done: set[int], size: int
) -> Iterator[tuple[int, int, bytes]]:
    """(number, number of pictures, content of its file) of each part that is not in `done`, in order."""
    number = 0
    while True:
        while number in done:
            number += 1
        next_done = min((other for other in done if other > number), default=None)
        stop = None if next_done is None else (next_done - number) * size
        for part in predictor.parts(islice(source.pictures(number * size), stop), number * size, size):
            yield number, len(part.pictures), file_format.encode(part)
            number += 1
        if next_done is None:
            return
        number = next_done
