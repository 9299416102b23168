"""Pictures to tables: read and searched for faces by threads, put through the networks in batches, a table a part."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from emotion_hub.detectors import FaceDetector
from emotion_hub.errors import EmotionHubError, InputError
from emotion_hub.predictor import EmotionPredictor, locate, softmax
from emotion_hub.scoring.ahead import ahead
from emotion_hub.scoring.pictures import Picture
from emotion_hub.scoring.rows import FoundFace, Seen, table_of

__all__ = ["Scorer", "load_models", "model_hash"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scorer:
    """How pictures become rows. `wanted` is the schema; `hashes` are the models' checkpoints, where known.

    `workers` threads read pictures and find faces, `lanes` batches are in the networks at once. Holds no state between calls.
    """

    models: tuple[EmotionPredictor, ...]
    hashes: tuple[str | None, ...]
    wanted: Any = field(repr=False)
    batch_size: int = 64
    whole: bool = False
    detector: FaceDetector | None = None
    workers: int = 1
    lanes: int = 1

    def tables(self, pictures: Iterable[Picture], start: int, size: int) -> Iterator[tuple[int, Any]]:
        """(number of pictures, Arrow table) for each `size` pictures, of which the first has position `start`.

        Batches end with a table, so a table's numbers do not depend on what was scored before it: resuming changes no bit of them. While the last
        batches of a table are in the networks, the next one is begun.
        """
        numbered = ((position, picture) for position, picture in enumerate(pictures, start))
        with ThreadPoolExecutor(self.lanes) as pool, closing(ahead(numbered, self._read, self.workers)) as read:
            waiting, part = None, _Part(self, pool)
            for seen in read:
                part.add(seen)
                if len(part.seen) == size:
                    if waiting is not None:
                        yield size, waiting.finish()
                    waiting, part = part, _Part(self, pool)
            for last in (waiting, part):
                if last is not None and last.seen:
                    yield len(last.seen), last.finish()

    @cached_property
    def preprocessors(self) -> list[Any]:
        """Each preprocessing once, however many models share it."""
        return list({model.preprocessor.config: model.preprocessor for model in self.models}.values())

    def _read(self, numbered: tuple[int, Picture]) -> Seen:
        """Decode, find faces, prepare them. Whatever fails for one picture becomes its row's error; a fault of the setup (EmotionHubError) is raised."""
        position, picture = numbered
        name = (picture.source, position, picture.time)
        try:
            scene = locate(picture.read(), self.detector, whole=self.whole)
            width, height = scene.photo.size
            planes = tuple(_planes(preprocessor, scene.faces) for preprocessor in self.preprocessors)
        except InputError as error:
            return Seen(*name, error=str(error))
        except EmotionHubError:
            raise
        except Exception as error:  # one picture must not end a run of many, and would again when it is resumed
            log.warning("%s", picture.source, exc_info=error)
            return Seen(*name, error=f"{type(error).__name__}: {error}")
        return Seen(*name, width, height, tuple(FoundFace(face.bbox, face.score, face.detector) for face in scene.faces), planes)


class _Part:
    """The rows of one table on their way: planes are let go as soon as a batch of them went through its network."""

    def __init__(self, scorer: Scorer, pool: ThreadPoolExecutor) -> None:
        self.scorer = scorer
        self.seen: list[Seen] = []
        self.lanes = [_Lane(model, scorer.batch_size, pool, 2 * scorer.lanes) for model in scorer.models]
        self.feeds = [next(i for i, p in enumerate(scorer.preprocessors) if p.config == model.preprocessor.config) for model in scorer.models]

    def add(self, seen: Seen) -> None:
        if seen.faces:
            for lane, feed in zip(self.lanes, self.feeds, strict=True):
                lane.add(seen.planes[feed])
            seen = replace(seen, planes=())
        self.seen.append(seen)

    def finish(self) -> Any:
        answers = [lane.finish() for lane in self.lanes]
        return table_of(self.seen, answers, self.scorer.models, self.scorer.hashes, self.scorer.wanted)


class _Lane:
    """One network's batches of one part; at most `depth` of them wait for it."""

    def __init__(self, model: EmotionPredictor, batch_size: int, pool: ThreadPoolExecutor, depth: int) -> None:
        self.model, self.batch_size, self.pool, self.depth = model, batch_size, pool, depth
        self.waiting: list[np.ndarray] = []
        self.probs: list[Future[np.ndarray]] = []

    def add(self, planes: np.ndarray) -> None:
        self.waiting.extend(planes)
        while len(self.waiting) >= self.batch_size:
            self._submit(self.waiting[: self.batch_size])
            del self.waiting[: self.batch_size]

    def finish(self) -> np.ndarray:
        """float32, (faces, num_classes)."""
        if self.waiting:
            self._submit(self.waiting)
        return np.concatenate([one.result() for one in self.probs]) if self.probs else np.empty((0, len(self.model.labels)), np.float32)

    def _submit(self, planes: list[np.ndarray]) -> None:
        if len(self.probs) >= self.depth:
            self.probs[-self.depth].result()
        self.probs.append(self.pool.submit(self._run, np.stack(planes)))

    def _run(self, planes: np.ndarray) -> np.ndarray:
        return softmax(self.model.backend.logits(self.model.preprocessor.normalise(planes))).astype(np.float32)


def load_models(names: Sequence[str | Path | EmotionPredictor], backend: str, workers: int) -> tuple[tuple[EmotionPredictor, ...], int]:
    """The predictors, and how many batches may be in them at once.

    ONNX Runtime gets one thread a call and `workers` calls at once: threads that share a call wait for each other whenever a core is busy decoding.
    Torch's threads belong to the process, so its calls come one by one, as those of predictors that were handed in.
    """
    if backend == "torch" or any(isinstance(name, EmotionPredictor) for name in names):
        return tuple(name if isinstance(name, EmotionPredictor) else EmotionPredictor.from_pretrained(name, backend=backend) for name in names), 1
    return tuple(EmotionPredictor.from_pretrained(name, backend=backend, threads=1) for name in names), workers


def model_hash(model: EmotionPredictor) -> str | None:
    """SHA-256 over a model's weights; None for a backend that does not tell."""
    if (known := getattr(model.backend, "weights", None)) is not None:
        return known
    if (classifier := getattr(model.backend, "classifier", None)) is None:
        return None
    from emotion_hub.onnx_export import weights_hash

    return weights_hash(classifier)


def _planes(preprocessor: Any, faces: Sequence[Any]) -> np.ndarray:
    """uint8, (F, S, S): the gray levels of the prepared faces; three channels are equal, one says all."""
    side = preprocessor.config.size
    planes = np.empty((len(faces), side, side), np.uint8)
    for plane, face in zip(planes, faces, strict=True):
        pixels = np.asarray(preprocessor.prepare(face.image))
        plane[...] = pixels if pixels.ndim == 2 else pixels[..., 0]
    return planes
