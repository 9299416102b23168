"""Networks of torchvision and timm for 224-pixel upscaled faces."""

from __future__ import annotations

import difflib
from typing import Any

import timm
import torch
from torch import nn
from torchvision.models import alexnet, squeezenet1_1
from torchvision.models.vgg import cfgs, make_layers

from emotion_hub.errors import ConfigError
from emotion_hub.models.transfer48 import dense_head, init_convolutions

__all__ = [
    "ClassicAt224",
    "SqueezeNetAt224",
    "TimmAt224",
    "alexnet_224",
    "mobilenetv1_224",
    "mobilenetv2_224",
    "squeezenet1_1_224",
    "timm_224",
    "timm_image_size",
    "vgg16_224",
    "vgg19_224",
]


class ClassicAt224(nn.Module):
    """Logits of torchvision's convolutions and a four-layer head: float32 (N, 3, 224, 224) -> (N, num_classes).

    The head is 4096-1024-256-classes; torchvision's own head with 123.6 million parameters is not built. `features` has
    torchvision's numbering, so that the weights of its `vgg16`, `vgg19` and `alexnet` fit layer by layer. 121,938,759
    parameters with VGG16's convolutions and seven classes.
    """

    def __init__(
        self, features: nn.Module, channels: int, pixels: int, num_classes: int = 7, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(pixels)
        self.classifier = dense_head((channels * pixels * pixels, 4096, 1024, 256, num_classes), dropout)
        init_convolutions(self.features)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.avgpool(self.features(pixel_values)).flatten(1))


def vgg16_224(num_classes: int = 7, dropout: float = 0.5) -> nn.Module:
    """A ClassicAt224 with VGG16's convolutions."""
    return ClassicAt224(make_layers(cfgs["D"]), 512, 7, num_classes, dropout)


def vgg19_224(num_classes: int = 7, dropout: float = 0.5) -> nn.Module:
    """A ClassicAt224 with VGG19's convolutions."""
    return ClassicAt224(make_layers(cfgs["E"]), 512, 7, num_classes, dropout)


def alexnet_224(num_classes: int = 7, dropout: float = 0.5) -> nn.Module:
    """A ClassicAt224 with AlexNet's convolutions."""
    with torch.device("meta"):  # does not allocate the 58 million weights of AlexNet's head
        features = alexnet(weights=None).features
    if torch.get_default_device().type != "meta":
        features = features.to_empty(device=torch.get_default_device())
    return ClassicAt224(features, 256, 6, num_classes, dropout)


class SqueezeNetAt224(nn.Module):
    """Logits of SqueezeNet 1.1 with one linear head: float32 (N, 3, 224, 224) -> (N, num_classes)."""

    def __init__(self, num_classes: int = 7, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = squeezenet1_1(weights=None).features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(512, num_classes))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.pool(self.features(pixel_values)).flatten(1))


def squeezenet1_1_224(num_classes: int = 7, dropout: float = 0.2) -> nn.Module:
    """A SqueezeNetAt224."""
    return SqueezeNetAt224(num_classes, dropout)


def timm_image_size(backbone: str) -> int | None:
    """The `img_size` that timm's `create_model` needs for 224-pixel input.

    It is 224 for a network with another fixed input size, else None, which `create_model` ignores. Raises ConfigError
    for a name or a tag (`name.tag`) that timm does not have.
    """
    if not isinstance(backbone, str) or not timm.is_model(backbone):
        near = difflib.get_close_matches(str(backbone), timm.list_models(), n=5)
        raise ConfigError(
            f"timm has no network {backbone!r}; "
            + (f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them")
        )
    try:
        config = timm.get_pretrained_cfg(backbone)
    except RuntimeError as error:
        raise ConfigError(
            f"timm has no weights {backbone!r}: {error} "
            f"Leave the tag out, or see timm.list_pretrained('{backbone.split('.')[0]}*')"
        ) from error
    return 224 if config and config.fixed_input_size and config.input_size[-1] != 224 else None


def mobilenetv1_224(num_classes: int = 7, dropout: float = 0.2) -> nn.Module:
    """timm's `mobilenetv1_100` with one linear head: float32 (N, 3, 224, 224) -> logits (N, num_classes)."""
    return timm.create_model(
        "mobilenetv1_100", pretrained=False, num_classes=num_classes, drop_rate=nn.Dropout(dropout).p
    )


def mobilenetv2_224(num_classes: int = 7, dropout: float = 0.2) -> nn.Module:
    """timm's `mobilenetv2_100` with one linear head: float32 (N, 3, 224, 224) -> logits (N, num_classes)."""
    return timm.create_model(
        "mobilenetv2_100", pretrained=False, num_classes=num_classes, drop_rate=nn.Dropout(dropout).p
    )


class TimmAt224(nn.Module):
    """Logits of any timm backbone with the technical report's head: float32 (N, 3, 224, 224) -> (N, num_classes).

    The head is Linear, ReLU, LayerNorm, Dropout, Linear; its hidden layer has `hidden` units. A tag in the name
    (`resnet50.tv_in1k`) selects the weights that `pretrained` downloads. Raises ConfigError for a name that timm does
    not have and for an invalid `hidden`.
    """

    def __init__(self, backbone: str, num_classes: int = 7, dropout: float = 0.3, hidden: int = 512) -> None:
        super().__init__()
        if not isinstance(hidden, int) or isinstance(hidden, bool) or hidden < 1:
            raise ConfigError(f"hidden={hidden!r}: the width of the head is a whole number of at least 1")
        # Any: timm's networks have no common class with the attributes below
        network: Any = timm.create_model(backbone, pretrained=False, num_classes=0, img_size=timm_image_size(backbone))
        width: int = getattr(network, "head_hidden_size", None) or network.num_features
        self.backbone = network
        self.classifier = nn.Sequential(
            nn.Linear(width, hidden),
            nn.ReLU(inplace=True),
            nn.LayerNorm(hidden),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.backbone(pixel_values))


def timm_224(num_classes: int = 7, backbone: str = "resnet18", dropout: float = 0.3, hidden: int = 512) -> nn.Module:
    """A TimmAt224 with the timm backbone of this name."""
    return TimmAt224(backbone, num_classes, dropout, hidden)
