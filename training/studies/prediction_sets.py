"""Study: which rule of prediction sets to ship, on halves of validation.

python -m training.studies.prediction_sets --data D

Each rule is fitted on one half of the validation images and measured on the other, many times; test is not read, except
to leave out the images that it shares with validation. LAC is the score 1 - p(label) of Sadinle, Lei and Wasserman
2019. APS is the score of Romano, Sesia and Candes 2020, arXiv:2006.02544, and RAPS that of Angelopoulos, Bates, Jordan
and Malik 2021, arXiv:2009.14193, both randomised.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emotion_hub.checkpoints import WEIGHTS_FILE, embedded_checkpoints, file_hash, resolve_file
from emotion_hub.predictor import EmotionPredictor
from training.data.faces import load_split
from training.data.selection import apart_indices
from training.evaluation.conformal import COVERAGE, conformal_quantile
from training.evaluation.predictions import face_probs
from training.studies.outcome import write_study

__all__ = ["RULES", "SHIPPED", "main", "study"]

STUDIES = Path(__file__).parent

#: How often the images are divided into halves; each half is fitted on once.
REPEATS = 50

#: RAPS: the penalty per label beyond the first `RAPS_FREE` ones.
RAPS_PENALTY, RAPS_FREE = 0.01, 2

Scores = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _lac(probs: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return 1 - probs


def _aps(probs: np.ndarray, rng: np.random.Generator, penalty: float = 0.0) -> np.ndarray:
    """The probability of all labels above each one, and a random share of its own; `penalty` is RAPS's."""
    order = np.argsort(-probs, axis=1, kind="stable")
    ranked = np.take_along_axis(probs, order, axis=1)
    values = ranked.cumsum(axis=1) - rng.random((len(probs), 1)) * ranked
    values += penalty * np.maximum(0, np.arange(1, probs.shape[1] + 1) - RAPS_FREE)
    scores = np.empty_like(values)
    np.put_along_axis(scores, order, values, axis=1)
    return scores


