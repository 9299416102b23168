"""Write the 8-bit ONNX file of a checkpoint folder.

    python -m training.quantize --checkpoint FOLDER --data D

`training.package --data D` writes it too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emotion_hub.onnx.quantize import Quantized
from training.publishing.int8 import write_int8

__all__ = ["main"]


def main(argv: list[str] | None = None) -> Quantized:
    """Write model_int8.onnx beside the weights; returns its path, size and number of calibration faces."""
    parser = argparse.ArgumentParser(prog="training.quantize", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, type=Path, help="the checkpoint's folder")
    parser.add_argument("--data", required=True, help="the data set it was trained on")
    args = parser.parse_args(argv)
    result = write_int8(args.checkpoint, args.data)
    print(f"wrote {result.path}: {result.bytes / 2**20:.2f} MB, calibrated on {result.faces} training faces")
    return result


if __name__ == "__main__":
    main()
