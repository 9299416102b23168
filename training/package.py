"""Make a checkpoint folder of a finished run: `python -m training.package --run RUN --out FOLDER`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors.torch import load_file

from emotion_hub.checkpoints import REPORT_FILE, TRAINING_FILE, WEIGHTS_FILE
from emotion_hub.errors import CheckpointError
from emotion_hub.models.classifier import EmotionClassifier
from training.recipe import Recipe

__all__ = ["main", "package"]

LIMIT = 16 * 1024 * 1024


def package(run: Path, out: Path, earlier: list[Path] | None = None) -> Path:
    """Write config, float16 weights and the training record of the run's best epoch to `out`, and return it.

    `earlier` are the runs it started from, for the record. Raises CheckpointError when the run has no best weights yet or
    the file would pass 16 MB.
    """
    history_file, weights_file = run / "history.json", run / "best.safetensors"
    if not (history_file.is_file() and weights_file.is_file()):
        raise CheckpointError(f"{run} has no finished epoch; it needs history.json and best.safetensors, which training.train writes")
    history = json.loads(history_file.read_text())
    recipe = Recipe.from_dict(history["recipe"])
    model = EmotionClassifier(recipe.classifier)
    model.network.load_state_dict(load_file(weights_file))
    model = model.half()
    size = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    if size > LIMIT:
        raise CheckpointError(f"{run} makes a file of {size / 2**20:.1f} MB; an embedded checkpoint has at most 16")
    model.save_pretrained(out)
    (out / REPORT_FILE).unlink(missing_ok=True)  # it belongs to the weights that were there before
    stages = [json.loads((path / "history.json").read_text()) for path in earlier or []]
    (out / TRAINING_FILE).write_text(json.dumps({"stages": [*stages, history]}, indent=1) + "\n")
    return out


def main(argv: list[str] | None = None) -> Path:
    parser = argparse.ArgumentParser(prog="training.package", description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, type=Path, help="the --out folder of training.train")
    parser.add_argument("--earlier", type=Path, action="append", help="a run this one started from; may be repeated")
    parser.add_argument("--out", required=True, type=Path, help="the checkpoint's folder")
    args = parser.parse_args(argv)
    folder = package(args.run, args.out, args.earlier)
    print(f"wrote {folder}: {(folder / WEIGHTS_FILE).stat().st_size / 2**20:.2f} MB")
    return folder


if __name__ == "__main__":
    main()
