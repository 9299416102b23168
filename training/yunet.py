"""Write the YuNet face detector that ships in the package.

    python -m training.yunet --source face_detection_yunet_2023mar.onnx

The source is the file of `opencv/face_detection_yunet` on the Hub (MIT), whose input is fixed at 640x640 pixels.
The input height and width become symbolic, and shapes recorded for that size are removed. Weights and operators
stay.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from emotion_hub.detectors.yunet import MODEL_FILE
from emotion_hub.errors import CheckpointError

__all__ = ["SOURCE_SHA256", "main"]

#: SHA-256 of the published file.
SOURCE_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"


def main(argv: list[str] | None = None) -> Path:
    """Write the file and return its path."""
    parser = argparse.ArgumentParser(prog="training.yunet", description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, type=Path, help="face_detection_yunet_2023mar.onnx")
    parser.add_argument("--out", type=Path, default=MODEL_FILE, help="the file to write (default: that of the package)")
    args = parser.parse_args(argv)
    data = args.source.read_bytes()
    if (digest := hashlib.sha256(data).hexdigest()) != SOURCE_SHA256:
        raise CheckpointError(
            f"{args.source.name!r} has the SHA-256 {digest[:12]}…, the published file {SOURCE_SHA256[:12]}…; download "
            "the published file"
        )
    import onnx

    model = onnx.load_from_string(data)
    for value, sizes in (
        (model.graph.input[0], {2: "height", 3: "width"}),
        *((output, {1: "positions"}) for output in model.graph.output),
    ):
        for axis, name in sizes.items():
            dimension = value.type.tensor_type.shape.dim[axis]
            dimension.ClearField("dim_value")
            dimension.dim_param = f"{name}_{value.name}" if axis == 1 else name
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, str(args.out))
    print(f"{args.out.name}: {args.out.stat().st_size:,} bytes")
    return args.out


if __name__ == "__main__":
    main()
