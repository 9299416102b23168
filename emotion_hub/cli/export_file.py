"""The work of `emotion-hub export`: a checkpoint to an ONNX file, in float32, float16 or int8."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from emotion_hub.batch.pictures import is_image_name
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
from emotion_hub.images import load_image

__all__ = ["export_file"]


def export_file(
    checkpoint: str, out: str | None, *, opset: int | None, storage: str, faces: str | None
) -> tuple[Path, list[str]]:
    """The file written and what is to be said of it.

    Without `out` a folder gets `model.onnx`, or `model_int8.onnx`, which `backend="onnx"` or `"onnx-int8"` then uses; an embedded checkpoint or a Hub
    id a file in the working folder. Raises InputError for int8 without faces or faces without int8, for a folder that is not there, and what
    `export_onnx` and `quantize_onnx` raise.
    """
    if (storage == "int8") != (faces is not None):
        raise InputError(
            "--storage int8 and --faces FOLDER go together: training faces set the ranges of its activations"
        )
    target = Path(out) if out else _default(checkpoint, storage)
    if target.suffix != ".onnx" or not target.parent.is_dir():
        raise InputError(f"--out {str(target)!r}: name an .onnx file in a folder that exists")
    pictures = _pictures(Path(faces)) if faces else []
    from emotion_hub.models.classifier import EmotionClassifier
    from emotion_hub.onnx.export import export_onnx

    classifier, weights = EmotionClassifier.from_pretrained(checkpoint), resolve_file(checkpoint, WEIGHTS_FILE)
    if storage != "int8":
        made = export_onnx(classifier, target, opset=opset, storage=storage, weights_file=weights)
        said = f"{classifier.config.model}: {made.bytes / 2**20:.2f} MB, operator set {made.opset}, {storage} weights, largest difference of a logit from torch's"
        return target, [f"{said} {made.difference:.1e}"]
    from emotion_hub.onnx.quantize import quantize_onnx

    with tempfile.TemporaryDirectory() as folder:
        full = export_onnx(classifier, Path(folder) / ONNX_FILE, opset=opset, weights_file=weights)
        small = quantize_onnx(full.path, target, pictures)
        measure = "its accuracy is not known before it is measured: python -m training.studies.onnx"
        return target, [
            f"{classifier.config.model}: {small.bytes / 2**20:.2f} MB of {full.bytes / 2**20:.2f} MB, calibrated on {small.faces} faces; {measure}"
        ]


def _default(checkpoint: str, storage: str) -> Path:
    folder = local_folder(checkpoint)
    beside = {"float32": ONNX_FILE, "int8": INT8_FILE}
    if (
        folder is not None
        and checkpoint not in embedded_checkpoints()
        and (folder / CONFIG_FILE).is_file()
        and storage in beside
    ):
        return folder / beside[storage]
    return Path(f"{Path(checkpoint).name}{'' if storage == 'float32' else f'-{storage}'}.onnx")


class _Pictures(Sequence[Image.Image]):
    """Files as pictures, each decoded when it is asked for: a folder of photos would fill the memory."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Image.Image:
        return load_image(self.paths[index])


def _pictures(folder: Path) -> _Pictures:
    """The folder's pictures, in the order of their names."""
    if not folder.is_dir():
        raise InputError(f"--faces {str(folder)!r} is no folder; name one with pictures of training faces below it")
    return _Pictures(sorted(path for path in folder.rglob("*") if path.is_file() and is_image_name(path.name)))
