"""Networks that work on the native 48x48 grayscale face."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

__all__ = ["EmotionCNN", "EnhancedCNN48"]


class EmotionCNN(nn.Module):
    """Logits of a plain four-block CNN: float32 (N, 1, 48, 48) -> (N, num_classes).

    Four times convolution, batch norm, ReLU, max pool (32, 64, 128, 256 channels), then 2304-512-classes.
    1,572,551 parameters with seven classes.
    """

    def __init__(self, num_classes: int = 7, dropout: float = 0.5) -> None:
        super().__init__()
        widths = (1, 32, 64, 128, 256)
        self.features = nn.Sequential(*[layer for a, b in pairwise(widths) for layer in self._block(a, b)])
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(256 * 3 * 3, 512),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(512, num_classes),
        )

    @staticmethod
    def _block(inputs: int, outputs: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        ]

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(pixel_values))


class EnhancedCNN48(nn.Module):
    """Logits of a twelve-convolution CNN: float32 (N, 1, 48, 48) -> (N, num_classes).

    Five blocks (32, 64, 128, 256, 512 channels; convolutions without bias, each with batch norm and ReLU), spatial
    dropout after each, average pool, then 512-1024-512-256-128-classes with batch norm and dropout. `dropout` is the
    rate before the first linear layer; the other nine follow from it in fixed proportions (.5 gives spatial .1,
    .125, .15, .175, .2 and dense .5, .35, .25, .15, .1). 6,670,759 parameters with seven classes.
    """

    def __init__(self, num_classes: int = 7, dropout: float = 0.5) -> None:
        super().__init__()
        blocks = ((1, 32, 2), (32, 64, 2), (64, 128, 3), (128, 256, 3), (256, 512, 2))
        layers: list[nn.Module] = []
        for i, (inputs, outputs, count) in enumerate(blocks):
            for j in range(count):
                layers += [
                    nn.Conv2d(inputs if j == 0 else outputs, outputs, 3, padding=1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(inplace=True),
                ]
            if i < len(blocks) - 1:
                layers.append(nn.MaxPool2d(2))
            layers.append(nn.Dropout2d(dropout * (0.2 + 0.05 * i)))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        widths, shares = (512, 1024, 512, 256, 128), (1.0, 0.7, 0.5, 0.3)
        dense: list[nn.Module] = [nn.Flatten()]
        for a, b, share in zip(widths, widths[1:], shares, strict=False):
            dense += [nn.Dropout(dropout * share), nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(inplace=True)]
        self.classifier = nn.Sequential(*dense, nn.Dropout(dropout * 0.2), nn.Linear(widths[-1], num_classes))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.pool(self.features(pixel_values)))
