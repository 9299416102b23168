"""Networks that work on the 224-pixel upscale, on torchvision's and timm's implementations and keys."""

from __future__ import annotations

import difflib

import timm
import torch
from torch import nn
from torchvision.models import alexnet, squeezenet1_1
from torchvision.models.vgg import cfgs, make_layers

from emotion_hub.errors import ConfigError
from emotion_hub.models.transfer48 import dense_head
from emotion_hub.models.weights import WeightTransfer, mobilenetv2_from_torchvision

__all__ = [
    "BACKBONES",
    "ClassicAt224",
    "SqueezeNetAt224",
    "TimmAt224",
    "WeightTransfer",
    "alexnet_224",
    "mobilenetv1_224",
    "mobilenetv2_224",
    "mobilenetv2_from_torchvision",
    "squeezenet1_1_224",
    "timm_224",
    "timm_size",
    "vgg16_224",
    "vgg19_224",
]

#: The technical report's backbones, by timm's names.
BACKBONES = {
    "convnext_base_224": "convnext_base",
    "efficientnet_b3_224": "tf_efficientnet_b3",
    "resnet50_224": "resnet50",
    "vit_base_224": "vit_base_patch16_224",
}


class ClassicAt224(nn.Module):
    """Logits of torchvision's convolutions and a 4096-1024-256-classes classifier: float32 (N, 3, 224, 224) -> (N, num_classes).

    `features` has torchvision's numbering, so the weights of its `vgg16`, `vgg19` and `alexnet` fit layer by layer; its own 123.6-million
    classifier is not built. 121,938,759 parameters with VGG16's convolutions and seven classes.
    """

    def __init__(
        self, features: nn.Module, channels: int, pixels: int, num_classes: int = 7, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(pixels)
        self.classifier = dense_head((channels * pixels * pixels, 4096, 1024, 256, num_classes), dropout)
        for layer in self.features.modules():
            if isinstance(layer, nn.Conv2d):  # torchvision's own start
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.avgpool(self.features(pixel_values)).flatten(1))


def vgg16_224(num_classes: int = 7, dropout: float = 0.5) -> nn.Module:
    """VGG16's convolutions; see ClassicAt224."""
    return ClassicAt224(make_layers(cfgs["D"]), 512, 7, num_classes, dropout)


def vgg19_224(num_classes: int = 7, dropout: float = 0.5) -> nn.Module:
    """VGG19's convolutions; see ClassicAt224."""
    return ClassicAt224(make_layers(cfgs["E"]), 512, 7, num_classes, dropout)


def alexnet_224(num_classes: int = 7, dropout: float = 0.5) -> nn.Module:
    """AlexNet's convolutions; see ClassicAt224."""
    with torch.device("meta"):  # the 58 million weights of its classifier are not needed
        features = alexnet(weights=None).features
    if torch.get_default_device().type != "meta":
        features = features.to_empty(device=torch.get_default_device())
    return ClassicAt224(features, 256, 6, num_classes, dropout)


class SqueezeNetAt224(nn.Module):
    """Logits of SqueezeNet 1.1's convolutions, an average pool and one linear head: float32 (N, 3, 224, 224) -> (N, num_classes)."""

    def __init__(self, num_classes: int = 7, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = squeezenet1_1(weights=None).features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(512, num_classes))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.pool(self.features(pixel_values)).flatten(1))


def squeezenet1_1_224(num_classes: int = 7, dropout: float = 0.2) -> nn.Module:
    """SqueezeNet 1.1; see SqueezeNetAt224."""
    return SqueezeNetAt224(num_classes, dropout)


def timm_size(backbone: str) -> dict[str, int]:
    """What timm's `create_model` needs for 224 pixels: `img_size` for a network built for one other size, else nothing.

    Raises ConfigError for a name or a tag (`name.tag`) timm does not have.
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
            f"timm has no weights {backbone!r}: {error} Leave the tag out, or see timm.list_pretrained('{backbone.split('.')[0]}*')"
        ) from error
    return {"img_size": 224} if config and config.fixed_input_size and config.input_size[-1] != 224 else {}


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
    """Logits of any timm backbone under the technical report's head: float32 (N, 3, 224, 224) -> (N, num_classes).

    The head is Linear, ReLU, LayerNorm, Dropout, Linear, `hidden` wide. A tag in the name (`resnet50.tv_in1k`) says whose weights
    `pretrained` fetches. Raises ConfigError for a name timm does not have and a width that makes no head.
    """

    def __init__(self, backbone: str, num_classes: int = 7, dropout: float = 0.3, hidden: int = 512) -> None:
        super().__init__()
        if not isinstance(hidden, int) or isinstance(hidden, bool) or hidden < 1:
            raise ConfigError(f"hidden={hidden!r}: the width of the head is a whole number of at least 1")
        self.backbone = timm.create_model(backbone, pretrained=False, num_classes=0, **timm_size(backbone))
        width = self.backbone.num_features
        width = getattr(self.backbone, "head_hidden_size", width) or width
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
    """Any timm backbone by its name; see TimmAt224."""
    return TimmAt224(backbone, num_classes, dropout, hidden)
