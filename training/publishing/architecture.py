"""A figure of what a network computes: one block a resolution, from a forward pass, drawn with matplotlib."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from matplotlib.figure import Figure  # not pyplot: no global state, no display
from matplotlib.patches import FancyBboxPatch
from torch import nn

from emotion_hub.models.classifier import EmotionClassifier

__all__ = ["Block", "blocks", "draw_architecture"]

#: Layers that are no work of their own in the figure.
_SILENT = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten)


@dataclass
class Block:
    """Consecutive layers with the same output side: `side` pixels (None for vectors), the last one's channels, parameters, layers by kind."""

    side: int | None
    channels: int
    parameters: int = 0
    layers: Counter[str] = field(default_factory=Counter)


@torch.no_grad()
def blocks(classifier: EmotionClassifier) -> list[Block]:
    """The blocks in the order of computation; every parameter stands in exactly one, a module that runs again counts once."""
    found: list[Block] = []
    counted: set[int] = set()

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(module, _SILENT) or not isinstance(output, torch.Tensor):
            return
        side = output.shape[-1] if output.ndim == 4 and output.shape[-1] > 1 else None
        if not found or found[-1].side != side:
            found.append(Block(side, output.shape[1]))
        found[-1].channels = output.shape[-1] if output.ndim == 3 else output.shape[1]
        if module not in counted:
            counted.add(module)
            found[-1].parameters += sum(p.numel() for p in module.parameters(recurse=False))
            found[-1].layers[type(module).__name__] += 1

    # timm's normalisation has parameters of its own and an activation inside
    working = [m for m in classifier.network.modules() if not list(m.children()) or list(m.parameters(recurse=False))]
    hooks = [module.register_forward_hook(note) for module in working]
    config = classifier.config.preprocess
    try:
        classifier.network(torch.zeros(1, config.channels, config.size, config.size))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def draw_architecture(classifier: EmotionClassifier, path: Path) -> Path:
    """Write the figure as PNG: blocks from left to right, as tall as their side, with channels, layers and parameters."""
    found, prep = blocks(classifier), classifier.config.preprocess
    figure = Figure(figsize=(max(6.0, 1.9 * (len(found) + 2)), 3.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    tallest = max(block.side or 1 for block in found) or 1
    shown = [(f"{prep.size}×{prep.size}×{prep.channels}", "prepared face", "", prep.size)]
    for block in found:
        title = f"{block.side}×{block.side}×{block.channels}" if block.side else f"{block.channels:,}"
        layers = "\n".join(f"{count} {kind}" for kind, count in block.layers.most_common(4))
        shown.append((title, layers, f"{block.parameters:,}", block.side or 1))
    for x, (title, layers, parameters, side) in enumerate(shown):
        height = 0.15 + 0.85 * min(1.0, (side / max(tallest, prep.size)) ** 0.5)
        axes.add_patch(_box(x, height, "#dbe7fb" if x else "#eceff3"))
        axes.text(x, 0.04 + height, title, ha="center", va="bottom", fontsize=10, fontweight="bold", color="#12233d")
        axes.text(
            x,
            height / 2,
            f"{parameters}\nparameters" if parameters else "",
            ha="center",
            va="center",
            fontsize=7.5,
            color="#12233d",
        )
        axes.text(x, -0.05, layers, ha="center", va="top", fontsize=7.5, color="#39475c")
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.set_ylim(-0.75, 1.2)
    axes.axis("off")
    axes.set_title(
        f"{classifier.config.model}: {classifier.num_parameters:,} parameters, {len(classifier.labels)} outputs",
        fontsize=11,
        color="#12233d",
    )
    figure.savefig(path, format="png", facecolor="white", metadata={"Software": None})
    return path


def _box(x: float, height: float, colour: str) -> FancyBboxPatch:
    return FancyBboxPatch(
        (x - 0.36, 0), 0.72, height, boxstyle="round,pad=0.02", facecolor=colour, edgecolor="#5b7db8", linewidth=1
    )
