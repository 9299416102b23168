"""Attention rollout: its equation, and networks without attention."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from emotion_hub.errors import InputError
from emotion_hub.explainers import list_methods
from emotion_hub.explainers.target_layers import target_layers, transformer_of
from emotion_hub.models import create_model
from emotion_hub.predictor import EmotionPredictor
from tests.explainers.cases import (
    assert_is_map,
    explained_by,
    network_of,
    new_predictor,
    noise_face,
    timm_predictor,
)


@pytest.fixture(scope="module")
def face() -> Image.Image:
    return noise_face()


@pytest.mark.parametrize("backbone", ["test_vit", "test_vit2", "test_vit3", "vit_tiny_patch16_224"])
def test_rollout_does_not_depend_on_the_target(backbone, face):
    predictor = timm_predictor(backbone)
    explanation, other = (explained_by("rollout", face, predictor, target) for target in ("happy", "sad"))
    assert_is_map(explanation, 224)
    assert explanation.heatmap.std() > 0.01
    assert np.array_equal(explanation.heatmap, other.heatmap)
    assert explanation.parameters["blocks"] == len(network_of(predictor).backbone.blocks)
    assert not np.allclose(
        explanation.heatmap, explained_by("rollout", face, timm_predictor(backbone, seed=1)).heatmap, atol=0.01
    )


def fix_attention(predictor: EmotionPredictor, row: int, column: int, reader: slice) -> None:
    """Fix the attention: in the last block the tokens of `reader` attend to one patch, all others to themselves."""
    backbone = network_of(predictor).backbone
    count = backbone.num_prefix_tokens + 14 * 14
    seen = backbone.num_prefix_tokens + 14 * row + column
    attention = torch.eye(count)
    attention[reader] = 0
    attention[reader, seen] = 1
    for i, block in enumerate(backbone.blocks):
        block.attn.attn_drop = FixedAttention(attention if i == len(backbone.blocks) - 1 else torch.eye(count))


@pytest.mark.parametrize("backbone", ["test_vit", "test_vit2"])
def test_rollout_equals_the_equation(backbone, face):
    """Abnar and Zuidema, equation 1: each block passes on half of its input and half of its attention."""
    predictor = timm_predictor(backbone)
    vit, rng = network_of(predictor).backbone, np.random.default_rng(0)
    count = vit.num_prefix_tokens + 14 * 14
    flow = np.eye(count)
    for block in vit.blocks:
        attention = rng.random((count, count)) ** 8
        attention /= attention.sum(axis=1, keepdims=True)
        block.attn.attn_drop = FixedAttention(torch.from_numpy(attention.astype(np.float32)))
        flow = (attention / 2 + np.eye(count) / 2) @ flow
    reader = flow[0] if vit.global_pool == "token" else flow[vit.num_prefix_tokens :].mean(axis=0)
    patches = reader[vit.num_prefix_tokens :].reshape(14, 14)
    expected = cv2.resize((patches - patches.min()).astype(np.float32), (224, 224))
    np.testing.assert_allclose(explained_by("rollout", face, predictor).heatmap, expected / expected.max(), atol=1e-4)


class FixedAttention(nn.Module):
    """Stands for `attn_drop` and gives a fixed attention, set as its input, since rollout reads the input in a hook."""

    def __init__(self, attention: torch.Tensor) -> None:
        super().__init__()
        self.attention = attention
        self.register_forward_pre_hook(lambda module, inputs: (self.attention.expand_as(inputs[0]),))

    def forward(self, attention: torch.Tensor) -> torch.Tensor:
        return attention


@pytest.mark.parametrize(("backbone", "reader"), [("test_vit", slice(0, 1)), ("test_vit2", slice(1, None))])
def test_rollout_starts_from_the_tokens_that_the_head_reads(backbone, reader, face):
    """The class token where there is one, else the mean of the patches; never a register token."""
    predictor = timm_predictor(backbone)
    assert (network_of(predictor).backbone.global_pool == "token") == (reader.start == 0)
    assert network_of(predictor).backbone.num_prefix_tokens == 1
    fix_attention(predictor, 3, 10, reader)
    explanation = explained_by("rollout", face, predictor)
    row, column = np.unravel_index(explanation.heatmap.argmax(), (224, 224))
    assert (row // 16, column // 16) == (3, 10)
    assert explanation.heatmap[48:64, 160:176].sum() > 0.3 * explanation.heatmap.sum()


def test_rollout_does_not_change_later_maps(face):
    predictor = timm_predictor("test_vit")
    before = explained_by("gradcam", face, predictor)
    explained_by("rollout", face, predictor)
    assert np.array_equal(explained_by("gradcam", face, predictor).heatmap, before.heatmap)


def test_rollout_is_refused_for_a_network_without_attention(face):
    for predictor in (new_predictor("emotion_cnn"), timm_predictor("test_resnet")):
        assert transformer_of(network_of(predictor)) is None
        assert "rollout" not in list_methods(predictor)
        with pytest.raises(
            InputError, match=rf"rollout needs a vision transformer and {predictor.name} has no attention"
        ):
            explained_by("rollout", face, predictor)


def test_a_transformer_with_parallel_attentions_has_no_rollout_and_no_maps(face):
    """This class of timm is a VisionTransformer whose blocks have several attentions in parallel."""
    with torch.device("meta"):
        model = create_model("timm_224", backbone="vit_small_patch16_18x2_224", hidden=32)
    assert transformer_of(model) is None
    [layer] = target_layers(model)
    with pytest.raises(InputError, match=r"\(N, channels, h, w\)"):
        layer.maps(torch.empty(1, 197, 384, device="meta"))
