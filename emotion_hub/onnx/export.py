"""Export a classifier to a self-describing ONNX file.

The metadata of the file holds the preprocessing, the labels, the network's name, the hash of the weights and, where the
checkpoint has one, the rule of its prediction sets, so that a reader needs no other file. The calibration temperature
is already part of the weights. An export whose logits differ from torch's is refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from emotion_hub.checkpoints import file_hash
from emotion_hub.errors import CheckpointError, ConfigError, first_line, missing_extra

if TYPE_CHECKING:
    from emotion_hub.models.classifier import EmotionClassifier

__all__ = [
    "INPUT",
    "METADATA_KEY",
    "OPSETS",
    "OUTPUT",
    "STORAGE",
    "TOLERANCE",
    "Export",
    "drawn_faces",
    "export_onnx",
    "record_of",
    "weights_hash",
]

log = logging.getLogger(__name__)

#: Allows one export at a time, because torch's exporter keeps its state in globals.
_export_lock = threading.Lock()

#: Names of the graph's input, float32 (N, C, S, S) normalised, and output, float32 (N, num_classes).
INPUT, OUTPUT = "input", "logits"

#: The operator set that is tried first, and the older one that is tried when it fails.
OPSETS = (17, 11)

#: Types in which the weights can be stored; the computation is float32 in both cases.
STORAGE = ("float32", "float16")

#: Largest allowed difference of a logit from torch's, by storage type; float16 rounds the weights.
TOLERANCE = {"float32": 1e-4, "float16": 2e-2}

#: The metadata entry that holds the record of the export as JSON.
METADATA_KEY = "emotion_hub"


@dataclass(frozen=True)
class Export:
    """A written file: its path, operator set, storage type, largest difference of a logit from torch's, and bytes."""

    path: Path
    opset: int
    storage: str
    difference: float
    bytes: int


def export_onnx(
    classifier: EmotionClassifier,
    path: str | Path,
    *,
    opset: int | None = None,
    storage: str = "float32",
    faces: Sequence[Image.Image] = (),
    weights_file: str | Path | None = None,
) -> Export:
    """Write the classifier to `path` as ONNX and compare its logits with torch's on `faces` (by default `drawn_faces`).

    The operator set is 17, or 11 when that fails, unless `opset` names one. The batch size is dynamic. The file is
    replaced atomically. With float16 `storage`, weights are rounded to float16 and constants are not folded, so that
    the tensors of a float16 checkpoint are stored bit for bit; the runtime folds batch norms when it loads the file.
    `weights_file` is the file from which the classifier was loaded: its hash is written to the metadata, and
    `EmotionPredictor.from_pretrained` refuses the export beside other weights.

    Raises CheckpointError for a network that cannot be exported or whose logits differ, ConfigError for an unknown
    storage type or operator set, MissingDependencyError without onnx.
    """
    if storage not in STORAGE:
        raise ConfigError(f"storage={storage!r}; choose from {', '.join(STORAGE)}")
    if opset is not None and opset not in range(OPSETS[1], OPSETS[0] + 1):
        raise ConfigError(f"opset={opset!r}; this export writes {OPSETS[1]} to {OPSETS[0]}")
    try:
        import onnx

        from emotion_hub.onnx.runtime import open_session  # for the comparison below
    except ImportError as error:
        raise missing_extra("exporting to ONNX", "onnx", error) from error
    path = Path(path)
    faces = list(faces) or drawn_faces()
    pixels = np.stack([classifier.preprocessor(face) for face in faces])
    with _export_lock, tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        partial = Path(folder) / path.name
        written = _write(classifier, pixels[:2], partial, (opset,) if opset else OPSETS, fold=storage == "float32")
        model = onnx.load(str(partial))
        if storage == "float16":
            _store_float16(model)
        onnx.helper.set_model_props(model, _metadata(classifier, written, storage, weights_file))
        onnx.checker.check_model(model)
        onnx.save(model, str(partial))
        difference = _largest_difference(classifier, open_session(partial), pixels)
        if not difference <= TOLERANCE[storage]:
            raise CheckpointError(
                f"{classifier.config.model}'s logits differ from torch's by {difference:.2g}, more than "
                f"{TOLERANCE[storage]:g}; the export is not kept. Try another opset than {written}"
            )
        os.replace(partial, path)
    return Export(path, written, storage, difference, path.stat().st_size)


