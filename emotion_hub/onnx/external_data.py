"""Share weights between ONNX and safetensors files as ONNX external data.

ONNX can store a tensor as "external data": a file name, an offset and a length. A safetensors file is a header followed
by the bytes of the tensors. An ONNX graph of some hundred kilobytes can therefore read its weights from the safetensors
file that torch loads, and the package stores them once.
https://onnx.ai/onnx/repo-docs/ExternalData.html, https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import WEIGHTS_FILE
from emotion_hub.errors import CheckpointError, missing_extra

__all__ = ["copy_self_contained", "file_bytes", "share_weights"]

#: Tensors with fewer bytes stay in the graph.
SMALLEST = 512

#: onnx.TensorProto.FLOAT16; "F16" in safetensors.
_FLOAT16 = 10


def share_weights(path: Path) -> int:
    """The bytes saved by making the ONNX file at `path` read its large tensors from `model.safetensors` beside it.

    The file must have been exported from exactly these weights with float16 storage. Raises CheckpointError for a
    tensor that the safetensors file does not contain bit for bit, MissingDependencyError without onnx.
    """
    onnx = _import_onnx("sharing weights")
    weights = path.with_name(WEIGHTS_FILE)
    offsets = _float16_offsets(weights)
    model, size_before = onnx.load(str(path)), path.stat().st_size
    for tensor in model.graph.initializer:
        if tensor.data_type != _FLOAT16 or len(content := onnx.numpy_helper.to_array(tensor).tobytes()) < SMALLEST:
            continue
        if content not in offsets:
            raise CheckpointError(
                f"tensor {tensor.name!r} of {path.name} is not in {weights.name} beside it; "
                "export these weights with float16 storage"
            )
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        location = {"location": weights.name, "offset": str(offsets[content]), "length": str(len(content))}
        for key, value in location.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
    return size_before - path.stat().st_size


def copy_self_contained(source: Path, target: Path) -> Path:
    """`target`, written as a copy of an ONNX file that needs no other file.

    A file without external data is copied byte for byte. Raises MissingDependencyError without onnx.
    """
    onnx = _import_onnx("copying an ONNX file out of its folder")
    model = onnx.load(str(source), load_external_data=False)
    if not any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        shutil.copyfile(source, target)
        return target
    target.write_bytes(onnx.load(str(source)).SerializeToString())  # loading reads the external tensors
    return target


def file_bytes(path: Path) -> int:
    """The size in bytes of an ONNX file and of the weights files that it reads.

    Raises MissingDependencyError without onnx.
    """
    model = _import_onnx("measuring an ONNX file").load(str(path), load_external_data=False)
    names = {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    return path.stat().st_size + sum(path.with_name(name).stat().st_size for name in names)


def _float16_offsets(weights: Path) -> dict[bytes, int]:
    """{bytes of a float16 tensor: their offset in the safetensors file}."""
    content = weights.read_bytes()
    data_start = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:data_start])
    offsets = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F16":
            first, end = (data_start + offset for offset in entry["data_offsets"])
            offsets[content[first:end]] = first
    return offsets


def _import_onnx(what: str) -> Any:
    """The module onnx; raises MissingDependencyError, saying that `what` needs it."""
    try:
        import onnx
    except ImportError as error:
        raise missing_extra(what, "onnx", error) from error
    return onnx
