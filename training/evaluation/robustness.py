"""Robustness: corruptions, FGSM, crops of a face detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from tqdm import tqdm

from emotion_hub.backends import TorchBackend
from emotion_hub.detectors import Detection, FaceDetector
from emotion_hub.errors import InputError
from emotion_hub.images import crop
from emotion_hub.perturb.levels import blurred, brightened, covered, noisy, rotated
from emotion_hub.predictor import EmotionPredictor, softmax
from training.evaluation.metrics import brief
from training.evaluation.predictions import face_probs
from training.evaluation.report_types import DetectedFigures

__all__ = [
    "CORRUPTIONS",
    "ENLARGE",
    "EPSILONS",
    "FRAME",
    "PAD",
    "Corruption",
    "corrupt",
    "detected_crops",
    "detections",
    "detector_slice",
    "enlarged",
    "fgsm_probs",
    "robustness",
]

Change = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def _darken(levels: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    return brightened(levels, factor)


def _blur(levels: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return blurred(levels, sigma)


def _noise(levels: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    return noisy(levels, deviation, rng)


def _occlude(levels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    height, width = levels.shape
    box = (max(1, round(share * height)), max(1, round(share * width)))
    top, left = rng.integers(height - box[0] + 1), rng.integers(width - box[1] + 1)
    return covered(levels, (left, top, left + box[1], top + box[0]))


def _rotate(levels: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    return rotated(levels, degrees * rng.choice((-1, 1)))


@dataclass(frozen=True)
class Corruption:
    """One corruption at three strengths, from mild to strong; `unit` explains the strengths."""

    change: Change
    strengths: tuple[float, float, float]
    unit: str


CORRUPTIONS: dict[str, Corruption] = {
    "brightness": Corruption(_darken, (0.6, 0.35, 0.15), "factor on every gray level"),
    "blur": Corruption(_blur, (0.75, 1.25, 2.0), "standard deviation of the Gaussian in pixels of a 48-pixel face"),
    "noise": Corruption(_noise, (8.0, 16.0, 32.0), "standard deviation of the Gaussian in gray levels of 255"),
    "occlusion": Corruption(
        _occlude,
        (0.25, 0.4, 0.55),
        "side of a box at a random place as a share of the face's, filled with the mean level",
    ),
    "rotation": Corruption(_rotate, (10.0, 20.0, 40.0), "degrees to the left or right, edges repeated"),
}

#: Largest change of a gray level in the adversarial test, in levels of 255.
EPSILONS = (1.0, 2.0, 4.0)

#: For a detector, a face of FRAME pixels is enlarged by this factor, and its edge is repeated by PAD source pixels.
FRAME, ENLARGE, PAD = 48, 4, 12


def corrupt(face: Image.Image, name: str, strength: float, rng: np.random.Generator) -> Image.Image:
    """The corrupted face, gray, mode L, rounded to 8 bits; raises InputError for an unknown corruption."""
    if name not in CORRUPTIONS:
        raise InputError(f"no corruption {name!r}; choose from {', '.join(CORRUPTIONS)}")
    levels = np.asarray(face.convert("L"), dtype=np.float32)
    return Image.fromarray(np.clip(np.rint(CORRUPTIONS[name].change(levels, strength, rng)), 0, 255).astype(np.uint8))


def fgsm_probs(
    predictor: EmotionPredictor,
    faces: Sequence[Image.Image],
    labels: np.ndarray,
    epsilons: Sequence[float] = EPSILONS,
    batch_size: int = 64,
) -> dict[float, np.ndarray]:
    """{epsilon: float64 (N, num_classes)}: probabilities after one signed gradient step of `epsilon` gray levels.

    The fast gradient sign method (Goodfellow et al. 2015, arXiv:1412.6572) on the prepared gray face: x + eps
    sign(dL/dx), one value for all channels, clipped to black and white. Raises InputError for a backend without
    gradients.
    """
    if not isinstance(predictor.backend, TorchBackend):
        raise InputError(
            f"FGSM needs gradients; {predictor.name} runs on {type(predictor.backend).__name__}. Load it with "
            "backend='torch'"
        )
    network, device = predictor.backend.classifier, predictor.backend.device
    extremes = np.array([[0, 255]], dtype=np.uint8)
    ends = torch.from_numpy(predictor.preprocessor.normalise(extremes)).to(device)  # (C, 1, 2)
    black, white = ends[..., :1], ends[..., 1:]
    level = (white - black) / 255
    rows: dict[float, list[np.ndarray]] = {epsilon: [] for epsilon in epsilons}
    for start in tqdm(range(0, len(faces), batch_size), desc=f"{predictor.name}: FGSM", disable=None):
        batch = torch.from_numpy(predictor.preprocessor.batch(faces[start : start + batch_size]))
        pixels = batch.to(device).requires_grad_()
        target = torch.from_numpy(labels[start : start + batch_size]).to(device)
        [gradient] = torch.autograd.grad(F.cross_entropy(network(pixels), target), pixels)
        sign = (gradient * level).sum(dim=1, keepdim=True).sign()  # chain rule: all channels follow from one gray level
        for epsilon in epsilons:
            changed = torch.clamp(pixels.detach() + epsilon * level * sign, black, white)
            rows[epsilon].append(softmax(predictor.backend.logits(changed.cpu().numpy())))
    return {epsilon: np.concatenate(parts) for epsilon, parts in rows.items()}


def robustness(
    predictor: EmotionPredictor, faces: Sequence[Image.Image], labels: np.ndarray, seed: int = 0
) -> dict[str, Any]:
    """{"clean": figures, name: {"unit", "levels": [{"strength", figures}]}} for every corruption and for "fgsm".

    Figures are those of `metrics.brief`. The random parts of a corruption are drawn from (seed, position of the
    face), so that every strength and every checkpoint is measured with the same ones.
    """
    result: dict[str, Any] = {"seed": seed, "clean": brief(labels, face_probs(predictor, faces))}
    for name, corruption in CORRUPTIONS.items():
        levels = []
        for strength in corruption.strengths:
            corrupted = [
                corrupt(face, name, strength, np.random.default_rng((seed, i))) for i, face in enumerate(faces)
            ]
            levels.append(
                {"strength": strength, **brief(labels, face_probs(predictor, corrupted, what=f"{name} {strength:g}"))}
            )
        result[name] = {"unit": corruption.unit, "levels": levels}
    adversarial = fgsm_probs(predictor, faces, labels)
    unit = "largest change of a gray level of 255 in the prepared face, by one step along the sign of the loss gradient"
    result["fgsm"] = {
        "unit": unit,
        "levels": [{"strength": epsilon, **brief(labels, probs)} for epsilon, probs in adversarial.items()],
    }
    return result


def enlarged(face: Image.Image) -> Image.Image:
    """RGB, 288x288: the 48-pixel face enlarged 4 times (bicubic), with 48 pixels of repeated edge on every side.

    Detectors need the margin to find the face. Raises InputError for a face of another size.
    """
    if face.size != (FRAME, FRAME):
        raise InputError(f"crops of a detector are measured on {FRAME}x{FRAME} faces, not {face.width}x{face.height}")
    side, pad = FRAME * ENLARGE, PAD * ENLARGE
    large = face.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    return crop(large, (-pad, -pad, side + pad, side + pad))


def detections(detector: FaceDetector, faces: Sequence[Image.Image]) -> list[Detection | None]:
    """The largest detection in each enlarged face, in pixels of the enlarged image; None where nothing is detected."""
    return [
        max(detector.detect(enlarged(face)), key=lambda d: d.area, default=None)
        for face in tqdm(faces, desc=f"{detector.name}: detect", disable=None)
    ]


def detected_crops(detector: FaceDetector, faces: Sequence[Image.Image]) -> list[Image.Image | None]:
    """The crop of the largest detection in each enlarged face, cut as in serving; None where nothing is detected."""
    boxes = detections(detector, faces)
    return [
        None if best is None else crop(enlarged(face), detector.framing.square(best.bbox))
        for face, best in zip(faces, boxes, strict=True)
    ]


def detector_slice(
    predictor: EmotionPredictor, faces: Sequence[Image.Image], labels: np.ndarray, detector: FaceDetector
) -> DetectedFigures:
    """{"detector", "faces", "not_found", "found": figures of its crops, "same_faces": figures without the detector}.

    `same_faces` measures the same faces with their original crops. Raises InputError when the detector finds no
    face.
    """
    crops = detected_crops(detector, faces)
    cut = {i: image for i, image in enumerate(crops) if image is not None}
    if not cut:
        raise InputError(
            f"{detector.name} found none of {len(faces)} faces, so there is nothing to measure; use faces that a "
            "detector can find"
        )
    kept = labels[list(cut)]
    return {
        "detector": detector.name,
        "faces": len(faces),
        "not_found": len(faces) - len(cut),
        "found": brief(kept, face_probs(predictor, list(cut.values()), what=f"{detector.name}'s crops")),
        "same_faces": brief(kept, face_probs(predictor, [faces[i] for i in cut])),
    }
