"""The same rows from Ray Data: each actor loads the models once, reads its parts from the source itself and sends their tables back."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from emotion_hub.detectors import default_detector
from emotion_hub.errors import InputError, MissingDependencyError
from emotion_hub.scoring.pictures import Source
from emotion_hub.scoring.rows import arrow, schema
from emotion_hub.scoring.sources import open_source
from emotion_hub.scoring.work import Scorer, load_models, model_hash

__all__ = ["Plan", "tables_on_ray"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What an actor needs to do the work of any part: the arguments of `open_source`, the models' names, and the run's settings and record."""

    opening: dict[str, Any]
    models: tuple[str, ...]
    backend: str
    record: dict[str, Any]
    batch_size: int
    whole: bool
    part_size: int


class _Actor:
    """Ray's worker: a source and a scorer of its own."""

    def __init__(self, plan: Plan) -> None:
        """Raises InputError where the machine sees another source, detector or checkpoint than the one that planned: its rows would differ."""
        models, _ = load_models(plan.models, plan.backend, 1)
        hashes = tuple(model_hash(model) for model in models)
        detector = None if plan.whole else default_detector()
        self.plan, self.source = plan, open_source(**plan.opening)
        here = {"source": self.source.identity, "detector": detector.name if detector else None, "weights": list(hashes)}
        there = {**plan.record, "weights": [model["weights"] for model in plan.record["models"]]}
        for name, value in here.items():
            if value != there[name]:
                raise InputError(f"a worker sees {name} {value!r}, the planning machine {there[name]!r}; give all machines the same files")
        wanted = schema([model.labels.labels for model in models], plan.record)
        self.scorer = Scorer(models, hashes, wanted, plan.batch_size, plan.whole, detector)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        counts, tables = [], []
        for number in batch["number"]:
            start, size = int(number) * self.plan.part_size, self.plan.part_size
            for count, table in self.scorer.tables(islice(self.source.pictures(start), size), start, size):
                counts.append(count)
                tables.append(_packed(table))
        return {"number": list(batch["number"]), "count": counts, "table": tables}


def tables_on_ray(plan: Plan, source: Source, done: set[int], workers: int) -> Iterator[tuple[int, int, Any]]:
    """(number, pictures, Arrow table) of each part that is not `done`, as `workers` actors finish them, in any order.

    Ray is started on this machine unless it runs already or RAY_ADDRESS names a cluster. Every machine must see the source under the same name. A
    source that does not know its length is passed over once more to count; one without random access (tar, stream, video) is passed over by each
    actor. Raises MissingDependencyError without Ray.
    """
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        import ray.data
    except ImportError as error:
        raise MissingDependencyError("engine='ray' needs Ray: pip install 'emotion-hub[cluster]'") from error
    total = source.count()
    if total is None:
        log.info("counting the pictures")
        total = sum(1 for _ in source.pictures())
    missing = [{"number": number} for number in range(-(-total // plan.part_size)) if number not in done]
    if not missing:
        return
    ours = not ray.is_initialized()
    if ours:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **({} if "RAY_ADDRESS" in os.environ else {"num_cpus": workers}))
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        parts = ray.data.from_items(missing, override_num_blocks=len(missing))  # a block each: a part is sent back when it is done
        pool = ray.data.ActorPoolStrategy(size=min(workers, len(missing)))
        for row in parts.map_batches(_Actor, fn_constructor_args=(plan,), batch_size=1, compute=pool, num_cpus=1).iter_rows():
            yield int(row["number"]), int(row["count"]), _unpacked(row["table"])
    finally:
        if ours:
            ray.shutdown()


def _packed(table: Any) -> bytes:
    """The table in Arrow's stream format: Ray would change the types of its columns."""
    pa = arrow()
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def _unpacked(data: bytes) -> Any:
    return arrow().ipc.open_stream(data).read_all()
