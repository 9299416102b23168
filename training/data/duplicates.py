"""Find near-duplicate faces, and group copies as connected components.

Near copies show the same picture: shifted, mirrored, recompressed, watermarked or with other brightness and
contrast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch.nn import functional as F
from tqdm import tqdm

__all__ = ["MAX_SHIFT", "THRESHOLD", "NearCopies", "find_near_copies", "find_near_pairs", "group_copies"]

#: Correlation from which two faces count as near copies. FER2013's pairs across splits were inspected by eye: of 32
#: pairs from .94 to .96 all but one were the same picture, from .92 to .94 most, below .91 about half.
THRESHOLD = 0.92

#: Largest shift of the search, in pixels of the 48-pixel face.
MAX_SHIFT = 4

_CHUNK = 4096


@dataclass(frozen=True)
class NearCopies:
    """The best partner of each query face among the references.

    `similarity` is the correlation, float32 (N,) in -1..1, `partner` its position, int64 (N,).
    """

    similarity: np.ndarray
    partner: np.ndarray

    def above(self, threshold: float = THRESHOLD) -> np.ndarray:
        """int64: positions of the query faces whose partner is a near copy."""
        return np.flatnonzero(self.similarity >= threshold)


def _thumbnails(planes: np.ndarray) -> torch.Tensor:
    """float32 (N, 24, 24): 2x2 means of uint8 (N, 48, 48) planes."""
    return F.avg_pool2d(torch.from_numpy(planes).float().unsqueeze(1), 2).squeeze(1)


def _unit(patches: torch.Tensor) -> torch.Tensor:
    """(N, D) rows of mean 0 and length 1, whose dot product is Pearson's correlation; flat patches become zeros."""
    rows = patches.flatten(1)
    rows = rows - rows.mean(1, keepdim=True)
    length = rows.norm(dim=1, keepdim=True)
    return torch.where(length > rows.shape[1] ** 0.5, rows / length.clamp_min(1e-6), torch.zeros_like(rows))


def _views(steps: int, mirrored: bool) -> list[tuple[bool, int, int]]:
    """(mirrored, y, x) of every view that a search compares; (y, x) is the corner of the window in a thumbnail."""
    return list(product((False, True) if mirrored else (False,), range(2 * steps + 1), range(2 * steps + 1)))


def _view(thumbnails: torch.Tensor, view: tuple[bool, int, int], side: int) -> torch.Tensor:
    mirror, y, x = view
    return (thumbnails.flip(-1) if mirror else thumbnails)[:, y : y + side, x : x + side]


def find_near_copies(
    queries: np.ndarray, references: np.ndarray, max_shift: int = MAX_SHIFT, mirrored: bool = True, progress: str = ""
) -> NearCopies:
    """The most similar reference of every query; both are uint8 (N, 48, 48) gray planes.

    The measure is Pearson's correlation of 24x24 thumbnails, the largest over the mirrored query and over shifts
    of up to `max_shift` pixels, in steps of two. Only the middle of a reference is compared, so that all shifts
    overlap it fully. Brightness and contrast have no influence.
    """
    steps = max_shift // 2
    query, reference = _thumbnails(queries), _thumbnails(references)
    side = reference.shape[-1] - 2 * steps
    targets = _unit(reference[:, steps : steps + side, steps : steps + side]).T.contiguous()
    best, partner = torch.full((len(queries),), -1.0), torch.zeros(len(queries), dtype=torch.long)
    for view in tqdm(_views(steps, mirrored), desc=progress or "near copies", disable=None):
        shifted = _view(query, view, side)
        for start in range(0, len(shifted) if len(references) else 0, _CHUNK):
            rows = slice(start, start + _CHUNK)
            value, index = (_unit(shifted[rows]) @ targets).max(1)
            better = value > best[rows]
            best[rows] = torch.where(better, value, best[rows])
            partner[rows] = torch.where(better, index, partner[rows])
    return NearCopies(best.numpy(), partner.numpy())


def find_near_pairs(
    planes: np.ndarray, threshold: float = THRESHOLD, mirrored: bool = True, max_shift: int = 0
) -> np.ndarray:
    """int64 (P, 2), first < second: pairs of planes whose thumbnails have a correlation of at least `threshold`.

    `planes` are uint8 (N, 48, 48), gray; one of a pair may be mirrored. All N^2 / 2 pairs are compared, in
    chunks. `max_shift` also finds shifted pairs, as `find_near_copies` does: MAX_SHIFT compares 25 times as many
    views, which takes minutes on FER2013.
    """
    steps, rows = max_shift // 2, _CHUNK // 4
    thumbnails = _thumbnails(planes)
    side = thumbnails.shape[-1] - 2 * steps
    middle = _unit(_view(thumbnails, (False, steps, steps), side))
    views, pairs = _views(steps, mirrored), []
    with tqdm(total=len(views) * len(planes), desc="near pairs", disable=None) as bar:
        for view in views:
            shifted = _unit(_view(thumbnails, view, side))
            for start in range(0, len(planes), rows):
                similar = middle[start : start + rows] @ shifted[start:].T >= threshold
                first, second = torch.nonzero(similar, as_tuple=True)
                pairs.append(torch.stack([first, second], dim=1)[first < second] + start)
                bar.update(min(rows, len(planes) - start))
    return torch.unique(torch.cat(pairs), dim=0).numpy() if pairs else np.empty((0, 2), dtype=np.int64)


def group_copies(
    hashes: Sequence[str],
    planes: np.ndarray,
    threshold: float | None = THRESHOLD,
    *,
    known: np.ndarray | None = None,
    max_shift: int = 0,
) -> np.ndarray:
    """int64 (N,): the group of every image, the connected components of exact copies and near pairs.

    Exact copies have equal `hashes`; `threshold` None searches no near pairs; `max_shift` is that of
    `find_near_pairs`. Images with the same value in `known` (N,) are in one group as well. Groups are numbered
    from 0 in the order of their first image.
    """
    _, ids = np.unique(np.asarray(hashes, dtype=str), return_inverse=True)
    first = np.unique(ids, return_index=True)[1]  # one image for each distinct picture
    edges = np.empty((0, 2), dtype=np.int64)
    if threshold is not None:
        edges = find_near_pairs(planes[first], threshold, max_shift=max_shift)
    if known is not None:
        _, heads, members = np.unique(known, return_index=True, return_inverse=True)
        edges = np.concatenate([edges, np.stack([ids[heads[members]], ids], axis=1)])
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(first), len(first)))
    groups = connected_components(graph, directed=False)[1][ids]
    _, order, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(order))[inverse].astype(np.int64)
