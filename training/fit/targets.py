"""Soft targets: labels, FER+ votes and teacher probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from emotion_hub.errors import ConfigError
from emotion_hub.predictor import EmotionPredictor, softmax
from training.data.faces import FaceSplit, vote_distribution
from training.fit.recipe import Recipe

__all__ = ["soft_targets", "teacher_probs"]


def teacher_probs(
    teachers: Sequence[EmotionPredictor], split: FaceSplit, indices: np.ndarray, batch_size: int = 64
) -> np.ndarray:
    """float32 (N, C): the teachers' mean probabilities for these images and their mirror images.

    Knowledge distillation with fixed targets (Hinton et al. 2015, arXiv:1503.02531). Each teacher prepares the faces by
    its own preprocessing, so that native48 and upscale224 teach together, as the equally weighted members of a
    `PredictorEnsemble` whose members also see mirror images. Raises ConfigError for a teacher with other labels.
    """
    total = np.zeros((len(indices), len(split.label_set)), dtype=np.float64)
    for teacher in teachers:
        if teacher.labels.labels != split.label_set.labels:
            raise ConfigError(
                f"teacher {teacher.name} has the labels {teacher.labels.labels}, the run {split.label_set.labels}; "
                "give a teacher with the run's labels"
            )
        for start in tqdm(range(0, len(indices), batch_size), desc=f"teacher {teacher.name}", disable=None):
            batch = teacher.preprocessor.batch([split.faces[i] for i in indices[start : start + batch_size]])
            for view in (batch, np.ascontiguousarray(batch[..., ::-1])):
                total[start : start + batch_size] += softmax(teacher.backend.logits(view))
    return (total / (2 * len(teachers))).astype(np.float32)


def soft_targets(split: FaceSplit, indices: np.ndarray, recipe: Recipe, taught: np.ndarray | None = None) -> np.ndarray:
    """float32 (N, C), rows of sum 1: (1 - ferplus - distill) * label + ferplus * votes + distill * teachers.

    An image without a usable vote keeps its label for that share. Raises ConfigError when the recipe needs votes
    or teachers that are missing.
    """
    labels = np.eye(len(split.label_set), dtype=np.float32)[split.labels[indices]]
    target = (1 - recipe.ferplus - recipe.distill) * labels
    if recipe.ferplus:
        if split.votes is None:
            raise ConfigError(
                f"recipe {recipe.name!r} uses FER+ votes (ferplus={recipe.ferplus}), but the data has no "
                "ferplus_votes column; "
                "set ferplus = 0"
            )
        votes, has_votes = vote_distribution(split.votes[indices], split.label_set)
        target = target + recipe.ferplus * np.where(has_votes[:, None], votes, labels)
    if recipe.distill:
        if taught is None:
            raise ConfigError(
                f"recipe {recipe.name!r} learns from teachers (distill={recipe.distill}); name their checkpoints "
                "with --teacher"
            )
        target = target + recipe.distill * taught
    return target.astype(np.float32)
