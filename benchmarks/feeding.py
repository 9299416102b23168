"""Training speed with augmented batches, relative to random tensors.

    python -m benchmarks.feeding --recipe R.toml --json out.json

The same training step runs on prepared random tensors and on batches of `training.data.batches` (drawn faces, so
that no data is needed). The two alternate, and medians are compared. Batches do not limit training while the
share is above .9.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.timing import machine
from emotion_hub.models import create_model
from emotion_hub.preprocess import Preprocessor
from training.data.batches import PlaneDataset
from training.data.files import write_json
from training.fit.optim import build_optimizer
from training.fit.recipe import Recipe, load_recipe

__all__ = ["main", "measure"]


def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor], recipe: Recipe) -> None:
    """One training step in bfloat16, as in the trainer."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(batch["pixel_values"].to(memory_format=torch.channels_last))
    loss = nn.functional.cross_entropy(logits.float(), batch["labels"], label_smoothing=recipe.label_smoothing)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def measure(recipe: Recipe, steps: int, rounds: int, workers: int) -> dict[str, Any]:
    """Images/s with both kinds of batches, which alternate in rounds, and the median share."""
    rng = np.random.default_rng(0)
    preprocessor = Preprocessor(recipe.training_preprocess)
    side, classes = preprocessor.config.size, len(recipe.labels)
    count = recipe.batch_size * steps
    planes = rng.integers(0, 256, (count, side, side), dtype=np.uint8)
    targets = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, count)]
    faces = PlaneDataset(planes, targets, preprocessor, recipe.augmentation)
    faces.set_epoch(recipe.epochs)  # after any ramp: full strength
    loader = DataLoader(
        faces,
        recipe.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=PlaneDataset.collate,
    )
    ready = {
        "pixel_values": torch.randn(recipe.batch_size, preprocessor.config.channels, side, side),
        "labels": torch.from_numpy(targets[: recipe.batch_size]),
    }
    model = create_model(recipe.model, **recipe.options).train().to(memory_format=torch.channels_last)
    optimizer = build_optimizer(model, recipe)

    def speed(batches: Iterator[dict[str, torch.Tensor]]) -> float:
        started = time.perf_counter()
        for batch in batches:
            step(model, optimizer, batch, recipe)
        return count / (time.perf_counter() - started)

    speed(iter(loader))  # warm up
    random, augmented = [], []
    for _ in range(rounds):
        random.append(speed(ready for _ in range(steps)))
        augmented.append(speed(iter(loader)))
    shares = [a / r for a, r in zip(augmented, random, strict=True)]
    return {
        "recipe": recipe.name,
        "network": recipe.model,
        "random_images_per_second": round(float(np.median(random)), 1),
        "fed_images_per_second": round(float(np.median(augmented)), 1),
        "share": round(float(np.median(shares)), 4),
        "shares": [round(s, 4) for s in shares],
        "steps": steps,
        "batch_size": recipe.batch_size,
        "workers": workers,
        "threads": torch.get_num_threads(),
        "machine": machine("torch"),
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure every recipe, print, and write the figures to --json; returns them."""
    parser = argparse.ArgumentParser(prog="benchmarks.feeding", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--recipe", required=True, action="append", help="a .toml file of training/runs/; may be repeated"
    )
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int, help="CPU threads for torch")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    rows = []
    for path in args.recipe:
        rows.append(measure(load_recipe(path), args.steps, args.rounds, args.workers))
        row = rows[-1]
        print(
            f"{row['recipe']}: {row['random_images_per_second']:.0f} images/s with random tensors, "
            f"{row['fed_images_per_second']:.0f} with augmented batches: {row['share']:.1%}"
        )
    if args.json:
        write_json(args.json, rows)
    return {"rows": rows}


if __name__ == "__main__":
    main()
