"""Train one network as a recipe says: `python -m training.train --recipe R.toml --data D --out O`.

The state after every epoch is saved, so a run that was stopped goes on where it was when the same command is
given again. The epoch to keep is chosen on `validation` without the images it shares with `test`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm import tqdm

from emotion_hub.errors import CheckpointError, ConfigError
from emotion_hub.models import create_model
from emotion_hub.preprocess import Preprocessor
from training.augment import augment_tensor
from training.data import clean_training_indices, load_split, prepare_planes, shared_indices
from training.recipe import Recipe, load_recipe

__all__ = ["main", "train"]


def starting_weights(model: nn.Module, recipe: Recipe, path: Path | None) -> None:
    """Load the weights the recipe starts from; raises ConfigError when the file it needs is missing or it needs none."""
    if recipe.init is None:
        if path is not None:
            raise ConfigError(f"recipe {recipe.name!r} starts from random weights; leave --init {path} out, or set init in the recipe")
        return
    if path is None:
        raise ConfigError(f"recipe {recipe.name!r} starts from {recipe.init!r}; give the file with --init")
    if recipe.init == "torchvision-mobilenetv2":
        from emotion_hub.models.transfer224 import mobilenetv2_from_torchvision

        transfer = mobilenetv2_from_torchvision(torch.load(path, weights_only=True), model)
        model.load_state_dict(transfer.tensors, strict=False)
        print(f"start: {len(transfer.copied)} tensors copied; left in the file: {list(transfer.unmapped_source)}; fresh: {list(transfer.unmapped_target)}")
    else:
        model.load_state_dict(load_file(path))
        print(f"start: every tensor of {path}")


class Ema:
    """Exponential moving average of a network's weights; batch-norm statistics are averaged too."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module, self.decay, self.steps = copy.deepcopy(model).eval(), decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """One step; early steps weigh more, so the random start is forgotten."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        for ours, theirs in zip(self.module.state_dict().values(), model.state_dict().values(), strict=True):
            if ours.dtype.is_floating_point:
                ours.lerp_(theirs, 1 - decay)
            else:
                ours.copy_(theirs)


def batches(planes: np.ndarray, labels: np.ndarray, size: int, generator: torch.Generator) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Shuffled (gray planes, labels); the last, smaller batch is dropped."""
    order = torch.randperm(len(planes), generator=generator).numpy()
    for start in range(0, len(order) - size + 1, size):
        chosen = order[start : start + size]
        yield planes[chosen], torch.from_numpy(labels[chosen])


@torch.no_grad()
def accuracy(model: nn.Module, planes: np.ndarray, labels: np.ndarray, preprocessor: Preprocessor, batch_size: int = 128) -> float:
    """Share of right answers, 0..1, in the mode of training's autocast."""
    model.eval()
    right = 0
    for start in range(0, len(planes), batch_size):
        pixels = torch.from_numpy(preprocessor.normalise(planes[start : start + batch_size]))
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(pixels.to(memory_format=torch.channels_last))
        right += int((logits.argmax(1).numpy() == labels[start : start + batch_size]).sum())
    return right / len(planes)


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser; biases and batch norms are not decayed."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=recipe.lr)


