"""Throughput of batch prediction on a folder, relative to the bare network.

    python -m benchmarks.score --json out.json

The same network runs with ONNX Runtime on prepared batches, and with `predict_many` on a folder of 48-pixel PNG
files, which includes listing, decoding, parts and result. The two alternate; medians and the share are reported.
The target is a share of .7 or more.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.timing import machine
from emotion_hub.backends import OnnxBackend
from emotion_hub.batch import predict_many
from emotion_hub.onnx.export import INPUT, OUTPUT
from emotion_hub.predictor import EmotionPredictor
from training.data.files import write_json

__all__ = ["draw_faces", "main", "measure"]


def draw_faces(folder: Path, count: int) -> None:
    """Write `count` gray PNG files of 48 pixels, drawn with a seed, as smooth and noisy as faces."""
    rng = np.random.default_rng(0)
    for i in range(count):
        small = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8))
        smooth = np.asarray(small.resize((48, 48), Image.Resampling.BICUBIC), dtype=np.float32)
        Image.fromarray((smooth + rng.normal(0, 6, (48, 48))).clip(0, 255).astype(np.uint8)).save(
            folder / f"{i:06d}.png"
        )


def measure(
    model: str, faces: int, batch_size: int = 64, rounds: int = 5, workers: int | None = None
) -> dict[str, Any]:
    """Faces/s of the bare loop and of `predict_many`, which alternate in rounds, and the median share."""
    predictor = EmotionPredictor.from_pretrained(model, backend="onnx", threads=workers)
    assert isinstance(predictor.backend, OnnxBackend)
    session = predictor.backend.session
    rng = np.random.default_rng(0)
    side = predictor.preprocessor.config.size
    pixels = predictor.preprocessor.normalise(rng.integers(0, 256, (batch_size, side, side), dtype=np.uint8))
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "faces", Path(name) / "result.parquet"
        folder.mkdir()
        draw_faces(folder, faces)

        def bare() -> float:
            started = time.perf_counter()
            for _ in range(0, faces, batch_size):
                session.run([OUTPUT], {INPUT: pixels})
            return faces / (time.perf_counter() - started)

        def scored() -> float:
            started = time.perf_counter()
            summary = predict_many(
                folder,
                out,
                models=[model],
                backend="onnx",
                whole=True,
                batch_size=batch_size,
                workers=workers,
                restart=True,
            )
            assert summary.faces == faces
            return faces / (time.perf_counter() - started)

        bare(), scored()  # warm up
        speeds = [(bare(), scored()) for _ in range(rounds)]
    shares = [s / b for b, s in speeds]
    return {
        "model": model,
        "faces": faces,
        "batch_size": batch_size,
        "bare_faces_per_second": round(float(np.median([b for b, _ in speeds])), 1),
        "score_faces_per_second": round(float(np.median([s for _, s in speeds])), 1),
        "share": round(float(np.median(shares)), 4),
        "shares": [round(share, 4) for share in shares],
        "workers": workers or os.cpu_count(),
        "machine": machine("onnxruntime"),
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, and write the figures to --json; returns them."""
    parser = argparse.ArgumentParser(prog="benchmarks.score", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="native48", help="embedded name, folder or Hub id (default: native48)")
    parser.add_argument("--faces", type=int, default=12_800)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, help="threads that decode (default: one per core)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args(argv)
    figures = measure(args.model, args.faces, args.batch_size, args.rounds, args.workers)
    print(
        f"{figures['model']}: {figures['bare_faces_per_second']:.0f} faces/s in the bare loop, "
        f"{figures['score_faces_per_second']:.0f} with the command: {figures['share']:.1%}"
    )
    if args.json:
        write_json(args.json, figures)
    return figures


if __name__ == "__main__":
    main()
