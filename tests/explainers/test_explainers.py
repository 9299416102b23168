"""Explanations: every method finds the patch that decides, tells the same twice, and leaves the network that predicts alone."""

from __future__ import annotations

import gc
import inspect
import json
import logging
import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from emotion_hub.backends import TorchBackend
from emotion_hub.detectors import Detection, Framing
from emotion_hub.errors import ImageError, InputError, LabelError, MissingDependencyError
from emotion_hub.explainers import METHODS, METRICS, Explanation, explain, explain_face, list_methods, pool
from emotion_hub.explainers.lime import superpixels
from emotion_hub.explainers.pool import shuffled_predictor
from emotion_hub.explainers.shap_torch import background_faces
from emotion_hub.labels import FER2013, LabelSet
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import Preprocessor
from tests.tolerances import MAPS, assert_same_logits, assert_same_maps

#: {way: (method, options)}: every way to make a map of a convolutional network, with budgets for a test.
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "gradcam": ("gradcam", {}),
    "gradcam++": ("gradcam++", {}),
    "lime": ("lime", {"samples": 150}),
    "deep": ("shap", {"explainer": "deep", "background": 4}),
    "gradient": ("shap", {"explainer": "gradient", "background": 4, "samples": 40}),
    "partition": ("shap", {"explainer": "partition", "samples": 120}),
}
DRAWING = ("lime", "gradient")
SIGNED = ("lime", "deep", "gradient", "partition")
REPORTING = ("lime", "deep", "gradient", "partition")


def network(
    model: str = "emotion_cnn", labels: tuple[str, ...] = FER2013.labels, seed: int = 0, **options: Any
) -> EmotionPredictor:
    torch.manual_seed(seed)
    classifier = EmotionClassifier(ClassifierConfig(model, labels, options=options))
    return EmotionPredictor(TorchBackend(classifier, "cpu"), classifier.labels, classifier.preprocessor, name=model)


def noise(seed: int = 0) -> Image.Image:
    """Blobs about as large as a face's features: superpixels have edges to follow."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    return Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC)


def settled(predictor: EmotionPredictor) -> EmotionPredictor:
    """The same network, its batch norms' statistics those of noise: signals neither fade nor burst, logits lie apart."""
    classifier = predictor.backend.classifier
    for layer in classifier.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = 1.0
    with torch.no_grad():
        classifier.train()(torch.from_numpy(predictor.preprocessor.batch([noise(seed) for seed in range(100, 106)])))
    classifier.eval()
    return predictor


def made(
    way: str, face: Image.Image, predictor: EmotionPredictor, target: str | None = None, **more: Any
) -> Explanation:
    method, options = WAYS[way]
    return explain_face(face, predictor, method, target, **{"metrics": "none", **options, **more})


def logits(predictor: EmotionPredictor, face: Image.Image) -> np.ndarray:
    return predictor.backend.logits(predictor.preprocessor.batch([face]))[0]


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """What `call` returns or raises, or a failure when it hangs."""
    answer: list[Any] = []

    def run() -> None:
        try:
            answer.append(call())
        except BaseException as error:
            answer.append(error)

    threading.Thread(target=run, daemon=True).start()
    waiting = threading.Event()
    for _ in range(int(seconds * 100)):
        if answer:
            break
        waiting.wait(0.01)
    assert answer, f"still running after {seconds} seconds"
    if isinstance(answer[0], BaseException):
        raise answer[0]
    return answer[0]


# the known truth: stripes in one of four places decide, checkers of the same contrast fill the other three

SIDE = 16
PLACES = ((4, 4), (4, 28), (28, 4), (28, 28))
KINDS = ("happy", "sad")  # upright stripes, lying stripes

#: How far from the patch, in pixels, relevance still counts as on it: half a cell of the CAMs' 6 by 6 maps, half of what a superpixel reaches over an edge.
REACH = {"gradcam": 4, "gradcam++": 4, "lime": 2, "deep": 0, "gradient": 0, "partition": 0}
BUDGET = {"lime": {"samples": 300}, "gradient": {"samples": 100}, "partition": {"samples": 300}}


