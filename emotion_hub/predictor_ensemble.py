"""PredictorEnsemble: mean probabilities of predictors with different inputs."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from emotion_hub.backend_names import AUTO
from emotion_hub.detectors import FaceDetector, detector_or
from emotion_hub.errors import ImageError, InputError, LabelError
from emotion_hub.faces import DetectedPhoto, locate, whole_image
from emotion_hub.images import ImageSource
from emotion_hub.labels import LabelSet, label_set
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.results import Prediction

__all__ = ["PredictorEnsemble", "from_names"]

#: The character between the members' names.
_JOIN = "+"


class PredictorEnsemble:
    """Predicts the weighted mean of its members' probabilities. Threads may share one, as it holds no state.

    Each member prepares the same crop of a face by its own preprocessing, so that networks of 48 and of 224 pixels
    can vote together. `weights` sum to 1. For networks that share one preprocessing, `emotion_hub.models.ensemble`
    makes one checkpoint.
    """

    def __init__(
        self,
        members: Sequence[EmotionPredictor],
        *,
        weights: Sequence[float] | None = None,
        name: str | None = None,
        detector: FaceDetector | str | None = None,
        answer_labels: LabelSet | None = None,
    ) -> None:
        """An ensemble of at least two predictors; `from_pretrained` loads them by name.

        `weights` are positive and need not sum to 1; None weighs all members equally. `name` is by default the
        members' names, joined by "+", and `detector` is by default that of the first member. Labels are matched by
        name and have the first member's order.

        Raises InputError for fewer than two members and for invalid weights, LabelError for members with different
        labels or with `with_labels`, DetectorError for an unknown detector's name.
        """
        self.members = tuple(members)
        if len(self.members) < 2:
            raise InputError(f"an ensemble of {len(self.members)} predictors; give at least two")
        self.labels = _shared_labels(self.members)
        self.weights = _shares(weights, len(self.members))
        self.name = name or _JOIN.join(member.name for member in self.members)
        self.detector = detector_or(detector, self.members[0].detector)
        self.answer_labels = answer_labels

    @classmethod
    def from_pretrained(
        cls,
        names_or_folders_or_hub_ids: Sequence[str | Path],
        *,
        weights: Sequence[float] | None = None,
        backend: str = AUTO,
        device: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        detector: FaceDetector | str | None = None,
        threads: int | None = None,
        labels: str | Sequence[str] | LabelSet | None = None,
    ) -> PredictorEnsemble:
        """The ensemble of checkpoints such as ["native48", "upscale224"]; arguments as in EmotionPredictor's.

        `detector` and `labels` belong to the ensemble, `weights` is as in `PredictorEnsemble`, the others are given to
        each member. Raises the errors of `EmotionPredictor.from_pretrained` and of `PredictorEnsemble`.
        """
        sources = names_or_folders_or_hub_ids
        if isinstance(sources, str | Path):
            raise InputError(f"{str(sources)!r} is one checkpoint; give a list, such as ['native48', 'upscale224']")
        members = [
            EmotionPredictor.from_pretrained(
                source,
                device=device,
                backend=backend,
                token=token,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                threads=threads,
            )
            for source in sources
        ]
        ensemble = cls(members, weights=weights, detector=detector)
        return ensemble if labels is None else ensemble.with_labels(labels)

    @property
    def backend_name(self) -> str:
        """What runs the networks: one of `BACKENDS`, or several joined by "+"."""
        return _JOIN.join(dict.fromkeys(member.backend_name for member in self.members))

    @property
    def classes(self) -> LabelSet:
        """The labels of its predictions, in their order: `answer_labels`, or the networks'."""
        return self.answer_labels or self.labels

    @property
    def num_parameters(self) -> int:
        """The number of weights of all members."""
        return sum(member.backend.num_parameters for member in self.members)

    def with_labels(self, labels: str | Sequence[str] | LabelSet) -> PredictorEnsemble:
        """The same ensemble with predictions over another label set, as `EmotionPredictor.with_labels`.

        The mean is taken over all labels first; then labels outside the set are left out and the rest is renormalised
        to 1. Raises LabelError for a label that the networks do not have.
        """
        wanted = label_set(labels)
        for label in wanted.labels:
            self.labels.index(label)
        return self._replace(answer_labels=None if wanted.labels == self.labels.labels else wanted)

    def with_backend(self, backend: str) -> PredictorEnsemble:
        """The same checkpoints on one of `BACKENDS`, as `EmotionPredictor.with_backend`."""
        return self._replace(members=tuple(member.with_backend(backend) for member in self.members))

    def with_name(self, name: str) -> PredictorEnsemble:
        """The same ensemble under another name, which its predictions then carry as `model`."""
        return self._replace(name=name)

    def _replace(self, **attributes: Any) -> PredictorEnsemble:
        """A copy with some attributes replaced."""
        other = copy.copy(self)
        vars(other).update(attributes)
        return other

    def predict(self, image: ImageSource, *, whole: bool = False) -> list[Prediction]:
        """One Prediction per face, largest face first; an empty list when the image has none.

        Faces are detected once. The times of `preprocess` and `inference` are the sums over the members.
        `prediction_set` is None, because the thresholds of the members do not hold for the mean.
        `whole=True` takes the whole image as the face. Raises ImageError for content that is not an image.
        """
        return self.predict_detected([locate(image, self.detector, whole=whole)])[0]

    def predict_batch(
        self, images: Iterable[ImageSource], batch_size: int = 32, *, whole: bool = False
    ) -> list[list[Prediction]]:
        """`predict` for many images, with up to `batch_size` faces per batch of a network.

        The first image that cannot be read raises ImageError with its position; nothing is returned then.
        """
        return self.predict_detected(self._located(images, whole), batch_size)

    def _located(self, images: Iterable[ImageSource], whole: bool) -> Iterator[DetectedPhoto]:
        for position, image in enumerate(images):
            try:
                yield locate(image, self.detector, whole=whole)
            except ImageError as error:
                raise type(error)(f"picture {position} of the batch: {error}") from error

    def predict_detected(self, photos: Iterable[DetectedPhoto], batch_size: int = 32) -> list[list[Prediction]]:
        """`predict_batch` for photos whose faces are detected already.

        Photos are read in groups of at least `batch_size` faces, and released when all members have predicted them.
        """
        predictions: list[list[Prediction]] = []
        waiting: list[DetectedPhoto] = []
        for photo in photos:
            waiting.append(photo)
            if sum(len(each.faces) for each in waiting) >= batch_size:
                predictions += self._run(waiting, batch_size)
                waiting.clear()
        return predictions + self._run(waiting, batch_size)

    def predict_faces(self, faces: Iterable[Image.Image], batch_size: int = 32) -> list[Prediction]:
        """One Prediction per cropped face (PIL, any size and mode); nothing is detected."""
        photos = (DetectedPhoto(face, (whole_image(face),), {}) for face in faces)
        return [prediction for [prediction] in self.predict_detected(photos, batch_size)]

    def _run(self, photos: Sequence[DetectedPhoto], batch_size: int) -> list[list[Prediction]]:
        """The predictions for each photo, in the order of its faces."""
        by_member = [member.predict_detected(photos, batch_size) for member in self.members]
        return [
            [self._mean(votes, photo.timings) for votes in zip(*rows, strict=True)]
            for photo, *rows in zip(photos, *by_member, strict=True)
        ]

    def _mean(self, votes: Sequence[Prediction], before: Mapping[str, float]) -> Prediction:
        """The prediction for one face; `before` are the milliseconds of the steps that all members share."""
        first = votes[0]
        pairs = list(zip(self.weights, votes, strict=True))
        probs = {label: sum(share * vote.probs[label] for share, vote in pairs) for label in self.labels.labels}
        own = {step: sum(vote.timings[step] for vote in votes) for step in ("preprocess", "inference")}
        return Prediction.of(
            probs,
            self.name,
            {**before, **own},
            self.answer_labels,
            bbox=first.bbox,
            score=first.score,
            detector=first.detector,
            warnings=first.warnings,
        )


