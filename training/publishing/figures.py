"""Tables of all checkpoints for README and the overview of the model cards."""

from __future__ import annotations

import json
from pathlib import Path

from emotion_hub.checkpoints import CONFIG_FILE, WEIGHTS_FILE, embedded_checkpoints, pair_figures
from training.evaluation.report_types import Report, corruption_figures
from training.publishing.card_sections import accuracy_text
from training.publishing.checkpoint_files import report_of

__all__ = ["ensemble_text", "figures_table", "pair_text", "robustness_table"]

#: The figures of training.studies.ensemble.
ENSEMBLE_STUDY = Path(__file__).parents[1] / "studies" / "ensemble.json"

#: Corruptions in the table of README, with their strength and how README names them.
CORRUPTIONS = {"blur": (1.25, "blur of 1.25 pixels"), "noise": (8.0, "noise of 8 gray levels")}


def figures_table() -> str:
    """Markdown: one row per embedded checkpoint."""
    reports = {name: report_of(folder) for name, folder in embedded_checkpoints().items()}
    with_ece = any("ece" in report for report in reports.values())
    rows = [
        "| checkpoint | network | input | parameters | file | PrivateTest accuracy | without exact copies in "
        "other splits "
        f"| macro F1 |{' ECE |' * with_ece}",
        f"|---|---|---|---|---|---|---|---|{'---|' * with_ece}",
    ]
    for name, folder in embedded_checkpoints().items():
        config, report = json.loads((folder / CONFIG_FILE).read_text()), reports[name]
        prep, clean = config["preprocess"], report["without_copies"]
        size = (folder / WEIGHTS_FILE).stat().st_size / 2**20
        rows.append(
            f"| `{name}` | `{config['model']}` | {prep['size']}×{prep['size']}×{prep['channels']} | "
            f"{report['parameters']:,} | {size:.1f} MB "
            f"| {accuracy_text(report)} | {accuracy_text(clean)} | {report['macro_f1']:.4f} |{_ece(report) * with_ece}"
        )
    return "\n".join(rows)


def _ece(report: Report) -> str:
    return f" {report['ece']:.3f} |" if "ece" in report else " – |"


def ensemble_text() -> str:
    """Markdown: the figures of the ensemble of shipped checkpoints on the test split.

    Empty when training.studies.ensemble did not measure these weights on it.
    """
    study = json.loads(ENSEMBLE_STUDY.read_text()) if ENSEMBLE_STUDY.is_file() else {"members": {}, "splits": {}}
    hashes = {name: report_of(folder)["sha256"] for name, folder in embedded_checkpoints().items()}
    measured = {name: member["sha256"] for name, member in study["members"].items()}
    if "test" not in study["splits"] or any(hashes.get(name) != sha256 for name, sha256 in measured.items()):
        return ""
    row, change = study["splits"]["test"]["ensemble"], study["splits"]["test"]["change"]
    low, high = (100 * value for value in change["interval"])
    names = ", ".join(f'"{name}"' for name in measured)
    return (
        f"`PredictorEnsemble.from_pretrained([{names}])`, the mean of their probabilities: {accuracy_text(row)}, "
        f"without copies {accuracy_text(row['without_copies'])}, macro F1 {row['macro_f1']:.4f}, ECE {row['ece']:.3f}. "
        f"Paired over the images, {100 * change['accuracy']:+.2f} points (95% interval {low:+.2f} to {high:+.2f}) "
        f"against `{change['from']}` ([more](training/studies/ensemble.md))."
    )


def pair_text() -> str:
    """Markdown: what upscaling alone brings, measured by training.studies.pair; empty where it was not measured."""
    study = pair_figures()
    if not study:
        return ""
    rows = [
        "One network, start and recipe at both sizes ([more](training/studies/pair.md)):",
        "",
        "| input | accuracy (95% interval) | macro F1 | ms per face | memory |",
        "|---|---|---|---|---|",
    ]
    for side in study["sides"].values():
        low, high = (100 * value for value in side["interval"])
        size, channels = side["input"]
        rows.append(
            f"| {size}×{size}×{channels} | {side['accuracy']:.2%} ({low:.1f} to {high:.1f}) | {side['macro_f1']:.4f} | "
            f"{side['cpu_ms']:.1f} | {side['memory_mb']:.0f} MB |"
        )
    return "\n".join([*rows, "", study["conclusion"]])


def robustness_table() -> str:
    """Markdown: the points of accuracy that each checkpoint loses on blurred and on noisy faces; "–" if unmeasured."""
    titles = [title for _, title in CORRUPTIONS.values()]
    rows = [f"| checkpoint | {' | '.join(titles)} |", "|---|" + "---|" * len(titles)]
    for name, folder in embedded_checkpoints().items():
        report = report_of(folder)
        losses = [_loss(report, corruption, strength) for corruption, (strength, _) in CORRUPTIONS.items()]
        rows.append(f"| `{name}` | {' | '.join(losses)} |")
    return "\n".join(rows)


def _loss(report: Report, corruption: str, strength: float) -> str:
    """Points of accuracy between unchanged images and this corruption."""
    for level in corruption_figures(report).get(corruption, {"levels": []})["levels"]:
        if level["strength"] == strength:
            return f"{100 * (report['robustness']['clean']['accuracy'] - level['accuracy']):.1f} points"
    return "–"
