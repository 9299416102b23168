"""Runtimes behind one call: a prepared batch in, logits out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from emotion_hub.errors import InputError

if TYPE_CHECKING:  # a runtime is imported by the backend that uses it
    import torch

    from emotion_hub.models.classifier import EmotionClassifier

__all__ = ["Backend", "TorchBackend"]


class Backend(Protocol):
    """A network ready to run. Backends hold no state between calls."""

    num_parameters: int

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32, (N, num_classes), of normalised pixels float32, (N, C, H, W)."""
        ...


class TorchBackend:
    """An `EmotionClassifier` on one device. The classifier must stay in evaluation mode."""

    def __init__(self, classifier: EmotionClassifier, device: str | torch.device | None = None) -> None:
        """`device` defaults to the machine's accelerator, or the CPU where there is none. Raises InputError for one torch cannot use."""
        import torch

        if device is None:
            device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
        try:
            self.device = torch.device(device)
            self.classifier = classifier.to(self.device).eval()
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"device={device!r} cannot be used here ({str(error).splitlines()[0]}); leave it out, or use 'cpu'") from error
        self.num_parameters = classifier.num_parameters

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32, (N, num_classes), of normalised pixels float32, (N, C, H, W)."""
        import torch

        with torch.inference_mode():
            return self.classifier(torch.from_numpy(pixel_values).to(self.device)).float().cpu().numpy()
