"""`score`: the pictures of a source to one parquet file, resumable."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from emotion_hub import __version__
from emotion_hub.detectors import FaceDetector, default_detector
from emotion_hub.errors import ConfigError, InputError
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.scoring.parts import Parts
from emotion_hub.scoring.pictures import Source, shown_name
from emotion_hub.scoring.rows import arrow, schema
from emotion_hub.scoring.sources import open_source
from emotion_hub.scoring.tables import ParquetSource
from emotion_hub.scoring.work import Scorer, load_models, model_hash
from emotion_hub.video.frames import DEFAULT_RATE

__all__ = ["ENGINES", "ScoreSummary", "score"]

ENGINES = ("local", "ray")

#: Pictures of a part: what a kill costs at most is the work on those in hand.
PART_SIZE = 512


@dataclass(frozen=True)
class ScoreSummary:
    """What a result holds. `faceless` pictures had no face, `errors` could not be read; `resumed` were there from an earlier run."""

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


def score(
    source: str | Path,
    out: str | Path,
    *,
    models: Sequence[str | Path | EmotionPredictor] = ("native48",),
    backend: str = "torch",
    batch_size: int = 64,
    whole: bool = False,
    workers: int | None = None,
    engine: str = "local",
    split: str | None = None,
    column: str | None = None,
    rate: float | None = DEFAULT_RATE,
    detector: FaceDetector | None = None,
    part_size: int = PART_SIZE,
    restart: bool = False,
    progress: bool = False,
) -> ScoreSummary:
    """Score every picture of `source` (see `open_source`) into the parquet file `out`, and say what it holds.

    Rows are those of `rows.schema`, in the source's order: one a face and model, one for a picture without a face, one with `error` for a picture that
    cannot be read. `models` are embedded names, folders, Hub ids or predictors; `backend` ("torch", "onnx" or "onnx-int8") runs those given by name.
    `workers` threads (by default one a core) read pictures and find faces ahead of the networks; with `engine="ray"` they are Ray's actors, on the
    cluster that RAY_ADDRESS names or on this machine, and the rows are the same; torch's probabilities but for the last digit, which its number of
    threads decides.

    Parts of `part_size` pictures are kept beside `out` until it is whole: the same call after a kill goes on from there. A call with other settings,
    models or pictures than the parts or the result at `out` were made with is refused unless `restart` drops them; a finished result is left as
    it is. Raises InputError, CheckpointError and MissingDependencyError before the first picture; no picture's fault raises.
    """
    begun = time.perf_counter()
    arrow()
    _check(engine, models, batch_size, workers, part_size)
    opening = {"source": str(source), "split": split, "column": column, "rate": rate}
    pictures = open_source(**opening)
    workers = workers or os.cpu_count() or 1
    predictors, lanes = load_models(models, backend, workers)
    if len({model.name for model in predictors}) < len(predictors):
        raise InputError(f"models={[model.name for model in predictors]}: a model's name tells its rows apart; give each once")
    finder = None if whole else detector or predictors[0].detector or default_detector()
    record = _record(pictures, predictors, backend, batch_size, finder, part_size)
    wanted = schema([model.labels.labels for model in predictors], record)
    hashes = tuple(model["weights"] for model in record["models"])
    scorer = Scorer(predictors, hashes, wanted, batch_size, whole, finder, workers, lanes)
    result = Parts(Path(out), record)
    _check_apart(result, Path(source), pictures)
    with result.held(restart) as parts:
        resumed = 0
        if not parts.finished:
            done, resumed = parts.numbers(), parts.pictures()
            if engine == "ray":
                from emotion_hub.scoring.cluster import Plan, tables_on_ray

                plan = Plan(opening, tuple(map(str, models)), backend, record, batch_size, whole, part_size)
                results: Iterable[tuple[int, int, Any]] = tables_on_ray(plan, pictures, done, workers)
            else:
                results = _local(pictures, scorer, done, part_size)
            bar = _bar(pictures.count(), resumed) if progress else nullcontext()
            with bar as shown:
                for number, count, table in results:
                    parts.write(number, table)
                    if shown is not None:
                        shown.update(count)
            parts.merge(wanted)
        return _summary(parts.out, [model.name for model in predictors], resumed, begun)


def _check(engine: str, models: Sequence[Any], batch_size: int, workers: int | None, part_size: int) -> None:
    if engine not in ENGINES:
        raise ConfigError(f"engine={engine!r}; choose from {', '.join(ENGINES)}")
    if isinstance(models, str | Path) or not models:
        raise InputError(f"models={models!r}: give a list of at least one embedded name, folder, Hub id or predictor")
    if engine == "ray" and any(isinstance(model, EmotionPredictor) for model in models):
        raise InputError("engine='ray' loads its models on other machines: give names, folders or Hub ids, not predictors")
    for name, value in (("batch_size", batch_size), ("workers", workers), ("part_size", part_size)):
        if value is not None and value < 1:
            raise InputError(f"{name}={value}: give a whole number from 1 up")


def _check_apart(result: Parts, path: Path, source: Source) -> None:
    """Raises InputError for a result that would replace what it is made from, clear it away with its parts, or stand among it."""
    out, parts, path = result.out.resolve(), result.folder.resolve(), path.resolve()
    tables = [source.folder / name for name in source.names] if isinstance(source, ParquetSource) else []
    if parts in (path, *path.parents) or (out.exists() and any(out.samefile(table) for table in tables)):
        raise InputError(f"out={shown_name(result.out)!r} would replace the source itself; name another file")
    if tables and path in out.parents:
        raise InputError(f"out={shown_name(result.out)!r} lies in the folder whose tables are the source, and would be one of them; name a file outside of it")


def _record(source: Source, models: Sequence[EmotionPredictor], backend: str, batch_size: int, detector: FaceDetector | None, part_size: int) -> dict[str, Any]:
    """What the rows depend on, in JSON types: two runs with equal records give equal rows, whatever their engine."""
    return {
        "version": __version__,
        "source": source.identity,
        "models": [
            {
                "name": model.name,
                "weights": model_hash(model),
                "labels": list(model.labels.labels),
                "preprocess": model.preprocessor.config.to_dict(),
                "backend": model.backend_name,
            }
            for model in models
        ],
        "backend": backend,
        "batch_size": batch_size,
        "detector": detector.name if detector else None,
        "whole": detector is None,
        "part_size": part_size,
    }


def _local(source: Source, scorer: Scorer, done: set[int], size: int) -> Iterator[tuple[int, int, Any]]:
    """(number, pictures, table) of each part that is missing: runs between parts that are there, then to the source's end."""
    number = 0
    while True:
        while number in done:
            number += 1
        following = min((there for there in done if there > number), default=None)
        stop = None if following is None else (following - number) * size
        for count, table in scorer.tables(islice(source.pictures(number * size), stop), number * size, size):
            yield number, count, table
            number += 1
        if following is None:
            return
        number = following


def _bar(total: int | None, done: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, initial=done, unit=" pictures", smoothing=0.1)


def _summary(out: Path, models: list[str], resumed: int, begun: float) -> ScoreSummary:
    """The result counted, a few columns and rows at a time."""
    pa = arrow()
    import pyarrow.compute as pc

    faces = faceless = errors = pictures = 0
    with pa.parquet.ParquetFile(out) as file:
        for batch in file.iter_batches(columns=["model", "faces", "face", "error"]):
            rows = batch.filter(pc.equal(batch.column("model"), models[0]))
            number = rows.column("face")
            faces += len(rows) - number.null_count
            errors += len(rows) - rows.column("error").null_count
            faceless += pc.sum(pc.equal(rows.column("faces"), 0)).as_py() or 0
            pictures += pc.sum(pc.equal(number, 0)).as_py() or 0
    seconds = round(time.perf_counter() - begun, 3)
    return ScoreSummary(str(out), tuple(models), pictures + faceless + errors, faces, faceless, errors, resumed, seconds)