def weights_hash(classifier: EmotionClassifier) -> str:
    """SHA-256 of the names, types, shapes and values of all tensors; it does not depend on the file format."""
    digest = hashlib.sha256()
    for name, tensor in sorted(classifier.network.state_dict().items()):
        values = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {values.dtype} {values.shape} ".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def drawn_faces(count: int = 8) -> list[Image.Image]:
    """Gray 48x48 images with the gray levels of faces: smooth shapes with noise, the same ones at every call."""
    rng = np.random.default_rng(0)
    grids = rng.integers(0, 256, (count, 6, 6), dtype=np.uint8)
    smooth = [
        np.asarray(Image.fromarray(grid).resize((48, 48), Image.Resampling.BICUBIC), dtype=np.float32) for grid in grids
    ]
    noisy = [levels + rng.normal(0, 8, levels.shape) for levels in smooth]
    return [Image.fromarray(levels.clip(0, 255).astype(np.uint8)) for levels in noisy]


def _write(classifier: EmotionClassifier, pixels: np.ndarray, path: Path, opsets: Sequence[int], *, fold: bool) -> int:
    """The first of `opsets` with which torch writes the network to `path`; raises CheckpointError when all fail."""
    import torch
    from torch.onnx import TrainingMode

    device = next(classifier.parameters()).device
    example = torch.from_numpy(pixels).to(device)
    failures = []
    for opset in opsets:
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # the exporter for these operator sets is deprecated
                torch.onnx.export(
                    classifier.network.eval(),
                    (example,),
                    str(path),
                    opset_version=opset,
                    input_names=[INPUT],
                    output_names=[OUTPUT],
                    dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
                    do_constant_folding=True,
                    training=TrainingMode.EVAL if fold else TrainingMode.PRESERVE,
                    dynamo=False,
                )
            return opset
        except Exception as error:  # the exporter raises errors of any class; each reason is reported below
            failures.append(f"opset {opset}: {first_line(error)}")
            log.info("%s cannot be exported with %s", classifier.config.model, failures[-1])
    raise CheckpointError(f"{classifier.config.model} cannot be exported to ONNX: {'; '.join(failures)}")


def _metadata(
    classifier: EmotionClassifier, opset: int, storage: str, weights_file: str | Path | None
) -> dict[str, str]:
    from emotion_hub.version import __version__

    config = classifier.config
    record = {
        "model": config.model,
        "labels": list(config.labels),
        "preprocess": config.preprocess.to_dict(),
        "parameters": classifier.num_parameters,
        "weights": weights_hash(classifier),
        "file": file_hash(weights_file) if weights_file else None,
        "storage": storage,
        "opset": opset,
        "version": __version__,
    }
    if config.prediction_sets is not None:
        record["prediction_sets"] = config.prediction_sets.to_dict()
    return {METADATA_KEY: json.dumps(record), "labels": json.dumps(record["labels"])}


def record_of(metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    """The record that `export_onnx` wrote to an ONNX file's metadata; raises CheckpointError, naming the file, else."""
    try:
        record = json.loads(metadata[METADATA_KEY])
        return {**record, "preprocess": dict(record["preprocess"]), "labels": list(record["labels"])}
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{name!r} was not written by emotion_hub: its metadata {METADATA_KEY!r} cannot be read ({error}); "
            "write it with emotion_hub.onnx.export.export_onnx"
        ) from error


def _store_float16(model: Any) -> None:
    """Store every large float32 weight as float16, followed by a cast that runtimes fold when they load the file."""
    import onnx

    graph = model.graph
    casts = []
    for weight in list(graph.initializer):
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < 256:
            continue
        half = onnx.numpy_helper.from_array(values.astype(np.float16), f"{weight.name}_half")
        casts.append(
            onnx.helper.make_node(
                "Cast", [half.name], [weight.name], to=onnx.TensorProto.FLOAT, name=f"{weight.name}_cast"
            )
        )
        graph.initializer.remove(weight)
        graph.initializer.append(half)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _largest_difference(classifier: EmotionClassifier, session: Any, pixels: np.ndarray) -> float:
    """The largest absolute difference of a logit from torch's, for a batch of one face and one of all faces."""
    import torch

    with torch.inference_mode():
        expected = classifier(torch.from_numpy(pixels).to(next(classifier.parameters()).device)).float().cpu().numpy()
    return max(
        float(np.abs(session.run([OUTPUT], {INPUT: pixels[:n]})[0] - expected[:n]).max()) for n in (1, len(pixels))
    )
