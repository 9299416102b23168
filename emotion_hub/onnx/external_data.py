"""One stored form of a checkpoint's weights: an ONNX file that reads them from the safetensors file beside it.

ONNX keeps a large tensor as "external data", a file name with an offset and a length; a safetensors file is a header and the tensors' bytes one after
another. So a graph of some hundred kilobytes serves ONNX Runtime from the weights that torch loads, and a package holds them once.
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

#: Smaller tensors stay in the graph, in bytes.
SMALLEST = 512

_FLOAT16 = 10  # onnx.TensorProto.FLOAT16, which safetensors call F16


def share_weights(path: Path) -> int:
    """Let the ONNX file at `path` read its large float16 tensors from `model.safetensors` in the same folder; the bytes saved.

    The file must have been exported from exactly these weights with float16 storage. Raises CheckpointError for a tensor that is not there bit for bit.
    """
    onnx = _onnx("sharing weights")
    weights = path.with_name(WEIGHTS_FILE)
    stored = _stored(weights)
    model, before = onnx.load(str(path)), path.stat().st_size
    for tensor in model.graph.initializer:
        if tensor.data_type != _FLOAT16 or len(content := onnx.numpy_helper.to_array(tensor).tobytes()) < SMALLEST:
            continue
        if content not in stored:
            raise CheckpointError(
                f"tensor {tensor.name!r} of {path.name} is not in {weights.name} beside it; export these weights with float16 storage"
            )
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", weights.name), ("offset", str(stored[content])), ("length", str(len(content)))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
    return before - path.stat().st_size


def copy_self_contained(source: Path, target: Path) -> Path:
    """A copy of an ONNX file that needs no other file; byte for byte where it needs none already."""
    onnx = _onnx("copying an ONNX file out of its folder")
    model = onnx.load(str(source), load_external_data=False)
    if not any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        shutil.copyfile(source, target)
        return target
    target.write_bytes(onnx.load(str(source)).SerializeToString())  # loading takes the tensors in
    return target


def file_bytes(path: Path) -> int:
    """The bytes of an ONNX file and of the weights file that it reads."""
    model = _onnx("measuring an ONNX file").load(str(path), load_external_data=False)
    names = {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    return path.stat().st_size + sum(path.with_name(name).stat().st_size for name in names)


def _stored(weights: Path) -> dict[bytes, int]:
    """{a float16 tensor's bytes: where they begin in the file}."""
    content = weights.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:begin])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F16":
            first, last = (begin + offset for offset in entry["data_offsets"])
            found[content[first:last]] = first
    return found


def _onnx(what: str) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise missing_extra(what, "onnx", error) from error
    return onnx
