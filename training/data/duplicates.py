"""Near copies: faces that are the same picture, shifted, mirrored, recompressed, watermarked or relit."""

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

#: Correlation from which two faces count as near copies. Of FER2013's pairs across splits, looked at by eye: all of 32 from .94
#: to .96 but one were the same picture, most from .92 to .94, under .91 about half.
THRESHOLD = 0.92

#: Largest shift that is searched, in pixels of the 48-pixel face.
MAX_SHIFT = 4

_CHUNK = 4096


@dataclass(frozen=True)
class NearCopies:
    """For each query face its best partner among the references: correlation float32 (N,) in -1..1 and position int64 (N,)."""

    similarity: np.ndarray
    partner: np.ndarray

    def above(self, threshold: float = THRESHOLD) -> np.ndarray:
        """int64: positions of the query faces that have a near copy."""
        return np.flatnonzero(self.similarity >= threshold)


def _thumbnails(planes: np.ndarray) -> torch.Tensor:
    """float32 (N, 24, 24): 2x2 means of uint8 (N, 48, 48) planes."""
    return F.avg_pool2d(torch.from_numpy(planes).float().unsqueeze(1), 2).squeeze(1)


def _unit(patches: torch.Tensor) -> torch.Tensor:
    """(N, D) rows of mean 0 and length 1, so that a dot product is Pearson's correlation; a flat patch becomes zeros."""
    rows = patches.flatten(1)
    rows = rows - rows.mean(1, keepdim=True)
    length = rows.norm(dim=1, keepdim=True)
    return torch.where(length > rows.shape[1] ** 0.5, rows / length.clamp_min(1e-6), torch.zeros_like(rows))


def _moves(steps: int, mirrored: bool) -> list[tuple[bool, int, int]]:
    """Mirrored or not, and where the window of a shifted thumbnail begins: every view that a search goes through."""
    return list(product((False, True) if mirrored else (False,), range(2 * steps + 1), range(2 * steps + 1)))


def _moved(thumbnails: torch.Tensor, move: tuple[bool, int, int], side: int) -> torch.Tensor:
    mirror, y, x = move
    return (thumbnails.flip(-1) if mirror else thumbnails)[:, y : y + side, x : x + side]


def find_near_copies(
    queries: np.ndarray, references: np.ndarray, max_shift: int = MAX_SHIFT, mirrored: bool = True, progress: str = ""
) -> NearCopies:
    """The most similar reference of every query; both uint8 (N, 48, 48) gray planes.

    The measure is Pearson's correlation between 24x24 thumbnails, the largest over shifts of up to `max_shift` pixels (in steps of two;
    the reference's middle is compared, so a shift hides nothing) and over the mirrored query. It does not see brightness or contrast.
    """
    steps = max_shift // 2
    query, reference = _thumbnails(queries), _thumbnails(references)
    side = reference.shape[-1] - 2 * steps
    targets = _unit(reference[:, steps : steps + side, steps : steps + side]).T.contiguous()
    best, partner = torch.full((len(queries),), -1.0), torch.zeros(len(queries), dtype=torch.long)
    for move in tqdm(_moves(steps, mirrored), desc=progress or "near copies", disable=None):
        moved = _moved(query, move, side)
        for start in range(0, len(moved) if len(references) else 0, _CHUNK):
            rows = slice(start, start + _CHUNK)
            value, index = (_unit(moved[rows]) @ targets).max(1)
            better = value > best[rows]
            best[rows] = torch.where(better, value, best[rows])
            partner[rows] = torch.where(better, index, partner[rows])
    return NearCopies(best.numpy(), partner.numpy())


def find_near_pairs(
    planes: np.ndarray, threshold: float = THRESHOLD, mirrored: bool = True, max_shift: int = 0
) -> np.ndarray:
    """int64 (P, 2), first < second: pairs of uint8 (N, 48, 48) gray planes whose thumbnails correlate by `threshold` or more, as they are
    or with one of them mirrored.

    Every face meets every other, N^2 / 2 products a view, in chunks. `max_shift` also finds the shifted ones, as `find_near_copies` does:
    MAX_SHIFT makes 25 times the views, minutes on FER2013.
    """
    steps, rows = max_shift // 2, _CHUNK // 4
    thumbnails = _thumbnails(planes)
    side = thumbnails.shape[-1] - 2 * steps
    middle = _unit(_moved(thumbnails, (False, steps, steps), side))
    moves, found = _moves(steps, mirrored), []
    with tqdm(total=len(moves) * len(planes), desc="near pairs", disable=None) as bar:
        for move in moves:
            view = _unit(_moved(thumbnails, move, side))
            for start in range(0, len(planes), rows):
                first, second = torch.nonzero(middle[start : start + rows] @ view[start:].T >= threshold, as_tuple=True)
                found.append(torch.stack([first, second], dim=1)[first < second] + start)
                bar.update(min(rows, len(planes) - start))
    return torch.unique(torch.cat(found), dim=0).numpy() if found else np.empty((0, 2), dtype=np.int64)


def group_copies(
    hashes: Sequence[str],
    planes: np.ndarray,
    threshold: float | None = THRESHOLD,
    *,
    known: np.ndarray | None = None,
    max_shift: int = 0,
) -> np.ndarray:
    """int64 (N,): the group of every image; exact copies (equal `hashes`), near pairs, and whatever hangs together by them, share one.

    `threshold` None looks for no near pairs; `max_shift` is `find_near_pairs`'. Images of one value in `known` (N,) share a group as well.
    Groups are numbered from 0 in the order of their first image.
    """
    _, ids = np.unique(np.asarray(hashes, dtype=str), return_inverse=True)
    first = np.unique(ids, return_index=True)[1]  # one image for each distinct picture
    edges = (
        np.empty((0, 2), dtype=np.int64)
        if threshold is None
        else find_near_pairs(planes[first], threshold, max_shift=max_shift)
    )
    if known is not None:
        _, heads, members = np.unique(known, return_index=True, return_inverse=True)
        edges = np.concatenate([edges, np.stack([ids[heads[members]], ids], axis=1)])
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(first), len(first)))
    groups = connected_components(graph, directed=False)[1][ids]
    _, order, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(order))[inverse].astype(np.int64)
