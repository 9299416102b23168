"""Write the average neutral faces that the package uses as SHAP's background.

python -m training.neutral_faces --data D
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.cluster import KMeans

from emotion_hub.errors import InputError
from emotion_hub.explainers.base import GRID
from emotion_hub.explainers.shap_torch import BACKGROUND_FILE
from training.data.faces import FaceSplit, load_split

__all__ = ["average_faces", "main"]

#: Fewest faces of an average: with fewer, a single face might be recognised.
SMALLEST = 40


def average_faces(split: FaceSplit, count: int = 24, seed: int = 0) -> np.ndarray:
    """uint8, (count, GRID, GRID): the means of `count` clusters of the split's neutral faces.

    Clusters come from k-means on faces of 16 pixels; those of fewer than `SMALLEST` faces are left out. The order
    keeps the first averages far apart. Raises InputError when too few clusters are left.
    """
    faces = [split.faces[i].convert("L") for i in np.flatnonzero(split.labels == split.label_set.index("neutral"))]
    if len(faces) < count * SMALLEST:
        raise InputError(
            f"{len(faces)} neutral faces: {count} averages of at least {SMALLEST} need {count * SMALLEST}; "
            "choose fewer "
            "with --count"
        )
    small = np.stack([np.asarray(f.resize((16, 16), Image.Resampling.BOX), dtype=np.float32).ravel() for f in faces])
    resized = [f if f.size == (GRID, GRID) else f.resize((GRID, GRID), Image.Resampling.LANCZOS) for f in faces]
    pixels = np.stack([np.asarray(f, dtype=np.float64) for f in resized])
    groups = KMeans(count + 6, n_init=4, random_state=seed).fit_predict(small)
    means = [pixels[groups == g].mean(axis=0) for g in range(count + 6) if (groups == g).sum() >= SMALLEST]
    if len(means) < count:
        raise InputError(
            f"only {len(means)} clusters have {SMALLEST} faces, {count} averages need as many; choose fewer with "
            "--count"
        )
    return np.stack([means[i] for i in _spread(np.stack(means), count)]).round().astype(np.uint8)


def _spread(means: np.ndarray, count: int) -> list[int]:
    """Farthest-point order, starting with the mean closest to the mean of all."""
    flat = means.reshape(len(means), -1)
    order = [int(np.linalg.norm(flat - flat.mean(axis=0), axis=1).argmin())]
    distance = np.linalg.norm(flat - flat[order[0]], axis=1)
    while len(order) < count:
        order.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(flat - flat[order[-1]], axis=1))
    return order


def main(argv: Sequence[str] | None = None) -> Path:
    """Write the averages side by side as one gray PNG; returns its path."""
    parser = argparse.ArgumentParser(prog="python -m training.neutral_faces", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        required=True,
        help="a Hub id, a folder of parquet files, images or manifests, or fer2013.csv (see training.data.sources)",
    )
    parser.add_argument("--count", type=int, default=24, help="number of averages (default: 24)")
    parser.add_argument(
        "--out", type=Path, default=BACKGROUND_FILE, help="the PNG file to write (default: that of the package)"
    )
    args = parser.parse_args(argv)
    faces = average_faces(load_split(args.data, "train"), args.count)
    Image.fromarray(np.concatenate(list(faces), axis=1)).save(args.out, optimize=True)
    print(f"{len(faces)} average neutral faces -> {args.out} ({args.out.stat().st_size:,} bytes)")
    return args.out


if __name__ == "__main__":
    main()
