"""EmotionPredictor: from an image to predictions.

One class with the public way in for every interface; it is longer than other modules because its docstrings are the
reference of `from_pretrained` and `predict`.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.backend_names import AUTO, BACKENDS
from emotion_hub.backends import Backend, CheckpointBackends, OnnxBackend, default_backend
from emotion_hub.detectors import FaceDetector, detector_or
from emotion_hub.errors import ImageError, InputError
from emotion_hub.faces import DetectedPhoto, Face, locate, whole_image
from emotion_hub.images import ImageSource
from emotion_hub.labels import LabelSet, label_set
from emotion_hub.prediction_sets import PredictionSets
from emotion_hub.preprocess import Preprocessor
from emotion_hub.results import ComparedSide, Prediction

__all__ = ["EmotionPredictor", "check_repeats", "embedded_predictor", "softmax"]


class EmotionPredictor:
    """Predicts the expression of faces. It holds no state between calls, so threads may share one.

    `labels` are the network's labels in the order of its logits, `answer_labels` the set that predictions are over
    where it is another one. `detector` None means `default_detector()` at each call. `prediction_sets` is the rule of
    `Prediction.prediction_set`, None where the checkpoint has none.
    """

    def __init__(
        self,
        backend: Backend,
        labels: LabelSet,
        preprocessor: Preprocessor,
        *,
        name: str = "custom",
        detector: FaceDetector | str | None = None,
        answer_labels: LabelSet | None = None,
        backends: CheckpointBackends | None = None,
        prediction_sets: PredictionSets | None = None,
    ) -> None:
        """A predictor made of parts; `from_pretrained` is the usual way. `backends` loads the same checkpoint again.

        Raises DetectorError for an unknown detector's name.
        """
        self.backend = backend
        self.labels = labels
        self.preprocessor = preprocessor
        self.name = name
        self.detector = detector_or(detector, None)
        self.answer_labels = answer_labels
        self._backends = backends
        self.prediction_sets = prediction_sets

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
        detector: FaceDetector | str | None = None,
        threads: int | None = None,
        labels: str | Sequence[str] | LabelSet | None = None,
    ) -> EmotionPredictor:
        """The predictor of an embedded checkpoint ("native48", "upscale224"), a folder or a Hub id.

        - `revision` pins a Hub id's branch, tag or commit; `token`, `cache_dir` and `local_files_only` are as in
          huggingface_hub.
        - `backend` is "auto" or one of `BACKENDS`. "auto" is `default_backend`: ONNX Runtime where the checkpoint has a
          `model.onnx` and `device` names no accelerator, else torch. "onnx" runs on the CPU without importing torch; a
          checkpoint without `model.onnx` is exported once (`emotion_hub.onnx.files`). "onnx-int8" reads its
          `model_int8.onnx`.
        - `threads` is the number of threads of one call of ONNX Runtime, by default the machine's cores.
        - `device` is torch's name of a device, by default the accelerator or the CPU.
        - `detector` is a name of `emotion_hub.detectors.DETECTORS` or a detector; `labels` is as in `with_labels`.

        Raises UnknownModelError for a name that is none of these, CheckpointError for a checkpoint that is not
        available or cannot be used, InputError for an unknown backend or a device that cannot be used,
        DetectorError for an unknown detector, LabelError for labels that the network does not have,
        MissingDependencyError without the extra `torch`.
        """
        source = name_or_folder_or_hub_id
        where: dict[str, Any] = {
            "revision": revision,
            "token": token,
            "cache_dir": cache_dir,
            "local_files_only": local_files_only,
        }
        if backend not in (AUTO, *BACKENDS):
            raise InputError(f"backend={backend!r}; choose from {', '.join((AUTO, *BACKENDS))}")
        if backend == AUTO:
            backend = default_backend(source, device, **where)
        if backend != "torch" and device not in (None, "cpu"):
            raise InputError(
                f"device={device!r}: ONNX Runtime predicts on the CPU here; leave device out, or use backend='torch'"
            )
        backends = CheckpointBackends(source, where, device, threads)
        loaded = backends.load(backend)
        preprocessor = Preprocessor(loaded.preprocess)
        predictor = cls(
            loaded,
            loaded.labels,
            preprocessor,
            name=str(source),
            detector=detector,
            backends=backends,
            prediction_sets=loaded.prediction_sets,
        )
        return predictor if labels is None else predictor.with_labels(labels)

    @classmethod
    def from_onnx(
        cls,
        path: str | Path,
        *,
        name: str | None = None,
        detector: FaceDetector | str | None = None,
        threads: int | None = None,
    ) -> EmotionPredictor:
        """The predictor of a file written by `emotion_hub.onnx.export.export_onnx`, on ONNX Runtime, without torch.

        `threads` is the number of threads of one call, by default the machine's cores. Raises CheckpointError for an
        ONNX file not written by emotion_hub.
        """
        backend = OnnxBackend(path, threads)
        preprocessor = Preprocessor(backend.preprocess)
        return cls(
            backend,
            backend.labels,
            preprocessor,
            name=name or Path(path).stem,
            detector=detector,
            prediction_sets=backend.prediction_sets,
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
        """float64, (N, len(classes)), each row summing to 1, from the network's logits, (N, num_classes)."""
        probs = softmax(logits)
        if self.answer_labels is None:
            return probs
        kept = probs[:, [self.labels.index(label) for label in self.answer_labels.labels]]
        return kept / kept.sum(axis=1, keepdims=True)

    def set_members(self, logits: np.ndarray) -> np.ndarray | None:
        """bool, (N, len(classes)): the labels in each prediction set, from the network's logits, (N, num_classes).

        None where the checkpoint has no prediction sets.
        """
        if self.prediction_sets is None:
            return None
        return self.prediction_sets.members(softmax(logits), self.labels.labels, self.answer_labels)

    def with_upsample(self, upsample: str) -> EmotionPredictor:
        """The same network fed through another upsampling filter; raises ConfigError for an unknown one.

        For comparison only: the network was trained on the filter that its configuration names.
        """
        config = dataclasses.replace(self.preprocessor.config, upsample=upsample)
        return self._replace(preprocessor=Preprocessor(config))

    def with_labels(self, labels: str | Sequence[str] | LabelSet) -> EmotionPredictor:
        """The same network with predictions over another label set: a preset such as "six_class", or labels.

        Labels outside the set are left out and the rest is renormalised to 1: the prediction is the network's,
        given that one of the set's labels is true. `Prediction.left_out` tells the probability that was dropped.
        Explanations stay those of the network's own labels. Raises LabelError for a label that the network does not
        have.
        """
        wanted = label_set(labels)
        for label in wanted.labels:
            self.labels.index(label)
        return self._replace(answer_labels=None if wanted.labels == self.labels.labels else wanted)

    def with_backend(self, backend: str) -> EmotionPredictor:
        """The same checkpoint on one of `BACKENDS`, loaded at the first call and kept.

        Raises InputError for an unknown backend, and for a predictor that did not come from `from_pretrained`.
        """
        if backend not in BACKENDS:
            raise InputError(f"backend={backend!r}; choose from {', '.join(BACKENDS)}")
        if backend == self.backend_name:
            return self
        if self._backends is None:
            raise InputError(
                f"{self.name} was not loaded by from_pretrained, so it cannot be loaded again on {backend}; it runs on "
                f"{self.backend_name}"
            )
        return self._replace(backend=self._backends.load(backend))

    def with_name(self, name: str) -> EmotionPredictor:
        """The same predictor under another name, which its predictions then carry as `model`."""
        return self._replace(name=name)

    def _replace(self, **attributes: Any) -> EmotionPredictor:
        """A copy with some attributes replaced."""
        other = copy.copy(self)
        vars(other).update(attributes)
        return other

    def predict(self, image: ImageSource, *, whole: bool = False) -> list[Prediction]:
        """One Prediction per face, largest face first; an empty list when the image has none.

        `whole=True` takes the whole image as the face. Raises ImageError for content that is not an image.
        """
        return self.predict_detected([locate(image, self.detector, whole=whole)])[0]

    def predict_batch(
        self, images: Iterable[ImageSource], batch_size: int = 32, *, whole: bool = False
    ) -> list[list[Prediction]]:
        """`predict` for many images: one list per image, in their order; the network gets `batch_size` faces at once.

        An image is released as soon as its faces are prepared, so `images` may be a long generator. Raises the first
        ImageError, with the position of its image; nothing is returned then.
        """
        batch = _Batch(self, batch_size)
        for position, image in enumerate(images):
            try:
                batch.add(locate(image, self.detector, whole=whole))
            except ImageError as error:
                raise type(error)(f"picture {position} of the batch: {error}") from error
        return batch.finish()

    def predict_detected(self, photos: Iterable[DetectedPhoto], batch_size: int = 32) -> list[list[Prediction]]:
        """`predict_batch` for photos whose faces are detected already."""
        batch = _Batch(self, batch_size)
        for photo in photos:
            batch.add(photo)
        return batch.finish()

    def predict_faces(self, faces: Iterable[Image.Image], batch_size: int = 32) -> list[Prediction]:
        """One Prediction per cropped face (PIL, any size and mode); nothing is detected."""
        photos = (DetectedPhoto(face, (whole_image(face),), {}) for face in faces)
        return [prediction for [prediction] in self.predict_detected(photos, batch_size)]

    def pipeline(self, face: Face, timings: Mapping[str, float] | None = None, *, repeats: int = 1) -> ComparedSide:
        """One side of a comparison for one face; its timings are those of the median of `repeats` runs.

        `timings` are the milliseconds of the steps before preprocessing. Raises InputError for `repeats` below 1.
        """
        check_repeats(repeats)
        config = self.preprocessor.config
        photo = DetectedPhoto(face.image, (face,), timings or {})
        runs = [self.predict_detected([photo])[0][0] for _ in range(repeats)]
        return ComparedSide(
            prediction=sorted(runs, key=lambda run: run.timings["total"])[(repeats - 1) // 2],
            prepared=self.preprocessor.prepare(face.image),
            parameters=self.backend.num_parameters,
            input_bytes=4 * config.channels * config.size**2,
        )


class _Batch:
    """Prepared faces of one or more photos; the network runs whenever `size` of them wait."""

    def __init__(self, predictor: EmotionPredictor, size: int) -> None:
        if size < 1:
            raise InputError(f"batch_size={size}: the network needs at least one face per batch")
        self.predictor, self.size = predictor, size
        self.predictions: list[list[Prediction]] = []
        self.waiting: list[tuple[dict[str, Any], np.ndarray, dict[str, float], list[Prediction]]] = []

    def add(self, photo: DetectedPhoto) -> None:
        """Prepare the faces of one photo; their arrays are kept, the photo is not."""
        predictions: list[Prediction] = []
        for face in photo.faces:
            started = time.perf_counter()
            array = self.predictor.preprocessor(face.image)
            timings = {**photo.timings, "preprocess": (time.perf_counter() - started) * 1000}
            found = {"bbox": face.bbox, "score": face.score, "detector": face.detector, "warnings": face.warnings}
            self.waiting.append((found, array, timings, predictions))
            if len(self.waiting) == self.size:
                self._run()
        self.predictions.append(predictions)

    def finish(self) -> list[list[Prediction]]:
        """Every photo's predictions, in the order of `add`."""
        if self.waiting:
            self._run()
        return self.predictions

    def _run(self) -> None:
        started = time.perf_counter()
        arrays = [array for _, array, _, _ in self.waiting]
        probs = softmax(self.predictor.backend.logits(arrays[0][None] if len(arrays) == 1 else np.stack(arrays)))
        share = (time.perf_counter() - started) * 1000 / len(self.waiting)
        for (found, _, timings, predictions), row in zip(self.waiting, probs, strict=True):
            predictions.append(
                Prediction.of(
                    dict(zip(self.predictor.labels.labels, row.tolist(), strict=True)),
                    self.predictor.name,
                    {**timings, "inference": share},
                    self.predictor.answer_labels,
                    prediction_sets=self.predictor.prediction_sets,
                    **found,
                )
            )
        self.waiting.clear()


_LOADING = threading.Lock()


def embedded_predictor(name: str, backend: str = AUTO) -> EmotionPredictor:
    """The shared predictor of an embedded checkpoint, loaded once per process, also by concurrent threads."""
    with _LOADING:
        return _embedded_predictor(name, backend)


@lru_cache(maxsize=16)
def _embedded_predictor(name: str, backend: str) -> EmotionPredictor:
    if backend == AUTO:  # the same predictor as under the backend's own name
        return _embedded_predictor(name, default_backend(name))
    return EmotionPredictor.from_pretrained(name, backend=backend)


def check_repeats(repeats: int) -> None:
    """Raise InputError for fewer than one run of a pipeline."""
    if repeats < 1:
        raise InputError(f"repeats={repeats}: each pipeline runs at least once")


def softmax(logits: np.ndarray) -> np.ndarray:
    """float64, the same shape: probabilities along the last axis, each row summing to 1."""
    if logits.ndim == 2 and len(logits) == 1:  # plain floats take half the time of array calls on one row
        row = logits[0].tolist()
        top = max(row)
        raised = [math.exp(value - top) for value in row]
        total = sum(raised)
        return np.array([[value / total for value in raised]])
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
