"""Ensembles: the mean probabilities of several networks as one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from emotion_hub.errors import ConfigError
from emotion_hub.models.registry import create_model, get_entry

__all__ = ["MAX_NETWORKS", "Ensemble", "build_ensemble"]

#: Largest number of networks in an ensemble, including those of nested ensembles.
MAX_NETWORKS = 16


class Ensemble(nn.Module):
    """Logarithm of the members' mean probabilities: float32 (N, C, S, S) -> (N, num_classes). Its softmax is the mean.

    All members see the same preprocessed face.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        probs = torch.stack([member(pixel_values).float().softmax(dim=1) for member in self.members])
        return probs.mean(dim=0).clamp_min(torch.finfo(probs.dtype).tiny).log()


def build_ensemble(preprocessing: str, num_classes: int = 7, members: Sequence[Mapping[str, Any]] = ()) -> Ensemble:
    """An ensemble, with random weights, of the networks that `members` describe.

    Each member is {"model": registered name, "options": {...}}, JSON types that a configuration can hold. Every
    member's preprocessing must be `preprocessing`. Raises ConfigError for fewer than two members, more than
    MAX_NETWORKS networks in total, an invalid description and another preprocessing; no network is built then.
    """
    if not isinstance(members, list | tuple) or len(members) < 2:
        raise ConfigError(
            f"members={members!r}: an ensemble has at least two, each {{'model': name, 'options': {{...}}}}"
        )
    _check_number(members)
    for member in members:
        _check_member(member, preprocessing)
    return Ensemble([create_model(member["model"], num_classes, **member.get("options", {})) for member in members])


def _check_member(member: Any, preprocessing: str) -> None:
    """Raises ConfigError for an invalid description and for a network with another preprocessing."""
    if (
        not isinstance(member, Mapping)
        or not {"model"} <= set(member) <= {"model", "options"}
        or not isinstance(member.get("options", {}), Mapping)
    ):
        raise ConfigError(f"member {member!r}: give {{'model': name, 'options': {{...}}}}")
    if reserved := sorted({"name", "num_classes", "pretrained"} & set(member.get("options", {}))):
        names = ", ".join(map(repr, reserved))
        raise ConfigError(
            f"member {member!r}: {names} is not an option; members share the classes, and starting weights are a file "
            "of the whole ensemble"
        )
    if (own := get_entry(member["model"]).preprocessing) != preprocessing:
        raise ConfigError(
            f"{member['model']} works on {own}; the members of ensemble_{preprocessing} all work on {preprocessing}"
        )


def _check_number(members: Sequence[Any]) -> None:
    """Raises ConfigError for more than MAX_NETWORKS; a short configuration can describe thousands by nesting."""
    pending, networks = [members], 0
    while pending:
        for member in pending.pop():
            options = member.get("options") if isinstance(member, Mapping) else None
            inner = options.get("members") if isinstance(options, Mapping) else None
            if isinstance(inner, list | tuple):
                pending.append(inner)
            else:
                networks += 1
            if networks + len(pending) > MAX_NETWORKS:
                raise ConfigError(
                    f"the ensemble has more than {MAX_NETWORKS} networks, including those of nested ensembles; "
                    "use fewer members"
                )
