"""VGG, ResNet-18 and MobileNetV1 for 48-pixel faces.

Their input is gray replicated to three channels (preprocessing `rgb48`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

__all__ = ["MobileNetV1At48", "ResNet18At48", "Vgg48", "dense_head", "init_convolutions", "vgg16_48", "vgg19_48"]

#: Convolutions in each of the first four blocks, which have 64, 128, 256 and 512 channels, by the depth of the VGG
#: (Simonyan and Zisserman 2015, arXiv:1409.1556).
_VGG_BLOCKS = {16: (2, 2, 3, 3), 19: (2, 2, 4, 4)}


def dense_head(widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Linear layers of the given widths, with ReLU and dropout between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def init_convolutions(features: nn.Module) -> None:
    """Initialise convolutions as torchvision does for VGG and AlexNet: He normal weights, zero biases.

    With torch's default, activations of a network of ten layers without batch norm vanish.
    """
    for layer in features.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Vgg48(nn.Module):
    """Logits of VGG's first four blocks, global average pool and head: float32 (N, 3, 48, 48) -> (N, num_classes).

    Each block ends in a max pool, so that the last maps have 3x3 pixels. The head is 512-1024-256-classes. 8,424,775
    parameters at depth 16 and 11,374,663 at depth 19, with seven classes. `features` has torchvision's numbering, so
    that the weights of its `vgg16` and `vgg19` fit layer by layer.
    """

    def __init__(self, depth: int, num_classes: int = 7, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, count in zip((64, 128, 256, 512), _VGG_BLOCKS[depth], strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = dense_head((512, 1024, 256, num_classes), dropout)
        init_convolutions(self.features)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.pool(self.features(pixel_values)).flatten(1))


def vgg16_48(num_classes: int = 7, dropout: float = 0.5) -> nn.Module:
    """A Vgg48 with the blocks of VGG16."""
    return Vgg48(16, num_classes, dropout)


def vgg19_48(num_classes: int = 7, dropout: float = 0.5) -> nn.Module:
    """A Vgg48 with the blocks of VGG19."""
    return Vgg48(19, num_classes, dropout)


class ResNet18At48(nn.Module):
    """Logits of a ResNet-18 with a 3x3 stem of stride 1 and no max pool: float32 (N, 3, 48, 48) -> (N, num_classes).

    The last maps have 6x6 pixels. The head is 512-256-classes. 11,301,959 parameters with seven classes. The layers
    have torchvision's names, so that the weights of its `resnet18` fit, except `conv1` and `fc`.
    """

    def __init__(self, num_classes: int = 7, dropout: float = 0.5) -> None:
        super().__init__()
        from torchvision.models import resnet18

        body = resnet18(weights=None)
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1, self.relu = body.bn1, body.relu
        self.layer1, self.layer2, self.layer3, self.layer4 = body.layer1, body.layer2, body.layer3, body.layer4
        self.avgpool = body.avgpool
        self.fc = dense_head((512, 256, num_classes), dropout)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.bn1(self.conv1(pixel_values)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class MobileNetV1At48(nn.Module):
    """Logits of timm's `mobilenetv1_100` with a stem of stride 1: float32 (N, 3, 48, 48) -> (N, num_classes).

    The last maps have 3x3 pixels. The head is one linear layer. 3,214,151 parameters with seven classes, the same as
    `mobilenetv1_224`, whose weights and starting weights fit without a change.
    """

    def __init__(self, num_classes: int = 7, dropout: float = 0.2) -> None:
        super().__init__()
        import timm

        body: Any = timm.create_model("mobilenetv1_100", pretrained=False, num_classes=num_classes)
        self.conv_stem, self.bn1, self.blocks = body.conv_stem, body.bn1, body.blocks
        self.conv_stem.stride = (1, 1)
        self.global_pool, self.drop, self.classifier = body.global_pool, nn.Dropout(dropout), body.classifier

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.bn1(self.conv_stem(pixel_values)))
        return self.classifier(self.drop(self.global_pool(x)))
