"""What scoring a folder of ready faces costs beside the bare network: `python -m benchmarks.score --json out.json`.

The same network runs on ONNX Runtime over ready batches, and as `score` over a folder of 48-pixel PNG files (listing, decoding, parts and result
included), in turns; the medians and the share are reported. The share is to be .7 or more.
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

from benchmarks.timing import machine, write_json
from emotion_hub.batch import predict_many
from emotion_hub.onnx.export import INPUT, OUTPUT
from emotion_hub.predictor import EmotionPredictor

__all__ = ["draw_faces", "main", "measure"]


def draw_faces(folder: Path, count: int) -> None:
    """Write `count` gray PNG files of 48 pixels, as smooth and as noisy as faces are, seeded."""
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
    """Faces/s of the bare loop and of `score`, a round each in turn, and the median share."""
    predictor = EmotionPredictor.from_pretrained(model, backend="onnx", threads=workers)
    rng = np.random.default_rng(0)
    side = predictor.preprocessor.config.size
    pixels = predictor.preprocessor.normalise(rng.integers(0, 256, (batch_size, side, side), dtype=np.uint8))
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "faces", Path(name) / "result.parquet"
        folder.mkdir()
        draw_faces(folder, faces)

        def bare() -> float:
            begun = time.perf_counter()
            for _ in range(0, faces, batch_size):
                predictor.backend.session.run([OUTPUT], {INPUT: pixels})
            return faces / (time.perf_counter() - begun)

        def scored() -> float:
            begun = time.perf_counter()
            done = predict_many(
                folder,
                out,
                models=[model],
                backend="onnx",
                whole=True,
                batch_size=batch_size,
                workers=workers,
                restart=True,
            )
            assert done.faces == faces
            return faces / (time.perf_counter() - begun)

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
    parser = argparse.ArgumentParser(prog="benchmarks.score", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="native48", help="embedded name, folder or Hub id (default: native48)")
    parser.add_argument("--faces", type=int, default=12_800)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, help="threads that decode (default: one a core)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args(argv)
    found = measure(args.model, args.faces, args.batch_size, args.rounds, args.workers)
    print(
        f"{found['model']}: {found['bare_faces_per_second']:.0f} faces/s bare, {found['score_faces_per_second']:.0f} scored: {found['share']:.1%}"
    )
    if args.json:
        write_json(args.json, found)
    return found


if __name__ == "__main__":
    main()
