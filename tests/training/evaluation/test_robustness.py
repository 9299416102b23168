"""Corruptions, FGSM and detector crops, and their figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import training.evaluation.evaluate
from emotion_hub.backends import TorchBackend
from emotion_hub.detectors import Detection, Framing
from emotion_hub.errors import InputError
from emotion_hub.labels import FER2013
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import Preprocessor
from training.data.duplicates import THRESHOLD
from training.data.faces import FaceSplit, load_split
from training.evaluation.plots import write_plots
from training.evaluation.predictions import face_probs
from training.evaluation.robustness import (
    CORRUPTIONS,
    corrupt,
    detected_crops,
    detector_slice,
    enlarged,
    fgsm_probs,
    robustness,
)
from training.evaluation.summary import markdown


def _face(seed: int = 0, side: int = 48) -> Image.Image:
    """Gray: a smooth ramp with fine noise, mean level about 128."""
    ramp = np.linspace(60, 190, side)[:, None] + np.random.default_rng(seed).normal(0, 12, (side, side))
    return Image.fromarray(np.clip(ramp, 0, 255).astype(np.uint8))


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def predictor() -> EmotionPredictor:
    """Random weights whose predictions differ between the faces used here."""
    torch.manual_seed(3)
    model = EmotionClassifier("emotion_cnn").eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(model.preprocessor.batch([_face(i) for i in range(30)])))
        last = model.network.classifier[-1]
        last.bias.copy_((last.bias - logits.mean(0)) / logits.std(0))
        last.weight.div_(logits.std(0)[:, None])
    return EmotionPredictor(TorchBackend(model, "cpu"), model.labels, model.preprocessor, name="random")


# corruptions


def _distance(face: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(face, dtype=np.float32) - np.asarray(other, dtype=np.float32)).mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_grow_with_strength_and_do_not_modify_the_original(name):
    face = _face()
    before = face.tobytes()
    spoiled = [corrupt(face, name, strength, _rng()) for strength in CORRUPTIONS[name].strengths]
    assert all((image.size, image.mode) == ((48, 48), "L") for image in spoiled)
    distances = [_distance(face, image) for image in spoiled]
    assert 0.5 < distances[0] < distances[1] < distances[2]
    assert face.tobytes() == before


def test_brightness_multiplies_the_levels():
    face = _face()
    np.testing.assert_allclose(
        np.asarray(corrupt(face, "brightness", 0.35, _rng())), np.asarray(face) * 0.35, atol=0.51
    )


def test_blur_removes_detail_keeps_the_mean_and_scales_with_the_face():
    small, large = _face(), _face().resize((96, 96), Image.Resampling.NEAREST)
    soft, large_soft = (np.asarray(corrupt(face, "blur", 2.0, _rng()), dtype=np.float32) for face in (small, large))
    assert (
        np.abs(np.diff(soft, axis=1)).mean() < 0.2 * np.abs(np.diff(np.asarray(small, dtype=np.float32), axis=1)).mean()
    )
    assert soft.mean() == pytest.approx(np.asarray(small).mean(), abs=1)
    assert np.abs(large_soft[::2, ::2] - soft).mean() < 1.5, "twice the size, twice the radius in pixels"


def test_noise_has_the_stated_deviation():
    flat = Image.new("L", (48, 48), 128)
    assert np.asarray(corrupt(flat, "noise", 16.0, _rng()), dtype=np.float32).std() == pytest.approx(16, rel=0.05)


def test_occlusion_covers_one_box_of_the_stated_side():
    face = _face()
    changed = np.asarray(corrupt(face, "occlusion", 0.4, _rng(4))) != np.asarray(face)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (19, 19)
    assert len({corrupt(face, "occlusion", 0.4, _rng(seed)).tobytes() for seed in range(8)}) > 4


def test_rotation_turns_both_ways_by_the_stated_angle_without_black_corners():
    pixels = np.full((48, 48), 40, dtype=np.uint8)
    pixels[4:24, 23:25] = 250  # a line that points up
    angles = set()
    for seed in range(12):
        turned = np.asarray(corrupt(Image.fromarray(pixels), "rotation", 40.0, _rng(seed)))
        assert turned.min() >= 40
        y, x = (turned.astype(float) > 120).nonzero()
        angles.add(round(float(np.degrees(np.arctan2(x.mean() - 23.5, 23.5 - y.mean()))) / 10) * 10)
    assert angles == {-40, 40}


def test_an_unknown_corruption_lists_the_known():
    with pytest.raises(InputError, match=r"'fog'.*brightness, blur, noise, occlusion, rotation"):
        corrupt(_face(), "fog", 1.0, _rng())


def test_every_strength_and_checkpoint_gets_the_same_random_numbers():
    assert (
        corrupt(_face(), "noise", 8.0, _rng((0, 5))).tobytes() == corrupt(_face(), "noise", 8.0, _rng((0, 5))).tobytes()
    )
    weak, strong = (
        np.asarray(corrupt(_face(), "noise", s, _rng((0, 5))), dtype=np.float32) - np.asarray(_face())
        for s in (8.0, 16.0)
    )
    assert np.corrcoef(weak.ravel(), strong.ravel())[0, 1] > 0.98


@pytest.mark.slow
def test_robustness_has_every_corruption_at_every_strength(predictor, tmp_path):
    faces = [_face(i) for i in range(24)]
    labels = face_probs(predictor, faces).argmax(1)  # the labels are its own predictions
    assert len(set(labels.tolist())) > 2
    result = robustness(predictor, faces, labels)
    assert result["clean"]["accuracy"] == 1
    assert set(result) == {"seed", "clean", *CORRUPTIONS, "fgsm"}
    for name, corruption in CORRUPTIONS.items():
        levels = result[name]["levels"]
        assert [level["strength"] for level in levels] == list(corruption.strengths)
        spoiled = [corrupt(face, name, corruption.strengths[2], _rng((0, i))) for i, face in enumerate(faces)]
        expected = (face_probs(predictor, spoiled).argmax(1) == labels).mean()
        assert levels[2]["accuracy"] == pytest.approx(expected)
        assert levels[2]["n"] == 24
    assert min(level["accuracy"] for name in CORRUPTIONS for level in result[name]["levels"]) < 0.9
    assert robustness(predictor, faces, labels) == result
    report = {
        "checkpoint": "random",
        "split": "validation",
        "n": 24,
        "labels": list(FER2013.labels),
        "robustness": result,
        "ece": 0.1,
    }
    report |= {
        "confusion_matrix": np.eye(7, dtype=int).tolist(),
        "reliability": [{"to": 1.0, "n": 24, "confidence": 0.5, "accuracy": 0.5}],
    }
    names = [path.name for path in write_plots(report, tmp_path)]
    assert names == ["confusion.svg", "reliability.svg", "robustness.svg"]
    before = {name: (tmp_path / name).read_bytes() for name in names}
    write_plots(report, tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in names} == before
    for name in (*CORRUPTIONS, "fgsm"):
        assert f">{name}<" in before["robustness.svg"].decode()
    for corruption in CORRUPTIONS.values():
        for strength in corruption.strengths:
            assert f">{strength:g}<" in before["robustness.svg"].decode()


# the adversarial step


@pytest.mark.parametrize("name", ["emotion_cnn", "resnet18_48"])
def test_fgsm_raises_the_loss_within_epsilon_equally_in_all_channels(name, monkeypatch):
    torch.manual_seed(0)
    model = EmotionClassifier(name).eval()
    network = EmotionPredictor(TorchBackend(model, "cpu"), model.labels, model.preprocessor, name=name)
    faces = [_face(i) for i in range(5)] + [Image.new("L", (48, 48), 255)]
    labels = np.arange(6)
    clean = face_probs(network, faces)
    seen: list[np.ndarray] = []
    logits = network.backend.logits
    monkeypatch.setattr(network.backend, "logits", lambda pixels: seen.append(pixels) or logits(pixels))
    attacked = fgsm_probs(network, faces, labels, epsilons=(2.0, 8.0))
    losses = [-np.log(p[np.arange(6), labels]) for p in (clean, attacked[2.0], attacked[8.0])]
    assert (losses[1][:5] > losses[0][:5]).all()
    assert losses[2].mean() > losses[1].mean()
    config = network.preprocessor.config
    mean, std = (np.array(v, dtype=np.float32)[:, None, None] for v in (config.mean, config.std))
    plain = network.preprocessor.batch(faces)
    for moved, epsilon in zip(seen, (2.0, 8.0), strict=True):
        change = (moved - plain) * std * 255
        assert np.abs(change).max() == pytest.approx(epsilon, abs=0.01)
        assert np.ptp(change, axis=1).max() < 0.01
        levels = moved * std + mean
        assert levels.min() > -1e-5
        assert levels.max() < 1 + 1e-5
    assert all(p.grad is None for p in model.parameters())


def test_fgsm_needs_gradients():
    class Other:
        num_parameters = 0

    with pytest.raises(InputError, match="runs on Other"):
        fgsm_probs(EmotionPredictor(Other(), FER2013, Preprocessor(), name="onnx"), [_face()], np.array([0]))


# a detector's crops


class Boxes:
    """A detector that returns the original frame moved by one source pixel, and a smaller box.

    It detects nothing in dark pictures.
    """

    name, framing = "boxes", Framing(1.0, 0.0)

    def detect(self, image: Image.Image) -> list[Detection]:
        if np.asarray(image.convert("L")).mean() < 30:
            return []
        return [Detection((100, 100, 150, 150), 0.99), Detection((52, 48, 244, 240), 0.7)]


def test_an_enlarged_face_has_its_edges_repeated():
    picture = np.asarray(enlarged(_face()))
    assert picture.shape == (288, 288, 3)
    assert (picture[:48, 48:240] == picture[48, 48:240]).all()
    assert _distance(Image.fromarray(picture[48:240, 48:240, 0]).resize((48, 48), Image.Resampling.BOX), _face()) < 4
    with pytest.raises(InputError, match=r"48x48 faces, not 64x64"):
        enlarged(_face(side=64))


def test_the_largest_box_is_cropped_with_the_detectors_framing():
    [crop, nothing] = detected_crops(Boxes(), [_face(), Image.new("L", (48, 48), 3)])
    assert nothing is None
    assert crop.size == (192, 192)
    assert crop.tobytes() == enlarged(_face()).crop((52, 48, 244, 240)).tobytes()


def test_undetected_faces_are_counted_and_the_others_compared_with_their_original(predictor):
    faces = [_face(i) for i in range(6)] + [Image.new("L", (48, 48), 3)]
    labels = np.append(face_probs(predictor, faces[:6]).argmax(1), 0)
    result = detector_slice(predictor, faces, labels, Boxes())
    assert (result["detector"], result["faces"], result["not_found"], result["found"]["n"]) == ("boxes", 7, 1, 6)
    assert result["same_faces"]["accuracy"] == 1
    crops = detected_crops(Boxes(), faces[:6])
    assert result["found"]["accuracy"] == pytest.approx((face_probs(predictor, crops).argmax(1) == labels[:6]).mean())
    with pytest.raises(InputError, match="boxes found none of 1 faces"):
        detector_slice(predictor, faces[6:], labels[6:], Boxes())


@pytest.mark.slow
def test_a_report_on_fer2013_has_robustness_and_detector_figures(shared_data: Path, monkeypatch):
    pytest.importorskip("cv2")
    detector = shared_data / "detectors" / "face_detection_yunet_2023mar.onnx"
    if not detector.is_file():
        pytest.skip(f"no YuNet file at {detector}")
    validation = load_split(shared_data / "fer2013", "validation")

    def few(data, name, labels):  # 40 faces of each split
        rows = slice(*{"train": (0, 40), "validation": (40, 80), "test": (80, 120)}[name])
        return FaceSplit(
            name,
            validation.faces[rows],
            validation.labels[rows],
            validation.hashes[rows],
            labels,
            validation.votes[rows],
        )

    monkeypatch.setattr(training.evaluation.evaluate, "load_split", few)
    report = training.evaluation.evaluate.evaluate(
        "native48", "fer2013", "validation", near=THRESHOLD, robust=True, yunet=detector
    )
    assert report["without_near_copies"]["n"] > 30
    clean, spoiled = report["robustness"]["clean"], report["robustness"]
    assert clean["accuracy"] > 0.4
    assert spoiled["fgsm"]["levels"][2]["accuracy"] < clean["accuracy"] - 0.2
    assert report["detected"]["not_found"] < 20
    page = markdown(report)
    for words in ("## Robustness", "rotation 40", "fgsm 4", "## Crops by YuNet", "- blur: standard deviation"):
        assert words in page
