"""Convert face-identity weights to starting weights of MobileNetV1.

    npm pack @vladmandic/human@3.3.6
    python -m training.convert_faces --package vladmandic-human-3.3.6.tgz --data FER2013 --out faces.safetensors
    python -m training.train --recipe training/runs/upscale224_faces.toml --init faces.safetensors ...

The output equals that of the folded network (largest difference of a feature 3e-6, deviation of the features .3). It
takes one and a half minutes of CPU time for 1,024 faces.

The weights are HSE_FaceRec_tf's (A. Savchenko, Apache-2.0), in an MIT package. They were trained on VGGFace2, whose
images were released for research; a published model card states this (`--start-source` of training.publish).
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from emotion_hub.errors import InputError
from emotion_hub.preprocess import Preprocessor
from training.data.faces import FaceSplit, load_split
from training.data.files import write_atomically
from training.fit.face_weights import MODEL, folded_layers, state_dict, statistics
from training.fit.graph_model import read_graph_model
from training.fit.recipe import load_recipe

__all__ = ["main"]

RECIPE = Path(__file__).parent / "runs" / "upscale224_faces.toml"


def _batches(split: FaceSplit, preprocessor: Preprocessor, count: int, size: int = 16) -> Iterator[torch.Tensor]:
    for start in range(0, min(count, len(split)), size):
        yield torch.from_numpy(preprocessor.batch(split.faces[start : min(start + size, count)]))


def main(argv: list[str] | None = None) -> Path:
    """Write the file and return its path."""
    parser = argparse.ArgumentParser(
        prog="training.convert_faces", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--package", required=True, type=Path, help="the npm package (.tgz), or the folder of one")
    parser.add_argument(
        "--data", required=True, help="faces for the statistics of batch norms: a data set's train split"
    )
    parser.add_argument("--out", required=True, type=Path, help="the file to write, .safetensors")
    parser.add_argument("--faces", type=int, default=1024, help="use the first N faces (default: 1024)")
    parser.add_argument(
        "--recipe",
        type=Path,
        default=RECIPE,
        help="a recipe with the preprocessing (default: upscale224_faces.toml)",
    )
    args = parser.parse_args(argv)
    if args.out.suffix != ".safetensors":
        raise InputError(f"--out {args.out.name!r}: the file's name must end in .safetensors")
    if args.faces < 1:
        raise InputError(f"--faces {args.faces}: statistics need at least one face")
    preprocess = load_recipe(args.recipe).preprocess
    layers = folded_layers(read_graph_model(args.package, MODEL), preprocess)
    split, preprocessor = load_split(args.data, "train"), Preprocessor(preprocess)
    tensors = state_dict(layers, statistics(layers, _batches(split, preprocessor, args.faces)))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    note = {"source": f"{MODEL} of @vladmandic/human (HSE_FaceRec_tf)", "faces": str(min(args.faces, len(split)))}
    write_atomically(args.out, lambda part: save_file(tensors, part, metadata=note))
    digest = hashlib.sha256(args.out.read_bytes()).hexdigest()
    print(f"{args.out.name}: {len(tensors)} tensors, {args.out.stat().st_size:,} bytes, SHA-256 {digest}")
    return args.out


if __name__ == "__main__":
    main()
