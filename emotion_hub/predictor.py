"""From a picture to predictions: decode, find faces, prepare, run the network."""

from __future__ import annotations

import copy
import dataclasses
import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.backend_names import AUTO, BACKENDS
from emotion_hub.backends import Backend, CheckpointBackends, OnnxBackend, default_backend
from emotion_hub.detectors import FaceDetector
from emotion_hub.errors import ImageError, InputError
from emotion_hub.faces import Face, find_faces, whole_image
from emotion_hub.images import ImageSource, load_image
from emotion_hub.labels import LabelSet, label_set
from emotion_hub.preprocess import Preprocessor
from emotion_hub.results import ComparedSide, Comparison, Prediction

__all__ = ["DetectedPhoto", "EmotionPredictor", "compare", "compare_scene", "embedded_predictor", "locate", "softmax"]


@dataclass(frozen=True)
class DetectedPhoto:
    """A decoded photo (upright RGB), the faces in it and the milliseconds of `decode` and `detect`."""

    photo: Image.Image
    faces: tuple[Face, ...]
    timings: Mapping[str, float]


class EmotionPredictor:
    """Predicts expressions. Holds no state between calls, so threads may share one."""

    def __init__(
        self,
        backend: Backend,
        labels: LabelSet,
        preprocessor: Preprocessor,
        *,
        name: str = "custom",
        detector: FaceDetector | None = None,
        answer_labels: LabelSet | None = None,
    ) -> None:
        """Parts put together by hand; `from_pretrained` is the usual way. `detector` None means the default one.

        `labels` are the network's, in the order of its logits; predictions are over `answer_labels` where they are given.
        """
        self.backend, self.labels, self.preprocessor, self.name, self.detector = (
            backend,
            labels,
            preprocessor,
            name,
            detector,
        )
        self.answer_labels = answer_labels
        self._backends: CheckpointBackends | None = None

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder_or_hub_id: str | Path,
        revision: str | None = None,
        device: str | None = None,
        *,
        backend: str = AUTO,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        detector: FaceDetector | None = None,
        threads: int | None = None,
        labels: str | Sequence[str] | LabelSet | None = None,
    ) -> EmotionPredictor:
        """The predictor of an embedded checkpoint ("native48", "upscale224"), a folder or a Hub id.

        `revision` pins a Hub id's branch, tag or commit; `token`, `cache_dir` and `local_files_only` are as in huggingface_hub. `backend` is "auto" or
        one of `BACKENDS`. "auto" is `default_backend`: ONNX Runtime where the checkpoint has a `model.onnx` and `device` names no accelerator, else
        torch. With "onnx" ONNX Runtime predicts on the CPU and torch is not imported; a checkpoint without `model.onnx` is exported once
        (`emotion_hub.onnx.files`). "onnx-int8" takes its `model_int8.onnx`. `threads` are those of one call of ONNX Runtime, by default the machine's
        cores. `device` is torch's name of one, by default the accelerator or the CPU. `labels` is as in `with_labels`.

        Raises UnknownModelError for a name that is none of these, CheckpointError for a checkpoint that cannot be had or used, InputError for another
        backend or a device that cannot be used, LabelError for labels the network does not know, MissingDependencyError without the extra `torch`.
        """
        where = {"revision": revision, "token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
        if backend not in (AUTO, *BACKENDS):
            raise InputError(f"backend={backend!r}; choose from {', '.join((AUTO, *BACKENDS))}")
        if backend == AUTO:
            backend = default_backend(name_or_folder_or_hub_id, device, **where)
        if backend != "torch" and device not in (None, "cpu"):
            raise InputError(
                f"device={device!r}: ONNX Runtime predicts on the CPU here; leave device out, or use backend='torch'"
            )
        backends = CheckpointBackends(name_or_folder_or_hub_id, where, device, threads)
        loaded = backends.load(backend)
        predictor = cls(
            loaded,
            loaded.labels,
            Preprocessor(loaded.preprocess),
            name=str(name_or_folder_or_hub_id),
            detector=detector,
        )
        predictor._backends = backends
        return predictor if labels is None else predictor.with_labels(labels)

    @classmethod
    def from_onnx(
        cls,
        path: str | Path,
        *,
        name: str | None = None,
        detector: FaceDetector | None = None,
        threads: int | None = None,
    ) -> EmotionPredictor:
        """The predictor of a file that `emotion_hub.onnx.export.export_onnx` wrote, on ONNX Runtime, without torch.

        `threads` are those of one call, by default the machine's cores. Raises CheckpointError for a file that is none of ours and
        MissingDependencyError without ONNX Runtime.
        """
        backend = OnnxBackend(path, threads)
        return cls(
            backend, backend.labels, Preprocessor(backend.preprocess), name=name or Path(path).stem, detector=detector
        )

    @property
    def backend_name(self) -> str:
        """What runs the network: one of `BACKENDS`, or another backend's class name in lower case."""
        name = type(self.backend).__name__.removesuffix("Backend").lower()
        return f"{name}-int8" if getattr(self.backend, "storage", None) == "int8" else name

    @property
    def classes(self) -> LabelSet:
        """The labels of its predictions, in their order: `answer_labels`, or the network's."""
        return self.answer_labels or self.labels

    def probs(self, logits: np.ndarray) -> np.ndarray:
        """float64, (N, len(classes)), each row summing to 1, of the network's logits (N, num_classes)."""
        probs = softmax(logits)
        if self.answer_labels is None:
            return probs
        kept = probs[:, [self.labels.index(label) for label in self.answer_labels.labels]]
        return kept / kept.sum(axis=1, keepdims=True)

    def with_upsample(self, upsample: str) -> EmotionPredictor:
        """The same network fed through another upsampling filter; raises ConfigError for an unknown one.

        For comparison only: the network was trained on the filter its configuration names.
        """
        return self._with(preprocessor=Preprocessor(dataclasses.replace(self.preprocessor.config, upsample=upsample)))

    def with_labels(self, labels: str | Sequence[str] | LabelSet) -> EmotionPredictor:
        """The same network with predictions over another label set: a name of `LABEL_SETS` such as "six_class", or expressions.

        Labels outside the set are left out and the rest is renormalised to 1: the answer is the network's, given that one of the set's labels is true.
        `Prediction.left_out` tells the probability that was dropped. Explanations stay those of the network's own labels. Raises LabelError for a
        label that the network does not know.
        """
        wanted = label_set(labels)
        for label in wanted.labels:
            self.labels.index(label)
        return self._with(answer_labels=None if wanted.labels == self.labels.labels else wanted)

    def with_backend(self, backend: str) -> EmotionPredictor:
        """The same checkpoint on one of `BACKENDS`, loaded at the first call and kept. Raises InputError for another backend, and for a predictor that
        did not come from `from_pretrained`."""
        if backend not in BACKENDS:
            raise InputError(f"backend={backend!r}; choose from {', '.join(BACKENDS)}")
        if backend == self.backend_name:
            return self
        if self._backends is None:
            raise InputError(
                f"{self.name} was not loaded by from_pretrained, so it cannot be loaded again on {backend}; it runs on {self.backend_name}"
            )
        return self._with(backend=self._backends.load(backend))

    def _with(self, **changed: Any) -> EmotionPredictor:
        """A copy with some attributes replaced."""
        other = copy.copy(self)
        vars(other).update(changed)
        return other

    def predict(self, image: ImageSource, *, whole: bool = False) -> list[Prediction]:
        """One Prediction a face, largest face first; an empty list when the picture has none.

        `whole=True` takes the whole picture as the face. Raises ImageError for what is not a picture.
        """
        return self.predict_detected([locate(image, self.detector, whole=whole)])[0]

    def predict_batch(
        self, images: Iterable[ImageSource], batch_size: int = 32, *, whole: bool = False
    ) -> list[list[Prediction]]:
        """`predict` for many pictures: one list a picture, in their order; the network sees `batch_size` faces at once.

        A picture is let go as soon as its faces are prepared, so `images` may be a long generator. Raises the first
        ImageError, with the position of its picture; nothing is returned then.
        """
        batch = _Batch(self, batch_size)
        for position, image in enumerate(images):
            try:
                batch.add(locate(image, self.detector, whole=whole))
            except ImageError as error:
                raise type(error)(f"picture {position} of the batch: {error}") from error
        return batch.finish()

    def predict_detected(self, scenes: Iterable[DetectedPhoto], batch_size: int = 32) -> list[list[Prediction]]:
        """`predict_batch` for photos whose faces `locate` has found already."""
        batch = _Batch(self, batch_size)
        for scene in scenes:
            batch.add(scene)
        return batch.finish()

    def predict_faces(self, faces: Iterable[Image.Image], batch_size: int = 32) -> list[Prediction]:
        """One Prediction for each ready-made face crop (PIL, any size and mode); nothing is detected."""
        scenes = (DetectedPhoto(face, (whole_image(face),), {}) for face in faces)
        return [prediction for [prediction] in self.predict_detected(scenes, batch_size)]

    def pipeline(self, face: Face, spent: Mapping[str, float] | None = None, *, repeats: int = 1) -> ComparedSide:
        """One side of a comparison for one face; its timings are those of the median of `repeats` runs."""
        _at_least_once(repeats)
        config = self.preprocessor.config
        scene = DetectedPhoto(face.image, (face,), spent or {})
        runs = [self.predict_detected([scene])[0][0] for _ in range(repeats)]
        return ComparedSide(
            prediction=sorted(runs, key=lambda run: run.timings["total"])[(repeats - 1) // 2],
            prepared=self.preprocessor.prepare(face.image),
            parameters=self.backend.num_parameters,
            input_bytes=4 * config.channels * config.size**2,
        )


class _Batch:
    """Faces on their way through the network: prepared as they come, answered `size` at a time."""

    def __init__(self, predictor: EmotionPredictor, size: int) -> None:
        if size < 1:
            raise InputError(f"batch_size={size}: at least one face goes through the network at a time")
        self.predictor, self.size = predictor, size
        self.answers: list[list[Prediction]] = []
        self.waiting: list[tuple[dict[str, Any], np.ndarray, dict[str, float], list[Prediction]]] = []

    def add(self, scene: DetectedPhoto) -> None:
        """Prepare the faces of one photo; only the arrays are kept."""
        mine: list[Prediction] = []
        for face in scene.faces:
            begun = time.perf_counter()
            array = self.predictor.preprocessor(face.image)
            timings = {**scene.timings, "preprocess": _ms(begun)}
            self.waiting.append(
                ({"bbox": face.bbox, "score": face.score, "detector": face.detector}, array, timings, mine)
            )
            if len(self.waiting) == self.size:
                self._answer()
        self.answers.append(mine)

    def finish(self) -> list[list[Prediction]]:
        """Every photo's predictions, in the order they came."""
        if self.waiting:
            self._answer()
        return self.answers

    def _answer(self) -> None:
        begun = time.perf_counter()
        arrays = [array for _, array, _, _ in self.waiting]
        probs = softmax(self.predictor.backend.logits(arrays[0][None] if len(arrays) == 1 else np.stack(arrays)))
        share = _ms(begun) / len(self.waiting)
        for (found, _, timings, mine), row in zip(self.waiting, probs, strict=True):
            named = dict(zip(self.predictor.labels.labels, row.tolist(), strict=True))
            mine.append(
                Prediction.of(
                    named, self.predictor.name, {**timings, "inference": share}, self.predictor.answer_labels, **found
                )
            )
        self.waiting.clear()


def locate(image: ImageSource, detector: FaceDetector | None = None, *, whole: bool = False) -> DetectedPhoto:
    """The upright photo, its faces largest first, and the time it took. Raises ImageError for what is not a picture."""
    begun = time.perf_counter()
    photo = load_image(image)
    decode = _ms(begun)
    begun = time.perf_counter()
    faces = [whole_image(photo)] if whole else find_faces(photo, detector)
    return DetectedPhoto(photo, tuple(faces), {"decode": decode, "detect": _ms(begun)})


def compare(
    image: ImageSource,
    *,
    native48: EmotionPredictor | None = None,
    upscale224: EmotionPredictor | None = None,
    detector: FaceDetector | None = None,
    whole: bool = False,
    repeats: int = 1,
    labels: str | Sequence[str] | LabelSet | None = None,
) -> list[Comparison]:
    """Both pipelines' predictions for each face, largest first; those of the embedded checkpoints where none are given.

    The faces are detected once, so both get the same crop. Each pipeline runs `repeats` times and reports its median run,
    for ratios that mean something. `labels` is as in `EmotionPredictor.with_labels`. Raises ImageError for what is not a picture.
    """
    sides = [native48 or embedded_predictor("native48"), upscale224 or embedded_predictor("upscale224")]
    if labels is not None:
        sides = [side.with_labels(labels) for side in sides]
    scene = locate(image, detector or sides[0].detector, whole=whole)
    return compare_scene(scene, native48=sides[0], upscale224=sides[1], repeats=repeats)


def compare_scene(
    scene: DetectedPhoto,
    *,
    native48: EmotionPredictor | None = None,
    upscale224: EmotionPredictor | None = None,
    repeats: int = 1,
    limit: int | None = None,
) -> list[Comparison]:
    """`compare` for a photo whose faces `locate` has found already; of many faces the `limit` largest."""
    _at_least_once(repeats)  # also when the photo has no face
    sides = (native48 or embedded_predictor("native48"), upscale224 or embedded_predictor("upscale224"))
    return [
        Comparison(*(side.pipeline(face, scene.timings, repeats=repeats) for side in sides))
        for face in scene.faces[:limit]
    ]


_LOADING = threading.Lock()


def embedded_predictor(name: str, backend: str = AUTO) -> EmotionPredictor:
    """The shared predictor of an embedded checkpoint, loaded once per process, also when several threads ask at once."""
    with _LOADING:
        return _embedded_predictor(name, backend)


@lru_cache(maxsize=16)
def _embedded_predictor(name: str, backend: str) -> EmotionPredictor:
    if backend == AUTO:  # the same predictor as under the backend's own name
        return _embedded_predictor(name, default_backend(name))
    return EmotionPredictor.from_pretrained(name, backend=backend)


def softmax(logits: np.ndarray) -> np.ndarray:
    """float64, the same shape: probabilities along the last axis, each row summing to 1."""
    if (
        logits.ndim == 2 and len(logits) == 1
    ):  # plain numbers take half the time of array calls, a fifteenth of a whole prediction
        row = logits[0].tolist()
        top = max(row)
        raised = [math.exp(value - top) for value in row]
        total = sum(raised)
        return np.array([[value / total for value in raised]])
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _at_least_once(repeats: int) -> None:
    if repeats < 1:
        raise InputError(f"repeats={repeats}: each pipeline runs at least once")


def _ms(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000