def drawn(kind: int, place: int, rng: np.random.Generator) -> Image.Image:
    gray = 128 + rng.normal(0, 8, (48, 48))
    for i, (y, x) in enumerate(PLACES):
        phase = (np.arange(SIDE) + rng.integers(4)) // 2
        rows, columns = np.meshgrid(phase, phase, indexing="ij")
        pattern = (columns, rows)[kind] if i == place else rows + columns
        gray[y : y + SIDE, x : x + SIDE] += np.where(pattern % 2, 60, -60)
    return Image.fromarray(gray.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def striped() -> EmotionPredictor:
    """EmotionCNN that tells upright from lying stripes, wherever they are."""
    predictor = network(labels=KINDS)
    classifier = predictor.backend.classifier.train()
    optimizer = torch.optim.Adam(classifier.parameters(), lr=3e-4)
    rng = np.random.default_rng(0)
    for _ in range(50):
        kinds = rng.integers(2, size=16)
        faces = predictor.preprocessor.batch([drawn(kind, rng.integers(4), rng) for kind in kinds])
        loss = nn.functional.cross_entropy(classifier(torch.from_numpy(faces)), torch.from_numpy(kinds))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    classifier.eval()
    return predictor


def on_place(heatmap: np.ndarray, place: int, reach: int) -> float:
    """The share of the map's relevance within `reach` pixels of the place."""
    y, x = PLACES[place]
    inside = heatmap[max(0, y - reach) : y + SIDE + reach, max(0, x - reach) : x + SIDE + reach]
    return float(inside.sum() / heatmap.sum()) if heatmap.any() else 0.0


def maps_of_places(
    way: str, predictor: EmotionPredictor, places: Sequence[int] = range(4), *, other: bool = False
) -> dict[int, np.ndarray]:
    """{place of the patch that decides: the map of a face that has it there}, of the class it speaks for or of the other one."""
    rng = np.random.default_rng(5)
    faces = [drawn(place % 2, place, rng) for place in range(4)]
    return {
        place: made(way, faces[place], predictor, KINDS[(place + other) % 2], **BUDGET.get(way, {})).heatmap
        for place in places
    }


def mean_on_patch(way: str, maps: dict[int, np.ndarray]) -> float:
    return float(np.mean([on_place(heatmap, place, REACH[way]) for place, heatmap in maps.items()]))


def test_the_network_of_the_known_truth_knows_it(striped):
    rng = np.random.default_rng(9)
    kinds = rng.integers(2, size=64)
    faces = striped.preprocessor.batch([drawn(kind, rng.integers(4), rng) for kind in kinds])
    assert (striped.backend.logits(faces).argmax(axis=1) == kinds).mean() >= 0.95


@pytest.mark.parametrize("way", WAYS)
def test_half_of_the_relevance_is_on_the_patch_that_decides(way, striped):
    maps = maps_of_places(way, striped)
    assert mean_on_patch(way, maps) >= 0.5
    for place, heatmap in maps.items():
        everywhere = [on_place(heatmap, other, REACH[way]) for other in range(4)]
        assert int(np.argmax(everywhere)) == place, everywhere


@pytest.mark.parametrize("way", WAYS)
def test_of_shuffled_weights_the_relevance_is_not_on_the_patch(way, striped):
    """The check above would be worth nothing if the picture alone satisfied it."""
    maps = maps_of_places(way, shuffled_predictor(striped), (1, 2))
    assert any(heatmap.any() for heatmap in maps.values())
    assert mean_on_patch(way, maps) < 0.5


@pytest.mark.parametrize("way", WAYS)
def test_the_patch_does_not_speak_for_the_other_class(way, striped):
    assert mean_on_patch(way, maps_of_places(way, striped, (1, 2), other=True)) < 0.5


# networks whose answer is known by hand


class Weighted(nn.Module):
    """A classifier whose logits are weighted sums of the pixels."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(48 * 48, classes))
        self.num_parameters = sum(p.numel() for p in self.parameters())

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.network(pixel_values)


@pytest.fixture
def weighted() -> EmotionPredictor:
    return EmotionPredictor(
        TorchBackend(Weighted(), "cpu"), LabelSet("three", ("happy", "sad", "fear")), Preprocessor("native48")
    )


def weights_of(predictor: EmotionPredictor, target: int) -> np.ndarray:
    return predictor.backend.classifier.network[1].weight.detach().numpy()[target].reshape(48, 48).astype(np.float64)


def test_shap_of_a_weighted_sum_is_the_weights_times_the_distance_to_the_background(weighted):
    face, prepare = noise(), weighted.preprocessor
    x, faces = prepare(face)[0], prepare.batch(background_faces(4))[:, 0]
    deep = made("deep", face, weighted, "sad")
    np.testing.assert_allclose(deep.signed, weights_of(weighted, 1) * (x - faces.mean(axis=0)), atol=1e-6)
    gradient = made("gradient", face, weighted, "sad", background=1)
    np.testing.assert_allclose(gradient.signed, weights_of(weighted, 1) * (x - faces[0]), atol=1e-6)


def test_partition_of_a_weighted_sum_gives_each_half_what_it_adds(weighted):
    from PIL import ImageFilter

    face, prepare = noise(), weighted.preprocessor
    blurred = prepare.to_array(face.filter(ImageFilter.GaussianBlur(4)))[0]
    truth = weights_of(weighted, 2) * (prepare(face)[0] - blurred)
    found = made("partition", face, weighted, "fear").signed
    for half in (np.s_[:, :24], np.s_[:, 24:], np.s_[:24], np.s_[24:]):
        assert found[half].sum() == pytest.approx(truth[half].sum(), abs=1e-4)
    assert abs(truth[:, :24].sum() - truth[:, 24:].sum()) > 1e-2


class Bright:
    """A runtime that is not torch: the first class's logit is the mean brightness of one block, the others are 0."""

    num_parameters = 0

    def __init__(self, block: tuple[slice, slice] = np.s_[30:42, 8:20], channels: int = 1) -> None:
        self.block, self.channels = block, channels

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        assert pixel_values.dtype == np.float32
        value = pixel_values[(slice(None), slice(None), *self.block)].mean(axis=(1, 2, 3))
        return np.stack([2 * value, 0 * value], axis=1).astype(np.float32)


def foreign(backend: object | None = None, preprocessing: str = "native48") -> EmotionPredictor:
    return EmotionPredictor(backend or Bright(), LabelSet("two", KINDS), Preprocessor(preprocessing), name="foreign")


@pytest.fixture
def spot() -> Image.Image:
    """Gray noise with a bright block where `Bright` looks, darker ones elsewhere."""
    gray = 100 + np.random.default_rng(1).normal(0, 6, (48, 48))
    gray[30:42, 8:20] = 230
    gray[8:20, 8:20] = 30
    gray[8:20, 30:42] = 230
    return Image.fromarray(gray.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("way", ["lime", "partition", "auto"])
def test_a_runtime_that_is_not_torch_is_explained_through_its_logits(way, spot):
    method, options = {
        "lime": WAYS["lime"],
        "partition": ("shap", {"explainer": "partition", "samples": 300}),
        "auto": ("shap", {}),
    }[way]
    found = explain_face(spot, foreign(), method, "happy", metrics="fast", **options)
    near = found.heatmap[28:44, 6:22].sum() / found.heatmap.sum()
    assert near >= 0.5
    if way == "auto":
        assert found.parameters["explainer"] == "partition"
    assert found.scores["deletion"] < found.scores["insertion"]
    other = explain_face(spot, foreign(Bright(np.s_[8:20, 30:42])), method, "happy", metrics="none", **options)
    assert other.heatmap[6:22, 28:44].sum() / other.heatmap.sum() >= 0.5


def test_on_the_upscale_the_same_cells_are_taken_away(spot):
    side = 224
    inside = tuple(slice(part.start * side // 48, part.stop * side // 48) for part in np.s_[30:42, 8:20])
    large = foreign(Bright(inside), "upscale224")
    for way in ("lime", "partition"):
        found = made(way, spot, large, "happy", samples=300)
        assert found.heatmap.shape == (224, 224)
        rows, columns = (slice(part.start - 10, part.stop + 10) for part in inside)
        assert found.heatmap[rows, columns].sum() / found.heatmap.sum() >= 0.5, way
    assert made("partition", spot, large, "happy").signed.sum() == pytest.approx(
        float(np.diff(large.backend.logits(np.stack([blurred(large, spot), large.preprocessor(spot)]))[:, 0])[0]),
        abs=1e-3,
    )


def blurred(predictor: EmotionPredictor, face: Image.Image) -> np.ndarray:
    from PIL import ImageFilter

    prepared = predictor.preprocessor.prepare(face)
    return predictor.preprocessor.to_array(prepared.filter(ImageFilter.GaussianBlur(prepared.width / 12)))


# the same twice


@pytest.mark.parametrize("way", WAYS)
def test_the_same_seed_gives_the_same_map_and_leaves_the_callers_generators_alone(way):
    predictor, face = network(), noise()
    np.random.seed(11)
    before, torchs = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = made(way, face, predictor)
    state = np.random.get_state()
    assert np.array_equal(state[1], before)
    assert state[2] == 624
    assert torch.equal(torch.get_rng_state(), torchs)
    np.random.seed(12)
    second = made(way, face, predictor)
    assert np.array_equal(first.heatmap, second.heatmap)
    assert first.heatmap.any()
    if way in SIGNED:
        assert np.array_equal(first.signed, second.signed)
    assert first.parameters == second.parameters


def test_partition_breaks_ties_the_same_way_whatever_the_callers_generator(spot):
    """shap orders equal patches by NumPy's global generator."""
    maps = []
    for seed in range(4):
        np.random.seed(seed)
        maps.append(made("partition", spot, foreign(), "happy").signed)
    assert all(np.array_equal(maps[0], other) for other in maps[1:])


@pytest.mark.parametrize("way", DRAWING)
def test_another_seed_gives_another_map(way):
    predictor, face = network(), noise()
    first, second = (made(way, face, predictor, seed=seed) for seed in (1, 2))
    assert not np.array_equal(first.signed, second.signed)
    assert (first.parameters["seed"], second.parameters["seed"]) == (1, 2)


# the network that predicts is left alone


def snapshot(module: nn.Module) -> list[Any]:
    """Everything an explainer could leave behind in a network."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    seen: list[Any] = []
    for name, part in module.named_modules():
        seen.append(
            (
                name,
                type(part),
                part.training,
                sorted(vars(part)),
                [len(getattr(part, h)) for h in hooks],
                getattr(part, "inplace", None),
            )
        )
    seen += [(name, id(p), p.requires_grad, p.grad is None, p._version) for name, p in module.named_parameters()]
    return seen + [(name, id(b), b._version) for name, b in module.named_buffers()]


@pytest.fixture
def watched(monkeypatch) -> Iterator[Callable[[EmotionPredictor], list[str]]]:
    """Gives, for a predictor, the list of hooks that are put on its own network from then on."""
    watching: dict[int, list[str]] = {}

    def spy(name: str) -> None:
        original = getattr(nn.Module, name)

        def register(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if id(self) in watching:
                watching[id(self)].append(name)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(nn.Module, name, register)

    for name in (
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    ):
        spy(name)

    def watch(predictor: EmotionPredictor) -> list[str]:
        found: list[str] = []
        watching.update({id(module): found for module in predictor.backend.classifier.modules()})
        return found

    return watch


@pytest.mark.parametrize("way", WAYS)
def test_the_users_network_is_never_hooked_frozen_or_added_to(way, watched):
    predictor, face = network(), noise()
    hooked, before, answer = watched(predictor), snapshot(predictor.backend.classifier), logits(predictor, face)
    during = []
    made(way, face, predictor, progress=lambda done: during.append(snapshot(predictor.backend.classifier) == before))
    assert hooked == []
    assert all(during)
    assert bool(during) == (way in REPORTING)
    assert snapshot(predictor.backend.classifier) == before
    assert np.array_equal(logits(predictor, face), answer)


def test_the_spy_sees_hooks(watched):
    predictor = network()
    hooked, before = watched(predictor), snapshot(predictor.backend.classifier)
    predictor.backend.classifier.network.features.register_forward_hook(lambda *_: None)
    assert hooked == ["register_forward_hook"]
    assert snapshot(predictor.backend.classifier) != before


class StopError(Exception):
    """The caller has had enough."""


@pytest.mark.parametrize("when", [0.0, 0.3])
@pytest.mark.parametrize("way", REPORTING)
def test_stopping_in_the_middle_leaves_nothing_behind(way, when):
    predictor, face = network(), noise()
    right, before, answer = made(way, face, predictor), snapshot(predictor.backend.classifier), logits(predictor, face)
    state = np.random.get_state()[1].copy()

    def stop(done: float) -> None:
        if done >= when:
            raise StopError

    for _ in range(pool.LIMIT + 1):  # a copy lost each time would be missed by the last
        with pytest.raises(StopError):
            within(60, lambda: made(way, face, predictor, progress=stop))
    assert np.array_equal(np.random.get_state()[1], state)
    assert snapshot(predictor.backend.classifier) == before
    assert np.array_equal(logits(predictor, face), answer)
    again = within(60, lambda: made(way, face, predictor))
    assert_same_maps(again.signed, right.signed)


@pytest.mark.parametrize("way", WAYS)
def test_a_layer_that_fails_leaves_nothing_behind(way, monkeypatch):
    predictor, face = network(), noise()
    calls, limit, forward = 0, 10**9, nn.Linear.forward

    def failing(self: nn.Linear, values: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls >= limit:
            raise RuntimeError("the layer broke")
        return forward(self, values)

    monkeypatch.setattr(nn.Linear, "forward", failing)
    right, before, answer = made(way, face, predictor), snapshot(predictor.backend.classifier), logits(predictor, face)
    needed = calls
    for _ in range(pool.LIMIT + 1):
        calls, limit = 0, needed - 3  # before the last passes: hooks are in place
        with pytest.raises(RuntimeError, match="the layer broke"):
            within(60, lambda: made(way, face, predictor))
    limit = 10**9
    assert snapshot(predictor.backend.classifier) == before
    assert np.array_equal(logits(predictor, face), answer)
    assert_same_maps(within(60, lambda: made(way, face, predictor)).heatmap, right.heatmap)


@pytest.mark.parametrize("way", WAYS)
def test_no_grad_and_inference_mode_around_the_call_change_nothing(way):
    predictor, face = network(), noise()
    for mode in (torch.no_grad, torch.inference_mode):
        fresh = network()  # no copy of it has been made outside
        with mode():
            inside = made(way, face, fresh)
        assert_same_maps(inside.heatmap, made(way, face, predictor).heatmap)
        assert np.array_equal(inside.heatmap, made(way, face, fresh).heatmap)


@pytest.mark.parametrize("way", REPORTING)
def test_progress_rises_from_0_to_1(way):
    seen: list[float] = []
    made(way, noise(), network(), progress=seen.append)
    assert len(seen) >= 1
    assert seen == sorted(seen)
    assert seen[0] >= 0
    assert seen[-1] == pytest.approx(1)
    assert max(seen) <= 1


# eight at once


def test_eight_explanations_at_once_are_what_they_are_alone():
    predictor, faces = network(), [noise(seed) for seed in range(3)]
    jobs = [
        ("gradcam", 0, "happy", {}),
        ("gradient", 0, "sad", {"seed": 3}),
        ("lime", 1, "fear", {"seed": 1}),
        ("deep", 1, "angry", {}),
        ("partition", 2, "happy", {}),
        ("gradcam++", 2, "surprise", {}),
        ("gradient", 1, "neutral", {"seed": 4}),
        ("gradcam", 1, "disgust", {"versus": "happy"}),
    ]

    def run(job: tuple[str, int, str, dict[str, Any]]) -> np.ndarray:
        way, face, target, more = job
        found = made(way, faces[face], predictor, target, **more)
        return found.heatmap if found.signed is None else found.signed

    alone = [run(job) for job in jobs]
    answers = [logits(predictor, face) for face in faces]
    barrier = threading.Barrier(len(jobs))

    def at_once(job: tuple[str, int, str, dict[str, Any]]) -> np.ndarray:
        barrier.wait()
        return run(job)

    with ThreadPoolExecutor(len(jobs)) as threads:
        running = [threads.submit(at_once, job) for job in jobs]
        meanwhile = []
        while not all(future.done() for future in running):
            meanwhile.append([logits(predictor, face) for face in faces])
    for job, future, expected in zip(jobs, running, alone, strict=True):
        assert_same_maps(future.result(), expected, str(job))
    assert meanwhile
    for seen in meanwhile:
        assert_same_logits(seen, answers)
    different = [
        np.abs(one / np.abs(one).max() - other / np.abs(other).max()).max() for one, other in combinations(alone, 2)
    ]
    assert min(different) > 10 * MAPS, "two jobs have the same map: this test could not fail"


# one class rather than another


@pytest.mark.parametrize("way", ["gradcam", "gradcam++"])
def test_why_the_one_rather_than_the_other_is_another_question(way):
    predictor, face = network(), noise()
    plain, versus, other = (made(way, face, predictor, "happy", versus=against) for against in (None, "sad", "fear"))
    assert not np.allclose(plain.heatmap, versus.heatmap, atol=1e-3)
    assert not np.allclose(versus.heatmap, other.heatmap, atol=1e-3)
    assert (versus.target, versus.versus) == ("happy", "sad")
    assert plain.versus is None


@pytest.mark.parametrize("way", SIGNED)
def test_turning_the_question_round_turns_the_signs(way):
    predictor, face = network(), noise()
    there, back = made(way, face, predictor, "happy", versus="sad"), made(way, face, predictor, "sad", versus="happy")
    assert there.signed.any()
    np.testing.assert_allclose(there.signed, -back.signed, rtol=1e-4, atol=1e-5 * np.abs(there.signed).max())
    plain = [made(way, face, predictor, label).signed for label in ("happy", "sad")]
    if way in ("deep", "gradient"):  # the others choose what to try by the question
        np.testing.assert_allclose(there.signed, plain[0] - plain[1], rtol=1e-3, atol=1e-4 * np.abs(there.signed).max())
    assert not np.allclose(there.signed, plain[0], atol=1e-3 * np.abs(plain[0]).max())


def test_without_a_target_the_predicted_label_is_explained_and_with_versus_the_next_best():
    predictor, face = network(), noise()
    order = np.argsort(logits(predictor, face))[::-1]
    best, second = (FER2013.labels[i] for i in order[:2])
    found = made("gradcam", face, predictor)
    assert found.target == best
    assert found.confidence == pytest.approx(predictor.predict_faces([face])[0].probs[best])
    against = made("gradcam", face, predictor, versus=best)
    assert (against.target, against.versus) == (second, best)
    assert against.confidence == pytest.approx(predictor.predict_faces([face])[0].probs[second])
    assert made("gradcam", face, predictor, "anger").target == "angry"


# deep's promise


@pytest.mark.parametrize("model", ["emotion_cnn", "enhanced_cnn48", "vgg16_48", "mobilenetv2_224"])
def test_deeps_contributions_sum_to_the_difference_of_the_logits(model):
    predictor, face = settled(network(model)), noise()
    found = made("deep", face, predictor, "happy", background=3)
    background = predictor.backend.logits(predictor.preprocessor.batch(background_faces(3)))
    difference = float(logits(predictor, face)[3]) - float(background[:, 3].mean())
    assert abs(difference) > 0.01, "too small to miss something of"
    assert float(found.signed.sum()) == pytest.approx(difference, rel=0.02, abs=2e-4)
    assert found.parameters["difference"] == pytest.approx(difference, rel=1e-3, abs=1e-5)
    assert found.scores["additivity"] == pytest.approx(abs(difference - float(found.signed.sum())), abs=1e-4)
    assert made("deep", face, predictor, "happy", explainer="auto", background=3).parameters["explainer"] == "deep"


def test_where_deep_cannot_follow_gradients_answer(caplog):
    predictor, face = network("resnet18_48"), noise()
    with caplog.at_level(logging.INFO, "emotion_hub.explainers.shap"):
        found = made("gradient", face, predictor, explainer="auto", background=2, samples=20)
    assert found.parameters["explainer"] == "gradient"
    assert found.signed.any()
    assert "ReLU layers run more than once a pass" in caplog.text
    with pytest.raises(
        InputError,
        match=r"Deep cannot follow resnet18_48: its ReLU layers run more than once.*use explainer='gradient'",
    ):
        made("deep", face, predictor)


def test_where_deeps_sum_is_not_the_difference_gradients_answer(caplog):
    """The mean of probabilities in an ensemble is a function of no layer that Deep could see."""
    predictor, face = network("ensemble_native48", members=[{"model": "emotion_cnn"}] * 2), noise()
    for layer in predictor.backend.classifier.network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.2)
    with caplog.at_level(logging.INFO, "emotion_hub.explainers.shap"):
        found = made("gradient", face, predictor, explainer="auto", background=2, samples=20)
    assert found.parameters["explainer"] == "gradient"
    assert re.search(r"its contributions miss \d", caplog.text)
    assert made("deep", face, predictor, background=2).scores["additivity"] > 0.02


def test_a_package_that_keeps_the_traceback_of_an_import_keeps_no_face(monkeypatch, tmp_path):
    """shap does: the first picture explained would stay in memory, and its network with it."""
    (tmp_path / "hoarding_package.py").write_text(
        "try:\n    import there_is_no_such_module\nexcept ImportError as error:\n    kept = error\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(METHODS, "gradcam", replace(METHODS["gradcam"], package="hoarding_package"))
    monkeypatch.delitem(sys.modules, "hoarding_package", raising=False)
    predictor = network()
    made("gradcam", noise(), predictor)
    assert sys.modules["hoarding_package"].kept.__traceback__
    gone = weakref.ref(predictor)
    del predictor
    gc.collect()
    assert gone() is None


def test_an_explanation_may_be_asked_for_in_the_middle_of_another():
    """NumPy's global generator is lent to one run at a time; the inner one must not wait for the outer one."""
    predictor, face = network(), noise()
    alone = {way: made(way, face, predictor).signed for way in ("gradient", "partition")}
    inner: list[np.ndarray] = []

    def ask(done: float) -> None:
        if len(inner) < 2:
            inner.append(made("partition" if inner else "gradient", face, predictor).signed)

    for way in ("gradient", "partition"):
        inner.clear()
        outer = within(60, lambda way=way: made(way, face, predictor, progress=ask))
        assert_same_maps(outer.signed, alone[way])
        for found, expected in zip(inner, alone.values(), strict=True):
            assert_same_maps(found, expected)


# what cannot be explained


class Nowhere:
    """A detector that finds nothing."""

    name, framing = "nowhere", Framing(1.0, 0.0)

    def detect(self, image: Image.Image) -> list[Detection]:
        return []


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "rollout"])
def test_a_method_that_looks_inside_needs_torch(method):
    with pytest.raises(
        InputError,
        match=r"needs the torch backend, and this predictor .* runs Bright\. Use method='lime' or method='shap'",
    ):
        explain_face(noise(), foreign(), method)


@pytest.mark.parametrize("explainer", ["deep", "gradient"])
def test_a_shap_that_differentiates_needs_torch(explainer):
    with pytest.raises(InputError, match=rf"explainer='{explainer}'.*without torch; use explainer='partition'"):
        explain_face(noise(), foreign(), "shap", explainer=explainer)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("grad-cam", {}, r"no method 'grad-cam'; choose from gradcam, gradcam\+\+, lime, shap, rollout"),
        ("gradcam", {"samples": 3}, r"Grad-CAM has no option 'samples'; it takes layer"),
        ("lime", {"layers": 3, "a": 1}, r"LIME has no option 'a', 'layers'; it takes samples, segments, seed"),
        ("rollout", {"seed": 3}, r"Attention rollout has no option 'seed'; it takes none"),
        ("gradcam", {"metrics": "slow"}, r"metrics='slow'; choose from none, fast, full"),
        ("gradcam", {"layer": "features.99"}, r"EmotionCNN has no layer 'features.99'; its last are .*features\.14"),
        ("gradcam", {"layer": ""}, r"EmotionCNN has no layer ''"),
        ("gradcam++", {"layer": "classifier.1"}, r"output has shape \(1, 512\).*\(N, channels, h, w\)"),
        ("gradcam", {"versus": "happy", "target": "happy"}, r"target and versus are both 'happy'"),
        ("gradcam", {"versus": "happy", "target": "happiness"}, r"target and versus are both 'happy'"),
        ("lime", {"samples": 99}, r"samples=99: a regression on 50 superpixels needs at least 100 samples"),
        ("lime", {"samples": 150.5}, r"samples=150.5"),
        ("lime", {"segments": 3}, r"segments=3: fewer than 4 superpixels"),
        ("lime", {"segments": None}, r"segments=None"),
        ("lime", {"segments": "many"}, r"segments='many'"),
        ("lime", {"seed": -1}, r"seed=-1: .*0 to 4294967295"),
        ("shap", {"seed": 2**32}, r"seed=4294967296"),
        ("shap", {"seed": None}, r"seed=None"),
        ("shap", {"explainer": "kernel"}, r"explainer='kernel'; choose from auto, deep, gradient, partition"),
        ("shap", {"samples": 19}, r"samples=19: a whole number of at least 20"),
        ("shap", {"samples": 0}, r"samples=0: a whole number of at least 20"),
        ("shap", {"samples": "many"}, r"samples='many'"),
        ("shap", {"samples": 50.5}, r"samples=50.5"),
        ("shap", {"background": 0}, r"background=0: there are 1 to \d+ average faces"),
        ("shap", {"background": 1000}, r"background=1000: there are 1 to \d+ average faces"),
        ("shap", {"background": [3]}, r"background=\[3\]: there are 1 to \d+"),
        ("rollout", {}, r"rollout follows attention and emotion_cnn has none; use method='gradcam'"),
    ],
)
def test_errors_name_what_would_do(method, options, message):
    with pytest.raises(InputError, match=message):
        explain_face(noise(), network(), method, **options)


