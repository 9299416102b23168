"""Private copies of networks: reuse, limit, changed weights, memory."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from emotion_hub.explainers import pool
from emotion_hub.explainers.pool import private_copy, shuffled_predictor
from emotion_hub.models import create_model
from tests.explainers.cases import (
    copy_of,
    explained_by,
    network_of,
    new_predictor,
    noise_face,
    run_with_timeout,
    timm_predictor,
)
from tests.tolerances import assert_same_maps


@pytest.fixture(scope="module")
def face() -> Image.Image:
    return noise_face()


def test_a_copy_is_frozen_and_in_evaluation_mode_without_in_place_layers():
    model = create_model("resnet18_48").train()
    with private_copy(model) as private:
        assert private is not model
        assert not any(p.requires_grad for p in private.parameters())
        assert not any(m.training for m in private.modules())
        assert not any(getattr(m, "inplace", False) for m in private.modules())
        assert torch.is_grad_enabled()
        assert {p.data_ptr() for p in private.parameters()}.isdisjoint(p.data_ptr() for p in model.parameters())
    assert all(p.requires_grad for p in model.parameters())
    assert all(m.training for m in model.modules())
    assert any(getattr(m, "inplace", False) for m in model.modules())


def test_a_copy_is_reused_unless_the_block_raised():
    model = create_model("emotion_cnn")
    first = copy_of(model)
    assert copy_of(model) is first

    def fail() -> None:
        with private_copy(model) as private:
            assert private is first
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert copy_of(model) is not first


def module_state(model: nn.Module) -> list[Any]:
    """Everything that a method could change in a copy: hooks, modes, attributes, gradients, tensor versions."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    attributes = ("fused_attn", "inplace", "training")
    state: list[Any] = [
        (
            name,
            sorted(vars(m)),
            sorted(m._parameters),
            [len(getattr(m, kind)) for kind in kinds],
            [getattr(m, a, None) for a in attributes],
        )
        for name, m in model.named_modules()
    ]
    return state + [(name, p.requires_grad, p.grad is None, p._version) for name, p in model.named_parameters()]


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "deep", "gradient", "rollout"])
def test_a_method_leaves_its_copy_unchanged(method, face):
    predictor = timm_predictor("test_vit") if method == "rollout" else new_predictor("emotion_cnn")
    with private_copy(network_of(predictor)) as private:
        before = module_state(private)
    options = {"explainer": method, "background": 2, "samples": 20} if method in ("deep", "gradient") else {}
    explained_by("shap" if options else method, face, predictor, **options)
    with private_copy(network_of(predictor)) as again:
        assert again is private
        assert module_state(again) == before


def write_weight(model: nn.Module) -> None:
    with torch.no_grad():
        model.classifier[4].weight.mul_(1.5)


def optimizer_step(model: nn.Module) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(2, 1, 48, 48)).sum().backward()
    optimizer.step()


def load_weights(model: nn.Module) -> None:
    model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()})


def assign_weights(model: nn.Module) -> None:
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()}, assign=True)


def update_statistics(model: nn.Module) -> None:
    with torch.no_grad():
        model.train()(torch.ones(2, 1, 48, 48))


@pytest.mark.parametrize("change", [write_weight, optimizer_step, load_weights, assign_weights, update_statistics])
def test_changed_weights_lead_to_a_new_copy(change):
    model = create_model("emotion_cnn")
    first = copy_of(model)
    change(model)
    second = copy_of(model)
    assert second is not first
    assert all(
        torch.equal(a, b) for a, b in zip(second.state_dict().values(), model.state_dict().values(), strict=True)
    )
    assert copy_of(model) is second


def test_a_replaced_layer_leads_to_a_new_copy_even_at_the_same_address():
    """The allocator may reuse the address of the freed weights, and the new ones have the same version counter."""
    model = create_model("emotion_cnn")
    for seed in range(12):
        torch.manual_seed(seed)
        model.classifier[4] = None
        model.classifier[4] = nn.Linear(512, 7)
        assert torch.equal(copy_of(model).classifier[4].weight, model.classifier[4].weight), seed
    versions = []
    for _ in range(12):
        model.classifier[4] = None
        model.classifier[4] = nn.Linear(512, 7)
        versions.append(pool._version(model))
    assert all(a != b for a, b in pairwise(versions))
    assert pool._version(model) == versions[-1]


