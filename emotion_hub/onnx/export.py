"""A classifier as an ONNX file that says how to use it: `export_onnx(classifier, path)`.

The file's metadata holds the preprocessing, the labels, the network's name and the hash of the weights, so that a reader needs nothing else. The
temperature is in the weights already. An export whose logits differ from torch's is refused.
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

#: torch's exporter keeps its state in globals.
_exporting = threading.Lock()

#: Names of the graph's input, float32 (N, C, S, S) normalised, and output, float32 (N, num_classes).
INPUT, OUTPUT = "input", "logits"

#: The operator set that is asked for, and the older one for runtimes that know no newer.
OPSETS = (17, 11)

#: How the weights are stored; the computation is float32 either way.
STORAGE = ("float32", "float16")

#: The largest difference of a logit from torch's that an export may have, and the one for float16 storage, which rounds the weights themselves.
TOLERANCE = {"float32": 1e-4, "float16": 2e-2}

#: The metadata entry that holds everything as JSON.
METADATA_KEY = "emotion_hub"


@dataclass(frozen=True)
class Export:
    """What was written: the file, its operator set, how its weights are stored, and the largest difference of a logit from torch's."""

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
    """Write the classifier to `path` and check it against torch on `faces` (drawn ones unless given).

    `opset` 17, and 11 where that fails, unless one is named. The batch is dynamic, constants are folded, and the file appears whole or not at all.
    With float16 `storage` batch norms are left to the runtime to fold, so that the weights of a float16 checkpoint are stored as they are; others
    are rounded. Raises CheckpointError for a network that cannot be exported or whose logits differ, ConfigError for an unknown storage or operator
    set, MissingDependencyError without onnx. `weights_file` is where the classifier was loaded from; its hash then stands in the metadata, and
    `EmotionPredictor.from_pretrained` refuses the export beside other weights.
    """
    if storage not in STORAGE:
        raise ConfigError(f"storage={storage!r}; choose from {', '.join(STORAGE)}")
    if opset is not None and opset not in range(OPSETS[1], OPSETS[0] + 1):
        raise ConfigError(f"opset={opset!r}; this export writes {OPSETS[1]} to {OPSETS[0]}")
    try:
        import onnx

        from emotion_hub.onnx.runtime import open_session  # the check below needs it
    except ImportError as error:
        raise missing_extra("exporting to ONNX", "onnx", error) from error
    path = Path(path)
    faces = list(faces) or drawn_faces()
    pixels = np.stack([classifier.preprocessor(face) for face in faces])
    with _exporting, tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        partial = Path(folder) / path.name
        used = _write(classifier, pixels[:2], partial, (opset,) if opset else OPSETS, fold=storage == "float32")
        model = onnx.load(str(partial))
        if storage == "float16":
            _store_halves(model)
        onnx.helper.set_model_props(model, _metadata(classifier, used, storage, weights_file))
        onnx.checker.check_model(model)
        onnx.save(model, str(partial))
        difference = _difference(classifier, open_session(partial), pixels)
        if not difference <= TOLERANCE[storage]:
            raise CheckpointError(
                f"{classifier.config.model}'s logits differ from torch's by {difference:.2g}, more than {TOLERANCE[storage]:g}; the export is not kept. "
                f"Try another opset than {used}"
            )
        os.replace(partial, path)
    return Export(path, used, storage, difference, path.stat().st_size)


def weights_hash(classifier: EmotionClassifier) -> str:
    """SHA-256 over the names, types and values of all tensors, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(classifier.network.state_dict().items()):
        values = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {values.dtype} {values.shape} ".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def drawn_faces(count: int = 8) -> list[Image.Image]:
    """Gray pictures of 48 pixels with faces' range of light: smooth shapes under noise, seeded."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (count, 6, 6), dtype=np.uint8)
    smooth = [
        np.asarray(Image.fromarray(s).resize((48, 48), Image.Resampling.BICUBIC), dtype=np.float32) for s in small
    ]
    return [Image.fromarray((s + rng.normal(0, 8, s.shape)).clip(0, 255).astype(np.uint8)) for s in smooth]


def _write(classifier: EmotionClassifier, pixels: np.ndarray, path: Path, opsets: Sequence[int], *, fold: bool) -> int:
    import torch
    from torch.onnx import TrainingMode

    device = next(classifier.parameters()).device
    example = torch.from_numpy(pixels).to(device)
    failures = []
    for opset in opsets:
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # the exporter that knows these operator sets announces its age
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
        except Exception as error:  # the exporter raises whatever its steps raise; each reason is reported below
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
    return {METADATA_KEY: json.dumps(record), "labels": json.dumps(record["labels"])}


def record_of(metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    """Our entry of an ONNX file's metadata; raises CheckpointError, naming the file, where there is none."""
    try:
        record = json.loads(metadata[METADATA_KEY])
        return {**record, "preprocess": dict(record["preprocess"]), "labels": list(record["labels"])}
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{name!r} does not say how to use it (its metadata {METADATA_KEY!r}: {error}); write it with emotion_hub.onnx.export.export_onnx"
        ) from error


def _store_halves(model: Any) -> None:
    """Store every large float32 weight as float16 behind a cast, which runtimes fold away when they load the file."""
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


def _difference(classifier: EmotionClassifier, session: Any, pixels: np.ndarray) -> float:
    import torch

    with torch.inference_mode():
        expected = classifier(torch.from_numpy(pixels).to(next(classifier.parameters()).device)).float().cpu().numpy()
    return max(
        float(np.abs(session.run([OUTPUT], {INPUT: pixels[:n]})[0] - expected[:n]).max()) for n in (1, len(pixels))
    )
