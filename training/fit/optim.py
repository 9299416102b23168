"""Optimisers with discriminative learning rates, and learning-rate schedules."""

from __future__ import annotations

import math

import torch
from torch import nn

from emotion_hub.models.parts import backbone_parameters, head_parameters
from training.fit.recipe import Recipe

__all__ = ["build_optimizer", "rate_factor"]


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over all parameters, frozen ones included, so that unfreezing needs no new optimiser.

    Groups are backbone and head, each with and without weight decay. Biases and norms have none, unless
    `decay_all` is set.
    """
    groups = []
    backbone_lr = recipe.lr if recipe.backbone_lr is None else recipe.backbone_lr
    for name, params, lr in (
        ("backbone", list(backbone_parameters(model)), backbone_lr),
        ("head", list(head_parameters(model)), recipe.lr),
    ):
        decayed = [p for p in params if p.ndim > 1 or recipe.decay_all]
        plain = [p for p in params if p.ndim <= 1 and not recipe.decay_all]
        groups += [{"params": decayed, "lr": lr, "weight_decay": recipe.weight_decay, "name": name}]
        groups += [{"params": plain, "lr": lr, "weight_decay": 0.0, "name": f"{name}_plain"}]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True)
    return (torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam)(groups, lr=recipe.lr)


def rate_factor(step: int, total: int, per_epoch: int, recipe: Recipe) -> float:
    """The factor of the peak learning rate at this step: linear warm-up, then the recipe's schedule.

    The factor of "plateau" is 1, as a scheduler of its own changes the rate.
    """
    warmup = round(per_epoch * recipe.warmup_epochs)
    if step < warmup:
        return (step + 1) / warmup
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
    if recipe.schedule == "step":
        return recipe.gamma ** (step // per_epoch // recipe.step_epochs)
    return 1.0
