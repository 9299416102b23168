"""Check our relevance-map metrics against Quantus, in its own environment.

    python -m venv quantus && quantus/bin/pip install quantus
    python -m training.studies.quantus_check --python quantus/bin/python

Quantus (Hedström et al. 2023, arXiv:2202.06861) needs the OpenCV build with windows, which replaces the one of this
project, so it is installed in an environment of its own. torch is taken from this environment. Compared are the
metrics that both define alike: sparseness (Gini index) and the deletion curve (pixel flipping with our blurred face).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotion_hub.backends import TorchBackend
from emotion_hub.errors import InputError
from emotion_hub.examples import EXAMPLES
from emotion_hub.explainers import explain_face, metrics
from emotion_hub.explainers.base import GRID, Subject, on_grid
from emotion_hub.faces import locate
from emotion_hub.predictor import EmotionPredictor
from training.data.files import write_json

__all__ = ["TOLERANCE", "check", "main", "probes"]

#: Largest accepted difference of a metric: both compute in float32 and add up in another order.
TOLERANCE = 1e-3

#: Cells per step of the curve: 72 of 2,304, as in `emotion_hub.explainers.metrics.curves`.
STEP = GRID * GRID // metrics.STEPS

#: Runs in Quantus's environment; the last argument is this environment's site-packages, searched last, for torch.
_THEIRS = """
import json, sys
sys.path.append(sys.argv[2])
import numpy as np, torch, quantus
data = np.load(sys.argv[1] + "/probes.npz")
network = torch.jit.load(sys.argv[1] + "/network.pt").eval()
found = []
for face, blurred, heatmap, target in zip(data["faces"], data["blurred"], data["maps"], data["targets"]):
    x, a, y = face[None], heatmap[None, None], np.array([target])
    def blur(arr, indices, **_):
        flat, out = blurred.reshape(1, -1), arr.copy()
        shape = out.shape
        out = out.reshape(shape[0], -1)
        for row, index in zip(out, np.asarray(indices).reshape(shape[0], -1)):
            row[index] = flat[0][index]
        return out.reshape(shape)
    common = dict(disable_warnings=True, display_progressbar=False)
    sparseness = quantus.Sparseness(normalise=False, abs=True, **common)
    flipping = quantus.PixelFlipping(
        features_in_step=int(sys.argv[3]), perturb_func=blur, normalise=False, abs=False, **common
    )
    found.append({
        "sparseness": float(sparseness(model=network, x_batch=x, y_batch=y, a_batch=a, device="cpu")[0]),
        "deletion": [float(v) for v in np.ravel(
            flipping(model=network, x_batch=x, y_batch=y, a_batch=a, device="cpu", softmax=True))],
    })
print(json.dumps({"quantus": quantus.__version__, "found": found}))
"""


def probes(predictor: EmotionPredictor, seed: int = 0) -> list[tuple[Subject, np.ndarray]]:
    """(subject, map float32 (GRID, GRID)) of the largest face of each example photo.

    A little noise makes all values of a map different: equal cells may be taken in any order, and both do so otherwise.
    """
    generator, found = np.random.default_rng(seed), []
    for example in EXAMPLES.values():
        for face in locate(example.path).faces[:1]:
            explanation = explain_face(face.image, predictor, "gradcam++", metrics="none")
            heatmap = on_grid(explanation.heatmap) + generator.uniform(0, 1e-4, (GRID, GRID)).astype(np.float32)
            found.append((Subject.of(face.image, predictor), heatmap))
    return found


def check(python: Path, predictor: EmotionPredictor) -> dict[str, Any]:
    """The largest absolute difference per metric over the example faces, with Quantus's version.

    `python` is the interpreter of the environment with Quantus. Raises InputError when it cannot run it.
    """
    backend = predictor.backend
    if not isinstance(backend, TorchBackend) or predictor.preprocessor.config.size != GRID:
        raise InputError(f"{predictor.name}: the check needs a network for 48-pixel faces on torch")
    subjects = probes(predictor)
    ours = [
        {"sparseness": metrics.sparseness(heatmap), "deletion": metrics.curves(subject, heatmap)[0]}
        for subject, heatmap in subjects
    ]
    faces = np.stack([subject.pixel_values for subject, _ in subjects])
    with tempfile.TemporaryDirectory() as folder:
        np.savez(
            Path(folder) / "probes.npz",
            faces=faces,
            blurred=np.stack([subject.blurred for subject, _ in subjects]),
            maps=np.stack([heatmap for _, heatmap in subjects]),
            targets=np.array([subject.target for subject, _ in subjects]),
        )
        network = backend.classifier.network.cpu().eval()
        torch.jit.trace(network, torch.from_numpy(faces[:1])).save(str(Path(folder) / "network.pt"))
        site_packages = str(Path(torch.__file__).parents[1])
        command = [str(python), "-c", _THEIRS, folder, site_packages, str(STEP)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise InputError(f"{python} could not run Quantus (pip install quantus): {reason}")
    theirs = json.loads(done.stdout.splitlines()[-1])
    differences: dict[str, float] = {"sparseness": 0.0, "deletion": 0.0}
    for own, other in zip(ours, theirs["found"], strict=True):
        curve = np.asarray(own["deletion"])[-len(other["deletion"]) :]  # Quantus's curve begins after the first step
        differences["sparseness"] = max(differences["sparseness"], abs(own["sparseness"] - other["sparseness"]))
        differences["deletion"] = max(differences["deletion"], float(np.abs(curve - other["deletion"]).max()))
    return {"quantus": theirs["quantus"], "faces": len(subjects), "largest_difference": differences}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the check, print and return the result; exits with 1 when a metric differs by more than TOLERANCE."""
    parser = argparse.ArgumentParser(prog="training.studies.quantus_check", description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, required=True, help="the interpreter of an environment with Quantus")
    parser.add_argument("--model", default="emotion_cnn", help="a checkpoint for 48-pixel faces (default: emotion_cnn)")
    parser.add_argument("--json", type=Path, help="where the result is written")
    args = parser.parse_args(argv)
    result = check(args.python, EmotionPredictor.from_pretrained(args.model, backend="torch"))
    if args.json:
        write_json(args.json, result)
    print(json.dumps(result, indent=2))
    if worst := {name: d for name, d in result["largest_difference"].items() if d > TOLERANCE}:
        raise SystemExit(f"metrics differ from Quantus's by more than {TOLERANCE}: {worst}")
    return result


if __name__ == "__main__":
    main()
