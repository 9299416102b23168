"""PlaneDataset: augmented batches of prepared faces, reproducible."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from emotion_hub.preprocess import Preprocessor
from training.augmentation.augment import augment_image, augment_tensor
from training.augmentation.strengths import Augmentation

__all__ = ["PlaneDataset"]


class PlaneDataset(Dataset):
    """Batches of uint8 (S, S) planes: {"pixel_values": float32 (N, C, S, S), normalised, "labels": targets}.

    Targets are float32 (N, classes) or int64 (N,). The random numbers of a batch depend on the seed, the epoch
    and its images only, so that neither the number of workers nor a restart changes them. `sides` holds the side
    of each epoch in pixels. Without `augmentation`, faces are only normalised.
    """

    def __init__(
        self,
        planes: np.ndarray,
        targets: np.ndarray,
        preprocessor: Preprocessor,
        augmentation: Augmentation | None = None,
        sides: list[int] | None = None,
        seed: int = 0,
    ) -> None:
        self.planes, self.targets, self.preprocessor = planes, torch.from_numpy(targets), preprocessor
        self.augmentation, self.sides, self.seed = augmentation, sides, seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # shared with the loader's worker processes
        levels = np.arange(256, dtype=np.uint8)[None]
        self._gray = torch.from_numpy(preprocessor.normalise(levels)[:, 0])

    def __len__(self) -> int:
        return len(self.planes)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, counted from 0, which determines random numbers, strengths and side."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        chosen = np.asarray(indices)
        planes, targets = self.planes[chosen], self.targets[torch.from_numpy(chosen)]
        if self.augmentation is None:
            return {"pixel_values": torch.from_numpy(self.preprocessor.normalise(planes)), "labels": targets}
        epoch = int(self._epoch)
        seed = int(
            np.random.SeedSequence([self.seed, epoch, *chosen[:4].tolist()]).generate_state(1, np.uint64)[0] >> 1
        )
        generator = torch.Generator().manual_seed(seed)
        strengths = self.augmentation.at_epoch(epoch)
        pixels = torch.from_numpy(self.preprocessor.normalise(augment_image(planes, strengths, generator)))
        size = self.sides[min(epoch, len(self.sides) - 1)] if self.sides else None
        return {"pixel_values": augment_tensor(pixels, strengths, generator, size, self._gray), "labels": targets}

    @staticmethod
    def collate(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The batch as `__getitems__` returned it."""
        return batch
