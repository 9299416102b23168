"""Runtimes behind one call: a prepared batch in, logits out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from emotion_hub.errors import CheckpointError, InputError, MissingDependencyError, first_line
from emotion_hub.labels import LabelSet
from emotion_hub.onnx_export import INPUT, OUTPUT, record_of
from emotion_hub.preprocess import PreprocessConfig

if TYPE_CHECKING:  # a runtime is imported by the backend that uses it
    import torch

    from emotion_hub.models.classifier import EmotionClassifier

__all__ = ["Backend", "OnnxBackend", "TorchBackend"]


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
            raise InputError(f"device={device!r} cannot be used here ({first_line(error)}); leave it out, or use 'cpu'") from error
        self.num_parameters = classifier.num_parameters

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32, (N, num_classes), of normalised pixels float32, (N, C, H, W)."""
        import torch

        with torch.inference_mode():
            return self.classifier(torch.from_numpy(pixel_values).to(self.device)).float().cpu().numpy()


class OnnxBackend:
    """A file that `emotion_hub.onnx_export` wrote, on ONNX Runtime; torch is not imported.

    `labels`, `preprocess` and `storage` ("float32", "float16" or "int8") are what the file's metadata says.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        """`threads` of one call, by default the machine's cores. Raises CheckpointError for a file that is none of ours."""
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingDependencyError("the ONNX backend needs ONNX Runtime: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3  # errors
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors share no base but Exception
            raise CheckpointError(f"{Path(path).name!r} cannot be opened as an ONNX file: {first_line(error)}") from error
        record = record_of(self.session.get_modelmeta().custom_metadata_map, Path(path).name)
        try:
            self.labels = LabelSet.of(record["labels"])
            self.preprocess = PreprocessConfig.from_dict(record["preprocess"])
            self.num_parameters, self.model, self.weights = int(record["parameters"]), str(record["model"]), str(record["weights"])
            self.storage = str(record["storage"])
            self.file: str | None = record.get("file")  # the SHA-256 of the safetensors file it was made of, where that is known
        except (KeyError, ValueError, TypeError) as error:
            raise CheckpointError(f"{Path(path).name!r} has metadata that break a rule: {error}; write it again with export_onnx") from error

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32, (N, num_classes), of normalised pixels float32, (N, C, H, W)."""
        return self.session.run([OUTPUT], {INPUT: pixel_values})[0]
