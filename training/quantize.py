"""Write a checkpoint folder's `model_int8.onnx`: `python -m training.quantize --checkpoint FOLDER --data D`; `training.package --data D` does it too."""

from __future__ import annotations

import argparse
from pathlib import Path

from emotion_hub.onnx.quantize import Quantized
from training.publishing.int8 import write_int8

__all__ = ["main"]


def main(argv: list[str] | None = None) -> Quantized:
    parser = argparse.ArgumentParser(prog="training.quantize", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, type=Path, help="the checkpoint's folder")
    parser.add_argument("--data", required=True, help="the data set it was trained on")
    args = parser.parse_args(argv)
    made = write_int8(args.checkpoint, args.data)
    print(f"wrote {made.path}: {made.bytes / 2**20:.2f} MB, calibrated on {made.faces} training faces")
    return made


if __name__ == "__main__":
    main()
