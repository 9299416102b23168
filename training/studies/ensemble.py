"""Study: mean probabilities of predictors with different inputs.

    python -m training.studies.ensemble --data D

Each member prepares the same face by its own preprocessing. Members and weights are fixed before the measurement;
nothing is tuned. Writes the figures as JSON and Markdown, and README's sentence on the ensemble is made from them
(training.card).
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from emotion_hub.checkpoints import WEIGHTS_FILE, file_hash, resolve_file
from emotion_hub.errors import InputError
from emotion_hub.predictor_ensemble import PredictorEnsemble
from training.data.faces import SPLITS, load_split
from training.data.selection import apart_indices
from training.evaluation.ensemble import cpu_milliseconds, ensemble_figures
from training.evaluation.machine import hardware
from training.explanations.study import bootstrap
from training.studies.outcome import write_study

__all__ = ["main", "study", "table", "times"]

MEMBERS = ("native48", "upscale224")

#: Faces whose time is measured.
TIMED = 100


def study(ensemble: PredictorEnsemble, data: str, splits: Sequence[str]) -> dict[str, Any]:
    """The figures per split, with the paired difference in accuracy from the member that is best on it, and times."""
    report: dict[str, Any] = {
        "name": ensemble.name,
        "weights": list(ensemble.weights),
        "labels": list(ensemble.labels.labels),
        "parameters": ensemble.num_parameters,
        "members": _members(ensemble),
        "data": Path(data).name,
        "splits": {},
    }
    loaded = {split: load_split(data, split, ensemble.labels) for split in SPLITS}
    for split in splits:
        others = [loaded[name] for name in SPLITS if name != split]
        figures, right = ensemble_figures(ensemble, loaded[split], apart_indices(loaded[split], *others))
        best = max(figures["members"], key=lambda name: figures["members"][name]["accuracy"])
        change = bootstrap((right[ensemble.name].astype(float) - right[best]).tolist())
        assert change is not None  # the split has images
        report["splits"][split] = {
            **figures,
            "change": {"from": best, "accuracy": change["mean"], "interval": [change["low"], change["high"]]},
        }
    return report | times(ensemble, loaded["validation"].faces)


def _members(ensemble: PredictorEnsemble) -> dict[str, Any]:
    """What identifies each member's weights, and its size."""
    return {
        member.name: {
            "sha256": file_hash(resolve_file(member.name, WEIGHTS_FILE)),
            "bytes": resolve_file(member.name, WEIGHTS_FILE).stat().st_size,
            "parameters": member.backend.num_parameters,
            "input": [member.preprocessor.config.size, member.preprocessor.config.channels],
        }
        for member in ensemble.members
    }


def times(ensemble: PredictorEnsemble, faces: Sequence[Image.Image]) -> dict[str, Any]:
    """CPU milliseconds per face of members and ensemble, and the machine."""
    from emotion_hub.onnx.runtime import onnxruntime

    machine = {"machine": hardware(), "onnxruntime": onnxruntime.__version__, "python": platform.python_version()}
    return {"cpu_ms": cpu_milliseconds([*ensemble.members, ensemble], faces[:TIMED]), "environment": machine}


def table(report: dict[str, Any]) -> str:
    """The report as a page of Markdown."""
    shares = ", ".join(f"{share:.2g}" for share in report["weights"])
    lines = [
        f"# Ensemble {report['name']}",
        "",
        f"Mean of the probabilities with the weights {shares}, which were fixed before the measurement. Written by "
        "`python -m training.studies.ensemble`. ms: CPU time of preprocessing and network for one face on one thread "
        "of ONNX Runtime, without detection.",
    ]
    for split, figures in report["splits"].items():
        rows = figures["members"] | {report["name"]: figures["ensemble"]}
        lines += [
            "",
            f"## {split}",
            "",
            "| predictor | n | accuracy (95% interval) | without exact copies in other splits | macro F1 | log loss | "
            "ECE | ms |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name, row in rows.items():
            low, high = row["interval"]["accuracy"]
            lines.append(
                f"| `{name}` | {row['n']:,} | {row['accuracy']:.2%} ({100 * low:.1f} to {high:.1%}) | "
                f"{row['without_copies']['accuracy']:.2%} | {row['macro_f1']:.4f} | {row['log_loss']:.4f} | "
                f"{row['ece']:.3f} | {report['cpu_ms'][name]:.1f} |"
            )
        low, high = (100 * value for value in figures["change"]["interval"])
        lines += [
            "",
            f"Accuracy against `{figures['change']['from']}`, paired over the images: "
            f"{100 * figures['change']['accuracy']:+.2f} points (95% interval {low:+.2f} to {high:+.2f}). The members "
            f"predict the same label for {figures['same_label']:.1%} of the faces; at least one is right for "
            f"{figures['one_right']:.1%}.",
        ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure the ensemble, write and print the page, and return the figures."""
    parser = argparse.ArgumentParser(prog="training.studies.ensemble", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the data set the checkpoints were trained on")
    parser.add_argument(
        "--split", action="append", choices=SPLITS, help="may be repeated (default: validation and test)"
    )
    parser.add_argument(
        "--member",
        action="append",
        help=f"embedded name, folder or Hub id; repeat for each member (default: {' and '.join(MEMBERS)})",
    )
    parser.add_argument(
        "--weight", action="append", type=float, help="a member's weight, in their order (default: equal weights)"
    )
    parser.add_argument(
        "--times-only", action="store_true", help="measure the times again, and keep the other figures of --out"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).with_suffix(".json"),
        help="where to write the figures; the page is written beside them",
    )
    args = parser.parse_args(argv)
    ensemble = PredictorEnsemble.from_pretrained(args.member or MEMBERS, weights=args.weight, backend="onnx", threads=1)
    if args.times_only:
        report = json.loads(args.out.read_text(encoding="utf-8"))
        if report["members"] != _members(ensemble):
            raise InputError(f"{args.out.name} was measured with other weights; leave --times-only out")
        report |= times(ensemble, load_split(args.data, "validation", ensemble.labels).faces)
    else:
        report = study(ensemble, args.data, args.split or ("validation", "test"))
    return write_study(report, table(report), args.out)


if __name__ == "__main__":
    main()
