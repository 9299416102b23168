"""Batch worker: threads detect faces, networks predict them in batches."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from emotion_hub.batch.photos import detect_faces
from emotion_hub.batch.pictures import Picture
from emotion_hub.batch.prefetch import prefetch
from emotion_hub.batch.rows import ModelRows, PreparedPicture, ResultPart
from emotion_hub.detectors import FaceDetector
from emotion_hub.errors import EmotionHubError, InputError
from emotion_hub.predictor import EmotionPredictor

__all__ = ["PartPredictor", "load_models", "model_hash"]

log = logging.getLogger(__name__)

#: With reduced decoding: pixels that a face must keep per pixel of the network's input, along each side.
OVERSAMPLING = 2


@dataclass(frozen=True)
class PartPredictor:
    """Turns pictures into parts of a result. Holds no state between calls.

    `hashes` are the models' checkpoints, where known; without `detector` each picture is taken as one face. `workers`
    threads decode pictures and detect faces; up to `in_flight` batches are in the networks at once. JPEG files are
    decoded at a reduced size where their faces allow it (see `photos.detect_faces`), unless `full_decode` is set.
    `check_crops` computes the warnings of ready-made crops.
    """

    models: tuple[EmotionPredictor, ...]
    hashes: tuple[str | None, ...]
    batch_size: int = 64
    detector: FaceDetector | None = None
    workers: int = 1
    in_flight: int = 1
    full_decode: bool = False
    check_crops: bool = False

    def parts(self, pictures: Iterable[Picture], start: int, size: int) -> Iterator[ResultPart]:
        """The rows of each `size` pictures; `start` is the position of the first one.

        Batches end with a part, so a part's probabilities do not depend on the parts before it: resuming a run changes
        no bit. The next part is started while the last batches of a part are in the networks.
        """
        numbered = ((position, picture) for position, picture in enumerate(pictures, start))
        with ThreadPoolExecutor(self.in_flight) as pool, closing(prefetch(numbered, self._read, self.workers)) as read:
            waiting: _Part | None = None
            part = _Part(self, pool)
            for picture in read:
                part.add(picture)
                if len(part.pictures) == size:
                    if waiting is not None:
                        yield waiting.finish()
                    waiting, part = part, _Part(self, pool)
            for last in (waiting, part):
                if last is not None and last.pictures:
                    yield last.finish()

    @cached_property
    def preprocessors(self) -> list[Any]:
        """The different preprocessors of the models."""
        return list({model.preprocessor.config: model.preprocessor for model in self.models}.values())

    @cached_property
    def min_face(self) -> int | None:
        """The side in pixels that a face must keep in a reduced photo; None where photos are decoded at full size."""
        configs = [preprocessor.config for preprocessor in self.preprocessors]
        return None if self.full_decode else OVERSAMPLING * max(config.face_size or config.size for config in configs)

    def _read(self, numbered: tuple[int, Picture]) -> PreparedPicture:
        """Decode a picture, detect its faces and prepare them.

        An error of the picture is stored in its row; an error of the setup (EmotionHubError) is raised.
        """
        position, picture = numbered
        name = (picture.source, position, picture.time)
        try:
            photo = detect_faces(picture.read(), self.detector, self.min_face, check_crops=self.check_crops)
            planes = tuple(_planes(preprocessor, photo.crops) for preprocessor in self.preprocessors)
        except InputError as error:
            return PreparedPicture(*name, error=str(error))
        except EmotionHubError:
            raise
        except Exception as error:  # one picture must not end the run, which would fail again when it is resumed
            log.warning("%s", picture.source, exc_info=error)
            return PreparedPicture(*name, error=f"{type(error).__name__}: {error}")
        return PreparedPicture(*name, photo.width, photo.height, photo.faces, planes)


class _Part:
    """A part in progress; gray planes are released as soon as their batch is predicted."""

    def __init__(self, predictor: PartPredictor, pool: ThreadPoolExecutor) -> None:
        self.predictor = predictor
        self.pictures: list[PreparedPicture] = []
        depth = 2 * predictor.in_flight
        self.queues = [_ModelQueue(model, predictor.batch_size, pool, depth) for model in predictor.models]
        #: For each model the index of its preprocessor.
        self.plane_indices = [
            next(i for i, p in enumerate(predictor.preprocessors) if p.config == model.preprocessor.config)
            for model in predictor.models
        ]

    def add(self, picture: PreparedPicture) -> None:
        if picture.faces:
            for queue, index in zip(self.queues, self.plane_indices, strict=True):
                queue.add(picture.planes[index])
            picture = replace(picture, planes=())
        self.pictures.append(picture)

    def finish(self) -> ResultPart:
        models = zip(self.predictor.models, self.predictor.hashes, self.queues, strict=True)
        return ResultPart(
            self.pictures,
            [
                ModelRows(model.name, checkpoint, model.classes.labels, *queue.finish())
                for model, checkpoint, queue in models
            ],
        )


class _ModelQueue:
    """The batches of one network in one part; at most `depth` of them are in flight."""

    def __init__(self, model: EmotionPredictor, batch_size: int, pool: ThreadPoolExecutor, depth: int) -> None:
        self.model, self.batch_size, self.pool, self.depth = model, batch_size, pool, depth
        self.waiting: list[np.ndarray] = []
        self.batches: list[Future[tuple[np.ndarray, np.ndarray | None]]] = []

    def add(self, planes: np.ndarray) -> None:
        self.waiting.extend(planes)
        while len(self.waiting) >= self.batch_size:
            self._submit(self.waiting[: self.batch_size])
            del self.waiting[: self.batch_size]

    def finish(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Probabilities, float32, (faces, labels), and the members of prediction sets, bool, of the same shape or None.

        The second is None for a model without prediction sets, and without faces.
        """
        if self.waiting:
            self._submit(self.waiting)
        if not self.batches:
            return np.empty((0, len(self.model.classes)), np.float32), None
        probs, members = zip(*(batch.result() for batch in self.batches), strict=True)
        return np.concatenate(probs), None if members[0] is None else np.concatenate(members)

    def _submit(self, planes: list[np.ndarray]) -> None:
        if len(self.batches) >= self.depth:
            self.batches[-self.depth].result()
        self.batches.append(self.pool.submit(self._run, np.stack(planes)))

    def _run(self, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        logits = self.model.backend.logits(self.model.preprocessor.normalise(planes))
        return self.model.probs(logits).astype(np.float32), self.model.set_members(logits)


def load_models(
    names: Sequence[str | Path | EmotionPredictor], backends: Sequence[str], workers: int
) -> tuple[tuple[EmotionPredictor, ...], int]:
    """The predictors, and how many batches may be in flight at once.

    Models given by name are loaded with the backend at the same position. ONNX Runtime gets one thread per call and
    `workers` calls at once: threads that share a call wait for each other whenever a core is busy with decoding.
    Torch's threads belong to the process, so its calls run one after another, as do those of predictors that were
    passed in.
    """
    models = []
    for name, backend in zip(names, backends, strict=True):
        models.append(
            name
            if isinstance(name, EmotionPredictor)
            else EmotionPredictor.from_pretrained(name, backend=backend, threads=1)
        )
    serial = any(isinstance(name, EmotionPredictor) for name in names) or any(
        model.backend_name == "torch" for model in models
    )
    return tuple(models), 1 if serial else workers


def model_hash(model: EmotionPredictor) -> str | None:
    """SHA-256 of a model's weights; None for a backend that has none."""
    if (known := getattr(model.backend, "weights", None)) is not None:
        return known
    if (classifier := getattr(model.backend, "classifier", None)) is None:
        return None
    from emotion_hub.onnx.export import weights_hash

    return weights_hash(classifier)


def _planes(preprocessor: Any, faces: Sequence[Any]) -> np.ndarray:
    """The gray levels of the prepared faces: uint8, (faces, side, side); three channels are equal."""
    side = preprocessor.config.size
    planes = np.empty((len(faces), side, side), np.uint8)
    for plane, face in zip(planes, faces, strict=True):
        pixels = np.asarray(preprocessor.prepare(face.image))
        plane[...] = pixels if pixels.ndim == 2 else pixels[..., 0]
    return planes