@pytest.mark.parametrize("options", [{"target": "bored"}, {"versus": "bored"}])
def test_an_unknown_class_is_refused_with_the_known_ones(options):
    with pytest.raises(LabelError, match=r"'bored'.*angry, disgust, fear, happy, sad, surprise, neutral"):
        explain_face(noise(), network(), **options)


def test_a_class_of_another_network_is_refused(striped):
    with pytest.raises(LabelError, match=r"label 'fear' is not in custom; it has happy, sad"):
        explain_face(noise(), striped, target="fear")


def test_a_picture_without_a_face_is_refused_and_may_be_taken_whole():
    predictor, photo = network(), Image.new("RGB", (120, 90), (90, 120, 60))
    with pytest.raises(InputError, match=r"no face was found in the 120x90 picture; pass whole=True"):
        explain(photo, "gradcam", predictor, detector=Nowhere())
    with pytest.raises(InputError, match="no face was found in the 120x90"):
        explain(
            photo,
            "gradcam",
            EmotionPredictor(predictor.backend, predictor.labels, predictor.preprocessor, detector=Nowhere()),
        )
    assert explain(photo, "gradcam", predictor, whole=True, metrics="none").heatmap.shape == (48, 48)


def test_options_are_checked_before_a_face_is_looked_for():
    class Never(Nowhere):
        def detect(self, image: Image.Image) -> list[Detection]:
            raise AssertionError("looked for a face")

    photo = Image.new("RGB", (120, 90))
    for wrong in ({"method": "saliency"}, {"metrics": "slow"}, {"layers": 1}):
        with pytest.raises(InputError):
            explain(photo, model=network(), detector=Never(), **wrong)
    with pytest.raises(ImageError):
        explain(b"no picture", model=network())


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(
        MissingDependencyError,
        match=r"Grad-CAM needs the extra 'cam' \(pytorch_grad_cam is not installed\).*pip install \"\.\[cam\]\"",
    ):
        explain_face(noise(), network(), "gradcam")


