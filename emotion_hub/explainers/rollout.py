"""Attention rollout (Abnar and Zuidema 2020, arXiv:2005.00928) for vision transformers."""

from __future__ import annotations

import numpy as np
import torch

from emotion_hub.errors import InputError
from emotion_hub.explainers.base import Progress, Relevance, Subject
from emotion_hub.explainers.pool import private_copy
from emotion_hub.explainers.target_layers import transformer_of

__all__ = ["rollout"]


def rollout(subject: Subject, progress: Progress | None = None) -> Relevance:
    """How much of each patch reaches what the head reads, through all blocks: attention averaged over heads, half of it the residual.

    The head reads the classifying token or, where there is none, the patches, of which the mean is taken. No class is asked for: every target
    has the same map. Raises InputError for a network without attention.
    """
    backend = subject.predictor.backend
    if transformer_of(backend.classifier.network) is None:
        raise InputError(f"rollout follows attention and {subject.predictor.name} has none; use method='gradcam'")
    attentions: list[torch.Tensor] = []
    with private_copy(backend.classifier.network) as private, torch.no_grad():
        vit = transformer_of(private)
        handles, fused = [], [getattr(block.attn, "fused_attn", False) for block in vit.blocks]
        try:
            for block in vit.blocks:
                block.attn.fused_attn = False  # the fused kernel never forms the matrix
                handles.append(
                    block.attn.attn_drop.register_forward_hook(
                        lambda m, inputs, output: attentions.append(inputs[0].detach())
                    )
                )
            private(torch.from_numpy(subject.pixel_values[None]).to(backend.device))
        finally:
            for handle in handles:
                handle.remove()
            for block, was in zip(vit.blocks, fused, strict=True):  # the copy computes what it did, to the last bit
                block.attn.fused_attn = was
        prefix, grid = vit.num_prefix_tokens, vit.patch_embed.grid_size
    flow = torch.eye(attentions[0].shape[-1], device=attentions[0].device)
    for attention in attentions:
        mixed = attention.float().mean(dim=1)[0] + torch.eye(flow.shape[0], device=flow.device)
        flow = (mixed / mixed.sum(dim=-1, keepdim=True)) @ flow
    reader = (
        flow[0] if vit.global_pool == "token" else flow[prefix:].mean(dim=0)
    )  # without a classifying token the head reads the patches, not the registers
    rows = reader[prefix:]
    patches = rows.reshape(1, 1, *grid) - rows.min()
    positive = torch.nn.functional.interpolate(
        patches, size=(subject.size, subject.size), mode="bilinear", align_corners=False
    )[0, 0]
    return Relevance(positive=positive.cpu().numpy().astype(np.float32), parameters={"blocks": len(attentions)})
