"""PredictorEnsemble: means, one detection, label sets, refused members."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from emotion_hub import PredictorEnsemble
from emotion_hub.__main__ import main
from emotion_hub.detectors import Detection, Framing
from emotion_hub.errors import ImageError, InputError, LabelError, UnknownModelError
from emotion_hub.examples import example_path
from emotion_hub.faces import locate
from emotion_hub.labels import FER2013, SIX_CLASS, LabelSet
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.predictor_ensemble import from_names
from emotion_hub.preprocess import NATIVE48, UPSCALE224, PreprocessConfig, Preprocessor
from training.data.faces import FaceSplit
from training.evaluation.ensemble import ensemble_figures, mean_probs

BOXES = ((10.0, 12.0, 40.0, 41.0), (60.0, 30.0, 118.0, 90.0))


class CountingDetector:
    """A detector with two fixed boxes that counts its calls."""

    name = "counting"
    framing = Framing(scale=1.0, down=0.0)

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image: Image.Image) -> list[Detection]:
        self.calls += 1
        return [Detection(box, 0.8) for box in BOXES]


class LinearBackend:
    """A random linear map of the pixels."""

    def __init__(self, config: PreprocessConfig, classes: int, seed: int) -> None:
        pixels = config.channels * config.size**2
        self.weights = np.random.default_rng(seed).normal(0, 6 / pixels**0.5, (classes, pixels)).astype(np.float32)
        self.num_parameters = self.weights.size

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        return pixel_values.reshape(len(pixel_values), -1) @ self.weights.T


def member(
    config: PreprocessConfig = NATIVE48, seed: int = 0, labels: LabelSet = FER2013, detector: object | None = None
) -> EmotionPredictor:
    return EmotionPredictor(
        LinearBackend(config, len(labels), seed),
        labels,
        Preprocessor(config),
        name=f"linear{config.size}",
        detector=detector,
    )


def pair(detector: CountingDetector | None = None, **options) -> PredictorEnsemble:
    return PredictorEnsemble([member(detector=detector or CountingDetector()), member(UPSCALE224, 1)], **options)


def _picture(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((130, 120))


@pytest.mark.parametrize("weights", [None, (1, 3)])
def test_probabilities_are_the_weighted_mean_of_the_members(weights):
    ensemble, picture = pair(weights=weights), _picture()
    photo = locate(picture, ensemble.detector)
    own = [each.predict_detected([photo])[0] for each in ensemble.members]
    first, second = (0.5, 0.5) if weights is None else (0.25, 0.75)
    assert ensemble.weights == (first, second)
    faces = ensemble.predict(picture)
    assert len(faces) == 2
    assert own[0][0].label != own[1][0].label, "the members disagree, so that a copy of one of them would fail below"
    for face, a, b in zip(faces, *own, strict=True):
        expected = {label: first * a.probs[label] + second * b.probs[label] for label in FER2013.labels}
        assert dict(face.probs) == pytest.approx(expected, abs=1e-9)
        assert sum(face.probs.values()) == pytest.approx(1)
        assert face.label == max(expected, key=expected.__getitem__)
        assert (face.bbox, face.score, face.detector, face.warnings) == (a.bbox, a.score, a.detector, a.warnings)
        assert face.prediction_set is None
        assert face.model == "linear48+linear224"


def test_faces_are_detected_once_and_the_times_of_the_members_are_summed():
    detector = CountingDetector()
    ensemble = pair(detector)
    [face, _] = ensemble.predict(_picture())
    assert detector.calls == 1
    photo = locate(_picture(), detector)
    fixed = [each.predict_detected([photo])[0][0] for each in ensemble.members]
    mean = ensemble._mean(fixed, photo.timings)
    for step in ("decode", "detect"):
        assert mean.timings[step] == photo.timings[step]
    for step in ("preprocess", "inference"):
        assert mean.timings[step] == pytest.approx(sum(vote.timings[step] for vote in fixed))
    assert face.timings["total"] == pytest.approx(sum(v for k, v in face.timings.items() if k != "total"))


def test_batches_give_the_same_predictions_as_single_pictures_in_order():
    ensemble, pictures = pair(), [_picture(seed) for seed in range(5)]
    single = [[dict(face.probs) for face in ensemble.predict(picture)] for picture in pictures]
    for size in (1, 3, 32):
        batch = ensemble.predict_batch(iter(pictures), size)
        assert [[face.probs for face in faces] for faces in batch] == [
            [pytest.approx(probs, abs=1e-5) for probs in row] for row in single
        ]
    faces = ensemble.predict_faces(pictures)
    assert [face.bbox for face in faces] == [(0, 0, 130, 120)] * 5
    assert faces[1].probs == pytest.approx(dict(ensemble.predict(pictures[1], whole=True)[0].probs), abs=1e-5)
    assert ensemble.predict_batch([]) == []


def test_a_batch_names_the_position_of_a_damaged_picture_and_a_size_below_1_is_refused():
    with pytest.raises(ImageError, match="picture 1 of the batch"):
        pair().predict_batch([_picture(), b"no image"])
    with pytest.raises(InputError, match="batch_size=0"):
        pair().predict_batch([_picture()], 0)


def test_a_label_set_renormalises_the_mean_and_not_the_members():
    ensemble = pair()
    six, [whole, _] = ensemble.with_labels(SIX_CLASS), ensemble.predict(_picture())
    [face, _] = six.predict(_picture())
    kept = SIX_CLASS.project(whole.probs)
    assert dict(face.probs) == pytest.approx(dict(kept))
    assert dict(face.left_out) == pytest.approx({"disgust": whole.probs["disgust"]})
    assert (six.classes, six.labels, ensemble.classes) == (SIX_CLASS, FER2013, FER2013)
    with pytest.raises(LabelError):
        ensemble.with_labels(["happy", "bored"])


def test_labels_are_matched_by_name_where_their_order_differs():
    turned = LabelSet("turned", tuple(reversed(FER2013.labels)))
    ensemble = PredictorEnsemble([member(), member(seed=1, labels=turned)])
    a, b = (each.predict_faces([_picture()])[0].probs for each in ensemble.members)
    [face] = ensemble.predict_faces([_picture()])
    assert tuple(face.probs) == FER2013.labels
    assert dict(face.probs) == pytest.approx({label: (a[label] + b[label]) / 2 for label in FER2013.labels})


def test_members_without_the_same_labels_are_refused():
    other = LabelSet("three", ("negative", "neutral", "positive"))
    with pytest.raises(LabelError, match=r"linear48 has .*angry.*linear224 has .*negative"):
        PredictorEnsemble([member(), member(UPSCALE224, labels=other)])
    with pytest.raises(LabelError, match="with_labels on the ensemble"):
        PredictorEnsemble([member(), member(UPSCALE224).with_labels("six_class")])


@pytest.mark.parametrize(
    ("members", "weights", "message"),
    [
        (1, None, "an ensemble of 1 predictors; give at least two"),
        (2, (1.0,), "one positive finite number for each of the 2 members"),
        (2, (1.0, 0.0), "positive"),
        (2, (1.0, -1.0), "positive"),
        (2, (1.0, float("nan")), "finite"),
        (2, (1.0, float("inf")), "finite"),
    ],
)
def test_invalid_members_and_weights_are_refused(members, weights, message):
    with pytest.raises(InputError, match=message):
        PredictorEnsemble([member(seed=seed) for seed in range(members)], weights=weights)


def test_a_name_and_a_detector_of_its_own():
    detector = CountingDetector()
    ensemble = pair(name="both", detector=detector)
    assert ensemble.predict(_picture())[0].model == "both"
    assert detector.calls == 1
    assert ensemble.with_name("other").predict(_picture())[0].model == "other"
    assert ensemble.name == "both"
    assert ensemble.num_parameters == sum(each.backend.num_parameters for each in ensemble.members)


def test_the_embedded_checkpoints_are_loaded_by_name():
    ensemble = PredictorEnsemble.from_pretrained(["native48", "upscale224"], backend="onnx", labels="six_class")
    [face] = ensemble.predict(example_path("astronaut"))
    assert (ensemble.name, ensemble.backend_name, face.label) == ("native48+upscale224", "onnx", "happy")
    assert tuple(face.probs) == SIX_CLASS.labels
    assert [each.preprocessor.config.size for each in ensemble.members] == [48, 224]
    int8 = ensemble.with_backend("onnx-int8")
    assert int8.backend_name == "onnx-int8"
    assert int8.predict(example_path("astronaut"))[0].label == "happy"


def test_names_joined_by_plus_are_an_ensemble_and_an_existing_folder_is_not(tmp_path, monkeypatch):
    assert isinstance(from_names("native48"), EmotionPredictor)
    assert isinstance(from_names("native48+emotion_cnn"), PredictorEnsemble)
    with pytest.raises(InputError, match="a name is missing beside '\\+'"):
        from_names("native48+")
    with pytest.raises(UnknownModelError, match="nowhere"):
        from_names("native48+nowhere")
    with pytest.raises(InputError, match="give a list"):
        PredictorEnsemble.from_pretrained("native48")
    asked = []
    monkeypatch.setattr(EmotionPredictor, "from_pretrained", lambda name, **options: asked.append(name))
    (tmp_path / "a+b").mkdir()
    from_names(tmp_path / "a+b")
    assert asked == [tmp_path / "a+b"]


def test_the_command_predicts_with_an_ensemble(capsys):
    assert main(["predict", str(example_path("astronaut")), "--model", "native48+emotion_cnn", "--format", "csv"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    values = dict(zip(head.split(","), row.split(","), strict=True))
    assert (values["model"], values["label"]) == ("native48+emotion_cnn", "happy")


def test_the_report_measures_the_mean_and_each_member():
    turned = LabelSet("turned", tuple(reversed(FER2013.labels)))
    ensemble = PredictorEnsemble([member(), member(UPSCALE224, 1, turned)], weights=(1, 2))
    faces = [_picture(seed).convert("L").resize((48, 48)) for seed in range(30)]
    predictions = ensemble.predict_faces(faces)
    labels = np.array([face.label_id for face in predictions], dtype=np.int64)
    labels[:6] = (labels[:6] + 1) % 7  # 24 of 30 are right
    split = FaceSplit("validation", faces, labels, [str(number) for number in range(30)])
    figures, right = ensemble_figures(ensemble, split, np.arange(20))
    assert figures["ensemble"]["accuracy"] == pytest.approx(0.8)
    assert figures["ensemble"]["without_copies"]["n"] == 20
    assert figures["ensemble"]["without_copies"]["accuracy"] == pytest.approx(14 / 20)
    assert right[ensemble.name].sum() == 24
    own = [each.predict_faces(faces) for each in ensemble.members]
    truth = [FER2013.labels[label] for label in labels]
    for each, rows in zip(ensemble.members, own, strict=True):
        hits = [face.label == true for face, true in zip(rows, truth, strict=True)]
        assert figures["members"][each.name]["accuracy"] == pytest.approx(np.mean(hits))
    assert figures["same_label"] == pytest.approx(np.mean([a.label == b.label for a, b in zip(*own, strict=True)]))
    either = [true in (a.label, b.label) for a, b, true in zip(*own, truth, strict=True)]
    assert figures["one_right"] == pytest.approx(np.mean(either))


def test_the_mean_of_arrays_is_that_of_the_predictions():
    ensemble = pair(weights=(2, 1))
    faces = [_picture(seed) for seed in range(3)]
    own = [np.array([list(face.probs.values()) for face in each.predict_faces(faces)]) for each in ensemble.members]
    expected = [list(face.probs.values()) for face in ensemble.predict_faces(faces)]
    np.testing.assert_allclose(mean_probs(ensemble, own), expected, atol=1e-9)