def learning_rate(step: int, total: int, warmup: int) -> float:
    """Factor of the peak rate: linear warm-up, then cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def train(recipe: Recipe, data: str, out: Path, init: Path | None = None, stop_after: float | None = None) -> dict[str, Any]:
    """Train, and return the history; writes `last.pt` (to resume), `best.safetensors` and `history.json` to `out`.

    `stop_after` is a limit in seconds: the run stops at the end of the epoch that passes it and can be resumed.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    model = create_model(recipe.model, **recipe.options)
    starting_weights(model, recipe, init)
    preprocessor = Preprocessor(recipe.training_preprocess)
    train_set, val_set, test_set = (load_split(data, name) for name in ("train", "validation", "test"))
    kept, cleaning = clean_training_indices(train_set, val_set, test_set)
    print(cleaning)
    val_kept = np.setdiff1d(np.arange(len(val_set)), shared_indices(val_set, test_set))
    planes, labels = prepare_planes(train_set, preprocessor, kept), train_set.labels[kept]
    val_planes, val_labels = prepare_planes(val_set, preprocessor, val_kept), val_set.labels[val_kept]
    del train_set, val_set, test_set

    model = model.to(memory_format=torch.channels_last)
    ema, optimizer = Ema(model, recipe.ema_decay), build_optimizer(model, recipe)
    steps = len(planes) // recipe.batch_size
    if not steps:
        raise ConfigError(f"batch_size={recipe.batch_size} is more than the {len(planes)} training images; choose a smaller one")
    total, warmup = steps * recipe.epochs, round(steps * recipe.warmup_epochs)
    environment = {"device": "cpu", "dtype": "bfloat16", "threads": torch.get_num_threads(), "torch": torch.__version__}
    counts = vars(cleaning) | {"validation": len(val_kept)}
    history: dict[str, Any] = {"recipe": recipe.to_dict(), "data": counts, "environment": environment, "epochs": []}
    resume(out / "last.pt", model, ema, optimizer, generator, history)

    for epoch in range(len(history["epochs"]), recipe.epochs):
        model.train()
        begun, losses = time.monotonic(), []
        progress = tqdm(batches(planes, labels, recipe.batch_size, generator), total=steps, desc=f"epoch {epoch + 1}/{recipe.epochs}", disable=None)
        for i, (chunk, target) in enumerate(progress):
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * learning_rate(epoch * steps + i, total, warmup)
            pixels = augment_tensor(torch.from_numpy(preprocessor.normalise(chunk)), recipe.augmentation, generator)
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(pixels.to(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(logits.float(), target, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            ema.update(model)
            losses.append(loss.item())
        seconds = time.monotonic() - begun
        score = accuracy(ema.module, val_planes, val_labels, preprocessor)
        best = max((e["val_accuracy"] for e in history["epochs"]), default=-1.0)
        loss, rate = float(np.mean(losses)), steps * recipe.batch_size / seconds
        history["epochs"].append({"epoch": epoch + 1, "loss": loss, "val_accuracy": score, "seconds": round(seconds, 1)})
        print(f"epoch {epoch + 1}/{recipe.epochs} loss {loss:.4f} validation {score:.4f} {seconds:.0f}s {rate:.0f} images/s", flush=True)
        if score > best:
            weights = {k: v.contiguous() for k, v in ema.module.state_dict().items()}
            write_atomically(out / "best.safetensors", lambda path, weights=weights: save_file(weights, path))
        state = {"model": model.state_dict(), "ema": ema.module.state_dict(), "ema_steps": ema.steps, "optimizer": optimizer.state_dict()}
        state |= {"generator": generator.get_state(), "torch_rng": torch.get_rng_state(), "history": json.dumps(history)}
        write_atomically(out / "last.pt", lambda path, state=state: torch.save(state, path))
        write_atomically(out / "history.json", lambda path: Path(path).write_text(json.dumps(history, indent=1) + "\n"))
        if stop_after is not None and time.monotonic() - started > stop_after:
            print(f"stopped after {epoch + 1} epochs; the same command goes on from here")
            break
    return history


def resume(path: Path, model: nn.Module, ema: Ema, optimizer: torch.optim.Optimizer, generator: torch.Generator, history: dict[str, Any]) -> None:
    """Put everything back as the last finished epoch left it; raises CheckpointError when the recipe or the data are others."""
    if not path.exists():
        return
    state = torch.load(path, weights_only=True)
    saved = json.loads(state["history"])
    if saved["recipe"] != json.loads(json.dumps(history["recipe"])):
        raise CheckpointError(f"{path} belongs to another recipe; give a new --out folder or the recipe it was started with")
    if saved["data"] != history["data"]:
        raise CheckpointError(f"{path} was trained on other data ({saved['data']}, now {history['data']}); give a new --out folder")
    model.load_state_dict(state["model"])
    ema.module.load_state_dict(state["ema"])
    ema.steps = state["ema_steps"]
    optimizer.load_state_dict(state["optimizer"])
    generator.set_state(state["generator"])
    torch.set_rng_state(state["torch_rng"])
    history["epochs"] = saved["epochs"]
    print(f"resuming after epoch {len(history['epochs'])}")


def write_atomically(path: Path, write: Any) -> None:
    """Write beside the file and move it into place, so that a kill leaves the old one whole."""
    part = path.with_name(path.name + ".part")
    write(str(part))
    os.replace(part, path)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="training.train", description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", required=True, help="a .toml file of training/runs/")
    parser.add_argument("--data", required=True, help="folder of parquet files, or a Hub id")
    parser.add_argument("--out", required=True, type=Path, help="folder for the run's state and results")
    parser.add_argument("--init", type=Path, help="starting weights, where the recipe wants some")
    parser.add_argument("--threads", type=int, help="CPU threads for torch")
    parser.add_argument("--stop-after", type=float, metavar="SECONDS", help="stop at the end of the epoch that passes this; resume later")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    return train(load_recipe(args.recipe), args.data, args.out, args.init, args.stop_after)


if __name__ == "__main__":
    main()
