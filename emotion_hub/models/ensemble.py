"""Several networks that answer as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from emotion_hub.errors import ConfigError

__all__ = ["MAX_NETWORKS", "Ensemble"]

#: Networks of an ensemble, those of ensembles inside it counted in.
MAX_NETWORKS = 16


class Ensemble(nn.Module):
    """The logarithm of the members' mean probabilities: float32 (N, C, S, S) -> (N, num_classes). Its softmax is that mean.

    All members see the same preprocessed face. `members` are {"model": registered name, "options": {...}}, so that a configuration can hold them.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        probs = torch.stack([member(pixel_values).float().softmax(dim=1) for member in self.members])
        return probs.mean(dim=0).clamp_min(torch.finfo(probs.dtype).tiny).log()

    @classmethod
    def build(cls, build: Callable[..., nn.Module], num_classes: int, members: Sequence[Mapping[str, Any]]) -> Ensemble:
        """An ensemble of what `build(model, num_classes, **options)` makes.

        Raises ConfigError for fewer than two members, more than MAX_NETWORKS networks in all, and a member that is not described; nothing is built then.
        """
        if not isinstance(members, list | tuple) or len(members) < 2:
            raise ConfigError(
                f"members={members!r}: an ensemble has at least two, each {{'model': name, 'options': {{...}}}}"
            )
        _check_number(members)
        for member in members:
            if (
                not isinstance(member, Mapping)
                or not {"model"} <= set(member) <= {"model", "options"}
                or not isinstance(member.get("options", {}), Mapping)
            ):
                raise ConfigError(f"member {member!r}: give {{'model': name, 'options': {{...}}}}")
            if taken := sorted({"name", "num_classes", "pretrained"} & set(member.get("options", {}))):
                raise ConfigError(
                    f"member {member!r}: {', '.join(map(repr, taken))} is no option; members share the classes, and start from a file of the ensemble"
                )
        return cls([build(member["model"], num_classes, **member.get("options", {})) for member in members])


def _check_number(members: Sequence[Any]) -> None:
    """Raises ConfigError for more than MAX_NETWORKS: a short configuration can nest ensembles into thousands of networks."""
    left, networks = [members], 0
    while left:
        for member in left.pop():
            options = member.get("options") if isinstance(member, Mapping) else None
            inner = options.get("members") if isinstance(options, Mapping) else None
            if isinstance(inner, list | tuple):
                left.append(inner)
            networks += not isinstance(inner, list | tuple)
            if networks + len(left) > MAX_NETWORKS:
                raise ConfigError(
                    f"the ensemble has more than {MAX_NETWORKS} networks, those of ensembles inside it counted in; use fewer members"
                )