# what is offered


def test_methods_are_offered_where_they_work():
    assert list_methods() == list(METHODS) == ["gradcam", "gradcam++", "lime", "shap", "rollout"]
    assert list_methods(foreign()) == ["lime", "shap"]
    assert list_methods(network()) == ["gradcam", "gradcam++", "lime", "shap"]
    assert list_methods(network("timm_224", backbone="test_vit", hidden=32)) == list(METHODS)


def test_every_methods_options_are_those_of_its_function():
    options = {name: method.options for name, method in METHODS.items()}
    assert options == {
        "gradcam": ("layer",),
        "gradcam++": ("layer",),
        "lime": ("samples", "segments", "seed"),
        "shap": ("explainer", "background", "samples", "seed"),
        "rollout": (),
    }
    for method in METHODS.values():
        first = list(inspect.signature(method.run).parameters)[:2]
        assert first == ["subject", "progress"]


def test_superpixels_are_numbered_without_gaps_on_the_native_cells():
    for face in (noise(), noise().resize((224, 224)), noise().convert("RGB"), Image.new("RGB", (224, 224), "gray")):
        cells = superpixels(face, 50)
        assert cells.shape == (48, 48)
        assert np.array_equal(np.unique(cells), np.arange(cells.max() + 1))
        assert 40 <= cells.max() + 1 <= 60