def test_shuffled_weights_depend_on_the_network_and_the_seed(face):
    predictor = new_predictor("emotion_cnn")
    first = shuffled_predictor(predictor)
    assert shuffled_predictor(predictor) is first
    model, mixed = network_of(predictor), network_of(first)
    for a, b in zip(model.parameters(), mixed.parameters(), strict=True):
        assert torch.equal(a.flatten().sort().values, b.flatten().sort().values)
        assert len(a.unique()) == 1 or not torch.equal(a, b)
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), mixed.buffers(), strict=True))
    assert first.labels == predictor.labels
    assert first.preprocessor.config == predictor.preprocessor.config
    other = shuffled_predictor(predictor, seed=1)
    assert not torch.equal(network_of(other).classifier[1].weight, mixed.classifier[1].weight)
    again = shuffled_predictor(predictor)
    assert torch.equal(network_of(again).classifier[1].weight, mixed.classifier[1].weight)
    write_weight(model)
    changed = shuffled_predictor(predictor)
    assert torch.equal(network_of(changed).classifier[4].weight, network_of(again).classifier[4].weight * 1.5)


def test_callers_beyond_the_limit_wait_for_a_copy(monkeypatch):
    model, made = create_model("emotion_cnn"), []
    prepared = pool._frozen_copy
    monkeypatch.setattr(pool, "_frozen_copy", lambda network: made.append(1) or prepared(network))
    in_use, highest, lock = 0, 0, threading.Lock()
    barrier = threading.Barrier(8)

    def use(_: int) -> nn.Module:
        nonlocal in_use, highest
        barrier.wait()
        with private_copy(model) as private:
            with lock:
                in_use += 1
                highest = max(highest, in_use)
            threading.Event().wait(0.02)
            with lock:
                in_use -= 1
            return private

    with ThreadPoolExecutor(8) as threads:
        copies = {id(private) for private in threads.map(use, range(8))}
    assert len(made) == len(copies) == highest == pool.LIMIT


def test_concurrent_explanations_share_the_copies(monkeypatch, face):
    predictor, made = new_predictor("emotion_cnn"), []
    prepared = pool._frozen_copy
    monkeypatch.setattr(pool, "_frozen_copy", lambda network: made.append(1) or prepared(network))
    with ThreadPoolExecutor(8) as threads:
        maps = list(threads.map(lambda _: explained_by("gradcam", face, predictor).heatmap, range(16)))
    assert 1 <= len(made) <= pool.LIMIT
    for other in maps:
        assert_same_maps(other, maps[0])


def test_a_failed_copy_does_not_count_towards_the_limit(monkeypatch):
    model = create_model("emotion_cnn")
    prepared = pool._frozen_copy

    def fails(network: nn.Module) -> nn.Module:
        raise MemoryError

    monkeypatch.setattr(pool, "_frozen_copy", fails)
    for _ in range(pool.LIMIT + 1):
        with pytest.raises(MemoryError):
            run_with_timeout(30, lambda: copy_of(model))
    monkeypatch.setattr(pool, "_frozen_copy", prepared)
    assert isinstance(run_with_timeout(30, lambda: copy_of(model)), nn.Module)


def test_a_waiting_caller_gets_weights_that_changed_meanwhile():
    model = create_model("emotion_cnn")
    copies = [private_copy(model) for _ in range(pool.LIMIT)]
    for one in copies:
        one.__enter__()
    weights: list[torch.Tensor] = []
    waiting = threading.Thread(target=lambda: weights.append(copy_of(model).classifier[4].weight), daemon=True)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    write_weight(model)
    for one in copies:
        one.__exit__(None, None, None)
    waiting.join(30)
    assert torch.equal(weights[0], model.classifier[4].weight)


def test_copies_are_freed_with_their_network(face):
    predictor = new_predictor("emotion_cnn")
    explained_by("gradcam", face, predictor)
    explained_by("shap", face, predictor, explainer="deep", background=2)
    mixed = weakref.ref(network_of(shuffled_predictor(predictor)))
    explained_by("gradcam", face, shuffled_predictor(predictor))
    with private_copy(network_of(predictor)) as private:
        kept = weakref.ref(private)
    network_reference = weakref.ref(network_of(predictor))
    del predictor, private
    gc.collect()
    assert network_reference() is None
    assert kept() is None
    assert mixed() is None


def test_networks_created_in_inference_mode_are_explained(face):
    with torch.inference_mode():
        predictor = new_predictor("emotion_cnn")
    assert next(network_of(predictor).parameters()).is_inference()
    reference = new_predictor("emotion_cnn")
    for method, options in (("gradcam", {}), ("shap", {"explainer": "deep", "background": 2})):
        assert_same_maps(
            explained_by(method, face, predictor, **options).heatmap,
            explained_by(method, face, reference, **options).heatmap,
        )
