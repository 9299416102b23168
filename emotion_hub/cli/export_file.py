"""ONNX export of a checkpoint in float32, float16 or int8.

The work of `emotion-hub export`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from PIL import Image

from emotion_hub.checkpoints import (
    CONFIG_FILE,
    INT8_FILE,
    ONNX_FILE,
    WEIGHTS_FILE,
    embedded_checkpoints,
    local_folder,
    resolve_file,
)
from emotion_hub.errors import InputError
from emotion_hub.images import is_image_name, load_image

__all__ = ["export_file"]


def export_file(
    checkpoint: str, out: str | None, *, opset: int | None, storage: str, faces: str | None
) -> tuple[Path, list[str]]:
    """The file that was written, and the lines to print about it.

    Without `out` the default is `model.onnx` (or `model_int8.onnx`) in the checkpoint's folder, where `backend="onnx"`
    (or `"onnx-int8"`) finds it; for an embedded checkpoint or a Hub id it is a file in the working folder. Raises
    InputError for int8 without faces, faces without int8 and a folder that does not exist, and what `export_onnx` and
    `quantize_onnx` raise.
    """
    if (storage == "int8") != (faces is not None):
        raise InputError(
            "--dtype int8 and --faces FOLDER go together: training faces calibrate the ranges of the activations"
        )
    target = Path(out) if out else _default(checkpoint, storage)
    if target.suffix != ".onnx" or not target.parent.is_dir():
        raise InputError(f"--out {str(target)!r}: name an .onnx file in a folder that exists")
    pictures = _pictures(Path(faces)) if faces else _Pictures([])
    from emotion_hub.models.classifier import EmotionClassifier
    from emotion_hub.onnx.export import export_onnx

    classifier, weights = EmotionClassifier.from_pretrained(checkpoint), resolve_file(checkpoint, WEIGHTS_FILE)
    model = classifier.config.model
    if storage != "int8":
        exported = export_onnx(classifier, target, opset=opset, storage=storage, weights_file=weights)
        size = f"{model}: {exported.bytes / 2**20:.2f} MB, operator set {exported.opset}, {storage} weights"
        return target, [f"{size}, largest difference of a logit from torch's {exported.difference:.1e}"]
    from emotion_hub.onnx.quantize import quantize_onnx

    with tempfile.TemporaryDirectory() as folder:
        full = export_onnx(classifier, Path(folder) / ONNX_FILE, opset=opset, weights_file=weights)
        small = quantize_onnx(full.path, target, pictures)
    size = f"{model}: {small.bytes / 2**20:.2f} MB of {full.bytes / 2**20:.2f} MB, calibrated on {small.faces} faces"
    return target, [f"{size}; its accuracy must still be measured: python -m training.studies.onnx"]


def _default(checkpoint: str, storage: str) -> Path:
    """The path of the ONNX file where --out is not given."""
    folder = local_folder(checkpoint)
    file_names = {"float32": ONNX_FILE, "int8": INT8_FILE}
    if (
        folder is not None
        and checkpoint not in embedded_checkpoints()
        and (folder / CONFIG_FILE).is_file()
        and storage in file_names
    ):
        return folder / file_names[storage]
    suffix = "" if storage == "float32" else f"-{storage}"
    return Path(f"{Path(checkpoint).name}{suffix}.onnx")


class _Pictures(Sequence[Image.Image]):
    """Picture files as a sequence that decodes a picture when it is read: a folder of photos would fill the memory."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...

    @overload
    def __getitem__(self, index: slice) -> _Pictures: ...

    def __getitem__(self, index: int | slice) -> Image.Image | _Pictures:
        return _Pictures(self.paths[index]) if isinstance(index, slice) else load_image(self.paths[index])


def _pictures(folder: Path) -> _Pictures:
    """The folder's pictures, in the order of their names."""
    if not folder.is_dir():
        raise InputError(f"--faces {str(folder)!r} is not a folder; name one that contains pictures of training faces")
    return _Pictures(sorted(path for path in folder.rglob("*") if path.is_file() and is_image_name(path.name)))