def test_a_background_is_the_first_faces_of_the_row():
    assert [f.tobytes() for f in background_faces(3)] == [f.tobytes() for f in background_faces(8)[:3]]
    assert {(f.size, f.mode) for f in background_faces(24)} == {((48, 48), "L")}


# what comes back


@pytest.mark.parametrize("way", WAYS)
def test_an_explanation_is_a_map_over_the_prepared_face(way):
    predictor, face = network(), noise().resize((90, 80))
    found = made(way, face, predictor, metrics="fast")
    assert (found.heatmap.shape, found.heatmap.dtype) == ((48, 48), np.float32)
    assert found.heatmap.min() >= 0
    assert found.heatmap.max() == pytest.approx(1)
    assert found.prepared.tobytes() == predictor.preprocessor.prepare(face).tobytes()
    assert (found.method, found.model) == (WAYS[way][0], "emotion_cnn")
    assert (found.signed is not None) == (way in SIGNED)
    if found.signed is not None:
        assert (found.signed.shape, found.signed.dtype) == ((48, 48), np.float32)
        positive = np.maximum(found.signed, 0)
        np.testing.assert_allclose(found.heatmap, positive / positive.max(), atol=1e-6)
        assert (found.signed < 0).any()
    assert found.milliseconds > 0
    assert set(found.scores) - {"fit", "additivity"} == {"deletion", "insertion", "sparseness", "regions"}


