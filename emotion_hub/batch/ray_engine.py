"""The same rows from Ray Data: each actor loads the models once, reads its parts from the source itself and sends their files' content back."""

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
from emotion_hub.batch.sources import open_source
from emotion_hub.batch.worker import Scorer, load_models, model_hash
from emotion_hub.detectors import default_detector
from emotion_hub.errors import InputError, missing_extra
from emotion_hub.labels import LabelSet

__all__ = ["Plan", "parts_on_ray"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What an actor needs to compute any part: the arguments of `open_source`, the models' names and backends, the result's suffix and record."""

    opening: dict[str, Any]
    models: tuple[str, ...]
    backends: tuple[str, ...]
    suffix: str
    record: dict[str, Any]


class _Actor:
    """Ray's worker: a source and a scorer of its own."""

    def __init__(self, plan: Plan) -> None:
        """Raises InputError where the machine sees another source, detector or checkpoint than the one that planned: its rows would differ."""
        record = plan.record
        loaded, _ = load_models(plan.models, plan.backends, 1)
        models = tuple(
            model.with_labels(LabelSet.of(entry["labels"]))
            for model, entry in zip(loaded, record["models"], strict=True)
        )
        hashes = tuple(model_hash(model) for model in models)
        detector = None if record["whole"] else default_detector()
        self.plan, self.source = plan, open_source(**plan.opening)
        here = {
            "source": self.source.identity,
            "detector": detector.name if detector else None,
            "weights": list(hashes),
        }
        there = {**record, "weights": [model["weights"] for model in record["models"]]}
        for name, value in here.items():
            if value != there[name]:
                raise InputError(
                    f"a worker sees {name} {value!r}, the planning machine {there[name]!r}; give all machines the same files"
                )
        self.form = open_format(plan.suffix, [model.classes.labels for model in models], record)
        self.scorer = Scorer(models, hashes, record["batch_size"], detector, full_decode=record["full_decode"])

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        counts, contents, size = [], [], self.plan.record["part_size"]
        for number in batch["number"]:
            start = int(number) * size
            for part in self.scorer.parts(islice(self.source.pictures(start), size), start, size):
                counts.append(len(part.pictures))
                contents.append(self.form.encode(part))
        return {"number": list(batch["number"]), "count": counts, "content": contents}


def parts_on_ray(
    plan: Plan, source: Source, done: set[int], workers: int, progress: bool = False
) -> Iterator[tuple[int, int, bytes]]:
    """(number, pictures, content of its file) of each part that is not `done`, as `workers` actors finish them, in any order.

    Ray is started on this machine unless it runs already or RAY_ADDRESS names a cluster. Every machine must see the source under the same name. A
    source that does not know its length is passed over once more to count; one without random access (tar, stream, video) is passed over by each
    actor. Raises MissingDependencyError without Ray.
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
        total = sum(
            1
            for _ in bar(source.pictures(), progress=progress, desc="counting", unit=" pictures", delay=1, leave=False)
        )
    missing = [{"number": number} for number in range(-(-total // plan.record["part_size"])) if number not in done]
    if not missing:
        return
    ours = not ray.is_initialized()
    if ours:
        ray.init(
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if "RAY_ADDRESS" in os.environ else {"num_cpus": workers}),
        )
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        parts = ray.data.from_items(
            missing, override_num_blocks=len(missing)
        )  # a block each: a part is sent back when it is done
        pool = ray.data.ActorPoolStrategy(size=min(workers, len(missing)))
        for row in parts.map_batches(
            _Actor, fn_constructor_args=(plan,), batch_size=1, compute=pool, num_cpus=1
        ).iter_rows():
            yield int(row["number"]), int(row["count"]), row["content"]
    finally:
        if ours:
            ray.shutdown()
