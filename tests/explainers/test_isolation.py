"""Isolation of explanations: seeds, unchanged networks, threads."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from emotion_hub.explainers import METHODS, pool
from emotion_hub.predictor import EmotionPredictor
from tests.explainers.cases import (
    CASES,
    SEEDED,
    SIGNED,
    WITH_PROGRESS,
    explained,
    face_logits,
    new_predictor,
    noise_face,
    predictor_without_torch,
    run_with_timeout,
)
from tests.tolerances import MAPS, assert_same_logits, assert_same_maps

# reproducibility


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow) if c == "partition" else c for c in CASES])
def test_the_same_seed_gives_the_same_map_and_keeps_the_callers_random_state(case):
    predictor, face = new_predictor(), noise_face()
    np.random.seed(11)
    before, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = explained(case, face, predictor)
    state = np.random.get_state()
    assert np.array_equal(state[1], before)
    assert state[2] == 624
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.random.seed(12)
    second = explained(case, face, predictor)
    assert np.array_equal(first.heatmap, second.heatmap)
    assert first.heatmap.any()
    if case in SIGNED:
        assert np.array_equal(first.signed, second.signed)
    assert first.parameters == second.parameters


def test_partition_does_not_depend_on_the_callers_random_state(bright_block_face):
    """shap orders equal rectangles by NumPy's global generator."""
    maps = []
    for seed in range(4):
        np.random.seed(seed)
        maps.append(explained("partition", bright_block_face, predictor_without_torch(), "happy").signed)
    assert all(np.array_equal(maps[0], other) for other in maps[1:])


@pytest.mark.parametrize("case", SEEDED)
def test_another_seed_gives_another_map(case):
    predictor, face = new_predictor(), noise_face()
    first, second = (explained(case, face, predictor, seed=seed) for seed in (1, 2))
    assert not np.array_equal(first.signed, second.signed)
    assert (first.parameters["seed"], second.parameters["seed"]) == (1, 2)


# the network that predicts is not changed


