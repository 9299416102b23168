"""MobileNetV1 with face-identity weights: from a folded graph to batch norms.

The model `faceres` of the npm package `@vladmandic/human` (MIT) is HSE_FaceRec_tf (A. Savchenko, Apache-2.0):
MobileNetV1 1.0, trained on the identities of VGGFace2, then on age and gender. Its convolutions contain their batch
norms. Training needs the norms: their statistics are estimated on faces, and scale and shift are chosen so that each
norm returns what the folded network computes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from emotion_hub.errors import CheckpointError, ConfigError
from emotion_hub.preprocess import PreprocessConfig
from training.fit.graph_model import GraphModel

__all__ = ["MODEL", "FoldedLayer", "features", "folded_layers", "state_dict", "statistics"]

#: Name of the model in the package.
MODEL = "faceres"

#: Blocks of a depthwise and a pointwise convolution.
BLOCKS = 13

#: The network was trained on gray levels of 0..255 less about this level.
MEAN_LEVEL = 117.0

#: As in torch.nn.BatchNorm2d, and the smallest variance that is stored, for filters whose weights are all 0.
EPSILON, SMALLEST_VARIANCE = 1e-5, 1e-8


@dataclass(frozen=True)
class FoldedLayer:
    """A convolution with its batch norm: `weight` float32 (O, I / groups, K, K), `shift` float32 (O,)."""

    weight: torch.Tensor
    shift: torch.Tensor
    stride: tuple[int, int]
    groups: int

    def convolve(self, pixels: torch.Tensor) -> torch.Tensor:
        """The convolution without `shift`, padded as TensorFlow's SAME: a stride of 2 pads right and bottom first."""
        pads: list[int] = []
        for size, kernel, stride in zip(pixels.shape[:1:-1], self.weight.shape[:1:-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(pixels, pads), self.weight, stride=self.stride, groups=self.groups)


def folded_layers(model: GraphModel, preprocess: PreprocessConfig) -> list[FoldedLayer]:
    """The 27 convolutions of the graph model, for pixels normalised by `preprocess`.

    The first convolution is scaled from gray levels to normalised values. Raises CheckpointError for another network,
    and ConfigError for a mean other than the network's, which zero padding would not match.
    """
    std = torch.tensor(preprocess.std)
    if preprocess.channels != 3 or any(abs(255 * mean - MEAN_LEVEL) > 1 for mean in preprocess.mean):
        raise ConfigError(
            f"mean={preprocess.mean}: the face weights read three channels with the mean {MEAN_LEVEL / 255:.3f}; use "
            "the preprocessing of training/runs/upscale224_faces.toml"
        )
    layers = [_layer(model, "conv1/convolution/merged_input", "conv1_bn")]
    first = layers[0]
    scaled = first.weight * (255 * std)[None, :, None, None]
    layers[0] = FoldedLayer(scaled, first.shift, first.stride, first.groups)
    for block in range(1, BLOCKS + 1):
        layers.append(_layer(model, f"conv_dw_{block}/depthwise_kernel", f"conv_dw_{block}_bn"))
        layers.append(_layer(model, f"conv_pw_{block}/convolution/merged_input", f"conv_pw_{block}_bn"))
    return layers


def _layer(model: GraphModel, kernel: str, norm: str) -> FoldedLayer:
    """One layer; a depthwise kernel is (H, W, I, 1) with a separate factor, another (H, W, I, O)."""
    values = torch.from_numpy(model.tensor(kernel).copy())
    shift = torch.from_numpy(model.tensor(f"{norm}/batchnorm_1/sub").copy())
    if values.ndim != 4 or not torch.isfinite(values).all() or not torch.isfinite(shift).all():
        raise CheckpointError(f"tensor {kernel!r} of shape {tuple(values.shape)} is no kernel with finite values")
    depthwise = kernel.endswith("depthwise_kernel")
    if depthwise:
        factor = torch.from_numpy(model.tensor(f"{norm}/batchnorm_1/mul").copy())
        weight, groups = values.permute(2, 3, 0, 1) * factor[:, None, None, None], values.shape[2]
    else:
        weight, groups = values.permute(3, 2, 0, 1), 1
    if len(weight) != len(shift):
        raise CheckpointError(
            f"{kernel!r} has {len(weight)} filters, {norm!r} {len(shift)} shifts; it is another network"
        )
    return FoldedLayer(weight.contiguous(), shift, model.strides(kernel), groups)


def features(layers: list[FoldedLayer], pixels: torch.Tensor) -> torch.Tensor:
    """float32 (N, channels): the folded network's features, averaged over the image, of normalised pixels."""
    for layer in layers:
        pixels = F.relu6(layer.convolve(pixels) + layer.shift[:, None, None])
    return pixels.mean(dim=(2, 3))


@torch.no_grad()
def statistics(layers: list[FoldedLayer], batches: Iterable[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(mean, variance) of each convolution's channels, float32 (O,), over float32 (N, 3, H, W) batches of faces.

    Raises CheckpointError when there is no face.
    """
    totals = [torch.zeros(2, len(layer.shift), dtype=torch.float64) for layer in layers]
    pixel_counts = [0] * len(layers)
    for pixels in batches:
        for number, layer in enumerate(layers):
            values = layer.convolve(pixels)
            planes = values.flatten(2)
            variances, means = (each.double() for each in torch.var_mean(planes, dim=2, correction=0))  # per face
            sums = torch.stack([means.sum(dim=0), (variances + means.square()).sum(dim=0)])
            totals[number] += planes.shape[2] * sums
            pixel_counts[number] += values[:, 0].numel()
            pixels = F.relu6(values + layer.shift[:, None, None])
    if not pixel_counts[0]:
        raise CheckpointError("the statistics of batch norms need faces, and there is none; give other data")
    result = []
    for total, count in zip(totals, pixel_counts, strict=True):
        mean = total[0] / count
        result.append((mean.float(), (total[1] / count - mean.square()).clamp(min=SMALLEST_VARIANCE).float()))
    return result


def state_dict(layers: list[FoldedLayer], measured: list[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Tensors `features.N.0` (convolution) and `features.N.1` (batch norm), N = 0 to 26.

    The norm's scale is the standard deviation and its shift the folded shift plus the mean, so that in evaluation it
    returns the convolution plus the folded shift, and in training it normalises by the batch.
    """
    tensors: dict[str, torch.Tensor] = {}
    for number, (layer, (mean, variance)) in enumerate(zip(layers, measured, strict=True)):
        tensors |= {
            f"features.{number}.0.weight": layer.weight,
            f"features.{number}.1.weight": torch.sqrt(variance + EPSILON),
            f"features.{number}.1.bias": layer.shift + mean,
            f"features.{number}.1.running_mean": mean,
            f"features.{number}.1.running_var": variance,
            f"features.{number}.1.num_batches_tracked": torch.tensor(0),
        }
    return tensors