class Silent:
    """A runtime that gives every picture the same answer: no pixel speaks for anything."""

    num_parameters = 0

    def __init__(self, logit: float = 0.5) -> None:
        self.logit = logit

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        return np.tile(np.float32([self.logit, 0.0]), (len(pixel_values), 1))


@pytest.mark.parametrize("logit", [-2.0, -0.89, -0.52, 0.22])
def test_what_the_regressions_rounding_leaves_is_no_relevance(logit):
    found = made("lime", noise(), foreign(Silent(logit)), "happy")
    assert found.empty
    assert not found.signed.any()
    assert found.scores == {"fit": 0.0}


def speechless() -> EmotionPredictor:
    predictor = network()
    nn.init.zeros_(predictor.backend.classifier.network.classifier[4].weight)
    return predictor


@pytest.mark.parametrize("way", WAYS)
def test_a_network_that_ignores_the_picture_has_an_empty_map_and_finite_scores(way):
    predictors = [speechless()] + ([foreign(Silent())] if way in ("lime", "partition") else [])
    for predictor in predictors:
        found = made(way, noise(), predictor, metrics="full" if way == "gradcam" else "fast")
        assert found.empty
        assert found.heatmap.shape == (48, 48)
        assert not found.heatmap.any()
        values = json.loads(json.dumps(found.to_dict(maps=True), allow_nan=False))
        assert values["empty"] is True
        assert not np.any(values["heatmap"])
        assert values["scores"]["sparseness"] == 0
        assert sum(values["scores"]["regions"].values()) == 0
        assert values["scores"]["deletion"] == pytest.approx(found.confidence)


@pytest.mark.parametrize("metrics", METRICS)
@pytest.mark.parametrize("way", ["gradcam", "lime", "deep"])
def test_an_explanation_becomes_json(way, metrics):
    found = made(way, noise(), network(), "happy", versus="sad", metrics=metrics if way != "lime" else "fast")
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert "heatmap" not in values
    assert values["size"] == [48, 48]
    assert (values["target"], values["versus"], values["empty"]) == ("happy", "sad", False)
    assert values["parameters"] == found.parameters
    full = json.loads(json.dumps(found.to_dict(maps=True), allow_nan=False))
    assert np.array_equal(np.float32(full.pop("heatmap")), found.heatmap)
    signed = full.pop("signed")
    if way == "gradcam":
        assert signed is None
    else:
        assert np.array_equal(np.float32(signed), found.signed)
    assert full == values
