"""Draw the architecture of a network: one block per resolution."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from matplotlib.figure import Figure  # unlike pyplot, without global state and display
from matplotlib.patches import FancyBboxPatch
from torch import nn

from emotion_hub.models.classifier import EmotionClassifier

__all__ = ["Block", "blocks", "draw_architecture"]

#: Layers that the figure leaves out.
_SKIPPED = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten)


@dataclass
class Block:
    """Consecutive layers with the same output side.

    `side` is in pixels, None for vectors; `channels` are those of the last layer; `layers` counts them by type.
    """

    side: int | None
    channels: int
    parameters: int = 0
    layers: Counter[str] = field(default_factory=Counter)


@torch.no_grad()
def blocks(classifier: EmotionClassifier) -> list[Block]:
    """The blocks in the order of computation, from a forward pass.

    Every parameter is counted in exactly one block; a module that runs several times is counted once.
    """
    sequence: list[Block] = []
    counted: set[nn.Module] = set()

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(module, _SKIPPED) or not isinstance(output, torch.Tensor):
            return
        side = output.shape[-1] if output.ndim == 4 and output.shape[-1] > 1 else None
        if not sequence or sequence[-1].side != side:
            sequence.append(Block(side, output.shape[1]))
        block = sequence[-1]
        block.channels = output.shape[-1] if output.ndim == 3 else output.shape[1]
        if module not in counted:
            counted.add(module)
            block.parameters += sum(p.numel() for p in module.parameters(recurse=False))
            block.layers[type(module).__name__] += 1

    # leaves, and timm's normalisation layers, which have parameters and contain an activation
    layers = [m for m in classifier.network.modules() if not list(m.children()) or list(m.parameters(recurse=False))]
    hooks = [module.register_forward_hook(note) for module in layers]
    config = classifier.config.preprocess
    try:
        classifier.network(torch.zeros(1, config.channels, config.size, config.size))
    finally:
        for hook in hooks:
            hook.remove()
    return sequence


def draw_architecture(classifier: EmotionClassifier, path: Path) -> Path:
    """Write the figure as PNG and return its path.

    Blocks are drawn from left to right, with channels, layers and parameters; their height grows with their side.
    """
    sequence, prep = blocks(classifier), classifier.config.preprocess
    figure = Figure(figsize=(max(6.0, 1.9 * (len(sequence) + 2)), 3.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    tallest = max(block.side or 1 for block in sequence) or 1
    shown = [(f"{prep.size}×{prep.size}×{prep.channels}", "prepared face", "", prep.size)]
    for block in sequence:
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
