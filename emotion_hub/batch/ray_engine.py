"""Ray Data engine: actors compute the parts of a result on a cluster.

Each actor loads the models once, reads its pictures from the source itself and returns the content of its parts' files.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from emotion_hub.batch.formats import open_format
from emotion_hub.batch.pictures import Source
from emotion_hub.batch.progress import bar
from emotion_hub.batch.sources import SourceArguments, open_source
from emotion_hub.batch.worker import PartPredictor, load_models, model_hash
from emotion_hub.detectors import default_detector
from emotion_hub.errors import InputError, missing_extra
from emotion_hub.labels import LabelSet

__all__ = ["Plan", "parts_on_ray"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What an actor needs to compute any part.

    `source` holds the arguments of `open_source`; `models` and `backends` are names; `suffix` and `record` are those of
    the result.
    """

    source: SourceArguments
    models: tuple[str, ...]
    backends: tuple[str, ...]
    suffix: str
    record: dict[str, Any]


class _Actor:
    """A Ray actor with its own source and models."""

    def __init__(self, plan: Plan) -> None:
        """Raises InputError where the source, detector or a checkpoint differs from that of the driver's machine.

        The rows would differ then.
        """
        record = plan.record
        loaded, _ = load_models(plan.models, plan.backends, 1)
        models = tuple(
            model.with_labels(LabelSet.of(entry["labels"]))
            for model, entry in zip(loaded, record["models"], strict=True)
        )
        hashes = tuple(model_hash(model) for model in models)
        detector = None if record["whole"] else default_detector()
        self.plan, self.source = plan, open_source(**plan.source)
        here = {
            "source": self.source.identity,
            "detector": detector.name if detector else None,
            "weights": list(hashes),
        }
        expected = {**record, "weights": [model["weights"] for model in record["models"]]}
        for name, value in here.items():
            if value != expected[name]:
                raise InputError(
                    f"a worker has {name} {value!r}, the driver's machine {expected[name]!r};"
                    " give all machines the same files"
                )
        self.file_format = open_format(plan.suffix, [model.classes.labels for model in models], record)
        options = {name: record[name] for name in ("full_decode", "check_crops")}
        self.predictor = PartPredictor(models, hashes, record["batch_size"], detector, **options)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        counts, contents, size = [], [], self.plan.record["part_size"]
        for number in batch["number"]:
            start = int(number) * size
            for part in self.predictor.parts(islice(self.source.pictures(start), size), start, size):
                counts.append(len(part.pictures))
                contents.append(self.file_format.encode(part))
        return {"number": list(batch["number"]), "count": counts, "content": contents}


def parts_on_ray(
    plan: Plan, source: Source, done: set[int], workers: int, progress: bool = False
) -> Iterator[tuple[int, int, bytes]]:
    """(number, number of pictures, content of its file) of each part that is not in `done`.

    `workers` actors compute the parts, which arrive in any order. Ray is started on this machine unless it runs already
    or RAY_ADDRESS names a cluster. Every machine must have the source under the same name. A source of unknown length
    is read once more to count its pictures; one without random access (tar, stream, video) is read from its start by
    each actor. Raises MissingDependencyError without Ray.
    """
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        import ray.data
    except ImportError as error:
        raise missing_extra("engine='ray'", "cluster", error) from error
    total = source.count()
    if total is None:
        log.info("counting the pictures")
        pictures = bar(source.pictures(), progress=progress, desc="counting", unit=" pictures", delay=1, leave=False)
        total = sum(1 for _ in pictures)
    missing = [{"number": number} for number in range(-(-total // plan.record["part_size"])) if number not in done]
    if not missing:
        return
    start_ray = not ray.is_initialized()
    if start_ray:
        ray.init(
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            num_cpus=None if "RAY_ADDRESS" in os.environ else workers,
        )
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        # one block per part: a part is returned as soon as it is finished
        parts = ray.data.from_items(missing, override_num_blocks=len(missing))
        pool = ray.data.ActorPoolStrategy(size=min(workers, len(missing)))
        results = parts.map_batches(_Actor, fn_constructor_args=(plan,), batch_size=1, compute=pool, num_cpus=1)
        for row in results.iter_rows():
            yield int(row["number"]), int(row["count"]), row["content"]
    finally:
        if start_ray:
            ray.shutdown()
