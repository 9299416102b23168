"""Runtimes behind one call: a prepared batch in, logits out; and which one a checkpoint runs on."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from emotion_hub.errors import CheckpointError, InputError, first_line
from emotion_hub.labels import LabelSet
from emotion_hub.onnx.export import INPUT, OUTPUT, record_of
from emotion_hub.onnx.files import check_beside, onnx_file, own_onnx_file
from emotion_hub.preprocess import PreprocessConfig, Preprocessor

if TYPE_CHECKING:  # a runtime is imported by the backend that uses it
    import torch

    from emotion_hub.models.classifier import EmotionClassifier

__all__ = ["Backend", "CheckpointBackends", "OnnxBackend", "TorchBackend", "default_backend", "finite_logits"]


class Backend(Protocol):
    """A network ready to run. Backends hold no state between calls."""

    num_parameters: int

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32, (N, num_classes), of normalised pixels float32, (N, C, H, W). Raises CheckpointError for values that are not finite."""
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
            raise InputError(
                f"device={device!r} cannot be used here ({first_line(error)}); leave it out, or use 'cpu'"
            ) from error
        self.num_parameters = classifier.num_parameters

    @property
    def labels(self) -> LabelSet:
        """The classifier's labels, in the order of its logits."""
        return self.classifier.labels

    @property
    def preprocess(self) -> PreprocessConfig:
        """The preprocessing of its input."""
        return self.classifier.preprocessor.config

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32, (N, num_classes), of normalised pixels float32, (N, C, H, W)."""
        import torch

        with torch.inference_mode():
            return finite_logits(self.classifier(torch.from_numpy(pixel_values).to(self.device)).float().cpu().numpy())


class OnnxBackend:
    """A file that `emotion_hub.onnx.export` wrote, on ONNX Runtime; torch is not imported.

    `labels`, `preprocess` and `storage` ("float32", "float16" or "int8") are what the file's metadata says.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        """`threads` of one call, by default the machine's cores. Raises CheckpointError for a file not written by emotion_hub, or one that does not predict."""
        from emotion_hub.onnx.runtime import open_session

        self.session = open_session(path, threads)
        record = record_of(self.session.get_modelmeta().custom_metadata_map, Path(path).name)
        try:
            self.labels = LabelSet.of(record["labels"])
            self.preprocess = PreprocessConfig.from_dict(record["preprocess"])
            self.num_parameters, self.model, self.weights = (
                int(record["parameters"]),
                str(record["model"]),
                str(record["weights"]),
            )
            self.storage = str(record["storage"])
            self.file: str | None = record.get(
                "file"
            )  # the SHA-256 of the safetensors file it was made of, where that is known
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise CheckpointError(
                f"{Path(path).name!r} has metadata that break a rule: {error}; write it again with export_onnx"
            ) from error
        self._check_answer(Path(path).name)

    def _check_answer(self, name: str) -> None:
        """Run extreme faces: raises CheckpointError when the network does not take its preprocessing's shape or answers with values that are not finite."""
        faces = Preprocessor(self.preprocess).extremes()
        try:
            shape = self.logits(faces).shape
        except CheckpointError:
            raise
        except Exception as error:  # ONNX Runtime's errors share no base but Exception
            raise CheckpointError(
                f"{name!r} does not take faces as its metadata prepare them: {first_line(error)}; write it again with export_onnx"
            ) from error
        if shape != (len(faces), len(self.labels)):
            raise CheckpointError(
                f"{name!r} answers {len(faces)} faces with shape {shape} for {len(self.labels)} labels; write it again with export_onnx"
            )

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32, (N, num_classes), of normalised pixels float32, (N, C, H, W)."""
        return finite_logits(self.session.run([OUTPUT], {INPUT: pixel_values})[0])


def finite_logits(logits: np.ndarray) -> np.ndarray:
    """The same logits; raises CheckpointError when one is not finite: probabilities made of it would be NaN."""
    if not math.isfinite(
        logits.sum(dtype=np.float64)
    ):  # a sum of finite float32 values is finite, and quicker than looking at each
        raise CheckpointError(
            "the network answers with values that are not finite: its weights are damaged or too large to be used; get another checkpoint"
        )
    return logits


class CheckpointBackends:
    """One checkpoint on any backend, each loaded at its first use and kept for all predictors of the checkpoint."""

    def __init__(
        self, source: str | Path, where: Mapping[str, Any], device: str | None = None, threads: int | None = None
    ) -> None:
        """`source` and `where` are as in `resolve_file`, `device` as in TorchBackend, `threads` as in OnnxBackend. Nothing is loaded yet."""
        self.source, self.where, self.device, self.threads = source, dict(where), device, threads
        self._loaded: dict[str, OnnxBackend | TorchBackend] = {}
        self._lock = threading.Lock()

    def load(self, name: str) -> OnnxBackend | TorchBackend:
        """The backend called "onnx", "onnx-int8" or "torch". Raises what loading the checkpoint raises, MissingDependencyError without torch."""
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._torch() if name == "torch" else self._onnx(int8=name == "onnx-int8")
            return self._loaded[name]

    def _torch(self) -> TorchBackend:
        from emotion_hub.models.classifier import EmotionClassifier

        return TorchBackend(EmotionClassifier.from_pretrained(self.source, **self.where), self.device)

    def _onnx(self, *, int8: bool) -> OnnxBackend:
        path = onnx_file(self.source, int8=int8, **self.where)
        backend = OnnxBackend(path, self.threads)
        check_beside(path, backend.file, backend.labels, backend.preprocess, str(self.source))
        return backend


def default_backend(source: str | Path, device: str | None = None, **where: Any) -> str:
    """The backend for "auto": "onnx" where the checkpoint has a `model.onnx` and `device` names no accelerator, else "torch".

    `where` is as in `resolve_file`. Raises UnknownModelError and CheckpointError for a checkpoint that cannot be had.
    """
    return "onnx" if device in (None, "cpu") and own_onnx_file(source, **where) is not None else "torch"