def _raps(probs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _aps(probs, rng, RAPS_PENALTY)


#: {rule: (scores, whether each label has a threshold of its own)}.
RULES: dict[str, tuple[Scores, bool]] = {
    "LAC, one threshold": (_lac, False),
    "LAC, a threshold per label": (_lac, True),
    "APS, one threshold": (_aps, False),
    "RAPS, one threshold": (_raps, False),
}

#: The rule of the shipped checkpoints.
SHIPPED = "LAC, a threshold per label"


def _members(rule: str, labels: np.ndarray, probs: np.ndarray, others: np.ndarray, seed: int) -> np.ndarray:
    """bool, (M, C): the sets of `others` by the rule fitted on `labels` and `probs`."""
    score, per_label = RULES[rule]
    rng = np.random.default_rng(seed)
    fitted = score(probs, rng)[np.arange(len(labels)), labels]
    classes = probs.shape[1]
    groups = [fitted[labels == k] for k in range(classes)] if per_label else [fitted] * classes
    inside = score(others, rng) <= np.array([conformal_quantile(group, COVERAGE) for group in groups])
    inside[np.arange(len(others)), others.argmax(axis=1)] = True
    return inside


def study(labels: np.ndarray, probs: np.ndarray, names: Sequence[str], repeats: int = REPEATS) -> dict[str, Any]:
    """{rule: mean coverage, mean size, coverage by label, the lowest of these} over `repeats` divisions into halves.

    `labels` are int64 (N,), `probs` float (N, C). A half without images of a label does not count for that label.
    """
    results: dict[str, Any] = {}
    for rule in RULES:
        coverage, sizes = np.full((2 * repeats, len(names) + 1), math.nan), np.empty(2 * repeats)
        for repeat in range(repeats):
            halves = np.array_split(np.random.default_rng(repeat).permutation(len(labels)), 2)
            for side, (fit, rest) in enumerate((halves, halves[::-1])):
                members = _members(rule, labels[fit], probs[fit], probs[rest], repeat)
                covered, row = members[np.arange(len(rest)), labels[rest]], 2 * repeat + side
                sizes[row], coverage[row, -1] = members.sum(axis=1).mean(), covered.mean()
                for k in np.unique(labels[rest]):
                    coverage[row, k] = covered[labels[rest] == k].mean()
        means = np.nanmean(coverage, axis=0)
        results[rule] = {
            "coverage": float(means[-1]),
            "mean_size": float(sizes.mean()),
            "lowest_label": float(np.nanmin(means[:-1])),
            "per_class": dict(zip(names, map(float, means[:-1]), strict=True)),
        }
    return results


def table(report: dict[str, Any]) -> str:
    """The report as a page of Markdown."""
    names = report["labels"]
    lines = [
        "# Prediction sets: which rule",
        "",
        f"Each rule was fitted on one half of the {report['n']:,} validation images without a copy in test, for a "
        f"coverage of {report['coverage']:.0%}, and measured on the other; means over {2 * report['repeats']} fits. "
        "Written by `python -m training.studies.prediction_sets`.",
        "",
        f"| checkpoint | rule | coverage | mean size | lowest label | {' | '.join(names)} |",
        f"|---|---|---|---|---|{'---|' * len(names)}",
    ]
    for checkpoint, figures in report["checkpoints"].items():
        for rule, row in figures["rules"].items():
            shares = " | ".join(f"{row['per_class'][name]:.0%}" for name in names)
            lines.append(
                f"| `{checkpoint}` | {rule} | {row['coverage']:.1%} | {row['mean_size']:.2f} | "
                f"{row['lowest_label']:.0%} | {shares} |"
            )
    lines += ["", f"Shipped: {SHIPPED}. {_reason(report)}"]
    return "\n".join(lines) + "\n"


def _reason(report: dict[str, Any]) -> str:
    rows = [figures["rules"] for figures in report["checkpoints"].values()]
    one = [row["LAC, one threshold"] for row in rows]
    own = [row[SHIPPED] for row in rows]
    more = max(b["mean_size"] - a["mean_size"] for a, b in zip(one, own, strict=True))
    return (
        f"With one threshold, the rarest label is in its own set in {min(row['lowest_label'] for row in one):.0%} of "
        f"the faces at worst; with a threshold per label, every label in at least "
        f"{min(row['lowest_label'] for row in own):.0%}, for at most {more:.2f} labels more per set. Its coverage does "
        "not depend on how frequent the labels are, which differs between FER2013 and photos that people send, and "
        "holds for a requested label set too."
    )


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure the checkpoints, write and print the page, and return the figures."""
    parser = argparse.ArgumentParser(prog="training.studies.prediction_sets", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the data set the checkpoints were trained on")
    parser.add_argument(
        "--checkpoint", action="append", help="name or folder; may be repeated (default: embedded ones)"
    )
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"divisions into halves (default {REPEATS})")
    parser.add_argument(
        "--out", type=Path, default=STUDIES / "prediction_sets.json", help="the page is written beside it"
    )
    args = parser.parse_args(argv)
    report: dict[str, Any] = {"coverage": COVERAGE, "repeats": args.repeats, "checkpoints": {}}
    for checkpoint in args.checkpoint or embedded_checkpoints():
        predictor = EmotionPredictor.from_pretrained(checkpoint)
        validation, test = (load_split(args.data, name, predictor.labels) for name in ("validation", "test"))
        kept = apart_indices(validation, test)
        probs = face_probs(predictor, [validation.faces[i] for i in kept], what="validation")
        report |= {"n": len(kept), "labels": list(predictor.labels.labels)}
        report["checkpoints"][Path(checkpoint).name] = {
            "sha256": file_hash(resolve_file(checkpoint, WEIGHTS_FILE)),
            "rules": study(validation.labels[kept], probs, predictor.labels.labels, args.repeats),
        }
    return write_study(report, table(report), args.out)


if __name__ == "__main__":
    main()