def network_state(module: nn.Module) -> list[Any]:
    """Everything that an explainer could change in a network: hooks, modes, attributes, gradients, tensor versions."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    state: list[Any] = []
    for name, part in module.named_modules():
        state.append(
            (
                name,
                type(part),
                part.training,
                sorted(vars(part)),
                [len(getattr(part, h)) for h in hooks],
                getattr(part, "inplace", None),
            )
        )
    state += [(name, id(p), p.requires_grad, p.grad is None, p._version) for name, p in module.named_parameters()]
    return state + [(name, id(b), b._version) for name, b in module.named_buffers()]


@pytest.fixture
def hook_spy(monkeypatch) -> Iterator[Callable[[EmotionPredictor], list[str]]]:
    """A function that gives the list of hooks that are registered on a predictor's network after the call."""
    recorded: dict[int, list[str]] = {}

    def spy(name: str) -> None:
        original = getattr(nn.Module, name)

        def register(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if id(self) in recorded:
                recorded[id(self)].append(name)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(nn.Module, name, register)

    for name in (
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    ):
        spy(name)

    def record(predictor: EmotionPredictor) -> list[str]:
        names: list[str] = []
        recorded.update({id(module): names for module in predictor.backend.classifier.modules()})
        return names

    return record


@pytest.mark.parametrize("case", CASES)
def test_the_predictors_own_network_is_not_changed_or_hooked(case, hook_spy):
    predictor, face = new_predictor(), noise_face()
    hooked = hook_spy(predictor)
    before, logits_before = network_state(predictor.backend.classifier), face_logits(predictor, face)
    during: list[bool] = []

    def compare(done: float) -> None:
        during.append(network_state(predictor.backend.classifier) == before)

    explained(case, face, predictor, progress=compare)
    assert hooked == []
    assert all(during)
    assert bool(during) == (case in WITH_PROGRESS)
    assert network_state(predictor.backend.classifier) == before
    assert np.array_equal(face_logits(predictor, face), logits_before)


def test_the_hook_spy_records_hooks(hook_spy):
    predictor = new_predictor()
    hooked, before = hook_spy(predictor), network_state(predictor.backend.classifier)
    predictor.backend.classifier.network.features.register_forward_hook(lambda *_: None)
    assert hooked == ["register_forward_hook"]
    assert network_state(predictor.backend.classifier) != before


class StopError(Exception):
    """Raised by a progress callback to stop the explanation."""


@pytest.mark.parametrize("when", [0.0, 0.3])
@pytest.mark.parametrize("case", WITH_PROGRESS)
def test_stopping_through_progress_restores_everything(case, when):
    predictor, face = new_predictor(), noise_face()
    expected = explained(case, face, predictor)
    before, logits_before = network_state(predictor.backend.classifier), face_logits(predictor, face)
    state = np.random.get_state()[1].copy()

    def stop(done: float) -> None:
        if done >= when:
            raise StopError

    for _ in range(pool.LIMIT + 1):  # if a copy were lost each time, the last run would wait forever
        with pytest.raises(StopError):
            run_with_timeout(60, lambda: explained(case, face, predictor, progress=stop))
    assert np.array_equal(np.random.get_state()[1], state)
    assert network_state(predictor.backend.classifier) == before
    assert np.array_equal(face_logits(predictor, face), logits_before)
    again = run_with_timeout(60, lambda: explained(case, face, predictor))
    assert_same_maps(again.signed, expected.signed)


@pytest.mark.parametrize("case", CASES)
def test_an_exception_in_a_layer_restores_everything(case, monkeypatch):
    predictor, face = new_predictor(), noise_face()
    calls, limit, forward = 0, 10**9, nn.Linear.forward

    def failing(self: nn.Linear, values: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls >= limit:
            raise RuntimeError("layer failed")
        return forward(self, values)

    monkeypatch.setattr(nn.Linear, "forward", failing)
    expected = explained(case, face, predictor)
    before, logits_before = network_state(predictor.backend.classifier), face_logits(predictor, face)
    calls_of_one_run = calls
    for _ in range(pool.LIMIT + 1):
        calls, limit = 0, calls_of_one_run - 3  # fail before the last passes, when hooks are registered
        with pytest.raises(RuntimeError, match="layer failed"):
            run_with_timeout(60, lambda: explained(case, face, predictor))
    limit = 10**9
    assert network_state(predictor.backend.classifier) == before
    assert np.array_equal(face_logits(predictor, face), logits_before)
    assert_same_maps(run_with_timeout(60, lambda: explained(case, face, predictor)).heatmap, expected.heatmap)


@pytest.mark.parametrize("case", CASES)
def test_maps_are_the_same_under_no_grad_and_inference_mode(case):
    predictor, face = new_predictor(), noise_face()
    for mode in (torch.no_grad, torch.inference_mode):
        fresh = new_predictor()  # no private copy of it exists yet
        with mode():
            inside = explained(case, face, fresh)
        assert_same_maps(inside.heatmap, explained(case, face, predictor).heatmap)
        assert np.array_equal(inside.heatmap, explained(case, face, fresh).heatmap)


@pytest.mark.parametrize("case", WITH_PROGRESS)
def test_progress_rises_from_0_to_1(case):
    seen: list[float] = []
    explained(case, noise_face(), new_predictor(), progress=seen.append)
    assert len(seen) >= 1
    assert seen == sorted(seen)
    assert seen[0] >= 0
    assert seen[-1] == pytest.approx(1)
    assert max(seen) <= 1


# concurrency


def test_eight_concurrent_explanations_equal_sequential_ones():
    predictor, faces = new_predictor(), [noise_face(seed) for seed in range(3)]
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
        case, face, target, more = job
        explanation = explained(case, faces[face], predictor, target, **more)
        return explanation.heatmap if explanation.signed is None else explanation.signed

    sequential = [run(job) for job in jobs]
    logits_before = [face_logits(predictor, face) for face in faces]
    barrier = threading.Barrier(len(jobs))

    def run_concurrently(job: tuple[str, int, str, dict[str, Any]]) -> np.ndarray:
        barrier.wait()
        return run(job)

    with ThreadPoolExecutor(len(jobs)) as threads:
        running = [threads.submit(run_concurrently, job) for job in jobs]
        logits_during = []
        while not all(future.done() for future in running):
            logits_during.append([face_logits(predictor, face) for face in faces])
    for job, future, expected in zip(jobs, running, sequential, strict=True):
        assert_same_maps(future.result(), expected, str(job))
    assert logits_during
    for seen in logits_during:
        assert_same_logits(seen, logits_before)
    differences = [
        np.abs(one / np.abs(one).max() - other / np.abs(other).max()).max()
        for one, other in combinations(sequential, 2)
    ]
    assert min(differences) > 10 * MAPS, "two jobs have the same map, so a mix-up would not be seen"


def test_a_package_that_keeps_import_errors_does_not_keep_the_predictor(monkeypatch, tmp_path):
    """shap keeps the errors of optional imports, whose tracebacks would hold the first face and its predictor."""
    (tmp_path / "error_keeping_package.py").write_text(
        "try:\n    import there_is_no_such_module\nexcept ImportError as error:\n    kept = error\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(METHODS, "gradcam", replace(METHODS["gradcam"], package="error_keeping_package"))
    monkeypatch.delitem(sys.modules, "error_keeping_package", raising=False)
    predictor = new_predictor()
    explained("gradcam", noise_face(), predictor)
    assert sys.modules["error_keeping_package"].kept.__traceback__
    reference = weakref.ref(predictor)
    del predictor
    gc.collect()
    assert reference() is None


def test_an_explanation_can_start_inside_the_progress_of_another():
    """One run at a time uses NumPy's global generator; the inner run must not wait for the outer one."""
    predictor, face = new_predictor(), noise_face()
    expected = {case: explained(case, face, predictor).signed for case in ("gradient", "partition")}
    inner: list[np.ndarray] = []

    def start_inner(done: float) -> None:
        if len(inner) < 2:
            inner.append(explained("partition" if inner else "gradient", face, predictor).signed)

    for case in ("gradient", "partition"):
        inner.clear()
        outer = run_with_timeout(60, lambda case=case: explained(case, face, predictor, progress=start_inner))
        assert_same_maps(outer.signed, expected[case])
        for signed, expected_map in zip(inner, expected.values(), strict=True):
            assert_same_maps(signed, expected_map)
