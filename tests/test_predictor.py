"""EmotionPredictor: images, batches, parity with training, label sets."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import io
import json
import math
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from emotion_hub import predictor as predictor_module
from emotion_hub.backends import TorchBackend, default_backend
from emotion_hub.checkpoints import REPORT_FILE, TRAINING_FILE, WEIGHTS_FILE, embedded_checkpoints
from emotion_hub.comparison import compare, compare_detected
from emotion_hub.detectors import Detection, Framing
from emotion_hub.errors import ConfigError, ImageError, ImageTooLargeError, InputError, LabelError
from emotion_hub.examples import example_path
from emotion_hub.faces import find_faces, locate
from emotion_hub.images import MAX_BYTES
from emotion_hub.labels import FER2013, SIX_CLASS, LabelSet
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.predictor import EmotionPredictor, softmax
from emotion_hub.preprocess import NATIVE48, PREPROCESSING, RGB48, UPSCALE224, PreprocessConfig, Preprocessor
from emotion_hub.results import ComparedSide, Comparison, Prediction
from tests.tolerances import PROBS
from training.data.faces import FaceSplit, prepare_planes
from training.fit.recipe import Recipe, load_recipe

BOXES = ((10.4, 12.0, 40.0, 41.6), (60.0, 30.0, 118.0, 90.0), (-8.0, 70.0, 30.0, 108.0))
STEPS = ["decode", "detect", "preprocess", "inference", "total"]


class FixedDetector:
    """A detector with the same boxes in every image, smallest first."""

    name = "fixed"
    framing = Framing(scale=1.0, down=0.0)

    def __init__(self, *boxes: tuple[float, float, float, float]) -> None:
        self.boxes = boxes

    def detect(self, image: Image.Image) -> list[Detection]:
        return [Detection(box, 0.9) for box in self.boxes]


class LinearBackend:
    """A backend that is a random linear map of the pixels; it records its inputs in `inputs`."""

    def __init__(self, config: PreprocessConfig, seed: int = 0) -> None:
        shape = (7, config.channels * config.size**2)
        self.weights = np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)
        self.num_parameters = self.weights.size
        self.inputs: list[np.ndarray] = []

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        self.inputs.append(pixel_values)
        return pixel_values.reshape(len(pixel_values), -1) @ self.weights.T


def linear_predictor(config: PreprocessConfig = NATIVE48, seed: int = 0, boxes=BOXES) -> EmotionPredictor:
    return EmotionPredictor(
        LinearBackend(config, seed), FER2013, Preprocessor(config), name=f"linear{seed}", detector=FixedDetector(*boxes)
    )


@pytest.fixture(scope="module")
def predictor() -> EmotionPredictor:
    """EmotionCNN with random weights and spread logits, so that different inputs give different predictions."""
    torch.manual_seed(0)
    model = EmotionClassifier("emotion_cnn").eval()
    with torch.no_grad():
        model.network.classifier[-1].weight.mul_(200)
    return EmotionPredictor(
        TorchBackend(model, "cpu"), model.labels, model.preprocessor, name="tiny", detector=FixedDetector(*BOXES)
    )


def _pictures(count: int, base: Image.Image) -> list[Image.Image]:
    """Different images of different sizes."""
    return [base.rotate(17 * i).resize((120 + 3 * i, 120 + 2 * i)) for i in range(count)]


def same_prediction(a: Prediction, b: Prediction, atol: float = PROBS) -> bool:
    close = all(math.isclose(a.probs[k], b.probs[k], rel_tol=0, abs_tol=atol) for k in a.probs)
    return close and (a.label, a.bbox, a.score, a.detector, a.model, list(a.probs)) == (
        b.label,
        b.bbox,
        b.score,
        b.detector,
        b.model,
        list(b.probs),
    )


# one image


def test_predict_gives_one_prediction_per_face_largest_first(predictor, face_image):
    predictions = predictor.predict(face_image)
    assert [a.bbox for a in predictions] == [(60, 30, 118, 90), (0, 70, 30, 108), (10, 12, 40, 42)]
    assert {(a.detector, a.score, a.model) for a in predictions} == {("fixed", 0.9, "tiny")}
    assert len({tuple(a.probs.values()) for a in predictions}) == 3


def test_an_image_without_a_face_gives_an_empty_list(face_image):
    assert linear_predictor(boxes=()).predict(face_image) == []


def test_the_network_gets_the_crop_of_each_box(face_image):
    linear = linear_predictor()
    linear.predict(face_image)
    crops = [face.image for face in find_faces(face_image, linear.detector)]
    assert np.array_equal(np.concatenate(linear.backend.inputs), linear.preprocessor.batch(crops))


def test_whole_takes_the_whole_image_as_the_face(predictor, face_image):
    [prediction] = predictor.predict(face_image, whole=True)
    assert (prediction.bbox, prediction.score, prediction.detector) == ((0, 0, 120, 120), None, None)
    assert same_prediction(prediction, predictor.predict_faces([face_image])[0])
    assert prediction.probs != predictor.predict(face_image)[0].probs


def test_probabilities_are_in_the_order_of_the_labels_and_sum_to_one(predictor, face_image):
    for prediction in predictor.predict(face_image):
        assert tuple(prediction.probs) == FER2013.labels
        assert sum(prediction.probs.values()) == pytest.approx(1, abs=1e-6)
        assert all(type(p) is float and 0 <= p <= 1 for p in prediction.probs.values())
        assert (
            prediction.label == max(prediction.probs, key=prediction.probs.get) == FER2013.labels[prediction.label_id]
        )
        assert prediction.confidence == prediction.probs[prediction.label] == max(prediction.probs.values())


def test_probabilities_are_the_softmax_of_the_networks_logits(predictor, face_image):
    with torch.inference_mode():
        logits = predictor.backend.classifier(torch.from_numpy(predictor.preprocessor(face_image))[None])
    expected = torch.softmax(logits.double(), dim=1)[0]
    assert list(predictor.predict(face_image, whole=True)[0].probs.values()) == pytest.approx(
        expected.tolist(), abs=1e-6
    )
    assert expected.max() > 0.3, "the logits are too equal for this test"


def test_softmax_does_not_overflow_and_rows_sum_to_one():
    probs = softmax(np.float32([[1e4, 0, -1e4], [0, 0, 0], [3e38, 3e38, -3e38]]))
    assert probs.dtype == np.float64
    np.testing.assert_allclose(probs, [[1, 0, 0], [1 / 3] * 3, [0.5, 0.5, 0]], atol=1e-12)


@pytest.mark.parametrize("box", [(-50.0, -50.0, 60.0, 60.0), (100.0, 100.0, 500.0, 500.0), (-9.0, -9.0, 999.0, 999.0)])
def test_a_box_over_the_border_is_clipped_to_the_image(face_image, box):
    [prediction] = linear_predictor(boxes=(box,)).predict(face_image)
    left, top, right, bottom = prediction.bbox
    assert 0 <= left < right <= 120
    assert 0 <= top < bottom <= 120
    assert all(type(v) is int for v in prediction.bbox)


def test_timings_are_milliseconds_that_add_up(predictor, face_image):
    for prediction in predictor.predict(face_image) + predictor.predict_faces([face_image]):
        assert list(prediction.timings) == STEPS
        assert all(prediction.timings[step] >= 0 for step in STEPS)
        assert prediction.timings["total"] == pytest.approx(sum(prediction.timings[step] for step in STEPS[:-1]))
        assert prediction.timings["inference"] > 0


def test_the_inference_time_of_a_batch_is_shared_between_its_faces(face_image, monkeypatch):
    # preprocessing takes 1, 2 and 3 ms, inference 12
    clock = iter(np.cumsum([*[0, 1], *[0, 2], *[0, 3], *[0, 12]]) / 1000)
    linear = linear_predictor()
    monkeypatch.setattr(predictor_module.time, "perf_counter", lambda: float(next(clock)))
    predictions = linear.predict_faces([face_image] * 3)
    assert len(linear.backend.inputs) == 1
    assert [a.timings["preprocess"] for a in predictions] == pytest.approx([1, 2, 3])
    assert [a.timings["inference"] for a in predictions] == pytest.approx([4, 4, 4])


def test_a_prediction_as_json_has_every_field(predictor, face_image):
    prediction = predictor.predict(face_image)[0]
    values = json.loads(json.dumps(prediction.to_dict()))
    names = ["label", "label_id", "confidence", "probs", "bbox", "score", "detector", "model", "timings", "warnings"]
    assert list(values) == names
    assert list(values["probs"]) == list(FER2013.labels)
    assert values["probs"] == dict(prediction.probs)
    assert values["label"] == prediction.label
    assert values["confidence"] == prediction.confidence
    assert values["bbox"] == list(prediction.bbox)
    assert list(values["timings"]) == STEPS
    assert (values["label_id"], values["score"], values["detector"], values["model"]) == (
        prediction.label_id,
        0.9,
        "fixed",
        "tiny",
    )


def test_every_kind_of_input_gives_the_same_predictions(predictor, face_image, tmp_path):
    buffer = io.BytesIO()
    face_image.save(buffer, "PNG")
    path = tmp_path / "face.png"
    path.write_bytes(buffer.getvalue())
    first, *others = [
        predictor.predict(source)
        for source in (
            face_image,
            buffer.getvalue(),
            path,
            str(path),
            io.BytesIO(buffer.getvalue()),
            np.asarray(face_image),
            face_image.convert("RGBA"),
        )
    ]
    assert len(first) == 3
    for other in others:
        assert len(other) == 3
        assert all(same_prediction(a, b, 0) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("source", [b"no picture", "no/such/file.png", 7, None, np.zeros(3)])
def test_input_that_is_not_an_image_raises_image_error(predictor, source):
    with pytest.raises(ImageError):
        predictor.predict(source)


def test_from_pretrained_loads_a_folder(predictor, face_image, tmp_path):
    predictor.backend.classifier.save_pretrained(tmp_path / "mine")
    loaded = EmotionPredictor.from_pretrained(tmp_path / "mine", device="cpu", detector=predictor.detector)
    assert loaded.name == str(tmp_path / "mine")
    assert loaded.backend.num_parameters == 1_572_551
    for a, b in zip(loaded.predict(face_image), predictor.predict(face_image), strict=True):
        assert same_prediction(dataclasses.replace(a, model="tiny"), b)


# batches


@pytest.mark.parametrize("batch_size", [1, 2, 5, 32])
def test_predict_batch_equals_predict_per_image(predictor, face_image, batch_size):
    pictures = [*_pictures(3, face_image), face_image.resize((10, 10))]
    batch = predictor.predict_batch(iter(pictures), batch_size)
    assert [len(predictions) for predictions in batch] == [3, 3, 3, 0]
    for predictions, picture in zip(batch, pictures, strict=True):
        assert all(same_prediction(a, b) for a, b in zip(predictions, predictor.predict(picture), strict=True))


def test_the_network_gets_at_most_batch_size_faces_at_once(face_image):
    linear = linear_predictor()
    linear.predict_batch(_pictures(3, face_image), batch_size=4)
    assert [len(batch) for batch in linear.backend.inputs] == [4, 4, 1]


def test_timings_of_a_batch_belong_to_their_image(face_image):
    linear = linear_predictor()
    photos = [
        dataclasses.replace(locate(p, linear.detector), timings={"decode": float(i), "detect": 10.0 * i})
        for i, p in enumerate(_pictures(3, face_image))
    ]
    predictions = linear.predict_detected(photos, batch_size=2)
    assert [[(a.timings["decode"], a.timings["detect"]) for a in one] for one in predictions] == [
        [(float(i), 10.0 * i)] * 3 for i in range(3)
    ]


def test_an_empty_batch_gives_an_empty_list(predictor):
    assert predictor.predict_batch([]) == []
    assert predictor.predict_faces([]) == []


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_size_below_1_is_refused(predictor, face_image, batch_size):
    for pictures in ([face_image], []):
        with pytest.raises(InputError, match=f"batch_size={batch_size}"):
            predictor.predict_batch(pictures, batch_size)


@pytest.mark.parametrize(
    ("bad", "error"),
    [(b"no picture", ImageError), ("no/such/file.png", ImageError), (b"\0" * (MAX_BYTES + 1), ImageTooLargeError)],
    ids=["bytes", "path", "large"],
)
def test_the_error_of_a_bad_image_has_its_position_and_its_class(predictor, face_image, bad, error):
    with pytest.raises(error, match=r"^picture 2 of the batch: ") as caught:
        predictor.predict_batch([face_image, face_image, bad, b"never reached"], whole=True)
    assert type(caught.value) is error


# parity of training and serving


def _faces(count: int = 5) -> list[Image.Image]:
    """Gray 48x48 faces as in FER2013: noise over a ramp."""
    ramp = np.asarray(Image.linear_gradient("L").resize((48, 48)), dtype=np.int64)
    noise = np.random.default_rng(0).integers(-40, 40, (count, 48, 48))
    return [Image.fromarray(np.clip(ramp + n, 0, 255).astype(np.uint8)) for n in noise]


def _training_input(config: PreprocessConfig, faces: list[Image.Image]) -> np.ndarray:
    preprocessor = Preprocessor(config)
    split = FaceSplit("train", faces, np.zeros(len(faces), np.int64), [""] * len(faces))
    return preprocessor.normalise(prepare_planes(split, preprocessor))


def _serving_input(config: PreprocessConfig, faces: list) -> np.ndarray:
    linear = EmotionPredictor(LinearBackend(config), FER2013, Preprocessor(config))
    linear.predict_batch(faces)
    return np.concatenate(linear.backend.inputs)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("config", [NATIVE48, RGB48, UPSCALE224], ids=lambda c: c.name)
@pytest.mark.parametrize(
    "encode", [lambda f: f, _png, np.asarray, lambda f: f.convert("RGB")], ids=["pil", "png", "array", "rgb"]
)
def test_the_networks_input_is_the_same_in_serving_and_training(config, encode):
    faces = _faces()
    served, trained = _serving_input(config, [encode(f) for f in faces]), _training_input(config, faces)
    assert served.dtype == trained.dtype == np.float32
    assert served.tobytes() == trained.tobytes()


def test_face_crops_reach_the_network_as_the_preprocessor_prepares_them():
    faces = _faces()
    assert _serving_input(NATIVE48, faces).tobytes() == np.stack([Preprocessor(NATIVE48)(f) for f in faces]).tobytes()


@pytest.mark.parametrize(
    ("config", "field"),
    [(UPSCALE224, "upsample"), (dataclasses.replace(UPSCALE224, size=112), "upsample"), (NATIVE48, "resample")],
)
def test_the_parity_check_fails_for_another_resampling_filter(config, field):
    faces = _faces() if field == "upsample" else [f.resize((60, 60)) for f in _faces()]
    other = dataclasses.replace(config, **{field: "bilinear"})
    assert _serving_input(config, faces).tobytes() == _training_input(config, faces).tobytes()
    assert np.abs(_serving_input(other, faces) - _training_input(config, faces)).max() > 1 / 255


# another upsampling filter


def test_with_upsample_changes_the_pixels_and_nothing_else(face_image):
    linear = linear_predictor(UPSCALE224)
    other = linear.with_upsample("bilinear")
    assert other.backend is linear.backend
    assert (other.labels, other.name, other.detector) == (linear.labels, linear.name, linear.detector)
    assert other.preprocessor.config == dataclasses.replace(UPSCALE224, upsample="bilinear")
    assert linear.preprocessor.config == UPSCALE224
    face = face_image.crop((0, 0, 48, 48))
    assert other.preprocessor.prepare(face).tobytes() != linear.preprocessor.prepare(face).tobytes()
    assert other.predict(face_image)[0].probs != linear.predict(face_image)[0].probs


def test_an_unknown_upsampling_filter_is_a_config_error():
    with pytest.raises(ConfigError, match=r"'area'.*lanczos"):
        linear_predictor().with_upsample("area")


# comparison


def test_both_pipelines_get_the_same_crops(face_image):
    small, large = linear_predictor(), linear_predictor(UPSCALE224, 1)
    pairs = compare(face_image, native48=small, upscale224=large)
    crops = [f.image for f in find_faces(face_image, small.detector)]
    assert (
        [p.native48.prediction.bbox for p in pairs]
        == [p.upscale224.prediction.bbox for p in pairs]
        == [f.bbox for f in find_faces(face_image, small.detector)]
    )
    assert np.array_equal(np.concatenate(small.backend.inputs), small.preprocessor.batch(crops))
    assert np.array_equal(np.concatenate(large.backend.inputs), large.preprocessor.batch(crops))
    for pair, face in zip(pairs, crops, strict=True):
        assert pair.native48.prepared.tobytes() == small.preprocessor.prepare(face).tobytes()
        assert pair.upscale224.prepared.tobytes() == large.preprocessor.prepare(face).tobytes()


def test_a_comparison_equals_the_predictions_of_each_predictor(predictor, face_image):
    large = linear_predictor(UPSCALE224, 1)
    pairs = compare(face_image, native48=predictor, upscale224=large)
    for pair, a, b in zip(pairs, predictor.predict(face_image), large.predict(face_image), strict=True):
        assert same_prediction(pair.native48.prediction, a)
        assert same_prediction(pair.upscale224.prediction, b)


def test_a_comparison_uses_the_given_detector_or_that_of_native48(face_image):
    small, large = linear_predictor(), linear_predictor(UPSCALE224, 1, boxes=())
    assert len(compare(face_image, native48=small, upscale224=large)) == 3
    assert len(compare(face_image, native48=small, upscale224=large, detector=FixedDetector(BOXES[0]))) == 1
    assert len(compare(face_image, native48=small, upscale224=large, whole=True)) == 1
    assert compare(face_image, native48=large, upscale224=small) == []


def _prediction(probs: dict[str, float], **timings: float) -> Prediction:
    label = max(probs, key=probs.get)
    times = {"decode": 1.0, "detect": 2.0, "preprocess": 3.0, "inference": 4.0, "total": 10.0} | timings
    return Prediction(label, list(probs).index(label), probs, (0, 0, 48, 48), "manual", times)


def _pair(a: dict[str, float], b: dict[str, float], **timings: float) -> Comparison:
    sides = [
        ComparedSide(_prediction(a), Image.new("L", (48, 48)), 10, 9216),
        ComparedSide(_prediction(b, **timings), Image.new("RGB", (224, 224)), 20, 602_112),
    ]
    return Comparison(*sides)


def test_distance_is_the_total_variation_distance():
    a = {"happy": 0.7, "sad": 0.2, "fear": 0.1}
    assert _pair(a, a).distance == 0
    assert _pair(a, dict(reversed(a.items()))).distance == 0
    assert _pair(a, {"happy": 0.4, "sad": 0.3, "fear": 0.3}).distance == pytest.approx(0.3)
    assert _pair({"happy": 1.0, "sad": 0.0}, {"happy": 0.0, "sad": 1.0}).distance == pytest.approx(1)
    assert _pair({"happy": 0.6, "disgust": 0.4}, {"happy": 1.0}).distance == pytest.approx(0.4)


def test_pipelines_agree_when_their_labels_are_equal():
    assert _pair({"happy": 0.9, "sad": 0.1}, {"happy": 0.51, "sad": 0.49}).agree
    assert not _pair({"happy": 0.51, "sad": 0.49}, {"happy": 0.49, "sad": 0.51}).agree


def test_ratio_is_the_time_at_224_divided_by_the_time_at_48():
    pair = _pair({"happy": 1.0}, {"happy": 1.0}, inference=10.0, preprocess=1.5)
    assert (pair.ratio("inference"), pair.ratio("preprocess"), pair.ratio("decode")) == (2.5, 0.5, 1.0)
    assert math.isfinite(
        Comparison(
            ComparedSide(_prediction({"happy": 1.0}, inference=0.0), Image.new("L", (1, 1)), 1, 1), pair.upscale224
        ).ratio("inference")
    )


def test_a_comparison_as_json(face_image):
    pair = compare(face_image, native48=linear_predictor(), upscale224=linear_predictor(UPSCALE224, 1))[0]
    values = json.loads(json.dumps(pair.to_dict()))
    assert values["bbox"] == [60, 30, 118, 90]
    assert (values["agree"], values["distance"]) == (pair.agree, pair.distance)
    assert values["ratios"] == {step: pair.ratio(step) for step in ("preprocess", "inference")}
    assert values["native48"] == pair.native48.prediction.to_dict() | {"parameters": 7 * 48**2, "input_bytes": 9216}
    assert values["upscale224"]["input_bytes"] == 602_112


@pytest.mark.parametrize("repeats", [0, -3])
def test_repeats_below_1_are_refused(face_image, repeats):
    with pytest.raises(InputError, match=f"repeats={repeats}"):
        compare(face_image, native48=linear_predictor(), upscale224=linear_predictor(UPSCALE224), repeats=repeats)
    with pytest.raises(InputError, match=f"repeats={repeats}"):
        linear_predictor().pipeline(find_faces(face_image, FixedDetector(BOXES[0]))[0], repeats=repeats)


def test_a_repeated_comparison_reports_its_median_run(face_image, monkeypatch):
    # preprocessing takes 1 ms, inference 5, 2 and 9 ms
    clock = iter(np.cumsum([*[0, 1, 0, 5], *[0, 1, 0, 2], *[0, 1, 0, 9]]) / 1000)
    linear = linear_predictor()
    [face] = find_faces(face_image, FixedDetector(BOXES[0]))
    monkeypatch.setattr(predictor_module.time, "perf_counter", lambda: float(next(clock)))
    prediction = linear.pipeline(face, repeats=3).prediction
    assert len(linear.backend.inputs) == 3
    assert (prediction.timings["inference"], prediction.timings["total"]) == (pytest.approx(5), pytest.approx(6))


# threads


def test_threads_that_share_predictors_get_the_same_predictions(predictor, face_image):
    large = linear_predictor(UPSCALE224, 1)
    predictors = [predictor, linear_predictor(seed=2), large, large.with_upsample("bilinear")]
    jobs = [(each, picture) for picture in _pictures(6, face_image) for each in predictors]
    expected = [each.predict(picture) for each, picture in jobs]
    with ThreadPoolExecutor(16) as pool:
        predictions = list(pool.map(lambda job: job[0].predict(job[1]), jobs))
    assert len({a[0].probs["happy"] for a in expected}) == len(jobs)
    for one, other in zip(predictions, expected, strict=True):
        assert all(same_prediction(a, b) for a, b in zip(one, other, strict=True))


# embedded checkpoints

EMBEDDED = embedded_checkpoints()
each_checkpoint = pytest.mark.parametrize("name", embedded_checkpoints())


@each_checkpoint
def test_an_embedded_checkpoint_has_its_own_preprocessing(name):
    model = EmotionClassifier.from_pretrained(name)
    wanted = PREPROCESSING[{"emotion_cnn": "native48"}.get(name, name)]
    assert model.labels == FER2013
    assert dataclasses.replace(model.preprocessor.config, mean=wanted.mean, std=wanted.std) == wanted
    folder = EMBEDDED[name]
    stages = json.loads((folder / "training.json").read_text())["stages"]
    assert stages[-1]["recipe"]["preprocess"] == model.preprocessor.config.to_dict()


@each_checkpoint
def test_embedded_weights_are_small_and_in_half_precision(name):
    path = EMBEDDED[name] / WEIGHTS_FILE
    assert path.stat().st_size <= 16 * 1024 * 1024
    kinds = {tensor.dtype for tensor in load_file(path).values()}
    assert kinds == {torch.float16, torch.int64}


@each_checkpoint
def test_the_report_of_an_embedded_checkpoint_matches_its_weights(name):
    folder = EMBEDDED[name]
    report = json.loads((folder / REPORT_FILE).read_text())
    assert report["checkpoint"] == name
    assert report["sha256"] == hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest(), (
        f"measure again: python -m training.evaluate --checkpoint {name}"
    )
    assert report["labels"] == list(FER2013.labels)
    assert report["parameters"] == EmotionClassifier.from_pretrained(name).num_parameters
    assert sum(map(sum, report["confusion_matrix"])) == report["n"]
    assert sum(row[i] for i, row in enumerate(report["confusion_matrix"])) / report["n"] == pytest.approx(
        report["accuracy"]
    )


def test_both_embedded_pipelines_predict_the_astronaut():
    photo = example_path("astronaut")
    pairs = compare(photo)
    assert len(pairs) == 1
    left, top, right, bottom = pairs[0].native48.prediction.bbox
    assert left < 225 < right, "Eileen Collins' face is at about (225, 115)"
    assert top < 115 < bottom
    assert (pairs[0].native48.prediction.model, pairs[0].upscale224.prediction.model) == ("native48", "upscale224")
    alone = EmotionPredictor.from_pretrained("native48").predict(photo)
    assert all(same_prediction(pair.native48.prediction, one) for pair, one in zip(pairs, alone, strict=True))


def test_with_labels_six_class_renormalises_without_disgust(predictor, face_image):
    seven, six = predictor.predict(face_image)[0], predictor.with_labels("six_class").predict(face_image)[0]
    assert tuple(six.probs) == SIX_CLASS.labels
    assert six.left_out == {"disgust": seven.probs["disgust"]} == six.to_dict()["left_out"]
    assert sum(six.probs.values()) == pytest.approx(1)
    for short, long in zip(("angry", "fear", "happy", "neutral", "sad", "surprise"), SIX_CLASS.labels, strict=True):
        assert six.probs[long] == pytest.approx(seven.probs[short] / (1 - seven.probs["disgust"]))
    assert seven.left_out == {}
    assert "left_out" not in seven.to_dict()


def test_labels_of_from_pretrained_and_compare(face_image):
    [six] = EmotionPredictor.from_pretrained("emotion_cnn", labels="six_class").predict(face_image, whole=True)
    [pair] = compare(face_image, whole=True, labels="six_class")
    for prediction in (six, pair.native48.prediction, pair.upscale224.prediction):
        assert tuple(prediction.probs) == SIX_CLASS.labels
        assert list(prediction.left_out) == ["disgust"]
    with pytest.raises(LabelError, match="label 'bored' is not in fer2013"):
        EmotionPredictor.from_pretrained("emotion_cnn", labels=["bored"])


def test_with_labels_refuses_a_label_that_the_network_does_not_have(predictor):
    narrow = EmotionPredictor(predictor.backend, LabelSet("two", ("happy", "sad")), predictor.preprocessor)
    with pytest.raises(LabelError, match="'angry' is not in two"):
        narrow.with_labels("six_class")


@pytest.mark.parametrize(("device", "backend"), [(None, "onnx"), ("cpu", "onnx")])
def test_onnx_is_the_default_backend_of_a_checkpoint_with_an_onnx_file(device, backend):
    assert EmotionPredictor.from_pretrained("emotion_cnn", device=device).backend_name == backend
    assert default_backend("emotion_cnn", device) == backend


def test_torch_is_the_default_backend_for_accelerators_and_without_an_onnx_file(tmp_path):
    assert default_backend("emotion_cnn", "cuda") == "torch"
    for name in ("config.json", WEIGHTS_FILE):
        shutil.copyfile(embedded_checkpoints()["emotion_cnn"] / name, tmp_path / name)
    assert EmotionPredictor.from_pretrained(tmp_path).backend_name == "torch"


def test_with_backend_loads_the_same_checkpoint_on_another_backend(face_image):
    onnx = EmotionPredictor.from_pretrained("emotion_cnn", labels="six_class")
    on_torch = onnx.with_backend("torch")
    assert (onnx.backend_name, on_torch.backend_name) == ("onnx", "torch")
    assert on_torch.with_backend("onnx").backend is onnx.backend
    assert onnx.with_backend("torch").backend is on_torch.backend
    first, second = onnx.predict(face_image, whole=True)[0], on_torch.predict(face_image, whole=True)[0]
    assert first.probs == pytest.approx(second.probs, abs=1e-3)
    assert tuple(second.probs) == SIX_CLASS.labels


def test_with_backend_refuses_a_predictor_without_a_checkpoint(predictor):
    with pytest.raises(InputError, match="was not loaded by from_pretrained"):
        linear_predictor().with_backend("torch")
    with pytest.raises(InputError, match="choose from torch, onnx, onnx-int8"):
        predictor.with_backend("tensorflow")


def test_an_embedded_predictor_is_loaded_once_per_process():
    assert predictor_module.embedded_predictor("native48") is predictor_module.embedded_predictor("native48")


@each_checkpoint
def test_an_embedded_checkpoint_is_evaluated_on_the_whole_test_split_and_accurate(name):
    report = json.loads((embedded_checkpoints()[name] / REPORT_FILE).read_text())
    assert (report["split"], report["n"]) == ("test", 3589)
    assert report["accuracy"] > 0.6310


@each_checkpoint
def test_an_embedded_checkpoint_was_trained_with_recipes_of_the_repository(name):
    recipes = Path(__file__).parents[1] / "training" / "runs"
    for stage in json.loads((embedded_checkpoints()[name] / TRAINING_FILE).read_text())["stages"]:
        if "average" in stage:  # an average of the weights of earlier stages
            continue
        recipe = load_recipe(recipes / f"{stage['recipe']['name']}.toml")
        assert Recipe.from_dict(stage["recipe"]) == recipe


@pytest.mark.slow
def test_a_batch_releases_its_photos(predictor, face_image):
    """Only prepared arrays are kept for the batch; a thousand decoded phone photos would need 36 GB."""
    given: list[weakref.ref] = []

    def photos():
        for _ in range(12):
            photo = face_image.copy()
            given.append(weakref.ref(photo))
            yield photo
            del photo
            gc.collect()
            assert sum(ref() is not None for ref in given) <= 1

    assert len(predictor.predict_batch(photos(), batch_size=32, whole=True)) == 12


def test_the_error_of_an_image_that_cannot_be_prepared_has_its_position(predictor, face_image):
    sliver = Image.new("L", (40_000, 2))
    with pytest.raises(ImageTooLargeError, match=r"^picture 1 of the batch"):
        predictor.predict_batch([face_image, sliver], whole=True)


def test_compare_detected_with_limit_takes_the_largest_faces(predictor, face_image):
    photo = locate(face_image, FixedDetector(*BOXES))
    assert len(photo.faces) == 3
    limited = compare_detected(photo, native48=predictor, upscale224=predictor, limit=2)
    assert [c.native48.prediction.bbox for c in limited] == [f.bbox for f in photo.faces[:2]]


def test_an_unknown_device_is_refused_by_name():
    with pytest.raises(InputError, match="device='gpu' cannot be used here"):
        TorchBackend(EmotionClassifier("emotion_cnn"), "gpu")


def test_threads_that_load_an_embedded_predictor_share_it():
    predictor_module._embedded_predictor.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        identities = {id(p) for p in pool.map(predictor_module.embedded_predictor, ["native48"] * 8)}
    assert len(identities) == 1
