"""Inference backends: torch and ONNX Runtime, and a checkpoint's default."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Unpack

import numpy as np

from emotion_hub.checkpoints import CONFIG_FILE, DownloadOptions, local_folder, resolve_file
from emotion_hub.errors import CheckpointError, InputError, first_line
from emotion_hub.labels import LabelSet
from emotion_hub.onnx.export import INPUT, OUTPUT, record_of
from emotion_hub.onnx.files import check_beside, onnx_file, own_onnx_file
from emotion_hub.prediction_sets import PredictionSets, sets_of_config
from emotion_hub.preprocess import PreprocessConfig, Preprocessor

if TYPE_CHECKING:  # each backend imports its own runtime when it is created
    import torch

    from emotion_hub.models.classifier import EmotionClassifier

__all__ = ["Backend", "CheckpointBackends", "OnnxBackend", "TorchBackend", "default_backend", "finite_logits"]


class Backend(Protocol):
    """A loaded network. Backends hold no state between calls."""

    num_parameters: int

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        """Logits, float32, (N, num_classes), of normalised pixels, float32, (N, C, H, W).

        Raises CheckpointError for logits that are not finite.
        """
        ...


class TorchBackend:
    """An `EmotionClassifier` on one torch device. The classifier must stay in evaluation mode."""

    def __init__(self, classifier: EmotionClassifier, device: str | torch.device | None = None) -> None:
        """Move the classifier to `device`, by default the machine's accelerator, or the CPU where there is none.

        Raises InputError for a device that torch cannot use.
        """
        import torch

        if device is None:
            accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
            device = accelerator or "cpu"
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
        """The labels of the classifier, in the order of its logits."""
        return self.classifier.labels

    @property
    def preprocess(self) -> PreprocessConfig:
        """The preprocessing of the classifier's input."""
        return self.classifier.preprocessor.config

    @property
    def prediction_sets(self) -> PredictionSets | None:
        """The rule of the classifier's prediction sets; None where it has none."""
        return self.classifier.config.prediction_sets

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        """Logits, float32, (N, num_classes), of normalised pixels, float32, (N, C, H, W)."""
        import torch

        with torch.inference_mode():
            logits = self.classifier(torch.from_numpy(pixel_values).to(self.device))
            return finite_logits(logits.float().cpu().numpy())


