"""Attention rollout for vision transformers.

Abnar and Zuidema 2020, arXiv:2005.00928.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from emotion_hub.errors import InputError
from emotion_hub.explainers.base import Progress, Relevance, Subject
from emotion_hub.explainers.pool import private_copy, torch_backend
from emotion_hub.explainers.target_layers import is_transformer, transformer_of

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

__all__ = ["rollout"]


def rollout(subject: Subject, progress: Progress | None = None) -> Relevance:
    """The share of each patch in what the classification head reads, followed through all blocks, as `positive`.

    Per block the flow is half the attention, averaged over heads, and half the residual connection (equation 1). The
    head reads the class token or, in a network without one, the mean of the patches. The map does not depend on the
    target. Raises InputError for a network without attention.
    """
    backend = torch_backend(subject.predictor)
    network = backend.classifier.network
    if not is_transformer(network):
        raise InputError(
            f"rollout needs a vision transformer and {subject.predictor.name} has no attention; use method='gradcam'"
        )
    with private_copy(network) as private, torch.no_grad():
        vit = cast("VisionTransformer", transformer_of(private))  # a copy of the network that was checked
        with _record_attention(vit) as attentions:
            private(torch.from_numpy(subject.pixel_values[None]).to(backend.device))
        prefix, grid, reads_token = vit.num_prefix_tokens, vit.patch_embed.grid_size, vit.global_pool == "token"
    identity = torch.eye(attentions[0].shape[-1], device=attentions[0].device)
    flow = identity
    for attention in attentions:
        mixed = attention.float().mean(dim=1)[0] + identity
        flow = (mixed / mixed.sum(dim=-1, keepdim=True)) @ flow
    # a head without a class token averages the patches; register tokens are not read
    head_input = flow[0] if reads_token else flow[prefix:].mean(dim=0)
    patches = head_input[prefix:]
    positive = torch.nn.functional.interpolate(
        patches.reshape(1, 1, *grid) - patches.min(),
        size=(subject.size, subject.size),
        mode="bilinear",
        align_corners=False,
    )[0, 0]
    return Relevance(positive=positive.cpu().numpy().astype(np.float32), parameters={"blocks": len(attentions)})


@contextmanager
def _record_attention(vit: VisionTransformer) -> Iterator[list[torch.Tensor]]:
    """Inside the block, each block's attention matrix, (N, heads, tokens, tokens), is appended to the yielded list."""
    attentions: list[torch.Tensor] = []
    blocks: list[Any] = list(vit.blocks)  # untyped: torch types an attribute of a module as Tensor | Module
    fused = [getattr(block.attn, "fused_attn", False) for block in blocks]
    handles = []
    try:
        for block in blocks:
            block.attn.fused_attn = False  # the fused kernel never computes the matrix
            # timm passes the softmax of the scores to this dropout
            handles.append(
                block.attn.attn_drop.register_forward_hook(
                    lambda module, inputs, output: attentions.append(inputs[0].detach())
                )
            )
        yield attentions
    finally:
        for handle in handles:
            handle.remove()
        for block, was_fused in zip(blocks, fused, strict=True):  # the copy must compute the same bits as before
            block.attn.fused_attn = was_fused
