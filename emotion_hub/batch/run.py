"""`score`: the pictures of a source to one file, resumable."""

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
from emotion_hub.batch.sources import open_source
from emotion_hub.batch.tables import ParquetSource
from emotion_hub.batch.worker import Scorer, load_models, model_hash
from emotion_hub.detectors import FaceDetector, default_detector
from emotion_hub.errors import ConfigError, InputError
from emotion_hub.labels import LabelSet
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.version import __version__
from emotion_hub.video.frames import DEFAULT_RATE

__all__ = ["ENGINES", "BatchSummary", "predict_many"]

ENGINES = ("local", "ray")

#: Pictures per part: a kill costs at most the work on the parts in progress.
PART_SIZE = 512


@dataclass(frozen=True)
class BatchSummary:
    """What a result holds. `faceless` pictures had no face, `errors` could not be read; `resumed` were done by an earlier run."""

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
    workers: int | None = None,
    engine: str = "local",
    split: str | None = None,
    column: str | None = None,
    rate: float | None = DEFAULT_RATE,
    detector: FaceDetector | None = None,
    part_size: int = PART_SIZE,
    restart: bool = False,
    progress: bool = False,
) -> BatchSummary:
    """Score every picture of `source` (see `open_source`) into the .parquet, .csv, .ndjson or .jsonl file `out`, and return what it holds.

    Rows are those of `formats`, in the source's order: one per face and model, one per model for a picture without a face, and one per model with
    `error` for a picture that cannot be read. Parquet needs the extra "score", the other formats none. `models` are embedded names, folders, Hub ids or
    predictors; `backend` is as in `EmotionPredictor.from_pretrained` and applies to those given by name, `labels` as in
    `EmotionPredictor.with_labels`. `workers` threads (by default one per core)
    read pictures and find faces ahead of the networks. With `engine="ray"` they are Ray's actors, on the cluster that RAY_ADDRESS names or on this
    machine, and the rows are the same, except the last digit of torch's probabilities, which depends on its number of threads.

    A JPEG file with a long side from 3,200 pixels is decoded at 1/2 or less of its size where that leaves the detector its pixels and every face twice the
    pixels that the networks see; with `whole` one from twice those pixels. This changes boxes and probabilities slightly (1 to 2 % of the labels). With
    `full_decode` every picture is decoded in full. Boxes are in pixels of the full size in both cases.

    Parts of `part_size` pictures are kept beside `out` until it is complete: the same call after a kill continues from them. A call with other settings,
    models or pictures than the existing parts or the result at `out` is refused unless `restart` deletes them; a finished result is left as it is.
    `progress` shows bars on standard error where that is a terminal.

    Raises InputError, CheckpointError and MissingDependencyError before the first picture; no picture's fault raises.
    """
    started = time.perf_counter()
    out = Path(out)
    check_out(out)
    _check(engine, models, batch_size, workers, part_size)
    opening = {"source": str(source), "split": split, "column": column, "rate": rate}
    pictures = open_source(**opening, progress=progress)
    workers = workers or os.cpu_count() or 1
    predictors, in_flight = load_models(models, [backend] * len(models), workers)
    predictors = predictors if labels is None else tuple(model.with_labels(labels) for model in predictors)
    if len({model.name for model in predictors}) < len(predictors):
        raise InputError(
            f"models={[model.name for model in predictors]}: a model's name tells its rows apart; give each once"
        )
    finder = None if whole else detector or predictors[0].detector or default_detector()
    record = _record(pictures, predictors, batch_size, finder, full_decode, part_size)
    form = open_format(out.suffix, [model.classes.labels for model in predictors], record)
    result = Parts(out, record, form)
    _check_apart(result, Path(source), pictures)
    with result.held(restart) as parts:
        resumed = 0
        if not parts.finished:
            done, resumed = parts.numbers(), parts.counts().pictures
            if engine == "ray":
                from emotion_hub.batch.ray_engine import Plan, parts_on_ray

                plan = Plan(
                    opening,
                    tuple(map(str, models)),
                    tuple(model.backend_name for model in predictors),
                    out.suffix,
                    record,
                )
                contents: Iterable[tuple[int, int, bytes]] = parts_on_ray(plan, pictures, done, workers, progress)
            else:
                hashes = tuple(model["weights"] for model in record["models"])
                scorer = Scorer(predictors, hashes, batch_size, finder, workers, in_flight, full_decode)
                contents = _local(pictures, scorer, form, done, part_size)
            with bar(
                progress=progress, total=pictures.count(), initial=resumed, unit=" pictures", smoothing=0.1
            ) as shown:
                for number, count, content in contents:
                    parts.write(number, content)
                    shown.update(count)
            parts.merge(progress)
        found = form.counts(parts.out)
    names = tuple(model.name for model in predictors)
    return BatchSummary(
        str(out),
        names,
        found.pictures,
        found.faces,
        found.faceless,
        found.errors,
        resumed,
        round(time.perf_counter() - started, 3),
    )