class OnnxBackend:
    """An ONNX file of `emotion_hub.onnx.export` on ONNX Runtime and the CPU; torch is not imported.

    These attributes hold the file's metadata: `labels`, `preprocess`, `model`, `num_parameters`, `weights` (hash of the
    tensors), `storage` ("float32", "float16" or "int8"), `file` (SHA-256 of the safetensors file from which it was
    exported, None when it is unknown) and `prediction_sets` (None when the file has no rule). A checkpoint's
    `config.json` replaces the last one, so that the sets can be fitted again without a new export.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        """Open the file and check it on extreme faces; `threads` per call are by default the machine's cores.

        Raises CheckpointError for an ONNX file not written by emotion_hub and for one whose output is wrong.
        """
        from emotion_hub.onnx.runtime import open_session

        name = Path(path).name
        self.session = open_session(path, threads)
        record = record_of(self.session.get_modelmeta().custom_metadata_map, name)
        try:
            self.labels = LabelSet.of(record["labels"])
            self.preprocess = PreprocessConfig.from_dict(record["preprocess"])
            self.num_parameters = int(record["parameters"])
            self.model = str(record["model"])
            self.weights = str(record["weights"])
            self.storage = str(record["storage"])
            self.file: str | None = record.get("file")
            self.prediction_sets = sets_of_config(record, self.labels.labels)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise CheckpointError(
                f"{name!r} has metadata that break a rule: {error}; write it again with export_onnx"
            ) from error
        self._check_output(name)

    def _check_output(self, name: str) -> None:
        """Run the network on extreme faces.

        Raises CheckpointError when it does not accept the input of its preprocessing, when the number of its outputs is
        not that of its labels, and for logits that are not finite.
        """
        faces = Preprocessor(self.preprocess).extremes()
        try:
            shape = self.logits(faces).shape
        except CheckpointError:
            raise
        except Exception as error:  # ONNX Runtime's errors have no common base class but Exception
            raise CheckpointError(
                f"{name!r} does not accept faces preprocessed as its metadata says: {first_line(error)}; "
                "write it again with export_onnx"
            ) from error
        if shape != (len(faces), len(self.labels)):
            raise CheckpointError(
                f"{name!r} returns shape {shape} for {len(faces)} faces and {len(self.labels)} labels; "
                "write it again with export_onnx"
            )

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        """Logits, float32, (N, num_classes), of normalised pixels, float32, (N, C, H, W)."""
        return finite_logits(self.session.run([OUTPUT], {INPUT: pixel_values})[0])


def finite_logits(logits: np.ndarray) -> np.ndarray:
    """The same logits; raises CheckpointError when one is not finite, because its probability would be NaN."""
    # the float64 sum of finite float32 values is finite, and is computed faster than a check of each value
    if not math.isfinite(logits.sum(dtype=np.float64)):
        raise CheckpointError(
            "the network returns values that are not finite: its weights are damaged or too large; "
            "get another checkpoint"
        )
    return logits


class CheckpointBackends:
    """The backends of one checkpoint, shared by all its predictors; each is loaded at its first use."""

    def __init__(
        self, source: str | Path, where: Mapping[str, Any], device: str | None = None, threads: int | None = None
    ) -> None:
        """Keep the arguments; nothing is loaded yet.

        `source` and `where` are as in `resolve_file`, `device` is as in TorchBackend, `threads` as in OnnxBackend.
        """
        self.source, self.where, self.device, self.threads = source, dict(where), device, threads
        self._loaded: dict[str, OnnxBackend | TorchBackend] = {}
        self._lock = threading.Lock()

    def load(self, name: str) -> OnnxBackend | TorchBackend:
        """The backend "onnx", "onnx-int8" or "torch".

        Raises the errors of loading the checkpoint, and MissingDependencyError without torch.
        """
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._torch() if name == "torch" else self._onnx(int8=name == "onnx-int8")
            return self._loaded[name]

    def _torch(self) -> TorchBackend:
        from emotion_hub.models.classifier import EmotionClassifier

        return TorchBackend(EmotionClassifier.from_pretrained(self.source, **self.where), self.device)

    def _onnx(self, *, int8: bool) -> OnnxBackend:
        path = onnx_file(self.source, int8=int8, **self.where)
        config = self._config_file(path)
        backend = OnnxBackend(path, self.threads)
        check_beside(path, backend.file, backend.labels, backend.preprocess, str(self.source))
        if config is not None:
            values = json.loads(config.read_text(encoding="utf-8"))
            backend.prediction_sets = sets_of_config(values, backend.labels.labels)
        return backend

    def _config_file(self, onnx: Path) -> Path | None:
        """The checkpoint's configuration, of the same commit as its ONNX file; None where only the latter exists."""
        where = dict(self.where)
        if local_folder(self.source) is None and onnx.parent.parent.name == "snapshots":
            where["revision"] = onnx.parent.name
        try:
            return resolve_file(self.source, CONFIG_FILE, **where)
        except CheckpointError:  # it is not needed to predict, and may be missing from the cache of an offline machine
            return None


def default_backend(source: str | Path, device: str | None = None, **where: Unpack[DownloadOptions]) -> str:
    """The backend that "auto" stands for: "onnx" or "torch".

    It is "onnx" when the checkpoint has a `model.onnx` and `device` is None or "cpu", else "torch". `where` is as in
    `resolve_file`. Raises UnknownModelError and CheckpointError for a checkpoint that is not available.
    """
    return "onnx" if device in (None, "cpu") and own_onnx_file(source, **where) is not None else "torch"