def from_names(name: str | Path, **options: Any) -> EmotionPredictor | PredictorEnsemble:
    """The predictor of a checkpoint, or the ensemble of several whose names are joined by "+".

    An existing folder is a checkpoint also when its name has a "+". `options` are keyword arguments that both
    `from_pretrained` have; raises their errors.
    """
    parts = str(name).split(_JOIN)
    if len(parts) == 1 or Path(name).exists():
        return EmotionPredictor.from_pretrained(name, **options)
    if not all(part.strip() for part in parts):
        raise InputError(f"{str(name)!r}: a name is missing beside '+'; write an ensemble as 'native48+upscale224'")
    return PredictorEnsemble.from_pretrained(parts, **options)


def _shared_labels(members: Sequence[EmotionPredictor]) -> LabelSet:
    """The labels of all members, in the first one's order; raises LabelError when they differ."""
    first = members[0]
    for member in members:
        if member.answer_labels is not None:
            raise LabelError(
                f"{member.name} predicts over {', '.join(member.classes.labels)} alone; give the ensemble members "
                "without labels, and use with_labels on the ensemble"
            )
        if set(member.labels.labels) != set(first.labels.labels):
            raise LabelError(
                f"{first.name} has the labels {', '.join(first.labels.labels)}, {member.name} has "
                f"{', '.join(member.labels.labels)}; the members of an ensemble have the same labels"
            )
    return first.labels


def _shares(weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    """The weights divided by their sum; raises InputError for a wrong number and for values that are not positive."""
    given = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(given) != count or not all(0 < weight < math.inf for weight in given):
        raise InputError(f"weights={weights!r}: give one positive finite number for each of the {count} members")
    return tuple(weight / sum(given) for weight in given)
