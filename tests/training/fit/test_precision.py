"""Layers that train in float32 beside others in bfloat16."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from emotion_hub.models import create_model
from tests.tolerances import LOGITS, assert_same_logits, assert_same_weights
from training.fit.precision import FloatConv2d, strided_depthwise_in_float32

#: In and out channels, kernel, stride, groups, and whether the layer changes.
LAYERS = {
    "depthwise, stride 2": (8, 8, 3, 2, 8, True),
    "depthwise, stride 1": (8, 8, 3, 1, 8, False),
    "all channels": (8, 8, 3, 2, 1, False),
    "groups of two": (8, 8, 3, 2, 4, False),
}


@pytest.mark.parametrize("case", LAYERS)
def test_only_strided_depthwise_layers_change(case: str) -> None:
    inputs, outputs, kernel, stride, groups, changed = LAYERS[case]
    model = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, groups=groups), nn.Conv2d(1, 1, 3, 2))
    strided_depthwise_in_float32(model)
    assert [type(layer) is FloatConv2d for layer in model] == [changed, False]


def test_the_network_keeps_its_weights_and_outputs() -> None:
    torch.manual_seed(0)
    plain = create_model("mobilenetv2_224", num_classes=7).eval()
    model = strided_depthwise_in_float32(deepcopy(plain))
    assert sum(isinstance(layer, FloatConv2d) for layer in model.modules()) == 4
    assert_same_weights(model, plain)
    faces = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert_same_logits(model(faces), plain(faces))


def test_float32_with_gradients_and_bfloat16_without() -> None:
    layer = strided_depthwise_in_float32(nn.Sequential(nn.Conv2d(4, 4, 3, 2, groups=4)))[0]
    faces = torch.randn(1, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        trained = layer(faces.bfloat16())
        with torch.no_grad():
            read = layer(faces)
    assert (trained.dtype, read.dtype) == (torch.float32, torch.bfloat16)
    trained.sum().backward()
    exact = deepcopy(layer)
    exact.zero_grad()
    exact(faces.bfloat16().float()).sum().backward()
    torch.testing.assert_close(
        layer.weight.grad, exact.weight.grad, **LOGITS
    )  # bfloat16 would round it to three digits


def test_an_average_of_the_model_computes_with_its_own_weights() -> None:
    model = strided_depthwise_in_float32(nn.Sequential(nn.Conv2d(4, 4, 3, 2, groups=4, bias=False)))
    average = torch.optim.swa_utils.AveragedModel(model)
    with torch.no_grad():
        model[0].weight.zero_()
    faces = torch.randn(1, 4, 8, 8)
    assert not model(faces).any()
    assert average(faces).any()