def _check(engine: str, models: Sequence[Any], batch_size: int, workers: int | None, part_size: int) -> None:
    if engine not in ENGINES:
        raise ConfigError(f"engine={engine!r}; choose from {', '.join(ENGINES)}")
    if isinstance(models, str | Path) or not models:
        raise InputError(f"models={models!r}: give a list of at least one embedded name, folder, Hub id or predictor")
    if engine == "ray" and any(isinstance(model, EmotionPredictor) for model in models):
        raise InputError(
            "engine='ray' loads its models on other machines: give names, folders or Hub ids, not predictors"
        )
    for name, value in (("batch_size", batch_size), ("workers", workers), ("part_size", part_size)):
        if value is not None and value < 1:
            raise InputError(f"{name}={value}: give a whole number from 1 up")


def _check_apart(result: Parts, path: Path, source: Source) -> None:
    """Raises InputError for a result that would replace its own source, delete it together with the parts, or be one of its tables."""
    out, parts, path = result.out.resolve(), result.folder.resolve(), path.resolve()
    tables = [source.folder / name for name in source.names] if isinstance(source, ParquetSource) else []
    sources = [*tables, path] if path.is_file() else tables
    if parts in (path, *path.parents) or (out.exists() and any(out.samefile(one) for one in sources)):
        raise InputError(f"out={shown_name(result.out)!r} would replace the source itself; name another file")
    if tables and path in out.parents:
        raise InputError(
            f"out={shown_name(result.out)!r} lies in the folder whose tables are the source, and would be one of them; name a file outside of it"
        )


def _record(
    source: Source,
    models: Sequence[EmotionPredictor],
    batch_size: int,
    detector: FaceDetector | None,
    full_decode: bool,
    part_size: int,
) -> dict[str, Any]:
    """What the rows depend on, in JSON types: two runs with equal records give equal rows, whatever their engine."""
    return {
        "version": __version__,
        "source": source.identity,
        "models": [
            {
                "name": model.name,
                "weights": model_hash(model),
                "labels": list(model.classes.labels),
                "preprocess": model.preprocessor.config.to_dict(),
                "backend": model.backend_name,
            }
            for model in models
        ],
        "batch_size": batch_size,
        "detector": detector.name if detector else None,
        "whole": detector is None,
        "full_decode": full_decode,
        "part_size": part_size,
    }


def _local(source: Source, scorer: Scorer, form: Format, done: set[int], size: int) -> Iterator[tuple[int, int, bytes]]:
    """(number, pictures, content of its file) of each missing part: runs between existing parts, then to the source's end."""
    number = 0
    while True:
        while number in done:
            number += 1
        following = min((other for other in done if other > number), default=None)
        stop = None if following is None else (following - number) * size
        for part in scorer.parts(islice(source.pictures(number * size), stop), number * size, size):
            yield number, len(part.pictures), form.encode(part)
            number += 1
        if following is None:
            return
        number = following
